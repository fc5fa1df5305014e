//! The few REST calls that a run needs, on a kept connection.

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

/// How long one call may take: a history GET waits for the persister, and gives up before this.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often a call is repeated that was refused for its rate.
const RATE_RETRIES: u32 = 10;

/// A base URL of the plain form `http://host:port`.
#[derive(Debug, Clone)]
pub struct Base {
    /// Host and port.
    pub authority: String,
}

impl std::str::FromStr for Base {
    type Err = anyhow::Error;

    fn from_str(url: &str) -> anyhow::Result<Self> {
        let rest = url.strip_prefix("http://").with_context(|| {
            format!("`{url}` is not of the form http://host:port (the load generator has no TLS)")
        })?;
        let authority = rest.trim_end_matches('/');
        match authority.rsplit_once(':') {
            Some((_, port)) if port.parse::<u16>().is_ok() => {}
            _ => bail!("`{url}` names no port"),
        }
        Ok(Self { authority: authority.to_owned() })
    }
}

/// A connection for one call at a time.
#[derive(Debug)]
pub struct Client {
    base: Base,
    sender: SendRequest<Full<Bytes>>,
    driver: AbortHandle,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Client {
    pub async fn connect(base: &Base) -> anyhow::Result<Self> {
        let (sender, driver) = open(base).await?;
        Ok(Self { base: base.clone(), sender, driver })
    }

    /// Answers status and body; waits and repeats when the rate was too high.
    pub async fn call(
        &mut self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        for _ in 0..RATE_RETRIES {
            let call = self.call_once(&method, path, token, body);
            let (status, wait, bytes) = tokio::time::timeout(PATIENCE, call)
                .await
                .with_context(|| format!("{method} {path} takes more than {PATIENCE:?}"))??;
            if status != StatusCode::TOO_MANY_REQUESTS {
                return Ok((status, bytes));
            }
            tokio::time::sleep(Duration::from_secs(wait.clamp(1, 10))).await;
        }
        bail!("{method} {path} is refused for its rate, again and again")
    }

    async fn call_once(
        &mut self,
        method: &Method,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> anyhow::Result<(StatusCode, u64, Bytes)> {
        if self.sender.is_closed() || self.sender.ready().await.is_err() {
            // The server may close a connection that rested.
            self.driver.abort();
            (self.sender, self.driver) = open(&self.base).await?;
        }
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.base.authority)
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        let response = self.sender.send_request(request.body(Full::from(body))?).await?;
        let status = response.status();
        let wait = response.headers().get(header::RETRY_AFTER);
        let wait = wait.and_then(|w| w.to_str().ok()?.parse().ok()).unwrap_or(1);
        let bytes = response.into_body().collect().await?.to_bytes();
        Ok((status, wait, bytes))
    }

    /// A call whose answer must be a success with a JSON body.
    pub async fn json(
        &mut self,
        method: Method,
        path: &str,
        token: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let name = format!("{method} {path}");
        let (status, bytes) = self.call(method, path, Some(token), body).await?;
        if !status.is_success() {
            bail!("{name} answers {status}: {}", String::from_utf8_lossy(&bytes));
        }
        serde_json::from_slice(&bytes).with_context(|| format!("{name} answers no JSON"))
    }
}

async fn open(base: &Base) -> anyhow::Result<(SendRequest<Full<Bytes>>, AbortHandle)> {
    let cannot = || format!("cannot connect to {}", base.authority);
    let stream = TcpStream::connect(&base.authority).await.with_context(cannot)?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // An error of the connection reaches whoever waits for an answer on it.
    let driver = tokio::spawn(async move { drop(connection.await) });
    Ok((sender, driver.abort_handle()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_urls_with_a_port_are_accepted() {
        let parse = |url: &str| url.parse::<Base>().map(|base| base.authority);
        assert_eq!(parse("http://127.0.0.1:3004/").unwrap(), "127.0.0.1:3004");
        for wrong in ["https://a:1", "http://a", "a:1", "http://a:b"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
