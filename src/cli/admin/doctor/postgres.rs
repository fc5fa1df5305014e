//! Postgres.

use jiff::{SignedDuration, Timestamp};

use super::{Findings, Level};
use crate::cli::admin::Operator;
use crate::cli::sentence;
use crate::store::Store;
use crate::store::diagnosis::{Diagnosis, Service};
use crate::store::migrate;

/// Clocks may differ by so much: times of messages are the edges', those of markers too.
const SKEW: SignedDuration = SignedDuration::from_millis(500);
const GREAT_SKEW: SignedDuration = SignedDuration::from_secs(5);

const AREA: &str = "postgres";

/// Looks at it, and returns what the service has in it.
pub async fn look(
    operator: &Operator,
    connected: anyhow::Result<Store>,
    findings: &mut Findings,
) -> Option<Service> {
    let store = match connected {
        Ok(store) => store,
        Err(cause) => {
            findings.add(
                AREA,
                Level::Problem,
                sentence(&cause),
                "Start it, or correct POSTGRES_URL (or POSTGRES_HOST and the others) and its password.",
            );
            return None;
        }
    };
    let before = Timestamp::now();
    let diagnosis = match store.diagnosis().await {
        Ok(diagnosis) => diagnosis,
        Err(cause) => {
            findings.add(AREA, Level::Problem, cause.to_string(), "See the server's log.");
            return None;
        }
    };
    let after = Timestamp::now();
    server(&diagnosis, findings);
    connections(operator, &diagnosis, findings);
    skew("Postgres", diagnosis.now, (before, after), findings);
    schema(operator, &diagnosis, findings);
    diagnosis.service
}

fn server(diagnosis: &Diagnosis, findings: &mut Findings) {
    let major = diagnosis.version / 10_000;
    findings.check(
        AREA,
        major >= 15,
        format!("version {major}.{}", diagnosis.version % 10_000),
        Level::Problem,
        "Version 15 or newer is needed.",
    );
    findings.check(
        AREA,
        diagnosis.fsync,
        format!("fsync is {}", on(diagnosis.fsync)),
        Level::Problem,
        "Without it a crash of the machine destroys the database: set fsync = on.",
    );
    findings.check(
        AREA,
        diagnosis.synchronous_commit,
        format!("synchronous_commit is {}", on(diagnosis.synchronous_commit)),
        Level::Warning,
        "A crash may lose what the persister has passed by: set it to on or more, at least for this user.",
    );
    findings.check(
        AREA,
        diagnosis.autovacuum,
        format!("autovacuum is {}", on(diagnosis.autovacuum)),
        Level::Problem,
        "Tables that change all the time grow without end: set autovacuum = on.",
    );
    findings.fine("disk", format!("the database has {} MiB", diagnosis.bytes >> 20));
    if diagnosis.is_standby {
        findings.add(
            AREA,
            Level::Problem,
            "it is a standby, which nothing can be written to",
            "Name the primary in POSTGRES_URL.",
        );
    }
    if diagnosis.encoding != "UTF8" {
        findings.add(
            AREA,
            Level::Problem,
            format!("the database's encoding is {}", diagnosis.encoding),
            "Make it with ENCODING 'UTF8'.",
        );
    }
}

fn connections(operator: &Operator, diagnosis: &Diagnosis, findings: &mut Findings) {
    let Diagnosis { connections, max_connections, .. } = *diagnosis;
    let pool = u32::try_from(operator.config.postgres.pool_size).unwrap_or(u32::MAX);
    findings.check(
        AREA,
        connections.saturating_add(pool) <= max_connections,
        format!("{connections} of {max_connections} connections are in use; a process takes up to {pool}, and one for each role"),
        Level::Warning,
        "One more process may get none: raise max_connections, or lower MESSAGING_POSTGRES_POOL_SIZE.",
    );
}

fn schema(operator: &Operator, diagnosis: &Diagnosis, findings: &mut Findings) {
    let by_serve = operator.config.postgres.migrate_at_start;
    let Some(service) = &diagnosis.service else {
        findings.check(
            AREA,
            by_serve && diagnosis.may_create,
            "there is no schema yet",
            Level::Problem,
            "Run `messaging migrate` as a user who may make tables.",
        );
        return;
    };
    if !service.forbidden.is_empty() {
        findings.add(
            AREA,
            Level::Problem,
            format!("this user may not read and write {}", service.forbidden.join(", ")),
            "Grant SELECT, INSERT, UPDATE and DELETE, or let this user own the tables.",
        );
        return;
    }
    let latest = migrate::latest();
    let (level, advice) = match service.schema.cmp(&latest) {
        std::cmp::Ordering::Less if by_serve => {
            (Level::Warning, "`serve` brings it up to date at its start.")
        }
        std::cmp::Ordering::Less => (Level::Problem, "Run `messaging migrate`."),
        std::cmp::Ordering::Equal => (Level::Fine, ""),
        std::cmp::Ordering::Greater => {
            (Level::Warning, "A newer version has migrated it; do not stay with this one for long.")
        }
    };
    indexes(service, findings);
    let finding = format!("schema {}, this program knows {latest}", service.schema);
    findings.add(AREA, level, finding, advice);
    findings.check(
        AREA,
        service.unannounced == 0,
        format!("{} changes wait to be announced for over a minute", service.unannounced),
        Level::Problem,
        "No edge publishes them: is one running, and does NATS take what it publishes?",
    );
}

/// What migrations made and somebody has dropped, or what a build left behind that failed.
fn indexes(service: &Service, findings: &mut Findings) {
    for index in &service.missing {
        let finding = format!("the index {} of {} is missing", index.name, index.table);
        let advice = format!("What it is for reads whole tables. Run: {}", index.statement);
        findings.add(AREA, Level::Problem, finding, &advice);
    }
    for name in &service.invalid {
        let known = migrate::indexes(service.schema).into_iter().find(|index| index.name == *name);
        let again = known.map_or(format!("REINDEX INDEX CONCURRENTLY {name};"), |index| {
            format!("DROP INDEX CONCURRENTLY {name}; {}", index.statement)
        });
        let advice = format!("Unless it is being built at this moment, run: {again}");
        findings.add(AREA, Level::Problem, format!("the index {name} cannot be used"), &advice);
    }
    if service.missing.is_empty() && service.invalid.is_empty() {
        findings.fine(AREA, "all indexes of the migrations are there");
    }
}

/// How far a clock is from this machine's, which read it between two moments.
pub fn skew(
    whose: &str,
    there: Timestamp,
    (before, after): (Timestamp, Timestamp),
    findings: &mut Findings,
) {
    let apart = if there < before {
        before.duration_since(there)
    } else if there > after {
        there.duration_since(after)
    } else {
        SignedDuration::ZERO
    };
    findings.check(
        "clocks",
        apart <= SKEW,
        format!("the clock of {whose} is {} ms from this machine's", apart.as_millis()),
        if apart > GREAT_SKEW { Level::Problem } else { Level::Warning },
        "Messages get wrong times and tokens end too early or too late: run chrony or another NTP client on all machines.",
    );
}

fn on(is_on: bool) -> &'static str {
    if is_on { "on" } else { "off" }
}
