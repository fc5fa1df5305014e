//! The stand-in for Google, as a process of its own.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use hyper::Method;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::cli::bench::rest::{Base, Client};

/// How long it may take to start: it makes a key.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running `messaging fake-fcm`. It ends with the run.
#[derive(Debug)]
pub struct Google {
    url: String,
    base: Base,
    account: PathBuf,
    _child: Child,
}

/// What it has counted.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    pub received: u64,
    pub delivered: u64,
    pub in_flight: u64,
    pub most_in_flight: u64,
}

impl Google {
    /// Starts it; its service account is written below `folder`.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        let account = folder.join(format!("messaging-bench-{}-account.json", std::process::id()));
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["fake-fcm", "--keep", "0", "--account"]).arg(&account);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).process_group(0);
        let mut child = command.spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line());
        let line = line.await.context("the stand-in for Google does not start")??;
        let Some(url) = line.as_deref().and_then(|line| line.strip_prefix("READY ")) else {
            bail!("the stand-in for Google says {line:?}");
        };
        Ok(Self { url: url.to_owned(), base: url.parse()?, account, _child: child })
    }

    /// What a service needs to send to it.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("GOOGLE_APPLICATION_CREDENTIALS", self.account.display().to_string()),
            ("MESSAGING_FCM_URL", self.url.clone()),
        ]
    }

    /// What it has counted so far.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn counts(&self) -> anyhow::Result<Counts> {
        let mut client = Client::connect(&self.base).await?;
        let (_, bytes) = client.call(Method::GET, "/fake/counts", None, None).await?;
        Ok(serde_json::from_slice(&bytes)?)
    }
}

impl Drop for Google {
    fn drop(&mut self) {
        // It was written by the run and means nothing without it.
        std::fs::remove_file(&self.account).ok();
    }
}
