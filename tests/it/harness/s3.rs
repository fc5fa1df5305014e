//! A real S3 server in this process, which a test may take away.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use super::tools;

const KEY: &str = "an access key";
const SECRET: &str = "a secret key";
const BUCKET: &str = "files";

/// The server. Its objects are files in a folder.
pub struct S3 {
    address: SocketAddr,
    folder: PathBuf,
    serving: JoinHandle<()>,
}

impl S3 {
    /// With an empty bucket.
    pub async fn start() -> Self {
        let folder = tools::folder("s3");
        std::fs::create_dir(folder.join(BUCKET)).expect("a bucket");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let serving = tokio::spawn(serve(listener, service(&folder)));
        Self { address, folder, serving }
    }

    /// The environment of a node that keeps its files there.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("MINIO_ENDPOINT", self.address.ip().to_string()),
            ("MINIO_PORT", self.address.port().to_string()),
            ("MINIO_ACCESS_KEY", KEY.to_owned()),
            ("MINIO_SECRET_KEY", SECRET.to_owned()),
            ("MINIO_BUCKET", BUCKET.to_owned()),
        ]
    }

    /// Ends every connection and takes no more.
    pub async fn stop(&mut self) {
        self.serving.abort();
        let ended = (&mut self.serving).await;
        assert!(ended.is_err_and(|ended| ended.is_cancelled()), "the S3 server had ended before");
    }

    /// At the same address, with what was there.
    pub async fn start_again(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("the same port");
        self.serving = tokio::spawn(serve(listener, service(&self.folder)));
    }

    /// How many objects there are.
    pub fn objects(&self) -> usize {
        files(&self.bucket())
    }

    /// Where they are.
    pub fn bucket(&self) -> PathBuf {
        self.folder.join(BUCKET)
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn service(folder: &Path) -> S3Service {
    let files = s3s_fs::FileSystem::new(folder).expect("an S3 server");
    let mut builder = S3ServiceBuilder::new(files);
    builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
    builder.build()
}

async fn serve(listener: TcpListener, service: S3Service) {
    // Connections end with it.
    let mut connections = JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await.expect("a connection");
        let http = hyper::server::conn::http1::Builder::new();
        let serving = http.serve_connection(TokioIo::new(socket), service.clone());
        connections.spawn(async move {
            // Clients may leave as they like.
            let _ = serving.await;
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Files below a folder.
pub fn files(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let count = |path: PathBuf| if path.is_dir() { files(&path) } else { 1 };
    entries.map(|entry| count(entry.expect("an entry").path())).sum()
}
