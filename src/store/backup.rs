//! What a backup needs of Postgres, and a restored one.

use tokio_postgres::config::Host;

use crate::domain::ids::Seq;

use super::audit::{self, Audit};
use super::connect::{self, Settings, Tls};
use super::{POOL_WAIT, Store, StoreError, row, rows, signed, unsigned};

/// A moment of the database, held for as long as this lives: another program may look at it.
pub struct Cut {
    client: deadpool_postgres::Object,
    /// What that program is to be told.
    pub snapshot: String,
    /// Everything up to this sequence of the log is in it.
    pub last_seq: Seq,
    pub epoch: Option<String>,
    /// The number of its last migration.
    pub schema: i32,
    /// Major version of the server.
    pub server: u32,
    /// Files that are handed out, and their bytes.
    pub files: (u64, u64),
}

/// What a database has in it before something is restored into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occupancy {
    /// Conversations, a place in a log, or part of a backup.
    pub has_data: bool,
    /// A persister or a decider of notifications works on it.
    pub is_in_use: bool,
    /// Major version of the server.
    pub server: u32,
}

impl Store {
    /// Holds a moment.
    ///
    /// # Errors
    /// As every statement.
    pub async fn cut(&self) -> Result<Cut, StoreError> {
        let client = self.unhurried().await?;
        client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let sql = "
            SELECT pg_export_snapshot() AS snapshot, p.last_seq, p.epoch,
                (SELECT max(version) FROM refinery_schema_history) AS schema,
                current_setting('server_version_num')::int / 10000 AS server,
                (SELECT count(*) FROM media WHERE state = 'ready') AS files,
                (SELECT COALESCE(sum(size), 0)::bigint FROM media WHERE state = 'ready') AS bytes
            FROM progress p WHERE p.name = 'persist'";
        let row = row(&client, sql, &[])
            .await?
            .ok_or_else(|| StoreError::bug("the progress row is missing"))?;
        Ok(Cut {
            snapshot: row.try_get("snapshot")?,
            last_seq: unsigned(&row, "last_seq")?,
            epoch: row.try_get("epoch")?,
            schema: row.try_get("schema")?,
            server: major(&row)?,
            files: (unsigned(&row, "files")?, unsigned(&row, "bytes")?),
            client,
        })
    }

