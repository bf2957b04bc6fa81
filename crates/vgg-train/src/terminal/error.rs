//! Errors as the user sees them.

use std::fmt::Write as _;

use super::print::printable_lines;
use crate::failure::Failure;

/// The error, its causes and the help, a paragraph each.
pub(crate) fn render(error: &anyhow::Error, color: bool) -> String {
    let (red, cyan, reset) =
        if color { ("\x1b[1;31m", "\x1b[1;36m", "\x1b[0m") } else { ("", "", "") };
    let mut said = printable_lines(&error.to_string());
    let mut text = format!("{red}error{reset}: {said}\n");
    for cause in error.chain().skip(1) {
        let cause = printable_lines(&cause.to_string());
        // Wrappers often end with the words of what they wrap.
        if !said.contains(&cause) {
            let _ = writeln!(text, "  caused by: {cause}");
            said = cause;
        }
    }
    if let Some(help) = error.downcast_ref::<Failure>().and_then(|failure| failure.help.as_ref()) {
        let _ = writeln!(text, "{cyan}help{reset}: {}", printable_lines(help));
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;
    use crate::failure::Code;

    #[test]
    fn a_failure_gives_its_help_to_the_error_it_wraps() {
        let error = anyhow!("no space left on device").context("last.safetensors").context(
            Failure::new(Code::Checkpoint, "cannot save the run").help("make room and resume"),
        );
        assert_eq!(
            render(&error, false),
            "error: cannot save the run\n  caused by: last.safetensors\n  \
             caused by: no space left on device\nhelp: make room and resume\n"
        );
    }
}
