//! The screen.

use comfy_table::{Table, presets};
use jiff::{Timestamp, Unit};

use super::{Nats, Status};
use crate::cli::admin::table::{plain, table};
use crate::store::admin::overview::Overview;
use crate::wire::control::ProcessStatus;

/// One table of tables: what runs, NATS, Postgres, and what is wrong.
pub fn draw(status: &Status) -> Table {
    let mut screen = Table::new();
    screen.load_style(presets::NOTHING);
    screen.add_row([processes(&status.processes).to_string()]);
    if let Some(nats) = &status.nats {
        screen.add_row([of_nats(nats).to_string()]);
    }
    if let Some(overview) = &status.overview {
        let seq = status.nats.as_ref().and_then(|nats| {
            nats.streams.iter().find(|stream| stream.name == "CHAT").map(|stream| stream.last_seq)
        });
        screen.add_row([of_postgres(overview, seq).to_string()]);
    }
    match status.problems.as_slice() {
        [] => screen.add_row(["All is well."]),
        problems => screen.add_row([format!("! {}", problems.join("\n! "))]),
    };
    screen
}

fn processes(processes: &[ProcessStatus]) -> Table {
    let mut table = table(&["process", "roles", "version", "up", "connections", "state"]);
    for process in processes {
        let mut state = if process.not_ready.is_empty() { "ready" } else { "not ready" }.to_owned();
        if process.leads_persister {
            state.push_str(", persists");
        }
        table.add_row([
            format!("{}:{}", plain(&process.host, 40), process.pid),
            plain(&process.roles.join(" "), 60),
            plain(&process.version, 20),
            up(&process.started_at),
            process.connections.to_string(),
            state,
        ]);
    }
    table
}

/// How long ago a time was, in its two largest units.
fn up(since: &str) -> String {
    let Ok(since) = since.parse::<Timestamp>() else { return String::new() };
    let seconds = (Timestamp::now() - since).total(Unit::Second).unwrap_or(0.0).max(0.0) as u64;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

fn of_nats(nats: &Nats) -> Table {
    let title = format!("NATS {} {}", nats.server, nats.version);
    let mut table =
        table(&[title.as_str(), "messages", "size", "last", "replicas", "leader", "waits for"]);
    for stream in &nats.streams {
        let waits: Vec<String> = nats
            .consumers
            .iter()
            .filter(|consumer| consumer.stream == stream.name)
            .map(|consumer| match consumer.pending {
                Some(pending) => format!("{} {pending}", consumer.name),
                None => format!("{} (none)", consumer.name),
            })
            .collect();
        let dead: Vec<String> = nats
            .dead_letters
            .iter()
            .map(|(consumer, count)| format!("{consumer} {count}"))
            .collect();
        table.add_row([
            stream.name.clone(),
            stream.messages.to_string(),
            size(stream.bytes),
            stream.last_seq.to_string(),
            match stream.behind.len() {
                0 => stream.replicas.to_string(),
                behind => format!("{}, {behind} behind", stream.replicas),
            },
            stream.leader.clone().unwrap_or_default(),
            if stream.name == "DEAD" { dead.join(", ") } else { waits.join(", ") },
        ]);
    }
    let disk = match nats.limit {
        Some(limit) => format!("{} of {}", size(nats.stored), size(limit)),
        None => size(nats.stored),
    };
    table.add_row(["disk".to_owned(), String::new(), disk]);
    table
}

fn of_postgres(o: &Overview, last: Option<u64>) -> Table {
    let title = format!("Postgres {}", plain(&o.version, 20));
    let mut table = table(&[title.as_str(), ""]);
    let behind = last.map_or(String::new(), |last| format!(" of {last}"));
    let rows = [
        (
            "database",
            format!(
                "{}, schema {}, {} of {} connections",
                size(o.bytes),
                o.schema,
                o.connections,
                o.max_connections
            ),
        ),
        ("persisted", format!("{}{behind}", o.persisted)),
        (
            "about",
            format!(
                "{} users, {} conversations, {} messages",
                o.users, o.conversations, o.messages
            ),
        ),
        ("not announced", format!("{}, the oldest for {} s", o.announcements, o.announcements_age)),
        ("push", format!("{} to send, {} late; {} devices", o.push_jobs, o.push_late, o.devices)),
        ("files", format!("{}, {}; {} to erase", o.files, size(o.file_bytes), o.files_erasing)),
        (
            "waiting",
            format!(
                "{} scheduled, {} deletions, {} erasures",
                o.scheduled, o.deletions, o.erasures
            ),
        ),
    ];
    for (name, value) in rows {
        table.add_row([name.to_owned(), value]);
    }
    table
}

/// Bytes as people read them.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut size, mut unit) = (bytes as f64, 0);
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{size:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_one_decimal_and_bytes_none() {
        let sizes = [0, 1023, 1024, 1_572_864, u64::MAX].map(size);
        assert_eq!(sizes[..4], ["0 B", "1023 B", "1.0 KiB", "1.5 MiB"]);
        assert!(sizes[4].ends_with(" TiB"));
    }
}
