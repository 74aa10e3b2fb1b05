//! nginx as an upstream, with a configuration of the test's.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use tempfile::TempDir;

use super::certificate::Certificate;
use super::child::ChildProcess;
use super::eventually;

pub struct Nginx {
    process: ChildProcess,
    address: SocketAddr,
    scheme: &'static str,
    directory: TempDir,
}

impl Nginx {
    /// The text goes into a `server` block, such as `location / { return 200 'hello'; }`. Relative paths
    /// in it are below [`Self::directory`].
    #[track_caller]
    pub fn start(server: &str) -> Self {
        Self::launch("http", "", server)
    }

    /// The same over TLS.
    #[track_caller]
    pub fn start_tls(certificate: &Certificate, server: &str) -> Self {
        let files = format!(
            "ssl_certificate \"{}\"; ssl_certificate_key \"{}\";",
            certificate.certificate_file().display(),
            certificate.key_file().display()
        );
        Self::launch("https", "ssl", &format!("{files}\n{server}"))
    }

    fn launch(scheme: &'static str, listen_option: &str, server: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let root = directory.path();
        let shown = root.display();
        // nginx takes no port 0. Between this look and its own bind, another program may take the port.
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.expect("a free port");
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path \"{shown}/{name}\";\n"))
            .concat();
        // One process, which is the one that is killed in the end, and no other user to change to.
        let configuration = format!(
            "daemon off; master_process off; pid \"{shown}/nginx.pid\"; error_log stderr info;
            events {{ worker_connections 512; }}
            http {{
                {temporary} access_log off; root \"{shown}\";
                server {{ listen {address} {listen_option}; {server} }}
            }}\n"
        );
        let file = root.join("nginx.conf");
        fs::write(&file, configuration).expect("nginx.conf");
        let mut command = Command::new("nginx");
        // A user's PATH need not hold /usr/sbin, where Debian puts it.
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .env("PATH", format!("{path}:/usr/sbin"))
            .args(["-e", "stderr", "-p"])
            .arg(root)
            .arg("-c")
            .arg(file);
        let mut process = ChildProcess::spawn("nginx", &mut command);
        process.await_start(|_| TcpStream::connect(address).ok());
        Self { process, address, scheme, directory }
    }

    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The root of its files.
    pub fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// Does this while it accepts connections, and says nothing on them.
    pub fn while_silent<T>(&self, act: impl FnOnce() -> T) -> T {
        self.process.while_stopped(act)
    }

    /// Ends it, and waits until nobody listens any more.
    pub fn stop(mut self) {
        self.process.signal("TERM");
        self.process.await_end();
        eventually("nginx's port is free", || TcpStream::connect(self.address).is_err());
    }
}
