use serde_json::{Value, json};

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

#[test]
fn a_plan_that_an_issuers_map_names_is_there_and_stays() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    let plan = |slug: &str| json!({ "slug": slug, "limits": [] });
    let service = |gold: &str| {
        json!({ "slug": "api", "url": "https://upstream.example", "jwt": [{
            "issuer": "i", "audience": "a", "jwks_url": "https://id.invalid/keys",
            "plan_claim": "tier", "plan_map": { "Free": "basic", "Gold": gold },
        }] })
    };
    let field = "jwt[0].plan_map.Gold";
    acme.post("/api/plans", &plan("basic")).expect(201);
    assert_eq!(acme.post("/api/services", &service("premium")).refused(422), [field]);
    // In a document with the plan, and with one that is not valid.
    let document = |plan: &Value| json!({ "plans": [plan], "services": [service("premium")] });
    let odd = document(&json!({ "slug": "premium", "limits": [], "counting": "exactly" }));
    let ann = gateway.user_of("acme", "ann");
    let refused = ann.post("/api/config", &odd);
    assert_eq!(refused.refused(422), ["plans[0].counting".to_owned(), format!("services[0].{field}")]);
    assert!(refused.text.contains("see plans[0]"), "{}", refused.text);
    ann.post("/api/config", &document(&plan("premium"))).expect(200);

    assert_eq!(acme.put("/api/services/api", &service("nothing")).refused(422), [field]);
    let deleted = acme.delete("/api/plans/premium");
    deleted.refused(409);
    assert!(deleted.text.contains("services"), "{}", deleted.text);
    assert_eq!(acme.put("/api/plans/premium", &plan("gold")).refused(422), ["slug"]);
    acme.put("/api/services/api", &service("basic")).expect(200);
    acme.put("/api/plans/premium", &plan("gold")).expect(200);
    acme.delete("/api/plans/gold").expect(204);
}
