//! How Postgres is doing, on one screen.

use crate::domain::ids::Seq;

use crate::store::{Store, StoreError, row, unsigned};

/// Figures of the moment; tables are counted as the planner knows them, which costs nothing and is a little old.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overview {
    pub version: String,
    /// A standby, which takes no changes.
    pub is_standby: bool,
    /// Bytes of the database on disk.
    pub bytes: u64,
    pub connections: u64,
    pub max_connections: u64,
    pub schema: u64,
    /// How far the persister is.
    pub persisted: Seq,
    pub users: u64,
    pub conversations: u64,
    pub messages: u64,
    /// Announcements that the log does not have yet, and for how many seconds the oldest has waited.
    pub announcements: u64,
    pub announcements_age: u64,
    pub devices: u64,
    /// Notifications to be sent, and those of them that are late by a minute.
    pub push_jobs: u64,
    pub push_late: u64,
    pub scheduled: u64,
    /// Deletions that wait for the persister, and content that has still to be erased from the log.
    pub deletions: u64,
    pub erasures: u64,
    pub files: u64,
    pub file_bytes: u64,
    /// Files whose bytes have still to go.
    pub files_erasing: u64,
}

const SQL: &str = "
    SELECT current_setting('server_version') AS version, pg_is_in_recovery() AS is_standby,
           pg_database_size(current_database()) AS bytes,
           (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,
           current_setting('max_connections')::bigint AS max_connections,
           (SELECT COALESCE(max(version), 0)::bigint FROM refinery_schema_history) AS schema,
           (SELECT COALESCE(max(last_seq), 0) FROM progress WHERE name = 'persist') AS persisted,
           (SELECT GREATEST(reltuples, (SELECT count(*) FROM (SELECT FROM users LIMIT 1000) AS few))::bigint
            FROM pg_class WHERE oid = 'users'::regclass) AS users,
           (SELECT GREATEST(reltuples, (SELECT count(*) FROM (SELECT FROM conversations LIMIT 1000) AS few))::bigint
            FROM pg_class WHERE oid = 'conversations'::regclass) AS conversations,
           (SELECT GREATEST(reltuples, (SELECT count(*) FROM (SELECT FROM messages LIMIT 1000) AS few))::bigint
            FROM pg_class WHERE oid = 'messages'::regclass) AS messages,
           (SELECT GREATEST(reltuples, (SELECT count(*) FROM (SELECT FROM devices LIMIT 1000) AS few))::bigint
            FROM pg_class WHERE oid = 'devices'::regclass) AS devices,
           out.announcements, out.announcements_age, jobs.push_jobs, jobs.push_late,
           (SELECT count(*) FROM scheduled_messages WHERE state IN ('waiting', 'sending')) AS scheduled,
           (SELECT count(*) FROM due_deletions) AS deletions,
           (SELECT count(*) FROM erasures) AS erasures,
           stored.files, stored.file_bytes, stored.files_erasing
    FROM (SELECT count(*) AS announcements,
                 COALESCE(extract(epoch FROM now() - min(created_at)), 0)::bigint AS announcements_age
          FROM outbox) AS out
    CROSS JOIN (SELECT count(*) AS push_jobs,
                       count(*) FILTER (WHERE due_at < now() - interval '1 minute') AS push_late
                FROM push_jobs) AS jobs
    CROSS JOIN (SELECT count(*) FILTER (WHERE state = 'ready') AS files,
                       COALESCE(sum(size) FILTER (WHERE state = 'ready'), 0)::bigint AS file_bytes,
                       count(*) FILTER (WHERE state = 'erasing') AS files_erasing
                FROM media) AS stored";

impl Store {
    /// The figures. They are read in one statement, which takes some 100 ms where there are a million files.
    ///
    /// # Errors
    /// As every statement.
    pub async fn admin_overview(&self) -> Result<Overview, StoreError> {
        self.within(async {
            let found = row(&self.client().await?, SQL, &[]).await?;
            let row = found.ok_or_else(|| StoreError::bug("figures of nothing"))?;
            let number = |name: &str| unsigned(&row, name);
            Ok(Overview {
                version: row.try_get("version")?,
                is_standby: row.try_get("is_standby")?,
                bytes: number("bytes")?,
                connections: number("connections")?,
                max_connections: number("max_connections")?,
                schema: number("schema")?,
                persisted: number("persisted")?,
                users: number("users")?,
                conversations: number("conversations")?,
                messages: number("messages")?,
                announcements: number("announcements")?,
                announcements_age: unsigned(&row, "announcements_age").unwrap_or(0),
                devices: number("devices")?,
                push_jobs: number("push_jobs")?,
                push_late: number("push_late")?,
                scheduled: number("scheduled")?,
                deletions: number("deletions")?,
                erasures: number("erasures")?,
                files: number("files")?,
                file_bytes: number("file_bytes")?,
                files_erasing: number("files_erasing")?,
            })
        })
        .await
    }
}
