//! What a process that measures tells the one that has started it.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// What one process measured; what it prints as a line of JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Measured {
    /// Its name and version.
    pub(super) program: String,
    /// From the median time of a step.
    pub(super) img_per_s: f64,
    /// Its peak memory, where the system tells.
    pub(super) peak_bytes: Option<u64>,
}

impl Measured {
    /// From what a process printed: the last line is the result.
    pub(super) fn parse(stdout: &str) -> Result<Self> {
        let line = stdout.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        serde_json::from_str(line).with_context(|| format!("not a measurement: `{line}`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_the_measurement() {
        let line = r#"{"program": "PyTorch 2.15.0", "img_per_s": 31.5, "peak_bytes": null}"#;
        let measured = Measured::parse(&format!("a warning\n{line}\n\n")).unwrap();
        assert_eq!((measured.img_per_s, measured.peak_bytes), (31.5, None));
        let error = Measured::parse("Killed\n").unwrap_err();
        assert!(error.to_string().contains("`Killed`"), "{error}");
        assert!(Measured::parse("").is_err());
    }
}
