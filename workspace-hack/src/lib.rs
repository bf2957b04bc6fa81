//! Nothing but dependencies, with features, so that one build serves all commands.
//!
//! Cargo compiles a crate anew, and all that depend on it, where another command asks for other
//! features of it: without this, `cargo xtask` after `cargo run -p vgg-train` compiled `vgg-cpu`
//! again because of one feature of `log`. What starts a build (`vgg-train`, `xtask`, the tests and
//! examples of `vgg-model`) depends on this crate, the libraries do not: other programs get what
//! they ask for.
#![forbid(unsafe_code)]
