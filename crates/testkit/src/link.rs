//! A TCP connection's way through a network that can be cut.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Passes connections on to a server, at once or late, or swallows every byte: the way of a black hole, where nobody is told anything.
/// Connections from before a hole do not come back to life after it, since bytes of them are lost.
#[derive(Debug)]
pub struct Link {
    port: u16,
    state: Arc<Switches>,
}

#[derive(Debug, Default)]
struct Switches {
    is_hole: AtomicBool,
    is_over: AtomicBool,
    delay_ms: AtomicU64,
}

impl Switches {
    /// Holds bytes back; a delay that is changed meanwhile holds for them as well.
    fn hold_back(&self) {
        let began = Instant::now();
        let is_early = || {
            let delay = self.delay_ms.load(Ordering::SeqCst);
            began.elapsed() < Duration::from_millis(delay)
        };
        while is_early() && !self.is_over.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Link {
    /// A link to `server`, `host:port`.
    pub fn to(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Switches::default());
        let (server, switches) = (server.to_owned(), Arc::clone(&state));
        std::thread::spawn(move || accept(&listener, &server, &switches));
        Self { port, state }
    }

    /// The port of 127.0.0.1 where clients connect.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where clients connect.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Swallows everything from now on, in both directions.
    pub fn cut(&self) {
        self.state.is_hole.store(true, Ordering::SeqCst);
    }

    /// Everything takes that long from now on, in each direction.
    pub fn delay(&self, delay: Duration) {
        let delay = u64::try_from(delay.as_millis()).unwrap();
        self.state.delay_ms.store(delay, Ordering::SeqCst);
    }

    /// Lets new connections through again.
    pub fn mend(&self) {
        self.state.is_hole.store(false, Ordering::SeqCst);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn accept(listener: &TcpListener, server: &str, switches: &Arc<Switches>) {
    for client in listener.incoming() {
        if switches.is_over.load(Ordering::SeqCst) {
            return;
        }
        let Ok(client) = client else { continue };
        let (server, switches) = (server.to_owned(), Arc::clone(switches));
        std::thread::spawn(move || pass(client, &server, &switches));
    }
}

fn pass(client: TcpStream, server: &str, switches: &Arc<Switches>) {
    if switches.is_hole.load(Ordering::SeqCst) {
        swallow(client, switches);
        return;
    }
    let Ok(server) = TcpStream::connect(server) else {
        return;
    };
    let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let there = Arc::clone(switches);
    std::thread::spawn(move || copy(from, to, &there));
    copy(server, client, switches);
}

/// Copies until one side closes. Once a byte was lost, the rest is lost too, and neither side is told.
fn copy(mut from: TcpStream, mut to: TcpStream, switches: &Switches) {
    let mut buffer = [0; 16 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if switches.is_hole.load(Ordering::SeqCst) {
            // The other end stays open: closing it would tell.
            swallow(from, switches);
            return;
        }
        switches.hold_back();
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

/// Reads and forgets until the other side gives up.
fn swallow(mut from: TcpStream, switches: &Switches) {
    let mut buffer = [0; 16 << 10];
    let _ = from.set_read_timeout(Some(Duration::from_millis(200)));
    while !switches.is_over.load(Ordering::SeqCst) {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}
