//! The files of a folder, and the folders of a crate, use each other in one direction: what lies
//! below can be read, tested and moved without what is built on it.
//!
//! A folder's own file (`mod.rs`, `lib.rs`) stands for the whole folder: it puts the others
//! together, and they may use what it defines for all of them.

mod modules;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use modules::{Module, Modules};

/// Who uses whom in a folder, each with the first place where it does.
type Edges = BTreeMap<(String, String), String>;

fn edges(modules: &Modules, folder: &Module) -> Edges {
    let part = |module: &Module| module.strip_prefix(&folder[..])?.first().cloned();
    let mut edges = Edges::new();
    for (module, names) in &modules.0 {
        for path in &names.paths {
            let to = modules.defining(module, path);
            if let (Some(from), Some(to)) = (part(module), to.and_then(|to| part(&to)))
                && from != to
            {
                edges.entry((from, to)).or_insert_with(|| place(&names.file, path));
            }
        }
    }
    edges
}

/// `FILE:LINE: PATH`, of the line in which the path's last name is first written.
fn place(file: &Path, path: &[String]) -> String {
    let text = fs::read_to_string(file).unwrap();
    let word = |c: char| !c.is_alphanumeric() && c != '_';
    let has = |line: &str| line.split(word).any(|it| Some(it) == path.last().map(|it| &**it));
    let line = text.lines().position(|line| !line.trim_start().starts_with("//") && has(line));
    format!("{}:{}: {}", file.display(), line.map_or(0, |at| at + 1), path.join("::"))
}

/// The edges from whose end their beginning can be reached.
fn on_circles(edges: &Edges) -> impl Iterator<Item = String> {
    let reached = |from| {
        let (mut reached, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(part) = next.pop() {
            let used = edges.keys().filter(|(user, _)| user == part).map(|(_, used)| used);
            next.extend(used.filter(|used| reached.insert(*used)));
        }
        reached
    };
    let on_circles = edges.iter().filter(move |((from, to), _)| reached(to).contains(from));
    on_circles.map(|((from, to), place)| format!("    {from} uses {to}: {place}\n"))
}

/// The circles of a crate in words; none where there are none.
fn circles(root: &Path) -> String {
    let modules = Modules::read(root);
    let folders: BTreeSet<&[String]> =
        modules.0.keys().filter_map(|module| module.split_last()).map(|(_, above)| above).collect();
    let mut told = String::new();
    for folder in folders {
        let circle: String = on_circles(&edges(&modules, &folder.to_vec())).collect();
        if !circle.is_empty() {
            told += &format!("{} {}:\n{circle}", root.display(), folder.join("/"));
        }
    }
    told
}

/// Every crate's `lib.rs` or `main.rs`.
fn roots() -> Vec<PathBuf> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folders = ["", "crates", "tests"].map(|of| fs::read_dir(top.join(of)).unwrap());
    let sources = folders.into_iter().flatten().map(|folder| folder.unwrap().path().join("src"));
    sources
        .flat_map(|src| ["lib.rs", "main.rs"].map(|root| src.join(root)))
        .filter(|root| root.exists())
        .collect()
}

#[test]
fn what_is_used_lies_below() {
    let (roots, mut told) = (roots(), String::new());
    assert!(roots.len() > 10, "{roots:?}");
    for root in roots {
        told += &circles(&root);
    }
    assert!(told.is_empty(), "who uses whom in a circle:\n{told}");
}

/// Through names in braces, re-exports and names of modules; not through tests.
#[test]
fn a_circle_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, code: &str| fs::write(folder.path().join(name), code).unwrap();
    write("lib.rs", "mod above;\nmod below;\nmod room;\npub use below::Ground;");
    write("above.rs", "use crate::{Ground as G, room};\nfn f() -> G { room::it() }");
    write("below.rs", "pub struct Ground;\n#[cfg(test)]\nmod tests {\n use crate::above;\n}");
    fs::create_dir(folder.path().join("room")).unwrap();
    write("room/mod.rs", "pub const WIDE: u32 = 1;\npub(in crate::above) fn it() {}");
    let root = folder.path().join("lib.rs");
    assert_eq!(circles(&root), "");

    write("room/mod.rs", "// above\nfn it() {\n    vec![crate::above::f::<u8>()]\n}");
    let [above, room] = ["above.rs", "room/mod.rs"].map(|file| folder.path().join(file));
    let told = [
        format!("{} :", root.display()),
        format!("    above uses room: {}:1: crate::room", above.display()),
        format!("    room uses above: {}:3: crate::above::f\n", room.display()),
    ];
    assert_eq!(circles(&root), told.join("\n"));
}
