//! One small GET: a key set is all that this service ever asks of a web server.

use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::http1;
use hyper::{Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long the issuer may take, from the name look-up to the last byte.
const PATIENCE: Duration = Duration::from_secs(5);
/// A key takes half a kilobyte: this is room for a hundred.
const MAX_BYTES: usize = 64 * 1024;

/// The body behind an `http` or `https` URL. Redirects are not followed: keys come from where they were
/// configured to come from.
pub(super) async fn get(url: &Uri) -> Result<Vec<u8>, String> {
    let work = async {
        let host = url.host().ok_or("it names no host")?;
        let tls = match url.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("it is neither http nor https".to_owned()),
        };
        let port = url.port_u16().unwrap_or(if tls { 443 } else { 80 });
        // IPv6 addresses stand in brackets in a URL, and without them everywhere else.
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((name, port)).await.map_err(text)?;
        if !tls {
            return exchange(stream, url, host).await;
        }
        let name = ServerName::try_from(name.to_owned()).map_err(text)?;
        let stream = connector()?.connect(name, stream).await.map_err(text)?;
        exchange(stream, url, host).await
    };
    tokio::time::timeout(PATIENCE, work)
        .await
        .unwrap_or_else(|_| Err("no answer within 5 s".into()))
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn connector() -> Result<TlsConnector, String> {
    let mut roots = rustls::RootCertStore::empty();
    // Certificates of the system that cannot be read are left out; what remains decides.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(text)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

async fn exchange<S>(stream: S, url: &Uri, host: &str) -> Result<Vec<u8>, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(text)?;
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let authority = url.port().map_or(host.to_owned(), |port| format!("{host}:{port}"));
    let request = Request::get(path)
        .header(header::HOST, authority)
        .header(header::ACCEPT, "application/json")
        .body(String::new())
        .map_err(text)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(text)?;
        if response.status() != StatusCode::OK {
            return Err(format!("the answer is {}", response.status()));
        }
        let body = axum::body::Body::new(response.into_body());
        axum::body::to_bytes(body, MAX_BYTES).await.map(Vec::from).map_err(text)
    };
    // The connection is driven for as long as the answer takes, and ends with it.
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        answered = &mut answer => answered,
        ended = connection => match ended {
            Ok(()) => answer.await,
            Err(error) => Err(text(error)),
        }
    }
}
