//! Lines of fields, of which as many are shown as there is room for.

use std::fmt;

/// Between fields.
const GAP: &str = "  ";

/// The fields of a line in their order, each with a rank: where there is no room for all, those of
/// the lowest ranks stay.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields(Vec<(u8, String)>);

impl Fields {
    /// The same and another field at the end.
    #[must_use]
    pub(crate) fn with(mut self, rank: u8, text: impl Into<String>) -> Self {
        self.0.push((rank, text.into()));
        self
    }

    /// The whole fields that fit into so many columns, but at least the one of the lowest rank.
    pub(crate) fn fit(&self, columns: usize) -> String {
        let mut by_rank: Vec<usize> = (0..self.0.len()).collect();
        by_rank.sort_by_key(|&i| self.0[i].0);
        let mut room = columns + GAP.len();
        let fits = |&&i: &&usize| {
            let left = room.checked_sub(self.0[i].1.chars().count() + GAP.len());
            room = left.unwrap_or(0);
            left.is_some() || i == by_rank[0]
        };
        let mut shown: Vec<usize> = by_rank.iter().take_while(fits).copied().collect();
        shown.sort_unstable();
        let texts: Vec<&str> = shown.iter().map(|&i| &*self.0[i].1).collect();
        texts.join(GAP)
    }
}

impl From<String> for Fields {
    fn from(text: String) -> Self {
        Self::default().with(0, text)
    }
}

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fit(usize::MAX / 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_shown_whole_and_in_their_order() {
        let line = Fields::default().with(1, "second").with(2, "third").with(0, "first");
        assert_eq!(line.to_string(), "second  third  first");
        let fit = |columns| line.fit(columns);
        assert_eq!(
            [20, 19, 13, 12, 3].map(fit),
            ["second  third  first", "second  first", "second  first", "first", "first"]
        );
        assert_eq!(Fields::default().fit(9), "");
    }
}
