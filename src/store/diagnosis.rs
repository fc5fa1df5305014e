//! How the database is, for whoever looks from outside.

use jiff::Timestamp;

use crate::domain::ids::Seq;

use super::migrate::{self, Index};
use super::{Store, StoreError, row, rows, unsigned};

/// What the database says of itself.
#[derive(Debug, Clone)]
pub struct Diagnosis {
    /// Such as 150018.
    pub version: i32,
    pub fsync: bool,
    pub synchronous_commit: bool,
    pub autovacuum: bool,
    pub is_standby: bool,
    pub encoding: String,
    pub max_connections: u32,
    pub connections: u32,
    /// Its clock.
    pub now: Timestamp,
    pub bytes: u64,
    /// This user may make tables, which migrations do.
    pub may_create: bool,
    /// Of the service, once it was migrated.
    pub service: Option<Service>,
}

/// What of the service is in the database.
#[derive(Debug, Clone)]
pub struct Service {
    /// The number of the last migration.
    pub schema: i32,
    /// Tables that this user may not read and write.
    pub forbidden: Vec<String>,
    pub last_seq: Seq,
    pub epoch: Option<String>,
    /// Changes that the log should have had for over a minute.
    pub unannounced: u64,
    /// Indexes of migrations that are not there.
    pub missing: Vec<Index>,
    /// Indexes that are there and cannot be used: being built, or left behind by a build that failed.
    pub invalid: Vec<String>,
}

impl Store {
    /// The number of the last migration; `None` before the first.
    ///
    /// # Errors
    /// As every statement.
    pub async fn schema(&self) -> Result<Option<i32>, StoreError> {
        self.within(async {
            let client = self.client().await?;
            let there = "SELECT to_regclass('refinery_schema_history') IS NOT NULL AS is_there";
            let there = row(&client, there, &[]).await?;
            if !there.ok_or_else(|| StoreError::bug("no row"))?.try_get::<_, bool>("is_there")? {
                return Ok(None);
            }
            let last = "SELECT max(version) AS last FROM refinery_schema_history";
            let last = row(&client, last, &[]).await?;
            Ok(last.ok_or_else(|| StoreError::bug("no row"))?.try_get("last")?)
        })
        .await
    }

    /// Looks.
    ///
    /// # Errors
    /// As every statement.
    pub async fn diagnosis(&self) -> Result<Diagnosis, StoreError> {
        self.within(async {
            let client = self.client().await?;
            let sql = "
                SELECT current_setting('server_version_num')::int AS version,
                    current_setting('fsync')::bool AS fsync,
                    current_setting('synchronous_commit') <> 'off' AS synchronous_commit,
                    current_setting('autovacuum')::bool AS autovacuum,
                    pg_is_in_recovery() AS is_standby,
                    current_setting('server_encoding') AS encoding,
                    current_setting('max_connections')::bigint AS max_connections,
                    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,
                    pg_database_size(current_database()) AS bytes,
                    has_schema_privilege('public', 'CREATE') AS may_create,
                    to_regclass('public.refinery_schema_history') IS NOT NULL
                        AND to_regclass('public.progress') IS NOT NULL AS is_migrated,
                    clock_timestamp() AS now";
            let found = row(&client, sql, &[]).await?.ok_or_else(|| StoreError::bug("no row"))?;
            let narrow = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
            Ok(Diagnosis {
                version: found.try_get("version")?,
                fsync: found.try_get("fsync")?,
                synchronous_commit: found.try_get("synchronous_commit")?,
                autovacuum: found.try_get("autovacuum")?,
                is_standby: found.try_get("is_standby")?,
                encoding: found.try_get("encoding")?,
                max_connections: narrow(unsigned(&found, "max_connections")?),
                connections: narrow(unsigned(&found, "connections")?),
                now: found.try_get("now")?,
                bytes: unsigned(&found, "bytes")?,
                may_create: found.try_get("may_create")?,
                service: match found.try_get("is_migrated")? {
                    true => Some(service(&client).await?),
                    false => None,
                },
            })
        })
        .await
    }
}

async fn service(client: &deadpool_postgres::Object) -> Result<Service, StoreError> {
    // First the rights: without them the rest cannot be asked.
    let sql = "
        SELECT COALESCE(array_agg(c.relname::text ORDER BY c.relname), '{}') AS forbidden
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'public' AND c.relkind = 'r'
            AND NOT (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
                AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'))";
    let found = row(client, sql, &[]).await?.ok_or_else(|| StoreError::bug("no row"))?;
    let forbidden: Vec<String> = found.try_get("forbidden")?;
    if !forbidden.is_empty() {
        return Ok(Service {
            schema: 0,
            forbidden,
            last_seq: 0,
            epoch: None,
            unannounced: 0,
            missing: Vec::new(),
            invalid: Vec::new(),
        });
    }
    let sql = "
        SELECT (SELECT max(version) FROM refinery_schema_history) AS schema,
            (SELECT count(*) FROM outbox WHERE created_at < now() - interval '1 minute') AS unannounced,
            p.last_seq, p.epoch
        FROM progress p WHERE p.name = 'persist'";
    let found = row(client, sql, &[]).await?;
    let found = found.ok_or_else(|| StoreError::bug("the progress row is missing"))?;
    let schema = found.try_get("schema")?;
    let (missing, invalid) = indexes(client, schema).await?;
    Ok(Service {
        schema,
        missing,
        invalid,
        forbidden,
        last_seq: unsigned(&found, "last_seq")?,
        epoch: found.try_get("epoch")?,
        unannounced: unsigned(&found, "unannounced")?,
    })
}

/// The indexes that migrations up to `schema` made and that are gone, and the names of those that cannot be used.
async fn indexes(
    client: &deadpool_postgres::Object,
    schema: i32,
) -> Result<(Vec<Index>, Vec<String>), StoreError> {
    let sql = "SELECT c.relname::text AS name, i.indisvalid AND i.indisready AS is_usable
               FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
               WHERE c.relnamespace = 'public'::regnamespace ORDER BY c.relname";
    let (mut there, mut invalid) = (Vec::new(), Vec::new());
    for row in rows(client, sql, &[]).await? {
        let name: String = row.try_get("name")?;
        if !row.try_get::<_, bool>("is_usable")? {
            invalid.push(name.clone());
        }
        there.push(name);
    }
    let missing = migrate::indexes(schema).into_iter().filter(|index| !there.contains(&index.name));
    Ok((missing.collect(), invalid))
}
