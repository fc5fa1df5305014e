//! Tables for people.

use comfy_table::{ContentArrangement, Table, presets};
use jiff::Timestamp;

/// An empty table with a header.
pub fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header.iter().copied());
    table
}

/// One thing with its properties, one a line; those without a value are left out.
pub fn card<'a>(lines: impl IntoIterator<Item = (&'a str, String)>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    for (name, value) in lines {
        if !value.is_empty() {
            table.add_row([name.to_owned(), value]);
        }
    }
    table
}

/// A time to the second, UTC.
pub fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// The same, empty for none.
pub fn maybe_time(at: Option<Timestamp>) -> String {
    at.map(time).unwrap_or_default()
}

/// Text that somebody has written, made safe for a terminal and short: escape sequences would act on it.
pub fn plain(text: &str, max_chars: usize) -> String {
    let safe = |c: char| if c.is_control() { ' ' } else { c };
    let mut shown: String = text.chars().take(max_chars).map(safe).collect();
    if text.chars().nth(max_chars).is_some() {
        shown.push('…');
    }
    shown
}
