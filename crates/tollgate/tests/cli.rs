//! The command line against a running gateway.

mod harness;

use std::fs;

use harness::{EchoUpstream, Gateway, Ran, tollgate};
use serde_json::{Value, json};

/// The JSON that a command printed.
#[track_caller]
fn json(ran: Ran) -> Value {
    let ran = ran.success();
    serde_json::from_slice(&ran.stdout).unwrap_or_else(|error| panic!("{error} in {:?}", ran.text()))
}

/// The status of a request with this key.
fn status(gateway: &Gateway, key: &str) -> u16 {
    gateway.client().get("/acme/orders/1", &[("X-API-Key", key)]).status
}

fn with_service(gateway: &Gateway, url: &str) {
    gateway.command(&["tenants", "create", "--slug", "acme", "--name", "Acme Corp"]).success();
    gateway
        .command(&[
            "services",
            "create",
            "--tenant",
            "acme",
            "--slug",
            "orders",
            "--target",
            &format!("{url}=3"),
        ])
        .success();
}

#[test]
fn a_key_made_on_the_command_line_opens_the_proxy_until_it_is_revoked() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    with_service(&gateway, &upstream.url());
    let plan = ["plans", "create", "--tenant", "acme", "--slug", "basic", "--limit", "5/hour:burst=5"];
    gateway.command(&plan).success();
    let consumer = ["consumers", "create", "--tenant", "acme", "--client-id", "app", "--plan", "basic"];
    gateway.command(&consumer).success();
    let create =
        ["keys", "create", "--tenant", "acme", "--name", "ci", "--consumer", "app", "--service", "orders"];
    let created = json(gateway.command(&[&create[..], &["--json"]].concat()));
    let (id, key) = (created["id"].as_str().expect("an id"), created["key"].as_str().expect("a key"));
    assert_eq!(status(&gateway, key), 200);

    let rotated =
        json(gateway.command(&["keys", "rotate", id, "--tenant", "acme", "--grace", "0s", "--json"]));
    let new_key = rotated["key"].as_str().expect("a key");
    assert_eq!((status(&gateway, key), status(&gateway, new_key)), (403, 200));
    let shown = gateway.command(&["keys", "get", id, "--tenant", "acme"]).success();
    assert!(!shown.text().contains(new_key), "{}", shown.text());

    gateway.command(&["keys", "revoke", id, "--tenant", "acme"]).success();
    assert_eq!(status(&gateway, new_key), 403);
}

#[test]
fn time_zones_and_subscriptions_are_written_on_the_command_line() {
    let gateway = Gateway::start();
    let zoned = ["tenants", "create", "--slug", "acme", "--time-zone", "Europe/Berlin", "--json"];
    assert_eq!(json(gateway.command(&zoned))["time_zone"], "Europe/Berlin");
    let moved = ["tenants", "update", "acme", "--time-zone", "Asia/Tokyo", "--json"];
    assert_eq!(json(gateway.command(&moved))["time_zone"], "Asia/Tokyo");
    let renamed = ["tenants", "update", "acme", "--name", "Acme", "--json"];
    assert_eq!(json(gateway.command(&renamed))["time_zone"], "Asia/Tokyo");
    let nowhere = gateway.command(&["tenants", "update", "acme", "--time-zone", "Nowhere"]);
    assert!(nowhere.code == Some(1) && nowhere.stderr.contains("--time-zone must"), "{}", nowhere.stderr);

    let anchored =
        ["--tenant", "acme", "--slug", "basic", "--limit", "9/month:anchor=subscription", "--json"];
    let plan = json(gateway.command(&[&["plans", "create"][..], &anchored[..]].concat()));
    assert_eq!(plan["limits"][0]["anchor"], "subscription");
    for create in [["keys", "create", "--name"], ["consumers", "create", "--client-id"]] {
        let rest = ["x", "--tenant", "acme", "--subscribed-at", "2026-01-31T00:00:00Z", "--json"];
        let created = json(gateway.command(&[&create[..], &rest[..]].concat()));
        assert_eq!(created["subscribed_at"], "2026-01-31T00:00:00Z");
    }
}

