//! What a scripted upstream does with a request, one step after the other.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use super::PATIENCE;

#[derive(Debug, Clone)]
pub enum Step {
    /// These bytes, exactly.
    Write(Vec<u8>),
    /// Nothing for so long, where the time itself is what is tested; else a [`Gate`] is better.
    Pause(Duration),
    /// Until the test opens the gate.
    Await(Gate),
    /// Until so many bytes of the request's body have come in all.
    ReadBody(usize),
    /// Until the request's body has come to its end.
    ReadWholeBody,
    /// Until the other side closes or resets the connection.
    AwaitClose,
    Close,
    Reset,
}

impl Step {
    pub fn write(bytes: impl AsRef<[u8]>) -> Self {
        Self::Write(bytes.as_ref().to_vec())
    }

    /// A response with this body, after the whole request.
    pub fn respond(status: &str, body: &str) -> Vec<Self> {
        let response = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        vec![Self::ReadWholeBody, Self::write(response)]
    }
}

/// Holds an upstream's step back until the test lets it go on.
#[derive(Debug, Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn open(&self) {
        let (is_open, changed) = &*self.0;
        *is_open.lock().unwrap() = true;
        changed.notify_all();
    }

    pub fn is_open(&self) -> bool {
        *self.0.0.lock().unwrap()
    }

    /// False where the gate stays shut for [`PATIENCE`].
    pub fn wait(&self) -> bool {
        let (is_open, changed) = &*self.0;
        let guard = is_open.lock().unwrap();
        *changed.wait_timeout_while(guard, PATIENCE, |is_open| !*is_open).unwrap().0
    }
}
