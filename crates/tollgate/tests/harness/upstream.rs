//! An upstream that does exactly what a test says, and remembers what it was sent.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use super::steps::{Gate, Step};
use super::wire::{Fields, Framing, Stopped, Wire, announced_framing, header};
use super::{eventually, eventually_some};

/// A request as the upstream got it, so far.
#[derive(Debug, Clone)]
pub struct Received {
    /// Which connection brought it, counted from 0.
    pub connection: usize,
    pub method: String,
    pub target: String,
    pub headers: Fields,
    pub body: Vec<u8>,
    pub trailers: Fields,
    /// Whether the body came to its end.
    pub is_complete: bool,
    /// The head verbatim, with the empty line.
    pub raw_head: Vec<u8>,
}

impl Received {
    /// The value of the first field of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}

type Script = dyn Fn(&mut Exchange<'_>) -> Result<(), Stopped> + Send + Sync;

/// A thread for each connection. Ends, with all its connections, when dropped.
pub struct ScriptedUpstream {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    script: Box<Script>,
    requests: Mutex<Vec<Received>>,
    accepted: AtomicUsize,
    /// Those that are open, with their numbers.
    open: Mutex<Vec<(usize, TcpStream)>>,
    is_stopping: AtomicBool,
}

impl ScriptedUpstream {
    /// Calls the script once for each request, as soon as its head is read. An error of it closes the
    /// connection.
    pub fn start(script: impl Fn(&mut Exchange<'_>) -> Result<(), Stopped> + Send + Sync + 'static) -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into(), script)
    }

    /// At an address of this machine's.
    pub fn start_at(
        address: SocketAddr,
        script: impl Fn(&mut Exchange<'_>) -> Result<(), Stopped> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State {
            script: Box::new(script),
            requests: Mutex::default(),
            accepted: AtomicUsize::new(0),
            open: Mutex::default(),
            is_stopping: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&state);
        thread::spawn(move || accepting.accept(&listener));
        Self { address, state }
    }

    /// Takes the same steps for every request.
    pub fn script(steps: Vec<Step>) -> Self {
        Self::start(move |exchange| exchange.run(&steps))
    }

    /// Takes the first script for the first request, and so on; the last for all that follow.
    pub fn scripts(scripts: Vec<Vec<Step>>) -> Self {
        Self::start(move |exchange| {
            let script = scripts.get(exchange.number).or(scripts.last()).expect("a script");
            exchange.run(script)
        })
    }

    /// Answers every request with 200 and this body.
    pub fn responding(body: &str) -> Self {
        Self::script(Step::respond("200 OK", body))
    }

    /// Answers with 500 while the gate is shut, and with 200 once it is open.
    pub fn failing_until(works: &Gate) -> Self {
        Self::behind(works, "500 Internal Server Error", "200 OK")
    }

    /// Answers with 200 while the gate is shut, and with 503 once it is open.
    pub fn failing_once(fails: &Gate) -> Self {
        Self::behind(fails, "200 OK", "503 Service Unavailable")
    }

    fn behind(gate: &Gate, shut: &'static str, open: &'static str) -> Self {
        let gate = gate.clone();
        Self::start(move |exchange| {
            let status = if gate.is_open() { open } else { shut };
            exchange.run(&Step::respond(status, ""))
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests whose heads have come.
    pub fn requests(&self) -> Vec<Received> {
        self.state.requests.lock().unwrap().clone()
    }

    /// Waits for the request of this number, counted from 0, to be there as a whole.
    #[track_caller]
    pub fn await_request(&self, number: usize) -> Received {
        eventually_some(&format!("request {number} at the upstream"), || {
            self.requests().get(number).filter(|request| request.is_complete).cloned()
        })
    }

    /// How many connections were ever accepted.
    pub fn connections(&self) -> usize {
        self.state.accepted.load(Ordering::SeqCst)
    }

    /// Waits until exactly so many connections are open.
    #[track_caller]
    pub fn await_open_connections(&self, count: usize) {
        eventually(&format!("{count} open connections at the upstream"), || {
            self.state.open.lock().unwrap().len() == count
        });
    }

    /// Closes every open connection, those that idle in a pool too.
    pub fn close_connections(&self) {
        for (_, stream) in self.state.open.lock().unwrap().iter() {
            let _gone = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for ScriptedUpstream {
    fn drop(&mut self) {
        self.state.is_stopping.store(true, Ordering::SeqCst);
        self.close_connections();
        // Wakes the thread that accepts, which then sees that it is to stop and frees the port.
        let _refused = TcpStream::connect(self.address);
    }
}

impl State {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming().map_while(Result::ok) {
            if self.is_stopping.load(Ordering::SeqCst) {
                return;
            }
            let connection = self.accepted.fetch_add(1, Ordering::SeqCst);
            self.open.lock().unwrap().push((connection, stream.try_clone().expect("a second handle")));
            let state = Arc::clone(self);
            thread::spawn(move || {
                state.serve(connection, stream);
                state.open.lock().unwrap().retain(|(number, _)| *number != connection);
            });
        }
    }

    /// Serves requests until the connection ends, whoever ends it.
    fn serve(&self, connection: usize, stream: TcpStream) {
        let mut wire = Wire::new(stream);
        while let Ok(head) = wire.read_head() {
            let mut words = head.start.split(' ').map(str::to_owned);
            let framing = announced_framing(&head.fields).expect("framing that the gateway sends");
            let received = Received {
                connection,
                method: words.next().unwrap_or_default(),
                target: words.next().unwrap_or_default(),
                headers: head.fields,
                body: Vec::new(),
                trailers: Fields::new(),
                is_complete: framing.is_none_or(|framing| framing == Framing::Length(0)),
                raw_head: head.raw,
            };
            let number = {
                let mut requests = self.requests.lock().unwrap();
                requests.push(received.clone());
                requests.len() - 1
            };
            let mut exchange = Exchange { number, request: received, framing, state: self, wire };
            // What the script left of the body stands between this request and the next.
            let outcome = (self.script)(&mut exchange).and_then(|()| exchange.read_whole_body());
            wire = exchange.wire;
            if outcome.is_err() {
                break;
            }
        }
    }
}

/// One request and the connection that it came on.
pub struct Exchange<'a> {
    /// Of the request, counted from 0 over all connections.
    pub number: usize,
    pub request: Received,
    framing: Option<Framing>,
    state: &'a State,
    wire: Wire,
}

impl Exchange<'_> {
    pub fn run(&mut self, steps: &[Step]) -> Result<(), Stopped> {
        steps.iter().try_for_each(|step| self.take(step))
    }

    pub fn write(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), Stopped> {
        self.wire.write(bytes.as_ref()).map_err(|_| Stopped::Reset)
    }

    /// Some bytes, at least one: for what is not HTTP, such as a tunnel.
    pub fn read_bytes(&mut self) -> Result<Vec<u8>, Stopped> {
        let mut bytes = Vec::new();
        self.wire.read_some(usize::MAX, &mut bytes).map(|()| bytes)
    }

    /// Sends nothing more, while reading goes on.
    pub fn finish_sending(&self) {
        self.wire.shutdown(Shutdown::Write);
    }

    pub fn read_whole_body(&mut self) -> Result<(), Stopped> {
        self.read_body(usize::MAX)
    }

    fn take(&mut self, step: &Step) -> Result<(), Stopped> {
        match step {
            Step::Write(bytes) => self.write(bytes),
            Step::Pause(time) => {
                thread::sleep(*time);
                Ok(())
            }
            Step::Await(gate) => gate.wait().then_some(()).ok_or(Stopped::TimedOut),
            Step::ReadBody(bytes) => self.read_body(*bytes),
            Step::ReadWholeBody => self.read_whole_body(),
            Step::AwaitClose => {
                let mut ignored = Vec::new();
                while self.wire.read_some(usize::MAX, &mut ignored).is_ok() {}
                Err(Stopped::Closed)
            }
            Step::Close => Err(Stopped::Closed),
            Step::Reset => {
                self.wire.reset_on_close();
                Err(Stopped::Reset)
            }
        }
    }

    /// Reads until so many bytes have come in all, or the body has ended.
    fn read_body(&mut self, enough: usize) -> Result<(), Stopped> {
        while !self.request.is_complete && self.request.body.len() < enough {
            let known = self.request.body.len();
            let outcome = self.read_piece();
            let recorded = &mut self.state.requests.lock().unwrap()[self.number];
            recorded.body.extend_from_slice(&self.request.body[known..]);
            recorded.trailers.clone_from(&self.request.trailers);
            recorded.is_complete = self.request.is_complete;
            outcome?;
        }
        Ok(())
    }

    fn read_piece(&mut self) -> Result<(), Stopped> {
        let request = &mut self.request;
        match self.framing {
            Some(Framing::Length(length)) => {
                self.wire.read_some(length - request.body.len(), &mut request.body)?;
                request.is_complete = request.body.len() == length;
            }
            Some(Framing::Chunked) => {
                if let Some(size) = self.wire.read_chunk_size()? {
                    self.wire.read_chunk(size, &mut request.body)?;
                } else {
                    request.trailers = self.wire.read_trailers()?;
                    request.is_complete = true;
                }
            }
            // A request's body never ends with the connection.
            Some(Framing::Close) | None => request.is_complete = true,
        }
        Ok(())
    }
}