#[test]
fn where_a_plan_is_counted_is_written_on_the_command_line() {
    let gateway = Gateway::start();
    gateway.command(&["tenants", "create", "--slug", "acme"]).success();
    let counted = ["--counting", "exact", "--on-unavailable", "deny", "--json"];
    let create = ["plans", "create", "--tenant", "acme", "--slug", "basic"];
    json(gateway.command(&[&create[..], &counted[..]].concat()));
    let renamed =
        json(gateway.command(&["plans", "update", "basic", "--tenant", "acme", "--name", "B", "--json"]));
    assert_eq!((&renamed["counting"], &renamed["on_unavailable"]), (&"exact".into(), &"deny".into()));
    let odd = gateway.command(&["plans", "update", "basic", "--tenant", "acme", "--counting", "precise"]);
    assert!(odd.code == Some(1) && odd.stderr.contains("counting"), "{}", odd.stderr);
}

#[test]
fn what_is_made_has_no_flag_that_is_empty() {
    let gateway = Gateway::start();
    with_service(&gateway, "http://127.0.0.1:9");
    let user = ["users", "create", "--username", "boss", "--password", "a long password", "--tenant", ""];
    let key = ["keys", "create", "--tenant", "acme", "--name", "x", "--plan", ""];
    let list = ["keys", "create", "--tenant", "acme", "--name", "x", "--service", ""];
    for (create, flag) in [(&user[..], "--tenant"), (&key, "--plan"), (&list, "--service")] {
        let refused = gateway.command(create);
        let expected = format!("{flag} is empty");
        assert!(refused.code == Some(1) && refused.stderr.contains(&expected), "{}", refused.stderr);
    }
    assert_eq!(
        json(gateway.command(&["keys", "list", "--tenant", "acme", "--json"]))["items"],
        serde_json::json!([])
    );

    // In an update it takes the field away, be it a number.
    let plan = ["--tenant", "acme", "--limit", "5/hour", "--concurrency", "3", "--json"];
    let made = json(gateway.command(&[&["plans", "create", "--slug", "basic"], &plan[..]].concat()));
    assert_eq!(made["concurrency"], 3);
    let update = ["plans", "update", "basic", "--tenant", "acme", "--concurrency", "", "--json"];
    assert!(json(gateway.command(&update))["concurrency"].is_null());
}

#[test]
fn what_a_flag_says_wrongly_is_told_with_the_flag() {
    let gateway = Gateway::start();
    gateway.tenant("acme");
    let service = |flags: &[&str]| {
        gateway.command(&[&["services", "create", "--tenant", "acme", "--slug", "s"], flags].concat())
    };
    let refused = service(&["--target", "ftp://a", "--ip-limit", "0/minute"]);
    assert_eq!(refused.code, Some(1));
    for told in ["--url or --target: targets[0].url must start", "--ip-limit: ip_limits[0].requests must be"]
    {
        assert!(refused.stderr.contains(told), "{}", refused.stderr);
    }
    // Without a word to the server, which may be none.
    for (flag, value) in [("--target", ""), ("--target", "=2"), ("--url", "")] {
        let refused = service(&[flag, value, "--admin-url", "http://127.0.0.1:1"]);
        assert_eq!(refused.code, Some(2), "{}", refused.stderr);
        assert!(refused.stderr.contains(&format!("for '{flag} <URL")), "{}", refused.stderr);
    }
    let route = ["routes", "update", "r", "--tenant", "acme", "--service", ""];
    let refused = gateway.command(&route);
    assert!(refused.stderr.contains("for '--service <SLUG"), "{}", refused.stderr);
}

