//! `messaging health`: asks a process on this machine whether it is ready, for images that hold nothing else to ask with.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::beside::Beside;
use crate::config::{self, Config};

/// A process asks its servers for 0.9 s before it says that they do not answer; container engines give a check
/// some seconds.
const PATIENCE: Duration = Duration::from_secs(3);
/// The longest answer lists a reason for each role and server: some 100 bytes each.
const MAX_BYTES: usize = 16 * 1024;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Whom to ask; otherwise where the configuration has this machine's process listen for operators.
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<SocketAddr>,
    #[command(flatten)]
    pub beside: Beside,
}

/// Prints what `/readyz` says; fails unless it says ready.
pub async fn command(args: Args, config: Config) -> anyhow::Result<ExitCode> {
    let address = args.address.unwrap_or_else(|| own_address(&config.http));
    let answer = tokio::time::timeout(PATIENCE, ask(address))
        .await
        .with_context(|| format!("{address} does not answer within {PATIENCE:?}"))?;
    let answer = answer.with_context(|| format!("{address} cannot be asked"))?;
    match answer["status"].as_str() {
        Some("ready") => {
            println!("ready");
            Ok(ExitCode::SUCCESS)
        }
        Some(status) => {
            let reasons = answer["reasons"].as_array().into_iter().flatten();
            let reasons: Vec<&str> = reasons.filter_map(Value::as_str).collect();
            bail!("{address} is {status}: {}", reasons.join("; "))
        }
        None => bail!("{address} is another program"),
    }
}

/// Where a process with this configuration answers operators, as seen from its own machine.
fn own_address(http: &config::Http) -> SocketAddr {
    let mut address = http.metrics_listen.unwrap_or_else(|| http.listen());
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    address
}

/// The body of `/readyz`, which is JSON whether or not the process is ready.
async fn ask(address: SocketAddr) -> anyhow::Result<Value> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let asked = async {
        let request = Request::get("/readyz").header(header::HOST, address.to_string());
        let response = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
        let body = Limited::new(response.into_body(), MAX_BYTES).collect().await;
        let body = body.map_err(|cause| anyhow::anyhow!("its answer cannot be read: {cause}"))?;
        serde_json::from_slice(&body.to_bytes()).context("its answer is no JSON")
    };
    // The connection is driven beside the question and may end first.
    tokio::pin!(asked);
    tokio::select! {
        answer = &mut asked => answer,
        ended = connection => match ended {
            Ok(()) => asked.await,
            Err(cause) => Err(cause.into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_listens_everywhere_is_asked_on_loopback() {
        let mut http = crate::config::load(None, |_| None).expect("the defaults").http;
        http.metrics_listen = None;
        assert_eq!(own_address(&http).to_string(), "127.0.0.1:3004");
        http.metrics_listen = Some("[::]:9100".parse().expect("an address"));
        assert_eq!(own_address(&http).to_string(), "[::1]:9100");
        http.metrics_listen = Some("10.0.0.7:9100".parse().expect("an address"));
        assert_eq!(own_address(&http).to_string(), "10.0.0.7:9100");
    }
}
