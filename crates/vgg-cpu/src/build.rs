//! How this crate was compiled.

use std::sync::Once;

/// Warns, once, of a build whose kernels are slow.
pub(crate) fn warn_if_slow() {
    static ONCE: Once = Once::new();
    if let Some(why) = why_slow(env!("VGG_CPU_OPT_LEVEL"), cfg!(debug_assertions)) {
        ONCE.call_once(|| {
            log::warn!("{why}; the documentation of vgg-cpu has the lines for your Cargo.toml");
        });
    }
}

/// `level` is an optimisation level as Cargo has it.
fn why_slow(level: &str, checks: bool) -> Option<&'static str> {
    match level {
        "2" | "3" if checks => Some("vgg-cpu is built with checks that cost a third of its speed"),
        "2" | "3" => None,
        _ => Some("vgg-cpu is built without optimisation, and up to 80 times slower for it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_of_this_workspace_are_fast() {
        assert_eq!(why_slow(env!("VGG_CPU_OPT_LEVEL"), cfg!(debug_assertions)), None);
        assert!(why_slow("0", true).unwrap().contains("without optimisation"));
        assert!(why_slow("1", false).unwrap().contains("without optimisation"));
        assert!(why_slow("3", true).unwrap().contains("checks"));
    }
}
