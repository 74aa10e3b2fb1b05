use std::path::Path;

use super::*;

fn sources(variables: &[(&str, &str)], flags: &[(&'static Setting, &str)]) -> Sources {
    let text = |text: &str| text.to_owned();
    Sources {
        file: None,
        unreadable: Vec::new(),
        variables: variables.iter().map(|(name, value)| (text(name), text(value))).collect(),
        flags: flags.iter().map(|(setting, value)| (*setting, text(value))).collect(),
    }
}

fn compile(
    file: &str,
    variables: &[(&str, &str)],
    flags: &[(&'static Setting, &str)],
) -> Result<Config, String> {
    sources(variables, flags).compile(Path::new("t.toml"), file).map_err(|problems| problems.to_string())
}

#[test]
fn the_defaults_are_valid() {
    let config = compile("", &[], &[]).unwrap();
    assert_eq!(config.proxy.listen.to_string(), "0.0.0.0:8080");
    assert_eq!(config.admin.listen.to_string(), "127.0.0.1:8081");
    assert_eq!(config.proxy.timeouts.total, None);
    assert_eq!(config.access_log, None);
}

#[test]
fn flags_go_before_variables_and_variables_before_the_file() {
    let file = "log_level = \"warn\"\n[proxy]\nlisten = \"127.0.0.1:1\"\nworkers = 1\n";
    let variables = [("TOLLGATE_PROXY__LISTEN", "127.0.0.1:2"), ("TOLLGATE_PROXY__WORKERS", "2")];
    let config = compile(file, &variables, &[(&PROXY_LISTEN, "127.0.0.1:3")]).unwrap();
    assert_eq!(config.proxy.listen.port(), 3);
    assert_eq!(config.proxy.workers.map(NonZeroUsize::get), Some(2));
    assert_eq!(config.log_level, LevelFilter::WARN);
}

#[test]
fn well_known_variables_yield_to_tollgates_own() {
    let both = [("LOG_LEVEL", "ERROR"), ("TOLLGATE_LOG_LEVEL", "debug")];
    assert_eq!(compile("", &both, &[]).unwrap().log_level, LevelFilter::DEBUG);
    assert_eq!(compile("log_level = \"info\"", &both[..1], &[]).unwrap().log_level, LevelFilter::ERROR);
}

#[test]
fn every_problem_is_reported_with_its_place() {
    let file = "[proxy]\nworkers = \"many\"\ntimeouts.head = 10\nlimits.head_fields = 2_57\n";
    let variables = [
        ("TOLLGATE_SHUTDOWN__GRACE", "soon"),
        ("DATABASE_URL", "postgres://user:secret@host/db"),
        ("TOLLGATE_ADMIN_TOKEN", ""),
        ("TOLLGATE_UPSTREAMS__ALOW", "10.0.0.0/8"),
    ];
    let problems = compile(file, &variables, &[(&ADMIN_LISTEN, "localhost")]).unwrap_err();
    let lines: Vec<&str> = problems.lines().collect();
    assert_eq!(
        lines,
        [
            "TOLLGATE_UPSTREAMS__ALOW is not a setting; did you mean TOLLGATE_UPSTREAMS__ALLOW?",
            "DATABASE_URL must be sqlite: and a file's path, such as sqlite:/var/lib/tollgate/tollgate.db \
             (no other database is supported yet), not \"postgres://…\"",
            "t.toml:2: proxy.workers must be a whole number from 1 to 1024, or \"auto\", not \"many\"",
            "t.toml:3: proxy.timeouts.head must be a duration from 1ms to 24h, such as \"250ms\", \"30s\" \
             or \"5m\", not 10",
            "t.toml:4: proxy.limits.head_fields must be a whole number from 8 to 256, not 257",
            "--admin-listen must be an IP address and a port, such as 127.0.0.1:8080 or [::1]:8080 \
             (port 0 takes a free one), not \"localhost\"",
            "TOLLGATE_SHUTDOWN__GRACE must be a duration from 0s to 24h, such as \"30s\", not \"soon\"",
            "TOLLGATE_ADMIN_TOKEN must be visible ASCII characters without spaces, at least one",
        ]
    );
}

#[test]
fn a_variable_that_is_not_text_is_not_passed_over() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    let variables = ["TOLLGATE_ADMIN_TOKEN", "LOG_LEVEL", "OTHER"]
        .map(|name| (OsString::from(name), OsString::from_vec(vec![0xff])));
    let sources = Sources::of_variables(variables.into_iter(), None, Vec::new());
    let problems = sources.compile(Path::new("t.toml"), "").unwrap_err().to_string();
    assert_eq!(problems, "TOLLGATE_ADMIN_TOKEN must be text (UTF-8)\nLOG_LEVEL must be text (UTF-8)");
}

#[test]
fn lists_are_arrays_in_the_file_and_commas_elsewhere() {
    let file = "upstreams.allow = [\"10.0.0.0/8\"]\nproxy.trusted_proxies = \"10.0.0.0/8\"\n";
    let problems = compile(file, &[], &[]).unwrap_err();
    assert!(problems.starts_with("t.toml:2: proxy.trusted_proxies must be a list of networks"), "{problems}");
    let variables = [("TOLLGATE_PROXY__TRUSTED_PROXIES", "10.0.0.0/8,::1")];
    assert_eq!(compile("", &variables, &[]).unwrap().proxy.trusted_proxies.len(), 2);
}

#[test]
fn two_listeners_do_not_share_a_port() {
    let flags: [(&'static Setting, &str); 2] =
        [(&PROXY_LISTEN, "0.0.0.0:9000"), (&ADMIN_LISTEN, "127.0.0.1:9000")];
    let problems = compile("", &[], &flags).unwrap_err();
    assert_eq!(problems, "--admin-listen must not share its port with proxy.listen (0.0.0.0:9000)");
    assert!(compile("", &[], &[(&PROXY_LISTEN, "127.0.0.1:0"), (&ADMIN_LISTEN, "127.0.0.1:0")]).is_ok());
}

#[test]
fn tls_settings_that_mean_nothing_alone_are_problems() {
    let problem = |file: &str| compile(file, &[], &[]).unwrap_err();
    assert_eq!(
        problem("admin.tls.cert = \"c.pem\""),
        "t.toml:1: admin.tls.cert needs admin.tls.key beside it"
    );
    assert_eq!(
        problem("admin.tls.key = \"k.pem\""),
        "t.toml:1: admin.tls.key needs admin.tls.cert beside it"
    );
    let lonely = problem("admin.tls.client_ca = \"ca.pem\"");
    assert_eq!(lonely, "t.toml:1: admin.tls.client_ca needs admin.tls.cert beside it");
    let identity = "[admin.tls]\ncert = \"c.pem\"\nkey = \"k.pem\"\n";
    let pointless = problem(&format!("{identity}client_auth = \"all\""));
    assert_eq!(pointless, "t.toml:4: admin.tls.client_auth needs admin.tls.client_ca beside it");
    let clients = format!("{identity}client_ca = \"ca.pem\"\n");
    assert!(problem(&format!("{clients}client_auth = \"some\"")).contains("must be nodes or all"));
    let demanded_of =
        |file: &str| compile(file, &[], &[]).unwrap().admin.tls.unwrap().clients.unwrap().demanded_of;
    assert_eq!(demanded_of(&clients), DemandedOf::Nodes);
    assert_eq!(demanded_of(&format!("{clients}client_auth = \"all\"")), DemandedOf::All);
}

#[test]
fn what_differs_between_two_readings_is_known_by_name() {
    let config = |file: &str| compile(file, &[], &[]).unwrap();
    let (old, new) =
        (config("log_level = \"info\"\nshutdown.grace = \"1s\""), config("shutdown.grace = \"2s\""));
    let keys: Vec<&str> = new.differing_from(&old).map(|setting| setting.key).collect();
    assert_eq!(keys, ["shutdown.grace"]);
}

#[test]
fn the_admin_token_is_never_shown() {
    let config = compile("", &[("TOLLGATE_ADMIN_TOKEN", "s3cret")], &[]).unwrap();
    assert!(!format!("{config:?}").contains("s3cret"));
}

#[test]
fn a_counter_store_is_a_url_whose_password_shows_nowhere() {
    let url = "rediss+sentinel://ann:s3cret@a,b/main";
    let file = format!("redis_url = \"{url}\"\n[redis]\nca_file = \"ca.pem\"\n");
    let config = compile(&file, &[], &[]).unwrap();
    let redis = config.redis.as_ref().unwrap();
    assert_eq!(redis.url.to_string(), "rediss+sentinel://a:26379,b:26379/main/0");
    assert_eq!(redis.ca_file.as_deref(), Some(Path::new("ca.pem")));
    assert!(!format!("{config:?}").contains("s3cret"));
    let elsewhere = [("REDIS_URL", "redis://:s3cret@elsewhere")];
    let config = compile("redis_url = \"redis://here\"", &elsewhere, &[]).unwrap();
    assert_eq!(config.redis.unwrap().url.to_string(), "redis://elsewhere:6379/0");
    assert!(compile("", &[("REDIS_URL", "")], &[]).unwrap().redis.is_none());
}

#[test]
fn what_is_no_counter_store_is_refused_without_repeating_it() {
    for (url, reason) in [
        ("ann:s3cret@host", ": it has another scheme"),
        ("redis://:s3cret@host:none/0", ": a port in it is not 1 to 65535"),
        ("redis+sentinel://:s3cret@host", ": the master's name is missing: redis+sentinel://host:port/name"),
    ] {
        let problems = compile("", &[("REDIS_URL", url)], &[]).unwrap_err();
        assert!(
            problems.starts_with("REDIS_URL must be redis://, ") && problems.ends_with(reason),
            "{problems}"
        );
        assert!(!problems.contains("s3cret"), "{problems}");
    }
    let problems = compile("redis_url = 6379", &[], &[]).unwrap_err();
    assert!(problems.starts_with("t.toml:1: redis_url must be redis://, "), "{problems}");
    let problems = compile("redis_url = \"redis://h\"\nredis.ca_file = \"ca.pem\"", &[], &[]).unwrap_err();
    assert_eq!(problems, "t.toml:2: redis.ca_file is for a redis_url of rediss:// alone");
}
