//! `messaging admin push test`: a notification to see whether notifications arrive.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use serde_json::json;
use uuid::Uuid;

use super::Operator;
use super::table::{plain, table};
use crate::cli::settings;
use crate::domain::clock::SystemClock;
use crate::push::notification::{Kind, Notification, Sound};
use crate::push::{Fcm, Outcome};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Send a notification that says so to every device of a user, and show what Google answered for each. It needs the
    /// Firebase credentials of the push role; quiet hours and mutes do not count.
    Test {
        /// The user's id.
        #[arg(value_name = "UUID")]
        user: Uuid,
    },
}

/// Sends it.
pub async fn command(args: Args, operator: &Operator) -> anyhow::Result<ExitCode> {
    let Action::Test { user } = args.action;
    super::user::find(operator, user).await?;
    let store = operator.store().await?;
    let devices = store.devices_of(user).await?;
    if devices.is_empty() {
        bail!("User {user} has no device that could be notified");
    }
    if operator.dry_run {
        let sentence = format!("{} devices would be notified", devices.len());
        operator.say(&json!({ "devices": devices.len(), "dryRun": true }), &sentence)?;
        return Ok(ExitCode::SUCCESS);
    }
    let google = settings::google(&operator.config.push)
        .context("The Firebase credentials cannot be used")?;
    let google = google.context(
        "Notifications are off here: no Firebase credentials are configured (FIREBASE_PROJECT_ID, …)",
    )?;
    let fcm = Fcm::new(google, Arc::new(SystemClock))?;
    store.note(&operator.audit("push test", user)).await?;
    let notification = Notification {
        user,
        // Of no conversation: a tap opens the app, and no slot is taken from any.
        conversation: Uuid::nil(),
        message: Uuid::now_v7(),
        kind: Kind::Show {
            title: "Test".to_owned(),
            body: "Notifications reach this device.".to_owned(),
            sound: Sound::Normal,
        },
        badge: store.unread(user, jiff::Timestamp::now()).await?.total,
    };
    let (mut rows, mut arrived) = (Vec::new(), 0);
    for registered in &devices {
        let outcome = fcm.send(&registered.device, &notification).await;
        arrived += usize::from(outcome == Outcome::Sent);
        rows.push((registered.device.platform.as_str(), registered.refreshed_at, said(&outcome)));
    }
    let value: Vec<_> = rows
        .iter()
        .map(|(platform, refreshed, said)| {
            json!({ "platform": platform, "refreshedAt": refreshed.to_string(), "outcome": said })
        })
        .collect();
    operator.answer(&value, || {
        let mut table = table(&["device", "last registered (UTC)", "Google says"]);
        for (platform, refreshed, said) in &rows {
            table.add_row([
                (*platform).to_owned(),
                super::table::time(*refreshed),
                plain(said, 300),
            ]);
        }
        table
    })?;
    Ok(if arrived > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn said(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Sent => "accepted".to_owned(),
        Outcome::TokenGone => "this device is gone: its token is no longer valid".to_owned(),
        Outcome::Retry { reason, .. } => format!("not now: {reason}"),
        Outcome::Rejected { reason } => format!("refused: {reason}"),
        Outcome::Credentials { reason } => format!("our credentials are refused: {reason}"),
    }
}
