//! The server's configuration: where it comes from, and what is said where it is wrong.

mod harness;

use std::fs;
use std::process::Stdio;

use harness::{ChildProcess, Gateway, Ran, Refused, eventually_some, tollgate};

/// What `tollgate serve` says of this configuration instead of starting.
#[track_caller]
fn refused(config: &str, environment: &[(&str, &str)]) -> Refused {
    let builder = environment
        .iter()
        .fold(Gateway::builder().config(config), |builder, (name, value)| builder.env(name, value));
    builder.try_start().err().unwrap_or_else(|| panic!("it starts with {config:?} and {environment:?}"))
}

/// A TEST-NET address (RFC 5737), which no machine has.
const NOWHERE: &str = "192.0.2.1:9";

#[test]
fn every_problem_is_named_with_its_place_and_nothing_is_started() {
    let config = "access_log = \"off\"\n[proxy]\nlisen = \"127.0.0.1:0\"\nworkers = \"many\"\n";
    let refused =
        refused(config, &[("TOLLGATE_SHUTDOWN__GRACE", "soon"), ("TOLLGATE_PROXY_LISTEN", NOWHERE)]);
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(refused.stdout, "");
    let lines: Vec<&str> = refused.stderr.lines().collect();
    let expected = [
        ("tollgate.toml:3: proxy.lisen", "did you mean proxy.listen?"),
        ("TOLLGATE_PROXY_LISTEN", "did you mean TOLLGATE_PROXY__LISTEN?"),
        (
            "tollgate.toml:4: proxy.workers",
            "must be a whole number from 1 to 1024, or \"auto\", not \"many\"",
        ),
        ("TOLLGATE_SHUTDOWN__GRACE", "must be a duration from 0s to 24h, such as \"30s\", not \"soon\""),
    ];
    assert_eq!(lines.len(), expected.len(), "{refused:?}");
    for (line, (place, message)) in lines.into_iter().zip(expected) {
        assert!(line.starts_with("error: ") && line.contains(place) && line.ends_with(message), "{line}");
    }
}

#[test]
fn a_file_that_is_no_toml_is_refused_with_the_line() {
    let refused = refused("access_log = \"off\"\nproxy.workers = \n", &[]);
    assert!(refused.stderr.contains("tollgate.toml:2: is not TOML"), "{refused:?}");
}

#[test]
fn flags_go_before_the_environment_and_the_environment_before_the_file() {
    let everywhere_else = format!("[admin]\nlisten = \"{NOWHERE}\"\n");
    Gateway::builder()
        .config(&everywhere_else)
        .env("TOLLGATE_PROXY__LISTEN", NOWHERE)
        .arg("--proxy-listen")
        .arg("127.0.0.1:0")
        .start();
}

#[test]
fn what_the_file_says_is_what_the_proxy_does() {
    let gateway = Gateway::builder().config("[proxy.limits]\nrequest_line_bytes = 256\n").start();
    let path = format!("/{}", "x".repeat(300));
    gateway.client().get(&path, &[]).expect(414);
}

#[test]
fn another_database_is_refused_without_showing_its_password() {
    let refused = refused("", &[("DATABASE_URL", "postgres://user:s3cret@host/db")]);
    let expected = "DATABASE_URL must be sqlite: and a file's path";
    assert!(refused.stderr.contains(expected) && !refused.stderr.contains("s3cret"), "{refused:?}");
}

#[test]
fn the_database_may_be_another_sqlite_file() {
    let elsewhere = tempfile::tempdir().expect("a temporary directory");
    let file = elsewhere.path().join("other.db");
    let gateway = Gateway::builder().env("DATABASE_URL", &format!("sqlite:{}", file.display())).start();
    gateway.tenant("acme");
    assert!(fs::metadata(&file).expect("a database").len() > 0);
    assert!(!gateway.directory().join("data/tollgate.db").exists());
}

