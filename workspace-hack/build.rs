//! Without a build script there are no build dependencies.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
}