    /// What is there already.
    ///
    /// # Errors
    /// As every statement.
    pub async fn occupancy(&self) -> Result<Occupancy, StoreError> {
        let client = self.client().await?;
        let sql = "
            SELECT to_regclass('public.conversations') IS NOT NULL AS has_tables,
                current_setting('server_version_num')::int / 10000 AS server,
                to_regnamespace('messaging_unfinished_restore') IS NOT NULL AS is_partial,
                EXISTS (SELECT 1 FROM pg_locks l WHERE l.locktype = 'advisory' AND l.granted
                    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())) AS in_use";
        let row = row(&client, sql, &[]).await?.ok_or_else(|| StoreError::bug("no row"))?;
        let has_data = match row.try_get("has_tables")? {
            false => false,
            true => {
                let sql =
                    "SELECT EXISTS (SELECT 1 FROM conversations) OR EXISTS (SELECT 1 FROM users)
                               OR EXISTS (SELECT 1 FROM progress WHERE last_seq > 0) AS has_data";
                let found = rows(&client, sql, &[]).await?;
                found.first().map_or(Ok(false), |row| row.try_get("has_data"))?
            }
        };
        let has_data = has_data || row.try_get("is_partial")?;
        Ok(Occupancy { has_data, is_in_use: row.try_get("in_use")?, server: major(&row)? })
    }

    /// Empties the database: whatever is in its schema goes. Until [`Self::adopt`] it says that it is not complete.
    ///
    /// # Errors
    /// As every statement; nothing is gone then.
    pub async fn empty(&self) -> Result<(), StoreError> {
        let client = self.unhurried().await?;
        // A schema is what stays when the other one goes, and is no part of what is dumped from or restored into that.
        let sql = "BEGIN; CREATE SCHEMA IF NOT EXISTS messaging_unfinished_restore;
                   DROP SCHEMA public CASCADE; CREATE SCHEMA public; COMMIT";
        Ok(client.batch_execute(sql).await?)
    }

    /// Refuses a database into which a restore is under way, or has broken off.
    ///
    /// # Errors
    /// [`StoreError::Settings`] then; as every statement.
    pub async fn is_whole(&self) -> Result<(), StoreError> {
        let sql =
            "SELECT to_regnamespace('messaging_unfinished_restore') IS NOT NULL AS unfinished";
        let found = row(&self.client().await?, sql, &[]).await?;
        match found.ok_or_else(|| StoreError::bug("no row"))?.try_get("unfinished")? {
            false => Ok(()),
            true => Err(StoreError::Settings(
                "a restore into this database is under way or has broken off, so that not everything is there: \
                 run `messaging admin restore` to its end"
                    .into(),
            )),
        }
    }

    /// From now on places count in `epoch`, in which the log has at least `last_seq`; noted. The database is complete.
    ///
    /// # Errors
    /// As every statement; [`StoreError::Settings`] when Postgres is ahead of the log.
    pub async fn adopt(&self, epoch: &str, last_seq: Seq, note: &Audit) -> Result<(), StoreError> {
        let mut client = self.client().await?;
        let tx = client.transaction().await?;
        let sql = "UPDATE progress SET epoch = $1 WHERE last_seq <= $2 RETURNING name";
        let adopted = rows(&tx, sql, &[&epoch, &signed(last_seq)]).await?;
        let all = rows(&tx, "SELECT name FROM progress", &[]).await?;
        if adopted.len() < all.len() {
            return Err(StoreError::Settings(
                "what was restored of Postgres is ahead of the log".into(),
            ));
        }
        audit::insert(&tx, note).await?;
        tx.batch_execute("DROP SCHEMA IF EXISTS messaging_unfinished_restore").await?;
        Ok(tx.commit().await?)
    }

    /// A session without a limit on the length of statements.
    async fn unhurried(&self) -> Result<deadpool_postgres::Object, StoreError> {
        let settings = Settings {
            pool_size: 1,
            statement_timeout: std::time::Duration::ZERO,
            ..(*self.settings).clone()
        };
        Ok(connect::pool(&settings, POOL_WAIT)?.get().await?)
    }
}

impl Cut {
    /// Lets the moment go.
    ///
    /// # Errors
    /// When the session broke meanwhile: what was read by the snapshot may lack its end.
    pub async fn release(self) -> Result<(), StoreError> {
        Ok(self.client.batch_execute("COMMIT").await?)
    }
}

impl Settings {
    /// The same for programs of Postgres, as environment variables: their arguments can be read by everybody on the
    /// machine.
    ///
    /// # Errors
    /// [`StoreError::Settings`] when the URL cannot be read.
    pub fn environment(&self) -> Result<Vec<(&'static str, String)>, StoreError> {
        let config: tokio_postgres::Config = self
            .url
            .parse()
            .map_err(|_| StoreError::Settings("the Postgres URL cannot be read".into()))?;
        let mut environment = Vec::new();
        match config.get_hosts().first() {
            Some(Host::Tcp(name)) => environment.push(("PGHOST", name.clone())),
            Some(Host::Unix(path)) => environment.push(("PGHOST", path.display().to_string())),
            None => {}
        }
        if let Some(port) = config.get_ports().first() {
            environment.push(("PGPORT", port.to_string()));
        }
        let text = |text: &str| text.to_owned();
        environment.extend(config.get_user().map(|user| ("PGUSER", text(user))));
        environment.extend(config.get_dbname().map(|name| ("PGDATABASE", text(name))));
        let password = config.get_password().map(String::from_utf8_lossy);
        environment.extend(password.map(|password| ("PGPASSWORD", password.into_owned())));
        let mode = match self.tls {
            Tls::Off => "disable",
            Tls::Prefer => "prefer",
            Tls::Require => "verify-full",
        };
        environment.push(("PGSSLMODE", text(mode)));
        if self.tls == Tls::Require {
            let authorities = self.ca_file.as_ref().map(|file| file.display().to_string());
            environment.push(("PGSSLROOTCERT", authorities.unwrap_or_else(|| text("system"))));
        }
        Ok(environment)
    }
}

fn major(row: &tokio_postgres::Row) -> Result<u32, StoreError> {
    let version: i32 = row.try_get("server")?;
    u32::try_from(version).map_err(|_| StoreError::bug("the server's version is negative"))
}
