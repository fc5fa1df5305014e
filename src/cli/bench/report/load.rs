//! The figures of a load, as people read them.

use std::fmt::Write as _;

use comfy_table::Table;

use super::{Figures, Report, Returns, table};

impl Figures for Report {
    fn passed(&self) -> bool {
        self.checks.passed
    }

    fn table(&self) -> String {
        let mut text = format!(
            "{} over {}: {} users, {}; {}, {} bytes, {:.1} s\n",
            self.shape,
            self.protocol,
            self.users,
            self.arrangement,
            self.load,
            self.content_bytes,
            self.window_seconds
        );
        let mut parts = vec![self.flow()];
        parts.extend(self.returns.as_ref().map(Returns::table));
        if self.ack_latency.count > 0 {
            parts.push(self.latencies());
        }
        parts.push(self.cpu_table());
        parts.push(self.memory_table());
        for part in parts.iter().filter(|part| part.row_count() > 0) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "\n{part}");
        }
        let _ = writeln!(text, "\n{}", self.verdict());
        text
    }
}

impl Report {
    fn flow(&self) -> Table {
        let mut table = table(&["", "count", "per second"]);
        let mut row = |name: &str, count: u64, rate: f64| {
            table.add_row([name.to_owned(), count.to_string(), format!("{rate:.0}")]);
        };
        row("connected", self.connect.connections.into(), self.connect.per_second);
        if self.sent > 0 {
            row("acknowledged", self.acknowledged.count, self.acknowledged.per_second);
            row("delivered", self.deliveries.count, self.deliveries.per_second);
        }
        for (code, count) in &self.refused {
            table.add_row([format!("refused: {code}"), count.to_string(), String::new()]);
        }
        table
    }

    fn latencies(&self) -> Table {
        let mut table = table(&["ms", "p50", "p90", "p99", "p99.9", "max"]);
        for (name, p) in [("ack", &self.ack_latency), ("delivery", &self.delivery_latency)] {
            table.add_row(std::iter::once(name.to_owned()).chain(p.cells()));
        }
        for stage in &self.stages {
            let millis = |v: Option<f64>| v.map_or("?".to_owned(), |v| format!("{v:.2}"));
            let [p50, p90, p99] =
                [stage.p50_millis, stage.p90_millis, stage.p99_millis].map(millis);
            table.add_row([stage.name, &p50, &p90, &p99]);
        }
        table
    }

    fn cpu_table(&self) -> Table {
        let mut table = table(&["CPU", "seconds", "cores", "µs/message", "µs/delivery"]);
        let sums = self.cpu.servers.iter().chain(&self.cpu.generator);
        for used in self.cpu.processes.iter().chain(sums) {
            let micros = |value: Option<f64>| value.map_or(String::new(), |v| format!("{v:.2}"));
            table.add_row([
                used.name.clone(),
                format!("{:.2}", used.cpu_seconds),
                format!("{:.2}", used.cores),
                micros(used.micros_per_message),
                micros(used.micros_per_delivery),
            ]);
        }
        table
    }

    fn memory_table(&self) -> Table {
        let mut table = table(&["memory, MiB", "before connecting", "connected", "at the end"]);
        for memory in &self.memory {
            let mib = |bytes: u64| format!("{:.1}", bytes as f64 / f64::from(1 << 20));
            let values = [memory.before_connecting, memory.connected, memory.at_end].map(mib);
            table.add_row(std::iter::once(memory.name.clone()).chain(values));
        }
        table
    }

    fn verdict(&self) -> String {
        let mut text = String::new();
        if let Some(bytes) = self.bytes_per_connection {
            let _ = writeln!(text, "{:.1} KiB of the service a connection.", bytes as f64 / 1024.0);
        }
        if let Some(persistence) = &self.persistence {
            let millis = persistence.after_end_millis;
            let _ = write!(text, "All persisted {millis:.0} ms after the end of the load");
            let _ = match &persistence.lag {
                Some(lag) => {
                    writeln!(text, ", at most {} messages behind in it.", lag.max_messages)
                }
                None => writeln!(text, "."),
            };
        }
        text.push_str(&self.checks.words());
        text
    }
}