#[test]
fn an_update_takes_away_whole_lists_timeouts_and_what_is_open_to_all() {
    let gateway = Gateway::start();
    with_service(&gateway, "http://127.0.0.1:9");
    let update = |kind: &str, name: &str, flags: &[&str]| {
        json(gateway.command(&[&[kind, "update", name, "--tenant", "acme", "--json"], flags].concat()))
    };
    let fields = [
        ("limits", "--limit", "9/day"),
        ("anonymous", "--anonymous-limit", "5/minute"),
        ("timeouts", "--timeout", "connect=9s"),
    ];
    for (field, flag, value) in fields {
        let before = update("services", "orders", &["--name", "Orders"])[field].clone();
        assert_ne!(update("services", "orders", &[flag, value])[field], before, "{field}");
        assert_eq!(update("services", "orders", &[flag, ""])[field], before, "{field}");
    }
    let create = ["routes", "create", "--tenant", "acme", "--name", "r", "--service", "orders", "--json"];
    let with = ["--path", "/a", "--header", "X-A=1", "--query", "b=2"];
    let id = json(gateway.command(&[&create[..], &with].concat()))["id"].as_str().unwrap().to_owned();
    let bare = update("routes", &id, &["--path", "", "--header", "", "--query", ""]);
    let none = [&bare["paths"], &bare["headers"], &bare["query"]];
    assert_eq!(none, [&serde_json::json!([]), &serde_json::json!({}), &serde_json::json!({})]);
}

#[test]
fn a_name_that_is_given_twice_is_no_reason_to_take_the_last() {
    let gateway = Gateway::start();
    with_service(&gateway, "http://127.0.0.1:9");
    for flags in [["--header", "X-A=1", "--header", "X-A=2"], ["--query", "X-A=1", "--query", "X-A=2"]] {
        let create = ["routes", "create", "--tenant", "acme", "--name", "r", "--service", "orders"];
        let refused = gateway.command(&[&create[..], &flags].concat());
        let expected = format!("{} says X-A twice", flags[0]);
        assert!(refused.code == Some(1) && refused.stderr.contains(&expected), "{}", refused.stderr);
        // Of a variable that is not set.
        let nameless = gateway.command(&["routes", "update", "r", "--tenant", "acme", flags[0], "=1"]);
        assert!(nameless.code == Some(2), "{nameless:?}");
    }
}

#[test]
fn lists_are_tables_for_people_and_json_for_machines() {
    let gateway = Gateway::start();
    with_service(&gateway, "http://127.0.0.1:9");
    let table = gateway.command(&["services", "list", "--tenant", "acme"]).success().text();
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["SLUG", "NAME", "TARGETS", "AUTH", "HEADER"]);
    assert_eq!(lines[1], ["orders", "orders", "http://127.0.0.1:9=3", "X-API-Key"]);
    let json = json(gateway.command(&["services", "list", "--tenant", "acme", "--json"]));
    assert_eq!(json["items"][0]["targets"][0]["weight"], 3);

    gateway.command(&["tenants", "create", "--slug", "beta"]).success();
    let page = gateway.command(&["tenants", "list", "--limit", "1"]).success().text();
    let cursor = page.lines().last().and_then(|line| line.strip_prefix("There are more: add --cursor "));
    let next = gateway.command(&["tenants", "list", "--cursor", cursor.expect("a cursor")]).success().text();
    assert!(next.contains("beta") && !next.contains("acme"), "{next}");
}

