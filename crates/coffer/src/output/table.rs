//! Tables for people: aligned columns, no lines, nothing a terminal would obey.

use comfy_table::{ContentArrangement, presets};

use super::printable;

/// Rows of text under a header, or without one.
pub(crate) struct Table {
    header: &'static [&'static str],
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with a header; without rows it renders as nothing.
    pub(crate) fn new(header: &'static [&'static str]) -> Self {
        Self { header, rows: Vec::new() }
    }

    /// Names and what belongs to them, one pair a line.
    pub(crate) fn of_pairs<N: Into<String>>(pairs: impl IntoIterator<Item = (N, String)>) -> Self {
        let mut table = Self::new(&[]);
        for (name, value) in pairs {
            table.row([name.into(), value]);
        }
        table
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| printable(&cell)).collect());
    }

    /// The text, each line ended.
    pub(crate) fn render(&self) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        if !self.header.is_empty() {
            table.set_header(self.header.iter().copied());
        }
        table.add_rows(self.rows.iter().cloned());
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        table.trim_fmt() + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_lines_end_without_spaces() {
        let mut table = Table::new(&["NAME", "VERSION"]);
        table.row(["A".into(), "1".into()]);
        table.row(["LONGER_NAME".into(), String::new()]);
        assert_eq!(table.render(), "NAME         VERSION\nA            1\nLONGER_NAME\n");
    }

    #[test]
    fn table_without_rows_is_empty() {
        assert_eq!(Table::new(&["NAME"]).render(), "");
    }

    #[test]
    fn cell_with_line_breaks_stays_one_line() {
        let table = Table::of_pairs([("name", "a\nb\x1b[1m".to_owned())]);
        assert_eq!(table.render(), "name  a\\nb\\u{1b}[1m\n");
    }
}
