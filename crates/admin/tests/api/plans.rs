use serde_json::json;

use crate::gateway::Gateway;

#[test]
fn limits_that_cannot_be_are_refused_at_their_field() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    for (limit, field) in [
        (json!({ "requests": 5, "per": "minute", "algorithm": "leaky_bucket" }), "algorithm"),
        (json!({ "requests": 5, "per": "month", "algorithm": "sliding_window" }), "algorithm"),
        (json!({ "requests": 10_001, "per": "hour", "algorithm": "sliding_log" }), "requests"),
        (json!({ "requests": 5, "per": "hour", "algorithm": "sliding_log", "burst": 9 }), "burst"),
        (json!({ "requests": 5, "per": "hour", "anchor": "subscription" }), "anchor"),
        (json!({ "requests": 5, "per": "day", "anchor": "birthday" }), "anchor"),
        (json!({ "requests": 5, "per": "hour", "overage": "allow", "algorithm": "token_bucket" }), "overage"),
        (json!({ "requests": 5, "per": "day", "overage": "some" }), "overage"),
        (json!({ "requests": 5, "per": "day", "thresholds": [80, 0] }), "thresholds[1]"),
        (json!({ "requests": 5, "per": "day", "thresholds": [80, "90"] }), "thresholds[1]"),
        (json!({ "requests": 5, "per": "5s", "thresholds": [80] }), "thresholds"),
    ] {
        let plan = json!({ "slug": "plan", "limits": [{ "requests": 1, "per": "second" }, limit] });
        assert_eq!(acme.post("/api/plans", &plan).refused(422), [format!("limits[1].{field}")]);
    }
    let limits = json!([
        { "requests": 10_000, "per": "hour", "algorithm": "sliding_log" },
        { "requests": 5, "per": "month", "algorithm": "fixed_window", "anchor": "subscription",
          "thresholds": [80, 100], "overage": "allow" },
    ]);
    let made = acme.post("/api/plans", &json!({ "slug": "plan", "limits": limits })).expect(201);
    assert_eq!(made["limits"], limits);
}

#[test]
fn a_plan_says_where_it_is_counted() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    let plain = acme.post("/api/plans", &json!({ "slug": "plain", "limits": [] })).expect(201);
    assert_eq!((&plain["counting"], &plain["on_unavailable"]), (&json!("leased"), &json!("local")));
    let written = json!({ "slug": "strict", "limits": [], "counting": "exact", "on_unavailable": "deny" });
    acme.post("/api/plans", &written).expect(201);
    let shown = acme.get("/api/plans/strict").expect(200);
    assert_eq!((&shown["counting"], &shown["on_unavailable"]), (&json!("exact"), &json!("deny")));
    let replaced =
        acme.put("/api/plans/strict", &json!({ "slug": "strict", "limits": [], "counting": "local" }));
    let replaced = replaced.expect(200);
    assert_eq!((&replaced["counting"], &replaced["on_unavailable"]), (&json!("local"), &json!("local")));
    let odd = json!({ "slug": "odd", "limits": [], "counting": "exactly", "on_unavailable": "leased" });
    assert_eq!(acme.post("/api/plans", &odd).refused(422), ["counting", "on_unavailable"]);
}