#[test]
fn an_update_changes_what_its_flags_name_and_nothing_else() {
    let gateway = Gateway::start();
    with_service(&gateway, "http://127.0.0.1:9");
    let update = ["services", "update", "orders", "--tenant", "acme", "--timeout", "connect=2s", "--json"];
    let updated = json(gateway.command(&update));
    assert_eq!(updated["timeouts"]["connect"], "2s");
    assert_eq!(updated["targets"][0]["weight"], 3);
    let renamed =
        json(gateway.command(&["services", "update", "orders", "--tenant", "acme", "--name", "O", "--json"]));
    assert_eq!((&renamed["name"], &renamed["timeouts"]["connect"]), (&"O".into(), &"2s".into()));
    let targets = json!([{ "url": "http://127.0.0.1:9", "drain": true }, { "url": "http://127.0.0.1:10" }]);
    let draft = json!({ "slug": "orders", "targets": targets });
    gateway.admin().put("/api/services/orders?tenant=acme", &draft).expect(200);
    let updated = json(gateway.command(&update));
    assert_eq!(
        (&updated["targets"][0]["drain"], &updated["targets"][1]["drain"]),
        (&true.into(), &false.into())
    );

    gateway.command(&["plans", "create", "--tenant", "acme", "--slug", "basic"]).success();
    let consumer = ["consumers", "create", "--tenant", "acme", "--client-id", "a@b", "--plan", "basic"];
    gateway.command(&consumer).success();
    let cleared =
        json(gateway.command(&["consumers", "update", "a@b", "--tenant", "acme", "--plan", "", "--json"]));
    assert_eq!(cleared["plan"], Value::Null);
}

#[test]
fn every_problem_has_its_line_and_the_command_fails() {
    let gateway = Gateway::start();
    gateway.command(&["tenants", "create", "--slug", "acme"]).success();
    let service = ["services", "create", "--tenant", "acme", "--slug", "A!", "--url", "ftp://x"];
    let ran = gateway.command(&service);
    assert_eq!(ran.code, Some(1));
    let lines: Vec<&str> = ran.stderr.lines().collect();
    assert!(
        matches!(lines.as_slice(), [slug, url] if slug.starts_with("error: --slug must be")
            && url.starts_with("error: --url or --target: targets[0].url must start with http:// or https://")),
        "{ran:?}"
    );
    let ran = gateway.command(&["keys", "list"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(1), "error: name the tenant: --tenant SLUG\n"));
    let ran = gateway.command(&["tenants", "create", "--slug", "acme", "--json"]);
    let problem: Value = serde_json::from_str(&ran.stderr).expect("problem details");
    assert_eq!((ran.code, &problem["errors"][0]["field"]), (Some(1), &"slug".into()));
}

#[test]
fn whoever_cannot_be_reached_or_refuses_is_named_with_what_to_do() {
    let gateway = Gateway::start();
    let admin = format!("http://{}", gateway.admin_address());
    let run = |url: &str, token: Option<&str>| {
        let mut command = tollgate();
        command.args(["tenants", "list", "--admin-url", url]);
        Ran::of(command.envs(token.map(|token| ("TOLLGATE_ADMIN_TOKEN", token))))
    };
    for (url, token, expected) in [
        (
            "http://127.0.0.1:1",
            None,
            "the admin API at http://127.0.0.1:1 cannot be reached: connection refused",
        ),
        (admin.as_str(), None, "wants a token"),
        (admin.as_str(), Some("wrong"), "refuses the token in TOLLGATE_ADMIN_TOKEN"),
        (&gateway.url(""), Some("any"), "is not Tollgate's admin API"),
        (
            "localhost:8081",
            None,
            "the admin URL (--admin-url, TOLLGATE_ADMIN_URL) must start with http:// or https://",
        ),
    ] {
        let ran = run(url, token);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stderr.contains(expected), "{ran:?}");
    }
}