#[test]
fn a_database_has_one_server_by_whatever_path_it_is_found() {
    let gateway = Gateway::start();
    let elsewhere = tempfile::tempdir().expect("a temporary directory");
    let data = elsewhere.path().join("data");
    std::os::unix::fs::symlink(gateway.directory().join("data"), &data).expect("a link");
    let url = format!("sqlite:{}", data.join("tollgate.db").display());
    let refused = refused("", &[("DATABASE_URL", &url)]);
    assert!(refused.stderr.contains("tollgate.db is in use by another tollgate (process "), "{refused:?}");
}

#[test]
fn a_named_file_must_be_there() {
    let ran = Ran::of(tollgate().args(["serve", "--config", "/nonexistent/tollgate.toml"]));
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.starts_with("error: --config /nonexistent/tollgate.toml cannot be read"), "{ran:?}");
}

#[test]
fn the_file_of_the_working_directory_is_read() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::write(directory.path().join("tollgate.toml"), "colour = \"red\"\n").expect("a file");
    let ran = Ran::of(tollgate().arg("serve").current_dir(directory.path()));
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.starts_with("error: tollgate.toml:1: colour is not a setting"), "{ran:?}");
}

#[test]
fn the_generated_token_is_told_once_and_never_logged() {
    let builder = Gateway::builder().without_env("TOLLGATE_ADMIN_TOKEN").env("LOG_LEVEL", "trace");
    let mut gateway = builder.start();
    let told = |gateway: &Gateway| {
        gateway.stdout().iter().find_map(|line| line.strip_prefix("admin token: ").map(str::to_owned))
    };
    let token = told(&gateway).expect("a token at the first start");
    gateway.admin_with(&token).get("/api/tenants").expect(200);
    gateway.admin_with("another").get("/api/tenants").expect(401);
    gateway.end();
    let logged = gateway.stderr().join("\n");
    assert!(logged.contains("ended") && !logged.contains(&token), "{logged}");
    assert!(gateway.files_with(&token).is_empty(), "{:?}", gateway.files_with(&token));

    let gateway = gateway.again().start();
    assert_eq!(told(&gateway), None);
    gateway.admin_with(&token).get("/api/tenants").expect(200);
}

#[test]
fn a_token_that_cannot_be_shown_is_not_in_force() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let data = directory.path().join("data");
    let mut start = tollgate();
    start.args(["serve", "--data-dir"]).arg(&data).args(["--proxy-listen", "127.0.0.1:0"]);
    start.args(["--admin-listen", "127.0.0.1:0"]);
    for unread in ["/dev/full", "pipe"] {
        let stdout: Stdio = match unread {
            "pipe" => {
                let (reader, writer) = std::io::pipe().expect("a pipe");
                drop(reader);
                writer.into()
            }
            path => fs::OpenOptions::new().write(true).open(path).expect("a device").into(),
        };
        let ended =
            start.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped()).output().expect("it runs");
        let stderr = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{unread}: {stderr}");
        assert!(
            stderr.contains("error: the admin token that was made cannot be shown"),
            "{unread}: {stderr}"
        );
    }
    let mut server = ChildProcess::spawn("tollgate", &mut start);
    let token = eventually_some("a token that is shown", || server.stdout.after("admin token: "));
    let admin = eventually_some("the admin API", || server.stdout.after("admin listening on "));
    let list = Ran::of(
        tollgate().args(["tenants", "list", "--admin-url", &admin]).env("TOLLGATE_ADMIN_TOKEN", &token),
    );
    assert_eq!(list.code, Some(0), "{list:?}");
    server.signal("TERM");
    assert!(server.await_end().success());
}

#[test]
fn the_data_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let gateway = Gateway::start();
    let mode = |path: &str| {
        let metadata = fs::metadata(gateway.directory().join(path)).expect("a file");
        metadata.permissions().mode() & 0o777
    };
    assert_eq!((mode("data"), mode("data/tollgate.db"), mode("data/tollgate.db-wal")), (0o700, 0o600, 0o600));
}
