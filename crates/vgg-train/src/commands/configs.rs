//! `configs`: the configs that are part of the program.

use std::path::Path;

use anyhow::Result;

use crate::config::{self, SHIPPED};
use crate::terminal::print;

/// Prints what there are.
pub(crate) fn list() -> Result<()> {
    print::lines(
        SHIPPED
            .iter()
            .flat_map(|shipped| [shipped.name.to_owned(), format!("    {}", shipped.about())]),
    )
}

/// Prints one.
pub(crate) fn show(name: &Path) -> Result<()> {
    print::lines(config::text(name)?.lines())
}
