//! Data on stdout, words on stderr, and nothing else anywhere.

use std::fmt;
use std::io::{self, Write as _};

use bytesize::ByteSize;
use comfy_table::{Cell, CellAlignment, Table, presets};
use kheeper_model::Timestamp;
use serde::Serialize;

/// How records are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Tables, for people.
    Table,
    /// JSON, for programs: one value, pretty.
    Json,
}

/// Prints data.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        stdout.write_all(b"\n")?;
    }
    stdout.flush()?;
    Ok(())
}

/// Prints a record or a list of them as JSON.
pub(crate) fn print_json<T: Serialize>(records: &T) -> anyhow::Result<()> {
    print(&serde_json::to_string_pretty(records)?)
}

/// Says something to the person. A closed stderr is nobody to tell.
pub(crate) fn say(words: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{words}");
}

/// Whether the reader of our stdout has gone, as `head` does: no failure.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// A table without lines: columns that `awk` can read too.
pub(crate) struct Columns {
    table: Table,
    right: Vec<usize>,
}

impl Columns {
    /// A table with these headings. One that starts with `>` is for numbers: its column is aligned to the right.
    pub(crate) fn new(headings: &[&str]) -> Self {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(headings.iter().map(|heading| Cell::new(heading.trim_start_matches('>'))));
        let right = headings.iter().enumerate().filter(|(_, heading)| heading.starts_with('>')).map(|(at, _)| at);
        Self { right: right.collect(), table }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.table.add_row(cells);
    }

    /// The table as text, without spaces at the ends of lines.
    pub(crate) fn render(mut self) -> String {
        for at in self.right {
            if let Some(column) = self.table.column_mut(at) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        for column in self.table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        self.table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
    }
}

/// One record as lines of `name  value`.
pub(crate) fn record(fields: &[(&str, String)]) -> String {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    fields.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
}

/// Bytes for people: `1.5 GiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    ByteSize::b(bytes).display().iec().to_string()
}

/// How long ago something was: `3h 12m`, or `never`.
pub(crate) fn age(time: Option<Timestamp>, now: Timestamp) -> String {
    time.map_or_else(|| "never".to_owned(), |time| duration(age_secs(time, now)))
}

/// Seconds since `time`; none of it negative.
pub(crate) fn age_secs(time: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(now.as_secs() - time.as_secs()).unwrap_or(0)
}

/// A duration in its two largest units: `26h 3m` is `1d 2h`.
pub(crate) fn duration(secs: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    let first = UNITS.iter().position(|(unit, _)| secs >= *unit).unwrap_or(UNITS.len() - 1);
    let (unit, name) = UNITS[first];
    let mut text = format!("{}{name}", secs / unit);
    if let Some((next, next_name)) = UNITS.get(first + 1) {
        let rest = secs % unit / next;
        if rest > 0 {
            text.push_str(&format!(" {rest}{next_name}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_show_their_two_largest_units() {
        for (secs, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (61, "1m 1s"),
            (3600, "1h"),
            (93_780, "1d 2h"),
            (86_400 * 40 + 5, "40d"),
        ] {
            assert_eq!(duration(secs), text);
        }
    }

    #[test]
    fn tables_have_aligned_columns_and_no_trailing_spaces() {
        let mut columns = Columns::new(&["HOST", ">OBJECTS", "STATE"]);
        columns.row(["myorg/web-01".to_owned(), "7".to_owned(), "active".to_owned()]);
        columns.row(["myorg/w".to_owned(), "12345678".to_owned(), "read-only".to_owned()]);
        assert_eq!(
            columns.render(),
            "HOST           OBJECTS  STATE\n\
             myorg/web-01         7  active\n\
             myorg/w       12345678  read-only\n"
        );
    }

    #[test]
    fn a_time_in_the_future_has_no_age() {
        assert_eq!(age(Some(Timestamp::from_secs(10)), Timestamp::from_secs(5)), "0s");
        assert_eq!(age(None, Timestamp::from_secs(5)), "never");
    }

    #[test]
    fn bytes_are_shown_in_binary_units() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(3 << 29), "1.5 GiB");
    }
}
