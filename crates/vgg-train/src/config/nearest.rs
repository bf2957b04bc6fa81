//! What was meant by a word with a typo in it.

/// The nearest of the known words, unless none is near.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distances =
        known.into_iter().map(|known| (strsim::damerau_levenshtein(word, known), known));
    let (distance, nearest) = distances.min()?;
    let letters = word.chars().count().max(nearest.chars().count());
    // A third of the letters wrong is a typo; more is another word.
    (distance <= letters.div_ceil(3)).then_some(nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typos_are_near_and_other_words_are_not() {
        let known = ["epochs", "batch_size", "lr"];
        assert_eq!(nearest("batchsize", known), Some("batch_size"));
        assert_eq!(nearest("epohcs", known), Some("epochs"));
        assert_eq!(nearest("zzz", known), None);
        assert_eq!(nearest("lr", []), None);
    }
}
