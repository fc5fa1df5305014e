//! Devices that notifications go to.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use tokio_postgres::Row;

use crate::domain::device::{Device, MAX_DEVICES, Platform, Registered};
use crate::domain::ids::UserId;

use super::{Store, StoreError, execute, named, row, rows, users};

/// What a registration did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// The user did not have this device before.
    New,
    /// The user had it; its platform and time are now these.
    Refreshed,
}

/// Reads the columns `user_id`, `platform` and `token`.
pub(super) fn device(row: &Row) -> Result<Device, StoreError> {
    Ok(Device {
        user_id: row.try_get("user_id")?,
        platform: named(row, "platform", Platform::parse)?,
        token: row.try_get("token")?,
    })
}

impl Store {
    /// Registers a device or refreshes it. A token that another user had leaves them, and of more than
    /// [`MAX_DEVICES`] the one that was refreshed the longest ago goes.
    ///
    /// # Errors
    /// As every statement.
    pub async fn register_device(
        &self,
        device: &Device,
        now: Timestamp,
    ) -> Result<Registration, StoreError> {
        self.within(async {
            let mut client = self.client().await?;
            let transaction = client.transaction().await?;
            users::ensure_stubs(&transaction, &[device.user_id]).await?;
            // One registration of a user at a time, or two at once would both find room.
            let sql = "SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE";
            rows(&transaction, sql, &[&device.user_id]).await?;
            let registration = upsert(&transaction, device, now).await?;
            if registration == Registration::New {
                let sql = "DELETE FROM devices WHERE id IN (
                               SELECT id FROM devices WHERE user_id = $1
                               ORDER BY refreshed_at DESC, created_at DESC, id OFFSET $2)";
                execute(&transaction, sql, &[&device.user_id, &i64::from(MAX_DEVICES)]).await?;
            }
            transaction.commit().await?;
            Ok(registration)
        })
        .await
    }

    /// Takes a device from its user. `false` if they do not have it.
    ///
    /// # Errors
    /// As every statement.
    pub async fn remove_device(&self, user: UserId, token: &str) -> Result<bool, StoreError> {
        self.within(async {
            let sql = "DELETE FROM devices
                       WHERE token_hash = sha256(convert_to($1, 'UTF8')) AND user_id = $2";
            Ok(execute(&self.client().await?, sql, &[&token, &user]).await? > 0)
        })
        .await
    }

    /// Whose device a token is, by name, and what it runs on; for people who try things out.
    ///
    /// # Errors
    /// As every statement.
    pub async fn device_owner(
        &self,
        token: &str,
    ) -> Result<Option<(Option<String>, Platform)>, StoreError> {
        self.within(async {
            let sql =
                "SELECT u.display_name, d.platform FROM devices d JOIN users u ON u.id = d.user_id
                       WHERE d.token_hash = sha256(convert_to($1, 'UTF8'))";
            let found = row(&self.client().await?, sql, &[&token]).await?;
            found
                .map(|row| {
                    Ok((row.try_get("display_name")?, named(&row, "platform", Platform::parse)?))
                })
                .transpose()
        })
        .await
    }

    /// The devices of a user, the one that was refreshed last first.
    ///
    /// # Errors
    /// As every statement.
    pub async fn devices_of(&self, user: UserId) -> Result<Vec<Registered>, StoreError> {
        self.within(async {
            let sql = "SELECT user_id, platform, token, created_at, refreshed_at FROM devices
                       WHERE user_id = $1 ORDER BY refreshed_at DESC, created_at DESC, id";
            rows(&self.client().await?, sql, &[&user]).await?.iter().map(registered).collect()
        })
        .await
    }
}

/// Whose token it was before is taken from them by the `DELETE`, and not by an update of their row: what still
/// waits to be sent under the old id must not reach the new owner.
async fn upsert(
    client: &impl GenericClient,
    device: &Device,
    now: Timestamp,
) -> Result<Registration, StoreError> {
    let taken =
        "DELETE FROM devices WHERE token_hash = sha256(convert_to($1, 'UTF8')) AND user_id <> $2";
    execute(client, taken, &[&device.token, &device.user_id]).await?;
    // `xmax` is 0 in a row that was inserted and not updated.
    let sql =
        "INSERT INTO devices AS d (user_id, platform, token, token_hash, created_at, refreshed_at)
               VALUES ($1, $2, $3, sha256(convert_to($3, 'UTF8')), $4, $4)
               ON CONFLICT (token_hash) DO UPDATE
                   SET platform = EXCLUDED.platform, refreshed_at = EXCLUDED.refreshed_at
                   WHERE d.user_id = EXCLUDED.user_id
               RETURNING xmax = 0 AS is_new";
    let written =
        row(client, sql, &[&device.user_id, &device.platform.as_str(), &device.token, &now])
            .await?;
    match written {
        Some(row) if row.try_get("is_new")? => Ok(Registration::New),
        Some(_) => Ok(Registration::Refreshed),
        // Somebody else registered the same token between the two statements; one of both has to come again.
        None => Err(StoreError::contended()),
    }
}

fn registered(row: &Row) -> Result<Registered, StoreError> {
    Ok(Registered {
        device: device(row)?,
        created_at: row.try_get("created_at")?,
        refreshed_at: row.try_get("refreshed_at")?,
    })
}
