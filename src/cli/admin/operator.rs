//! Who runs a command, with what it reaches, and how it answers.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use comfy_table::Table;
use serde::Serialize;

use crate::bus::refusals::Refusals;
use crate::bus::{self, health};
use crate::cli::{UNWRITTEN, settings};
use crate::config::Config;
use crate::domain::clock::SystemClock;
use crate::store::audit::Audit;
use crate::store::{Store, migrate};

/// How long somebody at a terminal waits for a server that does not answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Names and reasons are read by people, in a table.
const MAX_CHARS: usize = 500;

/// Who runs a command, and how they want it.
pub struct Operator {
    pub config: Config,
    /// Answer with JSON.
    pub json: bool,
    /// What destroys was agreed to.
    pub yes: bool,
    /// Change nothing.
    pub dry_run: bool,
    /// Why.
    pub reason: Option<String>,
    /// Who, for the audit.
    pub name: String,
}

impl Operator {
    /// Somebody who looks, or whose changes are noted nowhere.
    pub fn at(config: Config) -> Self {
        let (json, yes, dry_run) = (false, false, false);
        Self { config, json, yes, dry_run, reason: None, name: account() }
    }

    /// Postgres, which has answered and has the schema that this program was made for, or a newer one.
    ///
    /// # Errors
    /// When it does not answer within seconds, or has none or an older one.
    pub async fn store(&self) -> anyhow::Result<Store> {
        self.store_from(migrate::latest()).await
    }

    /// The same with any schema, as long as there is one and no restore has left it half made.
    ///
    /// # Errors
    /// As [`Operator::store`].
    pub async fn store_from(&self, oldest: i32) -> anyhow::Result<Store> {
        let store = self.bare_store().await?;
        store.is_whole().await?;
        match store.schema().await? {
            None => bail!(
                "The database is empty: nothing of the service is in it. Name another, or run `messaging migrate`"
            ),
            Some(schema) if schema < oldest => bail!(
                "The database has the schema {schema}, and this program needs {oldest}: run `messaging migrate`"
            ),
            Some(_) => Ok(store),
        }
    }

    /// Postgres, whatever is in it.
    ///
    /// # Errors
    /// When it does not answer within seconds.
    pub async fn bare_store(&self) -> anyhow::Result<Store> {
        let settings = settings::store(&self.config.postgres);
        let connecting = Store::connect_at_start(&settings, Arc::new(SystemClock));
        let connected = tokio::time::timeout(PATIENCE, connecting).await;
        let connected = connected.map_err(|_| anyhow!("Postgres does not answer within 5 s"))?;
        connected.context("Postgres cannot be reached")
    }

    /// NATS, which has answered.
    ///
    /// # Errors
    /// When it does not within seconds.
    pub async fn nats(&self) -> anyhow::Result<bus::Client> {
        Ok(self.nats_with_refusals().await?.0)
    }

    /// The same, and where it is heard that something is not allowed, which is answered by nothing else.
    ///
    /// # Errors
    /// As [`Operator::nats`].
    pub async fn nats_with_refusals(&self) -> anyhow::Result<(bus::Client, Arc<Refusals>)> {
        let settings = settings::nats(&self.config.nats);
        let connecting = bus::connect::connect(&settings, "admin");
        let connected = tokio::time::timeout(PATIENCE, connecting).await;
        let connected = connected.map_err(|_| anyhow!("NATS does not answer within 5 s"))?;
        Ok((connected.context("NATS cannot be reached")?, settings.refusals))
    }

    /// Makes sure that a stream is there, which says more than whatever fails without it.
    ///
    /// # Errors
    /// When it is not: what makes it.
    pub async fn has_stream(&self, client: &bus::Client, name: &str) -> anyhow::Result<()> {
        match health::stream(client, name).await? {
            Some(_) => Ok(()),
            None => bail!("There is no stream {name}; `messaging topology apply` makes it"),
        }
    }

    /// What the audit will say of a change of `target`, which is an id.
    pub fn audit(&self, action: &'static str, target: impl ToString) -> Audit {
        Audit {
            operator: self.name.clone(),
            action,
            target: target.to_string(),
            reason: self.reason.clone(),
        }
    }

    /// Asks before `what` ("delete the conversation … with 3 messages") is done, which cannot be undone. With
    /// `--dry-run` nothing will be, so nothing is asked.
    ///
    /// # Errors
    /// Without a reason, without agreement, or where nobody can be asked.
    pub fn confirm(&self, what: &str) -> anyhow::Result<()> {
        if self.dry_run {
            return Ok(());
        }
        if self.reason.is_none() {
            bail!("This would {what}. Say why with --reason; nothing was changed.");
        }
        if self.yes {
            return Ok(());
        }
        if !std::io::stdin().is_terminal() {
            bail!(
                "This would {what}, for good. Nobody can be asked here: say --yes, or try it with --dry-run. \
                 Nothing was changed."
            );
        }
        eprint!("This will {what}, for good. Type yes to go on: ");
        std::io::stderr().flush()?;
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer)?;
        match answer.trim() {
            "yes" => Ok(()),
            _ => bail!("Nothing was changed."),
        }
    }

    /// Answers: `value` as one document of JSON for programs, else the table for people.
    ///
    /// # Errors
    /// When standard output is closed.
    pub fn answer(
        &self,
        value: &impl Serialize,
        table: impl FnOnce() -> Table,
    ) -> anyhow::Result<()> {
        self.answer_text(value, || table().to_string())
    }

    /// The same with more than a table for people, in the order in which they read it.
    ///
    /// # Errors
    /// When standard output is closed.
    pub fn answer_text(
        &self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        match self.json {
            true => line(&serde_json::to_string_pretty(value)?),
            false => line(&text()),
        }
    }

    fn said(&self, value: &impl Serialize) -> anyhow::Result<serde_json::Value> {
        let mut value = serde_json::to_value(value)?;
        if let Some(fields) = value.as_object_mut().filter(|_| self.dry_run) {
            fields.insert("dryRun".to_owned(), true.into());
        }
        Ok(value)
    }

    /// Says what was done, or would be: `value` for programs, with whether it would only, else the sentence for people.
    ///
    /// # Errors
    /// When standard output is closed.
    pub fn say(&self, value: &impl Serialize, sentence: &str) -> anyhow::Result<()> {
        match self.json {
            true => line(&self.said(value)?.to_string()),
            false if self.dry_run => line(&format!("{sentence} (dry run: nothing was changed)")),
            false => line(sentence),
        }
    }
}

/// A line of standard output.
fn line(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout().lock(), "{text}").context(UNWRITTEN)
}

/// The account on this machine.
pub fn account() -> String {
    let named =
        ["SUDO_USER", "USER", "LOGNAME"].into_iter().filter_map(|name| std::env::var(name).ok());
    let named = named.map(|name| name.trim().to_owned()).find(|name| !name.is_empty());
    named.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
}

/// A name, as a value of the command line.
pub fn name(text: &str) -> Result<String, String> {
    words(text)
}

/// A reason, as a value of the command line.
pub fn reason(text: &str) -> Result<String, String> {
    words(text)
}

fn words(text: &str) -> Result<String, String> {
    let text = text.trim();
    match () {
        () if text.is_empty() => Err("must not be blank".to_owned()),
        () if text.chars().count() > MAX_CHARS => {
            Err(format!("has more than {MAX_CHARS} characters"))
        }
        () if text.chars().any(char::is_control) => Err("must be one line".to_owned()),
        () => Ok(text.to_owned()),
    }
}
