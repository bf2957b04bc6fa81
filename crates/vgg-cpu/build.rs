//! Lets the crate know how it is optimised, of which the compiler tells it nothing.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let level = std::env::var("OPT_LEVEL").unwrap_or_default();
    println!("cargo:rustc-env=VGG_CPU_OPT_LEVEL={level}");
}
