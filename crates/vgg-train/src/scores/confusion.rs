//! The table of a run's tests: `confusion.csv`, and what is told of each class.

use serde_json::{Value, json};

use crate::terminal::numbers::count;
use crate::terminal::table::{Table, csv};

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

    pub(crate) fn classes(&self) -> usize {
        self.classes
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

    /// As CSV: a row a true class, a column a predicted one, and each class's accuracy at the end.
    pub(crate) fn to_csv(&self, classes: &[String]) -> Vec<u8> {
        let (first, last) = (["true class".to_owned()], ["accuracy".to_owned()]);
        let header = first.into_iter().chain(classes.iter().cloned()).chain(last).collect();
        let row = |(label, class): (usize, &String)| {
            let accuracy = self.accuracy(label).map(|share| format!("{share:.4}"));
            let counts = self.row(label).iter().map(u64::to_string);
            [class.clone()]
                .into_iter()
                .chain(counts)
                .chain([accuracy.unwrap_or_default()])
                .collect()
        };
        csv([header].into_iter().chain(classes.iter().enumerate().map(row)))
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
        let mut table = Table::bare(2);
        for (label, accuracy) in told {
            let others = self.row(label).iter().enumerate().filter(|(other, _)| *other != label);
            // The first of equals, so that the line does not depend on the order of iteration.
            let most = others.max_by_key(|(other, count)| (**count, std::cmp::Reverse(*other)));
            let most = most.filter(|(_, count)| **count > 0);
            let taken_for = most.map(|(other, count)| {
                format!("  most often taken for {} ({count})", classes[other])
            });
            let recognised = format!("{:5.1} %{}", 100.0 * accuracy, taken_for.unwrap_or_default());
            table.row([classes[label].clone(), recognised]);
        }
        let mut lines = table.lines();
        if left_out > 0 {
            lines.push(format!("and {} that are no worse; {all}", count(left_out as u64, "class")));
        }
        lines
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
        let csv = String::from_utf8(confusion.to_csv(&classes)).unwrap();
        insta::assert_snapshot!(csv, @r#"
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
