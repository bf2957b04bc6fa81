//! Files that are damaged or mean harm. Pickles are written out as their instructions.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tempfile::TempDir;
use vgg_tensor::Error;

use crate::weights::{Convention, WeightFile};
use crate::{Arch, Vgg};

/// A file made by PyTorch.
fn golden(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/weights");
    fs::read(folder.join(name)).unwrap()
}

struct Scratch {
    _folder: TempDir,
    path: PathBuf,
}

impl Scratch {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.pth");
        Self { _folder: folder, path }
    }

    /// Opens a file of these bytes and, if it opens, reads whatever network it has.
    fn open(&self, bytes: &[u8]) -> Result<WeightFile, Error> {
        fs::write(&self.path, bytes).unwrap();
        let file = WeightFile::open(&self.path)?;
        let convention = Convention::TORCHVISION;
        // A damaged shape may be that of some other network, or of none.
        if let Ok(vgg) = file.config(&Arch::Vgg11, &convention).and_then(|config| Vgg::new(&config))
        {
            file.params(&vgg, &convention)?;
        }
        Ok(file)
    }

    /// Why a file of these bytes is not read.
    fn refused(&self, bytes: &[u8]) -> String {
        let config = |file: WeightFile| file.config(&Arch::Vgg11, &Convention::TORCHVISION);
        match self.open(bytes).and_then(config) {
            Err(Error::Format { path, reason }) => {
                assert_eq!(path, self.path);
                reason
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A storage of two numbers in a legacy file, and a tensor of it with these arguments.
fn legacy(offset: &[u8], dims: &[u8], strides: &[u8]) -> Vec<u8> {
    let storage = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x02NtQ";
    let call = b"ctorch._utils\n_rebuild_tensor_v2\n(";
    let entry = [&call[..], storage, offset, dims, strides, b"\x89NtR"].concat();
    legacy_of(&[b"}X\x01\0\0\0w", &entry[..], b"s"].concat())
}

/// A legacy file whose pickle makes one value and has storage `0` of two numbers.
fn legacy_of(value: &[u8]) -> Vec<u8> {
    let start = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.";
    let system = b"\x80\x02}X\x0d\0\0\0little_endian\x88s.";
    let keys = b"\x80\x02]X\x01\0\0\x000a.";
    let count_and_numbers = [2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x3f, 0, 0, 0, 0x40];
    [&start[..], system, b"\x80\x02", value, b".", keys, &count_and_numbers].concat()
}

const ONE: &[u8] = b"K\x01\x85";
const TWO: &[u8] = b"K\x02\x85";

#[test]
fn a_file_written_out_by_hand_is_read() {
    let file = Scratch::new().open(&legacy(b"K\0", TWO, ONE)).unwrap();
    assert_eq!(file.tensors().collect::<Vec<_>>(), [("w", &[2][..])]);
    assert_eq!(file.source.numbers(&file.contents.tensors[0]).unwrap(), [1.0, 2.0]);
    let file = Scratch::new().open(&legacy(b"K\x01", ONE, TWO)).unwrap();
    assert_eq!(file.source.numbers(&file.contents.tensors[0]).unwrap(), [2.0]);
}

#[test]
fn nothing_is_run() {
    let scratch = Scratch::new();
    let system = b"cos\nsystem\nX\x09\0\0\0echo oops\x85R";
    let eval = b"cbuiltins\neval\nX\x03\0\0\x001+1\x85R";
    let protocol4 = b"\x8c\x05posix\x8c\x06system\x93X\x09\0\0\0echo oops\x85R";
    let module = b"ctorchvision.models.vgg\nVGG\n)\x81";
    let names = ["os.system", "builtins.eval", "posix.system", "torchvision.models.vgg.VGG"];
    for (value, name) in [&system[..], eval, protocol4, module].into_iter().zip(names) {
        let expected = format!(
            "it asks to run `{name}`: this file is not only weights, as of a `state_dict()`; nothing was run"
        );
        assert_eq!(scratch.refused(&legacy_of(value)), expected);
        // In the first pickle, or in a pickle alone, as well.
        assert_eq!(scratch.refused(&[b"\x80\x02", value, b"."].concat()), expected);
    }
    // Instructions that make instances.
    for code in [&b"(ios\nsystem\n"[..], b"(cos\nsystem\no", b"cos\nsystem\n)}\x92"] {
        let reason = scratch.refused(&legacy_of(code));
        assert!(reason.starts_with("it asks to run `os.system`: "), "{reason}");
    }
    let ext = scratch.refused(&legacy_of(b"\x82\x01"));
    assert_eq!(ext, "its pickle has the instruction EXT (0x82), which weights lack");
    // What is known may not be called otherwise.
    let storage = b"ctorch\nFloatStorage\n)R";
    assert_eq!(
        scratch.refused(&legacy_of(storage)),
        "its pickle calls Storage(F32) with 0 arguments"
    );
    let long = [b"c", &[b'a'; 1000][..], b"\nb\x1b\n"].concat();
    assert!(scratch.refused(&legacy_of(&long)).len() < 200);
}

/// A legacy file of a dictionary: of the tensor `w`, and of what `entries` add to it.
fn with_entries_beside(entries: &[u8]) -> Vec<u8> {
    let file = legacy(b"K\0", TWO, ONE);
    let start = file.windows(7).position(|w| w == b"X\x01\0\0\0wc").unwrap() - 1;
    let end = file.windows(4).position(|w| w == b"tRs.").unwrap() + 3;
    legacy_of(&[&file[start..end], entries].concat())
}

#[test]
fn what_is_beside_the_weights_is_left_aside() {
    let scratch = Scratch::new();
    let to_owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let names =
        |file: &WeightFile| file.tensors().map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
    let cases: [(&[u8], &[&str]); 7] = [
        (b"cos\nsystem\nX\x04\0\0\0oops\x85R", &["os.system"]),
        // An instance with attributes, made as protocol 2 and as Python 2 make it.
        (b"cargparse\nNamespace\n)\x81}X\x01\0\0\0aK\x01sb", &["argparse.Namespace"]),
        (b"(icollections\nCounter\n}b", &["collections.Counter"]),
        // Calls of what a call made, a set, bytes, a number of 136 bits, and texts and values dropped.
        (b"cbuiltins\ngetattr\n)R)R", &["builtins.getattr"]),
        (b"\x8f(K\x01K\x02\x90", &[]),
        (b"C\x02ab0B\x01\0\0\0c", &[]),
        (b"\x8a\x11\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01", &[]),
    ];
    for (value, asks) in cases {
        let file = with_entries_beside(&[b"X\x01\0\0\0x", value, b"s"].concat());
        let file = scratch.open(&file).unwrap();
        assert_eq!((names(&file), file.asks()), (vec!["w".to_owned()], &to_owned(asks)[..]));
    }
    // A list of networks, and a tensor that is none of a network's kind.
    let file = with_entries_beside(b"");
    let dict = file.windows(7).position(|w| w == b"X\x01\0\0\0wc").unwrap() - 1;
    let end = file.windows(4).position(|w| w == b"tRs.").unwrap() + 3;
    let list = legacy_of(&[b"](", &file[dict..end], b"}e"].concat());
    assert_eq!(names(&scratch.open(&list).unwrap()), ["0.w"]);
    let sparse = b"X\x11\0\0\0features.0.weightctorch._utils\n_rebuild_sparse_tensor\n)Rs";
    assert_eq!(
        scratch.refused(&with_entries_beside(sparse)),
        "it asks to run `torch._utils._rebuild_sparse_tensor`: it has a tensor of a kind that no \
         network here has; nothing was run"
    );
}

#[test]
fn tensors_stay_within_their_storage() {
    let scratch = Scratch::new();
    let huge = b"\x8a\x06\xff\xff\xff\xff\xff\x7f\x8a\x06\xff\xff\xff\xff\xff\x7f\x86";
    type Case<'a> = (&'a [u8], &'a [u8], &'a [u8], &'a str);
    let cases: [Case<'_>; 8] = [
        (
            b"K\x01",
            TWO,
            ONE,
            "w has the shape [2], strides [1] and offset 1: beyond its storage of 2 numbers",
        ),
        (
            b"K\0",
            TWO,
            TWO,
            "w has the shape [2], strides [2] and offset 0: beyond its storage of 2 numbers",
        ),
        (b"J\xff\xff\xff\xff", ONE, ONE, "its pickle has a tensor with the offset -1"),
        (b"K\0", TWO, b"J\xff\xff\xff\xff\x85", "its pickle has a tensor with the stride -1"),
        (
            b"K\0",
            b"K\x02K\x02\x86",
            b"K\0K\x01\x86",
            "w has the shape [2, 2] with strides [0, 1], which repeats numbers: no parameter does",
        ),
        (
            b"K\0",
            huge,
            b"K\0K\0\x86",
            "w has the shape [140737488355327, 140737488355327], strides [0, 0] and offset 0: beyond its storage of 2 numbers",
        ),
        (b"K\0", TWO, b")", "w has the shape [2] and 0 strides"),
        (
            b"\x8a\x11\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01",
            ONE,
            ONE,
            "its pickle has a number where offset must be",
        ),
    ];
    for (offset, dims, strides, expected) in cases {
        assert_eq!(scratch.refused(&legacy(offset, dims, strides)), expected);
    }
    let long = [b"(", &b"K\x01".repeat(9)[..], b"t"].concat();
    assert_eq!(
        scratch.refused(&legacy(b"K\0", &long, &long)),
        "its pickle has a tensor of 9 dimensions"
    );
}

#[test]
fn pickles_take_memory_by_their_length() {
    let scratch = Scratch::new();
    // Lists in lists, a million deep: a recursive reader, or one that frees recursively, overflows.
    let deep = [&b"]".repeat(1 << 20)[..], &b"a".repeat((1 << 20) - 1)].concat();
    let reason = scratch.refused(&legacy_of(&deep));
    assert_eq!(reason, "it has a list where a state dictionary must be");
    // Pairs of the pair before, thirty of them: 2³⁰ values if they were copied.
    let mut bomb = b"K\x01K\x01\x86q\0".to_vec();
    (0..30).for_each(|_| bomb.extend(b"h\0h\0\x86q\0"));
    assert_eq!(
        scratch.refused(&legacy_of(&bomb)),
        "it has a tuple where a state dictionary must be"
    );
    // A list in itself, and a dictionary under its own key.
    assert!(scratch.refused(&legacy_of(b"]q\0h\0a")).starts_with("it has a list where"));
    let own = b"}q\0X\x0a\0\0\0state_dicth\0s";
    assert_eq!(scratch.refused(&legacy_of(own)), "it has no tensors, only: state_dict");
    // One that never ends.
    let endless = [&b"\x80\x02"[..], &b"N".repeat(5 << 20)].concat();
    assert_eq!(scratch.refused(&endless), "its pickle is cut short, or too long");
}

/// A text that the file has once can be the key of every tensor, and of every storage.
#[test]
fn long_texts_are_not_copied() {
    let scratch = Scratch::new();
    let text = |len: usize| {
        [&b"X"[..], &(len as u32).to_le_bytes(), &"é".repeat(len / 2).into_bytes()].concat()
    };
    let long = [&text(3_600_000)[..], b"q\x00"].concat();
    // As the key of a tensor in each dictionary of a list; copied, they are 100 GB.
    let file = legacy(b"K\0", TWO, ONE);
    let tensor = file.windows(12).position(|w| w == b"ctorch._util").unwrap();
    let end = file.windows(4).position(|w| w == b"tRs.").unwrap() + 2;
    let first = [b"}h\x00", &file[tensor..end], b"q\x01s"].concat();
    let dicts = b"}h\x00h\x01s".repeat(30_000);
    let tensors = [b"](", &long[..], &first, &dicts, b"e"].concat();
    let reason = scratch.refused(&legacy_of(&tensors));
    let expected = "no network's tensor has such a name: \"1.éééééé";
    assert!(reason.starts_with(expected) && reason.len() < 300, "{reason}");
    // As the keys of a dictionary without tensors.
    let nones = [b"}(", &long[..], b"N", &b"h\x00N".repeat(60_000), b"u"].concat();
    let reason = scratch.refused(&legacy_of(&nones));
    assert!(reason.starts_with("it has no tensors, only: é") && reason.len() < 500, "{reason}");
    // As the key of a storage.
    let at = file.windows(6).position(|w| w == b"X\x01\0\0\x000").unwrap();
    let start = file.windows(7).position(|w| w == b"X\x01\0\0\0wc").unwrap() - 1;
    let end = file.windows(4).position(|w| w == b"tRs.").unwrap() + 3;
    let storage = [&file[start..at], &text(1000), &file[at + 6..end]].concat();
    assert_eq!(
        scratch.refused(&legacy_of(&storage)),
        "its pickle has a storage with a key of 1000 bytes"
    );
}

#[test]
fn old_pickles_of_python_2_are_read() {
    let scratch = Scratch::new();
    // collections.OrderedDict([['w', Parameter(tensor)]]), with names as bytes.
    let file = legacy(b"K\0", TWO, ONE);
    let tensor = file.windows(12).position(|w| w == b"ctorch._util").unwrap();
    let end = file.windows(4).position(|w| w == b"tRs.").unwrap() + 2;
    let parameter =
        [b"ctorch.nn.parameter\nParameter\n", &file[tensor..end], b"\x85R\x88\x89}\x87b"];
    let pair = [b"]U\x01wa", &parameter.concat()[..], b"a"].concat();
    let dict = [b"ccollections\nOrderedDict\n]", &pair[..], b"a\x85R"].concat();
    let file = scratch.open(&legacy_of(&dict)).unwrap();
    assert_eq!(file.tensors().collect::<Vec<_>>(), [("w", &[2][..])]);
    assert_eq!(file.source.numbers(&file.contents.tensors[0]).unwrap(), [1.0, 2.0]);
}

/// Replaces the only place where `from` is.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let places: Vec<_> =
        (0..bytes.len()).filter(|place| bytes[*place..].starts_with(from)).collect();
    assert_eq!((places.len(), from.len()), (1, to.len()));
    let mut bytes = bytes.to_vec();
    bytes[places[0]..][..to.len()].copy_from_slice(to);
    bytes
}

#[test]
fn damaged_archives_are_told() {
    let scratch = Scratch::new();
    let zip = golden("zip.pth");
    for len in [30, 1000, zip.len() - 22, zip.len() - 1] {
        assert_eq!(scratch.refused(&zip[..len]), "its end is missing: it is cut short");
    }
    let big = replaced(&zip, b"little", b"biggie");
    assert_eq!(scratch.refused(&big), "its byte order is \"biggie\": only little is read");
    // TorchScript's programs are compressed, and so told before that is.
    let mut script = zip.clone();
    let (id, code) = (b"/.data/serialization_id", b"/code/__torch__/vggs.py");
    let places: Vec<usize> = (0..zip.len()).filter(|at| zip[*at..].starts_with(id)).collect();
    places.iter().for_each(|at| script[*at..at + code.len()].copy_from_slice(code));
    let before = &zip[..*places.last().unwrap()];
    let entry = before.windows(4).rposition(|w| w == b"PK\x01\x02").unwrap();
    script[entry + 10] = 8;
    let said = "a program of TorchScript, which is not read: save its weights";
    assert!(scratch.refused(&script).starts_with(said));
    let npz = [&zip[..30], &zip[zip.len() - 22..]].concat();
    let empty = [&npz[..40], &[0; 12]].concat();
    assert_eq!(
        scratch.refused(&empty),
        "a zip archive, but none of torch.save or Keras: it has no data.pkl and no model.weights.h5"
    );
    assert_eq!(scratch.refused(&npz), "it is damaged or cut short");
    // The directory's entry of the first storage; its name is there and before its bytes.
    let start = zip.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    let name = start + zip[start..].windows(8).position(|w| w.ends_with(b"/data/0")).unwrap();
    let mut other = zip.clone();
    other[name + 7] = b'x';
    assert_eq!(scratch.refused(&other), "its entry data/0 is missing");
}

#[test]
fn checksums_that_are_there_are_compared() {
    let (scratch, zip) = (Scratch::new(), golden("zip.pth"));
    let directory = zip.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    // A bit of a number; the first storage's entry ends before the second one's header.
    let name = zip.windows(7).position(|w| w == b"/data/1").unwrap();
    let mut other = zip.clone();
    other[name - 60] ^= 1;
    let expected = "features.0.weight is damaged: its entry's checksum does not match";
    assert_eq!(scratch.refused(&other), expected);
    // An archive may be written without them, as zeros.
    let without = with_entries(&other, "", |entry| entry[16..20].fill(0));
    assert!(scratch.open(&without).is_ok());
    // The pickle's are compared before it is read.
    let pickle = zip.windows(8).position(|w| w == b"data.pkl").unwrap();
    let text =
        pickle + zip[pickle..directory].windows(5).position(|w| w == b"cpuq\x07").unwrap_or(99);
    let mut other = zip;
    other[text] ^= 1;
    assert_eq!(scratch.refused(&other), "its pickle is damaged: its checksum does not match");
}

/// Changes each entry of the directory whose name ends so: its 46 bytes and name are given.
fn with_entries(zip: &[u8], end: &str, change: impl Fn(&mut [u8])) -> Vec<u8> {
    let mut zip = zip.to_vec();
    let mut at = zip.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    while zip[at..].starts_with(b"PK\x01\x02") {
        let len = |i: usize| usize::from(u16::from_le_bytes([zip[at + i], zip[at + i + 1]]));
        let (name, rest) = (len(28), len(30) + len(32));
        let entry = &mut zip[at..at + 46 + name];
        if entry.ends_with(end.as_bytes()) {
            change(entry);
        }
        at += 46 + name + rest;
    }
    zip
}

#[test]
fn archives_that_can_be_read_in_two_ways_are_told() {
    let (scratch, zip) = (Scratch::new(), golden("zip.pth"));
    // A storage that lies where the pickle does.
    let overlapping = with_entries(&zip, "/data/0", |entry| entry[42..46].fill(0));
    let expected = "the zip archive is damaged: entries of it overlap";
    assert_eq!(scratch.refused(&overlapping), expected);
    let twice = with_entries(&zip, "/data/1", |entry| *entry.last_mut().unwrap() = b'0');
    let reason = scratch.refused(&twice);
    assert!(reason.starts_with("the zip archive is damaged: it has \""), "{reason}");
    assert!(reason.ends_with("/data/0\" twice"), "{reason}");
    // Of a dictionary, Python would take the last value.
    let file = legacy(b"K\0", TWO, ONE);
    let pair = file.windows(7).position(|w| w == b"X\x01\0\0\0wc").unwrap();
    let end = file.windows(4).position(|w| w == b"tRs.").unwrap() + 3;
    let twice = [&file[..end], &file[pair..end], &file[end..]].concat();
    assert_eq!(scratch.refused(&twice), "it has w twice");
}

/// An archive of empty entries.
fn archive(names: &[&str]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for name in names {
        let (start, len) = (bytes.len() as u32, name.len() as u16);
        bytes.extend(b"PK\x03\x04".iter().chain(&[0; 22]).chain(&len.to_le_bytes()));
        bytes.extend([0; 2].iter().chain(name.as_bytes()));
        directory.extend(b"PK\x01\x02".iter().chain(&[0; 24]).chain(&len.to_le_bytes()));
        directory.extend([0; 12].iter().chain(&start.to_le_bytes()).chain(name.as_bytes()));
    }
    let [start, len] = [bytes.len(), directory.len()].map(|n| (n as u32).to_le_bytes());
    [&bytes[..], &directory, b"PK\x05\x06", &[0; 8], &len, &start, &[0; 2]].concat()
}

#[test]
fn of_several_pickles_none_is_taken() {
    let scratch = Scratch::new();
    let several = archive(&["b/data.pkl", "a/data.pkl"]);
    assert_eq!(
        scratch.refused(&several),
        "it has \"a/data.pkl\" and \"b/data.pkl\", where torch.save writes one"
    );
    let reason = scratch.refused(&archive(&["a/data.pkl"]));
    assert!(reason.starts_with("its pickle "), "{reason}");
}

#[test]
fn other_kinds_of_tensors_are_told() {
    let calls = [
        ("torch._utils", "_rebuild_sparse_tensor"),
        ("torch._utils", "_rebuild_qtensor"),
        ("torch", "ComplexFloatStorage"),
    ];
    for (module, name) in calls {
        let reason = Scratch::new().refused(&legacy_of(format!("c{module}\n{name}\n").as_bytes()));
        let expected = format!(
            "it asks to run `{module}.{name}`: it has a tensor of a kind that no network here has; \
             nothing was run"
        );
        assert_eq!(reason, expected);
    }
}

#[test]
fn damaged_legacy_files_are_told() {
    let scratch = Scratch::new();
    let file = legacy(b"K\0", TWO, ONE);
    assert_eq!(
        scratch.refused(&file[..file.len() - 1]),
        "the file ends within its storage \"0\": it is cut short"
    );
    let count = file.len() - 16;
    let mut other = file.clone();
    other[count] = 3;
    assert_eq!(
        scratch.refused(&other),
        "its storage \"0\" has another length than its tensors say"
    );
    assert_eq!(
        scratch.refused(&replaced(&file, b"little_endian\x88", b"little_endian\x89")),
        "its byte order is not little-endian, which alone is read"
    );
    assert_eq!(
        scratch.refused(&replaced(&file, b"M\xe9\x03", b"M\xea\x03")),
        "its protocol is not 1001, the only one known"
    );
    assert_eq!(scratch.refused(b"\x80\x02K\x01."), "a pickle, but none of torch.save");
    // A dictionary of NumPy's arrays.
    let arrays = b"\x80\x02}X\x01\0\0\0acnumpy.core.multiarray\n_reconstruct\n)Rs.";
    assert_eq!(
        scratch.refused(arrays),
        "a pickle, but none of torch.save: it asks to run `numpy.core.multiarray._reconstruct`: its \
         arrays are NumPy's, which are not read: write them to safetensors; nothing was run"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever happens to a file, it is read or refused.
    #[test]
    fn no_damage_panics(
        name in prop::sample::select(vec![
            "zip.pth", "legacy.pth", "training_legacy.pth", "protocol4.pth", "timm.safetensors",
            "script2.pth", "script5.pth", "whole.pth", "whole_legacy.pth",
        ]),
        // Half of the damage hits the pickles, headers and directories, not the numbers.
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4), 1..6),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let mut bytes = golden(name);
        let len = bytes.len();
        for (place, byte, part) in places {
            let place = match part {
                0 => place.index(len),
                1 => len - 1 - place.index(2400),
                _ => place.index(3000),
            };
            bytes[place] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(len));
        }
        let _ = Scratch::new().open(&bytes);
    }
}
