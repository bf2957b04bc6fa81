use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use vgg_kernels::Updates;

use super::assemble::{Resources, parse};
use super::signatures::{self, Signature};
use super::source::{self, Sources};

fn sources() -> Sources {
    Sources::read(&source::kernels_folder().join("src")).unwrap()
}

#[test]
fn every_source_is_a_module_and_its_ptx_is_fresh() {
    let sources = sources();
    let modules: Vec<&str> = vgg_kernels::MODULES.iter().map(|module| module.name).collect();
    let files: Vec<&str> = sources.modules.keys().map(String::as_str).collect();
    assert_eq!(modules, files, "vgg_kernels::MODULES against kernels/src/*.cu");
    for module in vgg_kernels::MODULES {
        assert!(
            module.ptx.starts_with(&sources.first_lines(module.name)),
            "{}.ptx is stale: run `cargo xtask build-kernels`",
            module.name
        );
    }
}

#[test]
fn ptx_has_the_kernels_of_the_table_and_no_others() {
    for module in vgg_kernels::MODULES {
        let entries: BTreeSet<&str> = module
            .ptx
            .lines()
            .filter_map(|line| line.strip_prefix(".visible .entry ")?.strip_suffix('('))
            .collect();
        let kernels: BTreeSet<&str> = module.kernels.iter().copied().collect();
        assert_eq!(kernels, entries, "{}", module.name);
    }
}

#[test]
fn signatures_are_those_of_the_sources() {
    let path = signatures::path(&source::kernels_folder());
    let file = signatures::file(&sources()).unwrap();
    assert!(
        fs::read_to_string(path).unwrap() == file,
        "signatures.rs is stale: run `cargo xtask build-kernels`"
    );
}

/// As another reader of the sources, the compiler, has understood them.
#[test]
fn ptx_has_the_parameters_of_the_signatures() {
    for (module, source) in &sources().modules {
        let ptx = vgg_kernels::MODULES.iter().find(|other| other.name == module).unwrap().ptx;
        let mut kernels: BTreeMap<&str, Vec<String>> =
            ptx.split(".visible .entry ").skip(1).map(kernel_of_ptx).collect();
        for Signature { name, parameters } in signatures::read(source).unwrap() {
            let parameters: Vec<String> =
                parameters.into_iter().map(|(_, of)| in_ptx(of)).collect();
            let names: Vec<String> = match name.strip_suffix('T') {
                Some(name) => ["f32", "bf16", "f16"].map(|of| format!("{name}{of}")).into(),
                None => vec![name],
            };
            let found: Vec<_> =
                names.iter().filter_map(|name| kernels.remove(name.as_str())).collect();
            assert!(!found.is_empty(), "{names:?}");
            assert!(found.iter().all(|found| *found == parameters), "{names:?}: {found:?}");
        }
        assert!(kernels.is_empty(), "without a signature: {kernels:?}");
    }
}

/// How PTX writes a parameter's type: a number's by itself, that of a table by its place in memory.
fn in_ptx(of: &str) -> String {
    match of {
        "Address" => "u64".into(),
        "Updates" => format!("align {} .b8 [{}]", align_of::<Updates>(), size_of::<Updates>()),
        of => of.into(),
    }
}

/// A kernel's name and its parameters' types, as [`in_ptx`] has them.
fn kernel_of_ptx(text: &str) -> (&str, Vec<String>) {
    let (name, rest) = text.split_once('(').unwrap();
    let (parameters, _) = rest.split_once(')').unwrap();
    let of = |line: &str| {
        let (of, name) = line.trim().trim_end_matches(',').rsplit_once(' ')?;
        let of = of.strip_prefix(".param .")?;
        let len = name.split_once('[').map_or(String::new(), |(_, len)| format!(" [{len}"));
        Some(of.to_owned() + &len)
    };
    (name, parameters.lines().filter_map(of).collect())
}

/// PTX 8.0 is loaded by drivers from 525 on, code for sm_75 by all GPUs from Turing on.
#[test]
fn ptx_is_for_old_drivers_and_gpus() {
    for module in vgg_kernels::MODULES {
        let target = if module.name.ends_with("_sm80") { "sm_80" } else { "sm_75" };
        let promises =
            ["\n.version 8.0\n", &format!("\n.target {target}\n"), "\n.address_size 64\n"];
        for promise in promises {
            assert_eq!(module.ptx.matches(promise).count(), 1, "{}: {promise:?}", module.name);
        }
        let block = format!(".maxntid {}, 1, 1", vgg_kernels::BLOCK);
        assert_eq!(module.ptx.matches(&block).count(), module.kernels.len(), "{}", module.name);
    }
}

#[test]
fn first_lines_change_with_source_and_headers() {
    let lines = sources().first_lines("sgd");
    let mut changed = sources();
    changed.modules.get_mut("sgd").unwrap().push(' ');
    assert_ne!(changed.first_lines("sgd"), lines);
    let mut changed = sources();
    changed.headers.get_mut("common.cuh").unwrap().push(' ');
    assert_ne!(changed.first_lines("sgd"), lines);
}

#[test]
fn reports_of_ptxas() {
    let report = "\
ptxas info    : 312 bytes gmem
ptxas info    : Compiling entry function 'a_f32' for 'sm_90'
ptxas info    : Function properties for a_f32
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 44 registers, used 1 barriers, 8192 bytes smem
ptxas info    : Compile time = 1.2 ms
ptxas info    : Compiling entry function 'b_f32' for 'sm_90'
ptxas info    : Function properties for b_f32
    16 bytes stack frame, 12 bytes spill stores, 16 bytes spill loads
ptxas info    : Used 255 registers
";
    let a = Resources { registers: 44, spilled_bytes: 0 };
    let b = Resources { registers: 255, spilled_bytes: 28 };
    assert_eq!(parse(report).unwrap(), [("a_f32".to_owned(), a), ("b_f32".to_owned(), b)]);
    assert_eq!(b.to_string(), "255+28B");
    assert!(parse("").is_err());
}