#[test]
fn a_declarative_file_is_applied_as_a_whole_and_again_without_effect() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let file = gateway.directory().join("gateway.yaml");
    let path = file.display().to_string();
    let yaml = format!(
        "tenants: [{{slug: acme}}]\nservices: [{{slug: orders, url: \"{}\"}}]\n\
         plans: [{{slug: basic, limits: [{{requests: 5, per: minute}}]}}]\n\
         keys: [{{name: imported, plan: basic, key: a-key-that-exists-already}}]\n",
        upstream.url()
    );
    fs::write(&file, yaml).expect("a file");
    assert_eq!(
        gateway.command(&["config", "validate", &path]).success().text(),
        format!("{path} is valid\n")
    );
    let dry = gateway.command(&["config", "apply", &path, "--dry-run"]).success().text();
    assert!(dry.contains("keys: 1 created") && dry.contains("Nothing was changed"), "{dry}");
    assert_eq!(status(&gateway, "a-key-that-exists-already"), 404);
    gateway.command(&["config", "apply", &path]).success();
    assert_eq!(status(&gateway, "a-key-that-exists-already"), 200);
    let again = gateway.command(&["config", "apply", &path]).success().text();
    assert_eq!(again, "tenants: 1 unchanged\nplans: 1 unchanged\nservices: 1 unchanged\nkeys: 1 unchanged\n");
    let edited = fs::read_to_string(&file).expect("the file").replace("requests: 5", "requests: 6");
    fs::write(&file, edited.replace("already", "no-more")).expect("a file");
    let dry = gateway.command(&["config", "apply", &path, "--dry-run"]).success().text();
    let told = "plans: 1 updated\n  plans[0] basic: limits[0].burst, limits[0].requests\nservices: 1 unchanged\n\
                keys: 1 updated\n  keys[0] imported: key\n";
    assert!(dry.contains(told) && !dry.contains("no-more"), "{dry}");
}

#[test]
fn what_is_wrong_with_a_declarative_file_is_told_without_a_server() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let validate = |name: &str, text: &str| {
        let file = directory.path().join(name);
        fs::write(&file, text).expect("a file");
        let ran = Ran::of(tollgate().current_dir(directory.path()).args(["config", "validate", name]));
        assert_eq!(ran.code, Some(1), "{ran:?}");
        ran.stderr
    };
    let problems =
        validate("a.yaml", "plans:\n- {slug: a, limits: [{requests: 0, per: fortnight}]}\n- {slug: a}\n");
    let fields: Vec<&str> =
        problems.lines().filter_map(|line| line.strip_prefix("error: a.yaml: ")?.split(' ').next()).collect();
    assert_eq!(
        fields,
        ["plans[0].limits[0].requests", "plans[0].limits[0].per", "plans[1].slug"],
        "{problems}"
    );
    let problems =
        validate("g.yaml", "tenants: [{slug: a}, {slug: b}]\nplans: [{slug: p}, {slug: p, tenant: b}]\n");
    assert_eq!(
        problems,
        "error: g.yaml: plans[0].tenant must name the tenant: the document does not list exactly one\n"
    );
    for (name, text, expected) in [
        ("b.yaml", "plans:\n- slug: [a\n", "error: b.yaml:"),
        (
            "c.yaml",
            "tenants:\n- slug: a\n  colour: red\n",
            "error: c.yaml:3: tenants[0].colour: unknown field",
        ),
        ("d.toml", "[[tenants]]\nslug = 1\n", "error: d.toml:2: tenants[0].slug: must be a string, not 1"),
        ("e.json", "{\n\"tenants\": [}", "error: e.json:2:"),
        ("f.txt", "", "error: f.txt: the name must end in .yaml, .yml, .toml or .json"),
    ] {
        let problems = validate(name, text);
        assert!(problems.starts_with(expected), "{problems}");
    }
}

#[test]
fn the_demo_data_goes_through_the_admin_api_or_into_the_data_directory() {
    let gateway = Gateway::start();
    let first = gateway.command(&["seed"]).success().text();
    assert!(first.contains("keys: 1 created"), "{first}");
    let again = gateway.command(&["seed"]).success().text();
    assert!(again.contains("keys: 1 unchanged") && !again.contains("created"), "{again}");

    // A server that holds the data and is somewhere else: nothing is written past it.
    let data_dir = gateway.directory().join("data");
    let elsewhere = |command: &mut std::process::Command| {
        Ran::of(command.args(["--admin-url", "http://127.0.0.1:1", "--data-dir"]).arg(&data_dir))
    };
    let refused = elsewhere(tollgate().arg("seed"));
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("in use by another tollgate"), "{refused:?}");

    let empty = tempfile::tempdir().expect("a temporary directory");
    let seed = || {
        let mut command = tollgate();
        command.args(["seed", "--json", "--admin-url", "http://127.0.0.1:1", "--data-dir"]);
        json(Ran::of(command.arg(empty.path())))
    };
    assert_eq!(seed()["keys"]["created"], 1);
    assert_eq!(seed()["keys"]["unchanged"], 1);
}

