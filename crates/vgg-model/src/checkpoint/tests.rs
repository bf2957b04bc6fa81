//! Round trips, damage, and writes that fail.

use std::io::{Seek, SeekFrom, Write};

use tempfile::TempDir;
use vgg_tensor::Error;

use super::*;
use crate::Init;

const NO_CHECKSUM: &str =
    "no checksum where a checkpoint has it: this is no checkpoint, or damaged";

fn config() -> VggConfig {
    VggConfig { width: 0.03, input: [1, 32, 32], classes: 3, fc_width: 5, ..VggConfig::default() }
}

fn checkpoint(seed: u64) -> Checkpoint {
    let vgg = Vgg::new(&config()).unwrap();
    Checkpoint {
        params: Params::init(&vgg, &Init::default(), seed).unwrap(),
        vgg: config(),
        input: Input {
            mean: vec![0.286041],
            std: vec![0.353024],
            ..Input::unnormalized(1, 28, 28)
        },
        classes: ["T-shirt/top", "\"quoted\"", "Mantel für Ölzeug"].map(String::from).to_vec(),
        moments: moments(&[Moment::Velocity], seed + 1000),
        unaveraged: None,
        progress: Progress {
            epoch: 3,
            batch: 17,
            step: 1424,
            seed: u64::MAX,
            loss_sum: 0.1 + 0.2,
            top1: 1900,
            iou_sum: 0.0,
            top5: 2100,
            images: 2176,
        },
        run: serde_json::json!({"best": {"epoch": 2, "accuracy": 0.87}, "list": [1, null]}),
    }
}

fn moments(kinds: &[Moment], seed: u64) -> Moments {
    let vgg = Vgg::new(&config()).unwrap();
    let params = |i: u64| Params::init(&vgg, &Init::default(), seed + i).unwrap();
    kinds.iter().zip(0..).map(|(kind, i)| (*kind, params(i))).collect()
}

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.safetensors");
    (folder, path)
}

