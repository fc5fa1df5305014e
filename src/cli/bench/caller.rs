//! One connection that its thread waits on: for what is looked at one client at a time.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::codec::{self, Incoming, Protocol, Ticket, Welcome};
use super::engine::upgraded;
use super::frame::{self, Inbox, Received};

/// How long an awaited frame may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Read at once: a replay of 100 messages fits into one.
const BUFFER_BYTES: usize = 64 << 10;

/// A connection, welcomed.
#[derive(Debug)]
pub struct Caller {
    protocol: Protocol,
    stream: TcpStream,
    inbox: Inbox,
    buffer: Vec<u8>,
    /// What was read and not looked at.
    unread: std::ops::Range<usize>,
    pub welcome: Welcome,
}

/// Where to call.
#[derive(Debug, Clone)]
pub struct Service {
    pub protocol: Protocol,
    pub address: SocketAddr,
    /// For the `Host` header.
    pub host: String,
}

impl Service {
    /// Connects a user, who shows the ticket of an earlier connection, and awaits the welcome.
    pub fn call(&self, token: &str, ticket: Option<&Ticket>) -> anyhow::Result<Caller> {
        let stream = TcpStream::connect(self.address)
            .with_context(|| format!("cannot connect to {}", self.address))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut caller = Caller {
            protocol: self.protocol,
            stream,
            inbox: Inbox::default(),
            buffer: vec![0; BUFFER_BYTES],
            unread: 0..0,
            welcome: Welcome::default(),
        };
        caller.stream.write_all(self.protocol.upgrade(&self.host, token, ticket).as_bytes())?;
        caller.upgraded()?;
        caller.welcome = caller.introduce(token, ticket)?;
        Ok(caller)
    }
}

impl Caller {
    fn upgraded(&mut self) -> anyhow::Result<()> {
        loop {
            self.read()?;
            let bytes = &self.buffer[self.unread.clone()];
            if let Some(frames) = upgraded(bytes).map_err(anyhow::Error::msg)? {
                self.unread.start += frames;
                return Ok(());
            }
            self.inbox.keep(bytes);
        }
    }

    fn introduce(&mut self, token: &str, ticket: Option<&Ticket>) -> anyhow::Result<Welcome> {
        loop {
            match self.next(|incoming, _| Some(incoming))? {
                Incoming::Ready(welcome) => return Ok(welcome),
                Incoming::Open => {
                    self.send(self.protocol.introduction(token, ticket).as_bytes())?;
                }
                Incoming::Other | Incoming::Beat => {}
                other => bail!("{other:?} before the welcome"),
            }
        }
    }

    /// Sends a text frame.
    pub fn send(&mut self, text: &[u8]) -> anyhow::Result<()> {
        self.write(&frame::text(text))
    }

    /// Sends a frame as it is.
    pub fn write(&mut self, frame: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(frame).context("the connection broke")
    }

    /// Shows each frame that arrives to `look`, until it finds what it waits for.
    pub fn next<T>(
        &mut self,
        mut look: impl FnMut(Incoming, &[u8]) -> Option<T>,
    ) -> anyhow::Result<T> {
        let deadline = now() + PATIENCE;
        loop {
            let mut at = self.unread.start;
            let bytes = &self.buffer[..self.unread.end];
            while let Some(received) = self.inbox.next(bytes, &mut at)? {
                self.unread.start = at;
                match received {
                    Received::Text(text) => {
                        let incoming =
                            codec::read(self.protocol, text).map_err(anyhow::Error::msg)?;
                        if let Some(found) = look(incoming, text) {
                            return Ok(found);
                        }
                    }
                    Received::Close(code, why) => bail!("closed with {code} {why}"),
                    Received::Ping(payload) => self.stream.write_all(&frame::pong(payload))?,
                    Received::Nothing => {}
                }
            }
            self.inbox.keep(&bytes[at..]);
            if now() > deadline {
                bail!("what is awaited does not come");
            }
            self.read()?;
        }
    }

    fn read(&mut self) -> anyhow::Result<()> {
        let kept = self.unread.len();
        let (valid, fill) = self.inbox.fill(&mut self.stream, &mut self.buffer)?;
        if fill == frame::Fill::End {
            bail!("closed by the server without a word");
        }
        if valid == kept && fill == frame::Fill::Drained {
            bail!("nothing comes for {PATIENCE:?}");
        }
        self.unread = 0..valid;
        Ok(())
    }
}

/// The load generator measures real time by its nature.
pub fn now() -> Instant {
    Instant::now()
}
