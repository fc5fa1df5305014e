//! What users want of notifications.

use std::collections::HashMap;

use jiff::Timestamp;
use jiff::civil::Time;
use tokio_postgres::Row;

use crate::domain::ids::UserId;
use crate::domain::notifications::{QuietHours, Settings, Zone};

use super::{Store, StoreError, execute, rows, users};

/// Reads the columns of the table; all of them are null for somebody without a row (`LEFT JOIN`).
pub(super) fn settings(row: &Row) -> Result<Settings, StoreError> {
    let from: Option<Time> = row.try_get("quiet_from")?;
    let to: Option<Time> = row.try_get("quiet_to")?;
    let zone: Option<&str> = row.try_get("quiet_zone")?;
    let quiet_hours = match (from, to, zone) {
        // A zone that only another version of the program knows is none: being notified is the lesser evil.
        (Some(from), Some(to), Some(name)) => {
            Zone::named(name).map(|zone| QuietHours { from, to, zone })
        }
        _ => None,
    };
    let pierce: Option<bool> = row.try_get("mentions_pierce_mute")?;
    let mentions_pierce_mute = pierce.unwrap_or_else(|| Settings::default().mentions_pierce_mute);
    Ok(Settings { quiet_hours, mentions_pierce_mute })
}

impl Store {
    /// The settings of those among `users` who have any; the others have the defaults.
    ///
    /// # Errors
    /// As every statement.
    pub async fn notification_settings(
        &self,
        users: &[UserId],
    ) -> Result<HashMap<UserId, Settings>, StoreError> {
        self.within(async {
            let sql = "SELECT user_id, quiet_from, quiet_to, quiet_zone, mentions_pierce_mute
                       FROM notification_settings WHERE user_id = ANY($1)";
            let found = rows(&self.client().await?, sql, &[&users]).await?;
            found.iter().map(|row| Ok((row.try_get("user_id")?, settings(row)?))).collect()
        })
        .await
    }

    /// Replaces the settings of a user.
    ///
    /// # Errors
    /// As every statement.
    pub async fn set_notification_settings(
        &self,
        user: UserId,
        settings: &Settings,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.within(async {
            let client = self.client().await?;
            users::ensure_stubs(&client, &[user]).await?;
            let quiet = settings.quiet_hours.as_ref();
            let (from, to) = (quiet.map(|q| q.from), quiet.map(|q| q.to));
            let zone = quiet.map(|q| q.zone.name());
            let sql = "INSERT INTO notification_settings
                           (user_id, quiet_from, quiet_to, quiet_zone, mentions_pierce_mute, updated_at)
                       VALUES ($1, $2, $3, $4, $5, $6)
                       ON CONFLICT (user_id) DO UPDATE SET
                           quiet_from = EXCLUDED.quiet_from, quiet_to = EXCLUDED.quiet_to,
                           quiet_zone = EXCLUDED.quiet_zone,
                           mentions_pierce_mute = EXCLUDED.mentions_pierce_mute,
                           updated_at = EXCLUDED.updated_at";
            let pierce = settings.mentions_pierce_mute;
            execute(&client, sql, &[&user, &from, &to, &zone, &pierce, &now]).await?;
            Ok(())
        })
        .await
    }
}