#[test]
fn a_user_is_made_with_a_password_that_no_argument_shows() {
    let gateway = Gateway::start();
    gateway.command(&["tenants", "create", "--slug", "acme"]).success();
    let mut command = tollgate();
    command.args(["users", "create", "--username", "ann", "--password-stdin", "--tenant", "acme"]);
    command.env("TOLLGATE_ADMIN_URL", format!("http://{}", gateway.admin_address()));
    let mut child = command
        .env("TOLLGATE_ADMIN_TOKEN", "test-admin-token")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("tollgate");
    std::io::Write::write_all(&mut child.stdin.take().expect("piped"), b"a long password\n")
        .expect("writing");
    assert!(child.wait().expect("a child").success());
    let login = serde_json::json!({ "username": "ann", "password": "a long password" });
    gateway.admin().post("/api/auth/login", &login).expect(200);
}

#[test]
fn the_database_can_be_made_ahead_and_the_version_asked() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let data_dir = directory.path().join("data");
    let migrate = || Ran::of(tollgate().args(["migrate", "--data-dir"]).arg(&data_dir)).success().text();
    assert!(migrate().ends_with("tollgate.db is up to date\n"));
    migrate();
    let version = Ran::of(tollgate().arg("version")).success().text();
    assert_eq!(version, concat!("tollgate ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn an_answer_that_cannot_be_written_is_an_error_and_a_closed_pipe_is_none() {
    let version = |stdout: std::process::Stdio| {
        tollgate().arg("version").stdout(stdout).output().expect("tollgate runs")
    };
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("a device");
    let ran = version(full.into());
    let stderr = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(1), "{stderr}");
    assert!(stderr.starts_with("error: standard output cannot be written to: No space left"), "{stderr}");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    assert_eq!(version(writer.into()).status.code(), Some(0));
}

#[test]
fn a_secret_that_nobody_reads_is_an_error() {
    let gateway = Gateway::start();
    gateway.tenant("acme").plan("basic", &[(60, "minute")]);
    let create = ["keys", "create", "--name", "ci", "--plan", "basic", "--tenant", "acme"];
    for flags in [&[][..], &["--json"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = gateway.prepared(&[&create, flags].concat());
        let ran = command.stdout(writer).output().expect("tollgate runs");
        let stderr = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("standard output cannot be written to"), "{stderr}");
    }
}

#[test]
fn an_empty_password_is_told_by_the_flag_that_was_given() {
    let create = |password: &[&str]| {
        let user = ["users", "create", "--username", "ann", "--admin-url", "http://127.0.0.1:1"];
        Ran::of(tollgate().args(user).args(password)).stderr
    };
    let told = create(&["--password-stdin"]);
    assert!(told.contains("there is no password on standard input"), "{told}");
    assert_eq!(create(&["--password", ""]), "error: --password is empty\n");
}

#[test]
fn a_demo_upstream_that_cannot_listen_names_a_flag_that_it_has() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let refused = Ran::of(tollgate().args(["demo-upstream", "--listen", &address]));
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("TOLLGATE_DEMO__LISTEN, --demo-listen)"), "{refused:?}");
    let refused = Ran::of(tollgate().args(["demo-upstream", "--demo-listen", "nowhere"]));
    assert!(refused.code == Some(1) && refused.stderr.contains("--demo-listen must be"), "{refused:?}");
}
