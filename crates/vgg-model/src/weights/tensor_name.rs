//! The names that tensors have in files.

/// Modules that wrap another one and are seen in its parameters' names: of `DataParallel` and
/// `AveragedModel`, `torch.compile`, FSDP, and activation checkpointing.
const WRAPPERS: [&str; 4] =
    ["module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"];

/// What stands between the parts of a name.
pub(super) const SEPARATORS: [char; 2] = ['.', '/'];

/// The layer that a tensor's name begins with.
pub(super) fn layer_of(name: &str) -> &str {
    name.rsplit_once(SEPARATORS).map_or("", |(layer, _)| layer)
}

/// Where the parts of a name start that are no wrappers.
pub(super) fn starts(name: &str) -> impl DoubleEndedIterator<Item = usize> {
    let all = name.match_indices(SEPARATORS).map(|(at, _)| at + 1);
    let starts: Vec<usize> = [0].into_iter().chain(all).collect();
    let is_wrapper = move |at: &usize| {
        let part = name[*at..].split(SEPARATORS).next().unwrap_or_default();
        WRAPPERS.contains(&part)
    };
    starts.into_iter().filter(move |at| !is_wrapper(at))
}

/// A name without wrappers, as programs write it: the parts with dots between them, a layer that is
/// named twice (`fc1/fc1/kernel`, as in Keras's files) once, and without TensorFlow's `:0`.
pub(super) fn canonical(name: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in name.trim_end_matches(":0").split(SEPARATORS) {
        let is_place = part.bytes().all(|byte| byte.is_ascii_digit());
        let again = parts.last() == Some(&part) && !is_place;
        if !WRAPPERS.contains(&part) && !again {
            parts.push(part);
        }
    }
    parts.join(".")
}

/// A prefix without the separator that ends it.
pub(super) fn trimmed(prefix: &str) -> &str {
    prefix.trim_end_matches(SEPARATORS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_without_what_is_around_them() {
        for (name, expected) in [
            ("module.features.module.0.weight", "features.0.weight"),
            ("block1_conv1/block1_conv1/kernel:0", "block1_conv1.kernel"),
            ("features.0.0.weight", "features.0.0.weight"),
            ("modules.0.weight", "modules.0.weight"),
        ] {
            assert_eq!(canonical(name), expected);
        }
    }
}
