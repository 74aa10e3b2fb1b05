//! A child process: what it prints is kept, and it is killed when dropped.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use super::{eventually, eventually_some};

pub struct ChildProcess {
    name: String,
    child: Child,
    pub stdout: Lines,
    pub stderr: Lines,
    /// End when the process does, having read everything.
    readers: Vec<JoinHandle<()>>,
}

/// The lines that a process has printed so far.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn collect(&self, stream: impl Read + Send + 'static) -> JoinHandle<()> {
        let lines = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
                lines.0.lock().unwrap().push(line);
            }
        })
    }

    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// What follows the prefix in the first line that begins with it.
    pub fn after(&self, prefix: &str) -> Option<String> {
        let lines = self.0.lock().unwrap();
        lines.iter().find_map(|line| line.strip_prefix(prefix)).map(str::to_owned)
    }
}

impl ChildProcess {
    pub fn spawn(name: &str, command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let (stdout, stderr) = (Lines::default(), Lines::default());
        let readers = vec![
            stdout.collect(child.stdout.take().expect("piped")),
            stderr.collect(child.stderr.take().expect("piped")),
        ];
        Self { name: name.to_owned(), child, stdout, stderr, readers }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// `None` while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child of ours")
    }

    /// Waits until it has ended and everything that it printed was read.
    #[track_caller]
    pub fn await_end(&mut self) -> ExitStatus {
        let what = format!("{} ends", self.name);
        let status = eventually_some(&what, || self.ended());
        self.readers.drain(..).for_each(|reader| reader.join().expect("a reader"));
        status
    }

    /// The system accepts connections for it meanwhile.
    pub fn while_stopped<T>(&self, act: impl FnOnce() -> T) -> T {
        self.freeze();
        let done = act();
        self.thaw();
        done
    }

    /// Returns once every thread stands still: the signal stops them one after the other, and a thread that it has
    /// not reached yet still answers. Until [`Self::thaw`].
    #[track_caller]
    pub fn freeze(&self) {
        self.signal("STOP");
        let threads = format!("/proc/{}/task", self.id());
        eventually(&format!("{} stands still", self.name), || {
            let mut threads = fs::read_dir(&threads).expect("the threads of a child");
            threads.all(|thread| {
                let status = fs::read_to_string(thread.expect("a thread").path().join("status"));
                status.expect("a thread's status").contains("State:\tT")
            })
        });
    }

    pub fn thaw(&self) {
        self.signal("CONT");
    }

    /// `TERM`, `HUP`, `KILL` or another signal's name.
    pub fn signal(&self, signal: &str) {
        // The shell's own `kill` needs neither a crate with unsafe code nor another program.
        let sent =
            Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", signal, &self.id().to_string()]).status();
        assert!(sent.expect("sh").success(), "no {} to send {signal} to", self.name);
    }

    /// All that it printed, for a failure's message.
    pub fn said(&self) -> String {
        let (stdout, stderr) = (self.stdout.all().join("\n"), self.stderr.all().join("\n"));
        format!("--- {} stdout\n{stdout}\n--- {} stderr\n{stderr}", self.name, self.name)
    }

    /// Waits until the value is there; panics with what the process said where it ends instead.
    #[track_caller]
    pub fn await_start<T>(&mut self, mut value: impl FnMut(&Self) -> Option<T>) -> T {
        let mut found = None;
        let name = self.name.clone();
        eventually(&format!("{name} starts"), || {
            found = value(self);
            if found.is_none() && self.ended().is_some() {
                self.await_end();
                panic!("{name} ended at start\n{}", self.said());
            }
            found.is_some()
        });
        found.expect("waited for")
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
        if thread::panicking() {
            eprintln!("{}", self.said());
        }
    }
}
