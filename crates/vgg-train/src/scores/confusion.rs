//! The table of a run's tests: `confusion.csv`, and what is told of each class.

use serde_json::{Value, json};

use crate::terminal::numbers::count;
use crate::terminal::print::printable;

/// More classes than this are too many to be told one by one …
const MANY_CLASSES: usize = 20;
/// … but for the worst.
const WORST_CLASSES: usize = 10;

/// How often images of each class were taken for each class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Confusion {
    classes: usize,
    /// `[classes, classes]`: rows are true classes, columns predicted ones.
    counts: Vec<u64>,
}

impl Confusion {
    pub(crate) fn new(classes: usize) -> Self {
        Self { classes, counts: vec![0; classes * classes] }
    }

    pub(crate) fn add(&mut self, label: usize, predicted: usize) {
        self.counts[label * self.classes + predicted] += 1;
    }

    /// A row a true class, of a count a predicted one.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &[u64]> {
        self.counts.chunks(self.classes)
    }

    fn row(&self, label: usize) -> &[u64] {
        &self.counts[label * self.classes..][..self.classes]
    }

    /// The share of the class's images that were recognised, if there are any.
    pub(crate) fn accuracy(&self, label: usize) -> Option<f64> {
        let row = self.row(label);
        let all: u64 = row.iter().sum();
        (all > 0).then(|| row[label] as f64 / all as f64)
    }

    /// A row a true class, a column a predicted one, and each class's accuracy at the end.
    pub(crate) fn to_csv(&self, classes: &[String]) -> String {
        let mut csv = String::from("true class");
        classes.iter().for_each(|class| csv += &format!(",{}", field(class)));
        csv += ",accuracy\n";
        for (label, class) in classes.iter().enumerate() {
            csv += &field(class);
            for count in self.row(label) {
                csv += &format!(",{count}");
            }
            let accuracy = self.accuracy(label).map(|share| format!("{share:.4}"));
            csv += &format!(",{}\n", accuracy.unwrap_or_default());
        }
        csv
    }

    /// Each class's name and accuracy.
    pub(crate) fn to_json(&self, classes: &[String]) -> Vec<Value> {
        let class = |(label, name)| json!({ "class": name, "accuracy": self.accuracy(label) });
        classes.iter().enumerate().map(class).collect()
    }

    /// A line a class: its accuracy, and what it is mistaken for most often. Of many classes only
    /// the worst are told, and where `all` are.
    pub(crate) fn per_class(&self, classes: &[String], all: &str) -> Vec<String> {
        let mut told: Vec<(usize, f64)> =
            (0..classes.len()).filter_map(|label| Some((label, self.accuracy(label)?))).collect();
        let left_out = match told.len() > MANY_CLASSES {
            true => told.len() - WORST_CLASSES,
            false => 0,
        };
        if left_out > 0 {
            // Stable, so that the first of equals are the first classes.
            told.sort_by(|(_, a), (_, b)| a.total_cmp(b));
            told.truncate(WORST_CLASSES);
        }
        // As they will be printed, for their widths.
        let name = |label: usize| printable(&classes[label]);
        let width = told.iter().map(|(label, _)| name(*label).chars().count()).max().unwrap_or(0);
        let line = |(label, accuracy): &(usize, f64)| {
            let mut line = format!("{:<width$}  {:5.1} %", name(*label), 100.0 * accuracy);
            let others = self.row(*label).iter().enumerate().filter(|(other, _)| other != label);
            // The first of equals, so that the line does not depend on the order of iteration.
            let most = others.max_by_key(|(other, count)| (**count, std::cmp::Reverse(*other)));
            if let Some((other, count)) = most.filter(|(_, count)| **count > 0) {
                line += &format!("  most often taken for {} ({count})", name(other));
            }
            line
        };
        let mut lines: Vec<String> = told.iter().map(line).collect();
        if left_out > 0 {
            lines.push(format!("and {} that are no worse; {all}", count(left_out as u64, "class")));
        }
        lines
    }
}

/// A CSV field, quoted where it has to be.
fn field(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn confusion() -> (Confusion, Vec<String>) {
        let mut confusion = Confusion::new(3);
        for (label, predicted) in [(0, 0), (0, 0), (0, 1), (0, 2), (1, 1)] {
            confusion.add(label, predicted);
        }
        (confusion, ["T-shirt/top", "a, \"b\"", "none"].map(String::from).to_vec())
    }

    #[test]
    fn confusion_counts_and_accuracies() {
        let (confusion, classes) = confusion();
        insta::assert_snapshot!(confusion.to_csv(&classes), @r#"
        true class,T-shirt/top,"a, ""b""",none,accuracy
        T-shirt/top,2,1,1,0.5000
        "a, ""b""",0,1,0,1.0000
        none,0,0,0,
        "#);
        insta::assert_snapshot!(confusion.per_class(&classes, "").join("\n"), @r#"
        T-shirt/top   50.0 %  most often taken for a, "b" (1)
        a, "b"       100.0 %
        "#);
    }

    #[test]
    fn the_worst_of_many_classes_are_told() {
        let mut confusion = Confusion::new(21);
        for label in 0..21 {
            confusion.add(label, label);
            // The last class is the worst, then those from the seventh on.
            (5..label).step_by(3).for_each(|other| confusion.add(label, other));
        }
        let classes: Vec<String> = (0..21).map(|label| format!("class{label}")).collect();
        let lines = confusion.per_class(&classes, "all are in confusion.csv");
        assert_eq!(lines.len(), 11);
        assert_eq!(lines[0], "class18   16.7 %  most often taken for class5 (1)");
        assert_eq!(lines[10], "and 11 classes that are no worse; all are in confusion.csv");
        assert_eq!(confusion.per_class(&classes[..20], "").len(), 20);
    }
}
