//! One client connection: its socket, what it waits to write and which answers it waits for.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::SocketAddr;

use mio::net::TcpStream;

use crate::cli::bench::codec::{Protocol, Ticket};
use crate::cli::bench::frame::Inbox;
use crate::cli::bench::verify::SeatId;

/// What may wait for the server to read it: 2,000 requests of 500 bytes. A server that leaves more
/// than this unread has stopped.
const MAX_OUTBOX_BYTES: usize = 1 << 20;

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Connecting,
    Upgrading,
    Greeting,
    Ready,
    /// Cut off on purpose, to come back.
    Away,
    Closed,
}

/// A message that was sent and is not answered.
#[derive(Debug, Clone, Copy)]
pub struct Pending {
    pub number: u32,
    pub due: u64,
}

/// How a client that is cut off comes back.
#[derive(Debug, Default)]
pub struct Home {
    pub ticket: Ticket,
    /// From the cut until everything was caught up with.
    pub away: bool,
    /// When it dialled last, in the time of the run.
    pub dialled: u64,
}

/// A connection apart from what it has read.
#[derive(Debug)]
pub struct Link {
    pub user: u32,
    pub stream: TcpStream,
    pub state: State,
    /// Where the user observes each of its conversations.
    pub seats: Box<[SeatId]>,
    /// The conversation the user sends to, if it sends.
    pub target: Option<u32>,
    /// Oldest first.
    pub pending: VecDeque<Pending>,
    pub next_number: u32,
    /// For clients that will be cut off.
    pub home: Option<Box<Home>>,
    outbox: Vec<u8>,
}

/// A connection with its buffer of unread bytes, apart so that a frame can be handled in place.
#[derive(Debug)]
pub struct Connection {
    pub inbox: Inbox,
    pub link: Link,
}

impl Link {
    /// Begins to connect; the socket becomes writable when that is done.
    pub fn open(
        address: SocketAddr,
        user: u32,
        seats: Box<[SeatId]>,
        target: Option<u32>,
    ) -> io::Result<Self> {
        Ok(Self {
            user,
            stream: TcpStream::connect(address)?,
            state: State::Connecting,
            seats,
            target,
            pending: VecDeque::new(),
            next_number: 0,
            home: None,
            outbox: Vec::new(),
        })
    }

    /// Breaks the connection, without a word; what was on its way in either direction is gone.
    pub fn cut(&mut self) -> io::Result<()> {
        self.state = State::Away;
        self.outbox.clear();
        match self.stream.shutdown(std::net::Shutdown::Both) {
            // The other side was faster.
            Err(e) if e.kind() == io::ErrorKind::NotConnected => Ok(()),
            done => done,
        }
    }

    /// Begins to connect anew.
    pub fn dial(&mut self, address: SocketAddr) -> io::Result<()> {
        self.stream = TcpStream::connect(address)?;
        self.state = State::Connecting;
        Ok(())
    }

    /// Asks for the upgrade once the socket is connected; `false` while it is not.
    pub fn upgrade(&mut self, protocol: Protocol, host: &str, token: &str) -> io::Result<bool> {
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        match self.stream.peer_addr() {
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::NotConnected => return Ok(false),
            Err(e) => return Err(e),
        }
        self.stream.set_nodelay(true)?;
        self.state = State::Upgrading;
        let ticket = self.home.as_ref().filter(|home| home.away).map(|home| &home.ticket);
        let request = protocol.upgrade(host, token, ticket);
        self.write(request.as_bytes())?;
        Ok(true)
    }

    /// Writes a frame now, or as much of it as the socket takes and the rest when it is writable again.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.outbox.is_empty() {
            if self.outbox.len() + bytes.len() > MAX_OUTBOX_BYTES {
                return Err(io::Error::other("the server has stopped reading"));
            }
            self.outbox.extend_from_slice(bytes);
            return Ok(());
        }
        let written = write_some(&mut self.stream, bytes)?;
        self.outbox.extend_from_slice(&bytes[written..]);
        Ok(())
    }

    /// The socket is writable again.
    pub fn flush(&mut self) -> io::Result<()> {
        while !self.outbox.is_empty() {
            let written = write_some(&mut self.stream, &self.outbox)?;
            if written == 0 {
                break;
            }
            self.outbox.drain(..written);
        }
        Ok(())
    }

    /// Takes the message with this number off the list of those without an answer.
    pub fn answered(&mut self, number: u32) -> Option<Pending> {
        // Answers come nearly always in the order of the requests.
        let at = self.pending.iter().position(|p| p.number == number)?;
        self.pending.remove(at)
    }
}

/// Zero when the socket is full.
fn write_some(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    loop {
        return match stream.write(bytes) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            done => done,
        };
    }
}

/// The answer to the upgrade request: where the frames begin, `None` while it is incomplete.
pub fn upgraded(bytes: &[u8]) -> Result<Option<usize>, String> {
    let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
        // The service's own answer is below 300 bytes.
        return if bytes.len() < 16_384 { Ok(None) } else { Err("an endless answer".to_owned()) };
    };
    if bytes.starts_with(b"HTTP/1.1 101 ") {
        return Ok(Some(end + 4));
    }
    let text: String = String::from_utf8_lossy(bytes).chars().take(400).collect();
    Err(format!("the upgrade was refused: {}", text.replace("\r\n", " ")))
}
