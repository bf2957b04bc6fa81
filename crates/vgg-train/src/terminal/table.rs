//! Tables, for people and as CSV.

use super::print::printable;

/// Rows of `N` columns, of which the first `left` are aligned to the left and the others to the
/// right.
pub(crate) struct Table<const N: usize> {
    left: usize,
    rows: Vec<Entry<N>>,
}

enum Entry<const N: usize> {
    Cells([String; N]),
    Rule,
}

impl<const N: usize> Table<N> {
    /// A table with a header and a rule below it.
    pub(crate) fn new(left: usize, header: [&str; N]) -> Self {
        Self { left, rows: vec![Entry::Cells(header.map(String::from)), Entry::Rule] }
    }

    /// A table of rows alone.
    pub(crate) fn bare(left: usize) -> Self {
        Self { left, rows: vec![] }
    }

    pub(crate) fn row(&mut self, cells: [String; N]) {
        // As they will be printed, for their widths.
        self.rows.push(Entry::Cells(cells.map(|cell| printable(&cell).into_owned())));
    }

    /// A horizontal line.
    pub(crate) fn rule(&mut self) {
        self.rows.push(Entry::Rule);
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        let widths: [usize; N] = std::array::from_fn(|column| {
            let width = |row: &Entry<N>| match row {
                Entry::Cells(cells) => cells[column].chars().count(),
                Entry::Rule => 0,
            };
            self.rows.iter().map(width).max().unwrap_or(0)
        });
        let line = |row: &Entry<N>| match row {
            Entry::Rule => "─".repeat(widths.iter().sum::<usize>() + 2 * (N - 1)),
            Entry::Cells(cells) => {
                let cell = |column: usize| match widths[column] {
                    width if column < self.left => format!("{:<width$}", cells[column]),
                    width => format!("{:>width$}", cells[column]),
                };
                let cells: [String; N] = std::array::from_fn(cell);
                cells.join("  ").trim_end().to_owned()
            }
        };
        self.rows.iter().map(line).collect()
    }
}

/// Rows as CSV.
pub(crate) fn csv<F: AsRef<[u8]>>(rows: impl IntoIterator<Item = Vec<F>>) -> Vec<u8> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    rows.into_iter()
        .for_each(|row| csv.write_record(row).expect("memory takes rows of one length"));
    csv.into_inner().expect("memory takes all that is written")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(1, ["layer", "ms"]);
        table.row(["fc".into(), "12.5".into()]);
        table.rule();
        table.row(["×".into(), String::new()]);
        assert_eq!(
            table.lines(),
            ["layer    ms", "───────────", "fc     12.5", "───────────", "×"]
        );
    }
}
