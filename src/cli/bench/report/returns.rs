//! How those came back who were cut off.

use std::collections::BTreeMap;

use comfy_table::Table;
use serde::Serialize;

use super::{Percentiles, table};
use crate::cli::bench::engine;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Returns {
    pub clients: usize,
    pub caught_up: usize,
    /// They dialled evenly spread over this.
    pub window_seconds: f64,
    /// Connected again, up to the last of them.
    pub connects_per_second: f64,
    /// From the end of the window until the last one was connected. Negative: before it.
    pub last_connected_millis: f64,
    /// From the end of the window until the last one had everything.
    pub last_caught_up_millis: f64,
    /// From dialling until everything was there.
    pub catching_up: Percentiles,
    /// Messages that came before `caughtUp`.
    pub replayed: u64,
    /// Attempts that were refused or broke, by close code.
    pub turned_away: BTreeMap<String, u64>,
}

impl From<&engine::Returns> for Returns {
    fn from(returns: &engine::Returns) -> Self {
        let window = returns.window.as_secs_f64();
        let after = |moment: std::time::Duration| (moment.as_secs_f64() - window) * 1000.0;
        Self {
            clients: returns.clients,
            caught_up: returns.caught_up,
            window_seconds: window,
            connects_per_second: returns.clients as f64 / returns.last_connected.as_secs_f64(),
            last_connected_millis: after(returns.last_connected),
            last_caught_up_millis: after(returns.last_caught_up),
            catching_up: (&returns.catching_up).into(),
            replayed: returns.replayed,
            turned_away: returns.turned_away.clone(),
        }
    }
}

impl Returns {
    pub fn table(&self) -> Table {
        let mut table = table(&["coming back", ""]);
        let mut row = |name: &str, value: String| {
            table.add_row([name.to_owned(), value]);
        };
        row("cut off", self.clients.to_string());
        row("caught up", self.caught_up.to_string());
        row("messages replayed", self.replayed.to_string());
        row("connected a second", format!("{:.0}", self.connects_per_second));
        let window = self.window_seconds;
        row(
            &format!("last connected, ms after the window of {window} s"),
            format!("{:.0}", self.last_connected_millis),
        );
        row("last caught up, ms after it", format!("{:.0}", self.last_caught_up_millis));
        let millis = |micros: u64| format!("{:.1}", micros as f64 / 1000.0);
        row("dialled → caught up, ms, p50", millis(self.catching_up.p50_micros));
        row("⋯ p99", millis(self.catching_up.p99_micros));
        row("⋯ max", millis(self.catching_up.max_micros));
        for (code, count) in &self.turned_away {
            row(&format!("turned away: {code}"), count.to_string());
        }
        table
    }
}
