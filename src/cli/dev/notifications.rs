//! Notifications on this machine: a stand-in for Google takes them, and what it gets is shown.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::folder::Folder;
use crate::cli::data_folder;
use crate::cli::fake_google::{self, Fake, PROJECT, Received};
use crate::cli::settings;
use crate::config::{Config, Secret};
use crate::domain::clock::SystemClock;
use crate::lifecycle::Lifecycle;
use crate::store::Store;

/// Messages that wait to be shown; what comes faster than a terminal takes it is not shown.
const WAITING: usize = 1000;
/// Messages that the stand-in keeps: nobody asks for them here.
const KEPT: usize = 0;

/// Unless a real Google is configured, starts one, points the configuration at it, and leaves in the folder what other
/// commands ask it with.
///
/// # Errors
/// When it cannot be started.
pub async fn stand_in(
    config: &mut Config,
    folder: &Folder,
    lifecycle: &Lifecycle,
) -> anyhow::Result<Option<Arc<Fake>>> {
    if config.push.is_on() {
        return Ok(None);
    }
    let listen = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    let running = fake_google::start(listen, KEPT, lifecycle).await?;
    let account = running.fake.account.file(&running.url);
    data_folder::write_private(&folder.path().join(data_folder::GOOGLE), &account)
        .context("The account of the stand-in for Google cannot be kept")?;
    config.push.credentials_file = PathBuf::new();
    config.push.project_id = PROJECT.to_owned();
    config.push.client_email = fake_google::EMAIL.to_owned();
    config.push.private_key = Secret::from(running.fake.account.private_key.clone());
    config.push.token_url = running.fake.token_url.clone();
    config.push.fcm_url = running.url;
    Ok(Some(running.fake))
}

/// A connection to Postgres, which knows whose device it is.
///
/// # Errors
/// When it cannot be reached.
pub async fn directory(config: &Config) -> anyhow::Result<Store> {
    let mut postgres = settings::store(&config.postgres);
    postgres.pool_size = 1;
    let store = Store::connect(&postgres, Arc::new(SystemClock)).await;
    store.context("Postgres cannot be reached")
}

/// Prints a line for each notification from now on.
pub fn show(fake: &Fake, directory: Store, lifecycle: &Lifecycle) {
    let (waiting, messages) = mpsc::channel(WAITING);
    fake.listen(Box::new(move |received| {
        if waiting.try_send(received.clone()).is_err() {
            tracing::debug!("a push is not shown: they come too fast");
        }
    }));
    lifecycle.spawn("shown pushes", print(messages, directory, lifecycle.soft.clone()));
}

async fn print(
    mut messages: mpsc::Receiver<Received>,
    store: Store,
    soft: CancellationToken,
) -> Result<(), String> {
    loop {
        let received = tokio::select! {
            received = messages.recv() => received,
            () = soft.cancelled() => None,
        };
        let Some(received) = received else { return Ok(()) };
        let owner = store.device_owner(&received.token).await;
        let whose = match owner {
            Ok(Some((name, platform))) => {
                format!("{} ({})", name.as_deref().unwrap_or("somebody"), platform.as_str())
            }
            // Removed a moment ago, or Postgres is busy stopping.
            Ok(None) | Err(_) => "somebody".to_owned(),
        };
        let line = format!("push to {whose}: {}\n", words(received.message.get()));
        // A terminal that was closed sees nothing, and everything else goes on.
        std::io::stdout().write_all(line.as_bytes()).map_err(|error| error.to_string())?;
    }
}

/// "Bola: Hello", or what is withdrawn.
fn words(message: &str) -> String {
    let message: Value = serde_json::from_str(message).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let shown = &message["notification"];
    if shown.is_null() {
        let (kind, data) = (text(&message["data"]["type"]), &message["data"]);
        return format!("{kind} of conversation {}", text(&data["conversationId"]));
    }
    let quiet = message["android"]["notification"]["sound"].is_null();
    let silently = if quiet { " (without a sound)" } else { "" };
    format!("{}: {}{silently}", text(&shown["title"]), text(&shown["body"]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_push_is_one_line_in_words() {
        let loud = json!({
            "notification": {"title": "Bola", "body": "Hello"},
            "android": {"notification": {"sound": "default"}},
        });
        assert_eq!(words(&loud.to_string()), "Bola: Hello");
        let quiet = json!({"notification": {"title": "Bola", "body": "Hello"}});
        assert_eq!(words(&quiet.to_string()), "Bola: Hello (without a sound)");
        let gone = json!({"data": {"type": "dismiss", "conversationId": "c"}});
        assert_eq!(words(&gone.to_string()), "dismiss of conversation c");
    }
}