fn names(folder: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(folder.path()).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn velocity_of(folder: &TempDir) -> PathBuf {
    let name = names(folder).into_iter().find(|name| name.contains("velocity")).unwrap();
    folder.path().join(name)
}

/// What the file of weights at `path` calls its velocity.
fn velocity_name(path: &Path) -> String {
    let (own, _) = tensor_file::read_own(path).unwrap();
    let header: Header = serde_json::from_str(&own.header).unwrap();
    header.velocity.unwrap().file
}

/// The message of a load that must be refused as badly formatted, without the file's name, which it
/// must begin with.
fn refused(path: &Path, blamed: &Path) -> String {
    match Checkpoint::load(path) {
        Err(Error::Format { path, reason }) => {
            assert_eq!(path, blamed);
            reason
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("{} was accepted", path.display()),
    }
}

#[test]
fn everything_comes_back_to_the_bit() {
    let (folder, path) = folder();
    let saved = checkpoint(1);
    saved.save(&path).unwrap();
    let loaded = Checkpoint::load(&path).unwrap();
    assert_eq!(loaded, saved);
    assert_eq!(loaded.progress.loss_sum.to_bits(), (0.1f64 + 0.2).to_bits());

    let averages = moments(&[Moment::Mean, Moment::Square], 7);
    let adamw = Checkpoint { moments: averages, ..saved };
    adamw.save(&path).unwrap();
    assert_eq!(Checkpoint::load(&path).unwrap(), adamw);
    // Of an optimiser that is left nothing remains.
    assert_eq!(names(&folder).len(), 3);

    let plain = Checkpoint { moments: Moments::new(), classes: vec![], ..adamw };
    plain.save(&path).unwrap();
    assert_eq!(Checkpoint::load(&path).unwrap(), plain);
    assert_eq!(names(&folder), ["last.safetensors"]);
}

#[test]
fn the_same_checkpoint_is_the_same_bytes() {
    let (folder_a, a) = folder();
    let (folder_b, b) = folder();
    checkpoint(1).save(&a).unwrap();
    checkpoint(1).save(&b).unwrap();
    assert_eq!(fs::read(&a).unwrap(), fs::read(&b).unwrap());
    assert_eq!(names(&folder_a), names(&folder_b));
}

#[test]
fn other_readers_take_the_weights() {
    let (_folder, path) = folder();
    let saved = checkpoint(1);
    saved.save(&path).unwrap();
    let bytes = fs::read(&path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.len(), 22);
    for (name, tensor) in saved.params.iter() {
        let view = file.tensor(name).unwrap();
        assert_eq!(view.shape(), tensor.dims());
        let expected: Vec<u8> = tensor.data().iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(view.data(), expected);
    }
}

#[test]
fn files_of_other_programs_load_as_weights() {
    let (_folder, path) = folder();
    let vgg = Vgg::new(&config()).unwrap();
    let params = checkpoint(1).params;
    let bytes: Vec<(&str, Vec<u8>, &[usize])> = params
        .iter()
        .map(|(name, tensor)| {
            let bytes = tensor.data().iter().flat_map(|x| x.to_le_bytes()).collect();
            (name, bytes, tensor.dims())
        })
        .collect();
    let write = |skip: usize| {
        let views = bytes.iter().skip(skip).map(|(name, bytes, dims)| {
            let dims = dims.to_vec();
            let f32s = safetensors::Dtype::F32;
            (*name, safetensors::tensor::TensorView::new(f32s, dims, bytes).unwrap())
        });
        safetensors::serialize_to_file(views, None, &path).unwrap();
    };
    write(0);
    assert_eq!(Params::load(&path, &vgg).unwrap(), params);
    assert_eq!(refused(&path, &path), NO_CHECKSUM);
    let refused = |vgg: &Vgg| Params::load(&path, vgg).unwrap_err().to_string();
    let name = path.display();
    let wider = Vgg::new(&VggConfig { fc_width: 7, ..config() }).unwrap();
    assert_eq!(
        refused(&wider),
        format!(
            "{name}: classifier.0.weight is [5, 15], but [7, 15] in the network: the file's network \
             has another width of hidden layers"
        )
    );
    // Without a checksum, the length must do.
    let whole = fs::read(&path).unwrap();
    for damaged in [&whole[..whole.len() - 1], &[&whole[..], b"\0"].concat()] {
        fs::write(&path, damaged).unwrap();
        assert!(refused(&vgg).contains(": its tensors should take "));
    }
    write(1);
    assert_eq!(
        refused(&vgg),
        format!("{name}: features.0.weight is missing: the file has 7 convolutions, the network 8")
    );
}

#[test]
fn a_flipped_byte_anywhere_is_found() {
    let (folder, path) = folder();
    checkpoint(1).save(&path).unwrap();
    let velocity = velocity_of(&folder);
    for file in [&path, &velocity] {
        let good = fs::read(file).unwrap();
        // All of the header, and the numbers in strides that meet every byte of a number.
        let header = 8 + usize::from_le_bytes(good[..8].try_into().unwrap());
        let places = (0..header).chain((header..good.len()).step_by(97)).chain([good.len() - 1]);
        for (i, place) in places.enumerate() {
            let poke = |byte: u8| {
                let mut file = fs::File::options().write(true).open(file).unwrap();
                file.seek(SeekFrom::Start(place as u64)).unwrap();
                file.write_all(&[byte]).unwrap();
            };
            poke(good[place] ^ 1 << (i % 8));
            let reason = refused(&path, file);
            assert!(reason.contains("checksum"), "byte {place}: {reason}");
            poke(good[place]);
        }
    }
    Checkpoint::load(&path).unwrap();
}

#[test]
fn a_file_cut_short_is_found() {
    let (_folder, path) = folder();
    checkpoint(1).save(&path).unwrap();
    let good = fs::read(&path).unwrap();
    for len in [50, 150, 900, good.len() - 1] {
        fs::write(&path, &good[..len]).unwrap();
        let reason = refused(&path, &path);
        assert_eq!(reason, "the checksum does not match: the file is damaged or cut short");
    }
    for (len, told) in [
        (0, "the file is empty"),
        (1, "neither a safetensors file nor one of torch.save or Keras, or damaged"),
        (8, "neither a safetensors file nor one of torch.save or Keras, or damaged"),
        (20, "not a safetensors file, or damaged: "),
    ] {
        fs::write(&path, &good[..len]).unwrap();
        assert_eq!(refused(&path, &path), NO_CHECKSUM);
        let error = Params::load(&path, &Vgg::new(&config()).unwrap()).unwrap_err().to_string();
        assert!(error.contains(&format!(": {told}")), "{error}");
    }
    let longer = [&good[..], b"\0"].concat();
    fs::write(&path, longer).unwrap();
    assert!(refused(&path, &path).contains("checksum does not match"));
}

#[test]
fn files_that_are_something_else_are_refused() {
    let (folder, path) = folder();
    let huge_header = [&u64::MAX.to_le_bytes()[..], b"{}"].concat();
    let texts = [&b"not tensors at all, but a text of some length"[..], &huge_header, b"\x89PNG"];
    for text in texts {
        fs::write(&path, text).unwrap();
        assert_eq!(refused(&path, &path), NO_CHECKSUM);
        let error = Params::load(&path, &Vgg::new(&config()).unwrap()).unwrap_err().to_string();
        assert!(error.contains("a safetensors file"), "{error}");
    }
    let missing = folder.path().join("missing.safetensors");
    assert!(matches!(Checkpoint::load(&missing), Err(Error::Io { path, .. }) if path == missing));
    assert!(matches!(Checkpoint::load(folder.path()), Err(Error::Io { .. })));
}

#[test]
fn the_velocity_must_be_the_one_that_belongs_to_the_weights() {
    let (folder, path) = folder();
    checkpoint(1).save(&path).unwrap();
    let velocity = velocity_of(&folder);
    let (other_folder, other) = self::folder();
    checkpoint(2).save(&other).unwrap();
    fs::copy(velocity_of(&other_folder), &velocity).unwrap();
    let reason = refused(&path, &velocity);
    assert_eq!(reason, format!("the checksum does not match the one in {}", path.display()));
    fs::remove_file(&velocity).unwrap();
    let reason = refused(&path, &velocity);
    assert_eq!(reason, format!("missing, but {} needs it to go on training", path.display()));
    let weights = Checkpoint::load_weights(&path).unwrap();
    assert_eq!(weights, Checkpoint { moments: Moments::new(), ..checkpoint(1) });
}

#[test]
fn saving_again_replaces_both_files_and_leaves_others_alone() {
    let (folder, path) = folder();
    let best = path.with_file_name("best.safetensors");
    checkpoint(1).save(&path).unwrap();
    checkpoint(1).save(&best).unwrap();
    fs::write(path.with_file_name("last.velocity-notes.safetensors"), "mine").unwrap();
    // What a killed process may have left.
    fs::write(path.with_file_name(".last.safetensors.tmp"), "half").unwrap();
    checkpoint(2).save(&path).unwrap();
    assert_eq!(names(&folder).len(), 5, "{:?}", names(&folder));
    assert_eq!(Checkpoint::load(&path).unwrap(), checkpoint(2));
    assert_eq!(Checkpoint::load(&best).unwrap(), checkpoint(1));
    // The same again: the velocity's file is already there.
    checkpoint(2).save(&path).unwrap();
    assert_eq!(Checkpoint::load(&path).unwrap(), checkpoint(2));
    Checkpoint { moments: Moments::new(), ..checkpoint(2) }.save(&path).unwrap();
    assert_eq!(names(&folder).iter().filter(|name| name.contains("velocity")).count(), 2);
}

#[test]
fn one_file_of_weights_has_two_names() {
    let (folder, path) = folder();
    let best = path.with_file_name("best.safetensors");
    checkpoint(1).save_also_as(Some(&best), &path).unwrap();
    assert_eq!(names(&folder).len(), 3, "{:?}", names(&folder));
    assert_eq!(fs::read(&best).unwrap(), fs::read(&path).unwrap());
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let inode = |path| fs::metadata(path).unwrap().ino();
        assert_eq!(inode(&best), inode(&path));
    }
    // It goes on when the other one does.
    checkpoint(2).save(&path).unwrap();
    assert_eq!(Checkpoint::load(&path).unwrap(), checkpoint(2));
    let weights = Checkpoint::load_weights(&best).unwrap();
    assert_eq!(weights, Checkpoint { moments: Moments::new(), ..checkpoint(1) });
    let reason = refused(&best, &path.with_file_name(velocity_name(&best)));
    assert_eq!(reason, format!("missing, but {} needs it to go on training", best.display()));
    checkpoint(3).save_also_as(Some(&best), &path).unwrap();
    assert_eq!(Checkpoint::load(&best).unwrap(), checkpoint(3));
}

/// A process that is killed between the two renames leaves a good file under a temporary name, too.
#[test]
fn what_a_killed_process_left_is_not_written_into() {
    let (_folder, path) = folder();
    let best = path.with_file_name("best.safetensors");
    checkpoint(1).save_also_as(Some(&best), &path).unwrap();
    for name in [".last.safetensors.tmp", ".best.safetensors.tmp"] {
        fs::hard_link(&best, path.with_file_name(name)).unwrap();
    }
    checkpoint(2).save(&path).unwrap();
    let weights = Checkpoint::load_weights(&best).unwrap();
    assert_eq!(weights, Checkpoint { moments: Moments::new(), ..checkpoint(1) });
    checkpoint(3).save_also_as(Some(&best), &path).unwrap();
    for path in [&best, &path] {
        assert_eq!(Checkpoint::load(path).unwrap(), checkpoint(3));
    }
}

#[test]
fn a_write_that_fails_leaves_the_old_checkpoint() {
    let (folder, path) = folder();
    checkpoint(1).save(&path).unwrap();
    let before = names(&folder);
    // A folder where a temporary file would go stands for a disk that takes no more.
    let best = path.with_file_name("best.safetensors");
    let temporary =
        [".last.velocity-new.safetensors.tmp", ".last.safetensors.tmp", ".best.safetensors.tmp"];
    for blocked in temporary {
        let blocked = path.with_file_name(blocked);
        fs::create_dir(&blocked).unwrap();
        let error = checkpoint(2).save_also_as(Some(&best), &path).unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
        // A save of the same velocity must not take the old checkpoint's away either.
        let same = Checkpoint { run: 1.into(), ..checkpoint(1) };
        assert!(same.save_also_as(Some(&best), &path).is_err());
        fs::remove_dir(&blocked).unwrap();
        assert_eq!(names(&folder), before);
        assert_eq!(Checkpoint::load(&path).unwrap(), checkpoint(1));
    }
    // Nor can a file replace a folder.
    let taken = path.with_file_name("taken.safetensors");
    fs::create_dir(&taken).unwrap();
    assert!(checkpoint(2).save(&taken).is_err());
    fs::remove_dir(&taken).unwrap();
    assert_eq!(names(&folder), before);
    assert!(checkpoint(2).save(&path.join("in a file")).is_err());
    assert!(checkpoint(2).save(Path::new("/")).is_err());
}

#[test]
fn checkpoints_that_could_not_be_loaded_are_not_saved() {
    let (folder, path) = folder();
    let save = |checkpoint: Checkpoint| checkpoint.save(&path).unwrap_err().to_string();
    let good = checkpoint(1);
    let message = save(Checkpoint { classes: vec!["one".into()], ..good.clone() });
    assert_eq!(message, "names of classes = 1, but it must be 3 or none");
    let progress = Progress { loss_sum: f64::NAN, ..good.progress };
    assert!(save(Checkpoint { progress, ..good.clone() }).starts_with("loss_sum = NaN"));
    let message = save(Checkpoint { vgg: VggConfig { fc_width: 7, ..config() }, ..good });
    assert_eq!(message, "classifier.0.weight is [5, 15], but [7, 15] in the network");
    assert!(names(&folder).is_empty());
}
