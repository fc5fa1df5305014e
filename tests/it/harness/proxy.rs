//! A TCP proxy that behaves as badly as networks do.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What happens to the bytes that pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Pass,
    /// Connections break, new ones are closed at once.
    Cut,
    /// Connections stay, nothing is read: buffers fill up.
    Stall,
    /// Half-open: connections stay, nothing arrives. They break when it ends.
    Swallow,
    /// Each piece arrives so much later.
    Delay(Duration),
    /// Bytes a second, in each direction.
    Throttle(u32),
    /// So many bytes still pass in each direction, then the connection breaks; usually within a frame.
    Truncate(usize),
}

/// Where connections lead.
#[derive(Debug, Clone)]
pub enum Upstream {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// A listener in front of a server. Everything ends with it.
pub struct Proxy {
    pub address: SocketAddr,
    mode: watch::Sender<Mode>,
    listening: JoinHandle<()>,
}

/// What a direction holds at most: one read.
const CHUNK: usize = 16 << 10;

impl Proxy {
    pub async fn start(upstream: Upstream) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (mode, seen) = watch::channel(Mode::Pass);
        let listening = tokio::spawn(listen(listener, upstream, seen));
        Self { address, mode, listening }
    }

    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The connections see the sender go and end too.
        self.listening.abort();
    }
}

async fn listen(listener: TcpListener, upstream: Upstream, mode: watch::Receiver<Mode>) {
    loop {
        let Ok((client, _)) = listener.accept().await else { return };
        if *mode.borrow() != Mode::Cut {
            tokio::spawn(serve(client, upstream.clone(), mode.clone()));
        }
    }
}

async fn serve(client: TcpStream, upstream: Upstream, mut mode: watch::Receiver<Mode>) {
    if *mode.borrow_and_update() == Mode::Swallow {
        // It looks open until the network is back.
        let _ = mode.wait_for(|mode| *mode != Mode::Swallow).await;
        return;
    }
    let _ = client.set_nodelay(true);
    match upstream {
        Upstream::Tcp(address) => {
            let Ok(server) = TcpStream::connect(address).await else { return };
            let _ = server.set_nodelay(true);
            both(client.into_split(), server.into_split(), mode).await;
        }
        Upstream::Unix(path) => {
            let Ok(server) = UnixStream::connect(path).await else { return };
            both(client.into_split(), server.into_split(), mode).await;
        }
    }
}

/// Until either direction ends: then both break, as a connection does.
async fn both<A, B, C, D>(client: (A, B), server: (C, D), mode: watch::Receiver<Mode>)
where
    A: tokio::io::AsyncRead + Unpin,
    B: tokio::io::AsyncWrite + Unpin,
    C: tokio::io::AsyncRead + Unpin,
    D: tokio::io::AsyncWrite + Unpin,
{
    tokio::select! {
        () = pass(client.0, server.1, mode.clone()) => {}
        () = pass(server.0, client.1, mode) => {}
    }
}

async fn pass(
    mut from: impl tokio::io::AsyncRead + Unpin,
    mut to: impl tokio::io::AsyncWrite + Unpin,
    mut mode: watch::Receiver<Mode>,
) {
    let mut buffer = vec![0; CHUNK];
    let mut swallowed = false;
    let mut passed = 0;
    loop {
        let current = *mode.borrow_and_update();
        // What was swallowed would be missing in between.
        if current == Mode::Cut || (swallowed && current != Mode::Swallow) {
            return;
        }
        if !matches!(current, Mode::Truncate(_)) {
            passed = 0;
        }
        let read = tokio::select! {
            changed = mode.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
            read = from.read(&mut buffer), if current != Mode::Stall => read,
        };
        let Ok(mut count @ 1..) = read else { return };
        match current {
            Mode::Swallow => {
                swallowed = true;
                continue;
            }
            Mode::Delay(by) => tokio::time::sleep(by).await,
            Mode::Throttle(rate) => {
                tokio::time::sleep(Duration::from_secs(1).mul_f64(count as f64 / f64::from(rate)))
                    .await;
            }
            Mode::Truncate(limit) => count = count.min(limit.saturating_sub(passed)),
            Mode::Pass | Mode::Cut | Mode::Stall => {}
        }
        passed += count;
        let full = matches!(current, Mode::Truncate(limit) if passed >= limit);
        if to.write_all(&buffer[..count]).await.is_err() || full {
            return;
        }
    }
}
