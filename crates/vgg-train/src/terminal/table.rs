//! Tables, for people and as CSV.

use std::io::{self, Write};

use super::print::printable;

/// Between columns.
const GAP: &str = "  ";

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
        self.lines_of(&std::array::from_fn::<_, N, _>(|column| column), &self.widths())
    }

    /// As [`Table::lines`], of the columns that a screen of this width has room for: those of the
    /// lowest ranks, at least one.
    pub(crate) fn fit(&self, width: usize, ranks: [u8; N]) -> Vec<String> {
        let widths = self.widths();
        let mut shown: Vec<usize> = (0..N).collect();
        while shown.len() > 1 && total(&shown, &widths) > width {
            let last = shown.iter().max_by_key(|column| ranks[**column]).copied();
            shown.retain(|column| Some(*column) != last);
        }
        self.lines_of(&shown, &widths)
    }

    fn widths(&self) -> [usize; N] {
        std::array::from_fn(|column| {
            let width = |row: &Entry<N>| match row {
                Entry::Cells(cells) => cells[column].chars().count(),
                Entry::Rule => 0,
            };
            self.rows.iter().map(width).max().unwrap_or(0)
        })
    }

    fn lines_of(&self, shown: &[usize], widths: &[usize; N]) -> Vec<String> {
        let line = |row: &Entry<N>| match row {
            Entry::Rule => "─".repeat(total(shown, widths)),
            Entry::Cells(cells) => {
                let cell = |column: &usize| match widths[*column] {
                    width if *column < self.left => format!("{:<width$}", cells[*column]),
                    width => format!("{:>width$}", cells[*column]),
                };
                let cells: Vec<String> = shown.iter().map(cell).collect();
                cells.join(GAP).trim_end().to_owned()
            }
        };
        self.rows.iter().map(line).collect()
    }
}

/// How wide lines of these columns are.
fn total(shown: &[usize], widths: &[usize]) -> usize {
    let gaps = GAP.len() * (shown.len() - 1);
    shown.iter().map(|column| widths[*column]).sum::<usize>() + gaps
}

/// Rows as CSV.
pub(crate) fn csv<F: AsRef<[u8]>>(rows: impl IntoIterator<Item = Vec<F>>) -> Vec<u8> {
    let mut csv = Vec::new();
    write_csv(&mut csv, rows).expect("memory takes rows of one length");
    csv
}

/// Writes rows as CSV, each before the next one is asked for.
pub(crate) fn write_csv<F: AsRef<[u8]>>(
    out: &mut dyn Write,
    rows: impl IntoIterator<Item = Vec<F>>,
) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    rows.into_iter().try_for_each(|row| csv.write_record(row))?;
    csv.flush()
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

    #[test]
    fn a_narrow_screen_has_the_columns_of_the_lowest_ranks() {
        let mut table = Table::new(1, ["run", "loss", "state"]);
        table.row(["a-1".into(), "0.25".into(), "stopped".into()]);
        let fit = |width| table.fit(width, [0, 2, 1]).pop().unwrap();
        assert_eq!(fit(18), "a-1  0.25  stopped");
        assert_eq!([17, 12].map(fit), ["a-1  stopped"; 2]);
        assert_eq!([11, 0].map(fit), ["a-1"; 2]);
        assert_eq!(table.fit(12, [0, 2, 1])[1], "─".repeat(12));
    }
}
