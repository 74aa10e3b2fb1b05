//! Programs that tests run as real peers: curl, and Python's HTTP client and server.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::child::ChildProcess;

/// A program that was run to its end.
#[derive(Debug)]
pub struct Ran {
    /// `None` where a signal ended it.
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Ran {
    #[track_caller]
    pub fn of(command: &mut Command) -> Self {
        let output =
            command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self {
            code: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Fails, showing what was said, unless the program succeeded.
    #[track_caller]
    pub fn success(self) -> Self {
        assert_eq!(self.code, Some(0), "{}{}", self.text(), self.stderr);
        self
    }
}

/// curl, silent but for errors, for as long as a test has patience.
#[track_caller]
pub fn curl(arguments: &[&str]) -> Ran {
    let mut command = Command::new("curl");
    command.args(["--disable", "--silent", "--show-error", "--max-time", "20", "--noproxy", "*"]);
    Ran::of(command.args(arguments))
}

/// Python with a program's text and arguments.
#[track_caller]
pub fn python(program: &str, arguments: &[&str]) -> Ran {
    Ran::of(Command::new("python3").arg("-c").arg(program).args(arguments))
}

/// Python's `http.server` over files: an HTTP/1.0 upstream as it is found in the wild.
pub struct PythonServer {
    process: ChildProcess,
    address: SocketAddr,
    files: TempDir,
}

impl PythonServer {
    #[track_caller]
    pub fn start(files: &[(&str, &[u8])]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for (name, contents) in files {
            std::fs::write(directory.path().join(name), contents).expect("a file to serve");
        }
        let mut command = Command::new("python3");
        command.args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]);
        let mut process = ChildProcess::spawn("http.server", command.current_dir(directory.path()));
        // Serving HTTP on 127.0.0.1 port 40123 (http://127.0.0.1:40123/) ...
        let port: u16 = process.await_start(|process| {
            let rest = process.stdout.after("Serving HTTP on 127.0.0.1 port ")?;
            rest.split(' ').next()?.parse().ok()
        });
        Self { process, address: SocketAddr::from(([127, 0, 0, 1], port)), files: directory }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Does this while the server accepts connections, and says nothing on them.
    pub fn while_silent<T>(&self, act: impl FnOnce() -> T) -> T {
        self.process.while_stopped(act)
    }

    /// Where the files are.
    pub fn directory(&self) -> &Path {
        self.files.path()
    }
}
