//! Tables of text, and how numbers are written in them.

use std::fmt;

/// Rows under a heading: names to the left, numbers to the right.
pub(super) struct Table {
    /// How many columns are names; they come first.
    names: usize,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(names: usize, heading: &[&str]) -> Self {
        Self { names, rows: vec![heading.iter().map(|cell| cell.to_string()).collect()] }
    }

    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
                if column < self.names {
                    format!("{cell:<width$}")
                } else {
                    format!("{cell:>width$}")
                }
            });
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

/// A share, as `93 %`.
pub(super) fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

/// An amount of memory.
pub(super) fn gib(bytes: u64) -> String {
    format!("{:.2} GiB", bytes as f64 / (1u64 << 30) as f64)
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(2, &["case", "program", "ms"]);
        table.row(vec!["1→16".into(), "a".into(), "12.25".into()]);
        table.row(vec!["".into(), "b".into()]);
        let expected = "case  program     ms\n1→16  a        12.25\n      b\n";
        assert_eq!(table.to_string(), expected);
    }
}
