//! The parts of a divided folder.

use super::*;

/// Which parts a folder has.
fn parts(names: &[&str]) -> std::result::Result<Vec<String>, String> {
    let dir = folders(names);
    let shown = |text: String| text.replace(&format!("{}/", dir.path().display()), "");
    match PartFolders::of(dir.path()) {
        Ok(Some(parts)) => {
            let shown = |(part, path): &(_, PathBuf)| shown(format!("{part} {}", path.display()));
            Ok(parts.all().iter().map(shown).collect())
        }
        Ok(None) => Ok(Vec::new()),
        Err(error) => Err(shown(error.to_string()).split_once(": ").unwrap().1.to_owned()),
    }
}

#[test]
fn parts_are_known_by_the_names_that_people_give_them() {
    for (train, test, part) in [
        ("train", "val", VAL),
        ("training", "testing", TEST),
        ("Train", "Test", TEST),
        ("train", "valid", VAL),
        ("TRAIN", "Validation", VAL),
        ("training", "dev", VAL),
    ] {
        let names = [format!("{train}/a"), format!("{test}/a")];
        let expected = [format!("train {train}"), format!("{part} {test}")];
        assert_eq!(parts(&names.each_ref().map(|name| &**name)).unwrap(), expected);
    }
    let all = parts(&["Test/a", "valid/a", "train/a", "annotations"]).unwrap();
    assert_eq!(all, ["train train", "val valid", "test Test"]);
    let twice = parts(&["train/a", "Train/a", "val/a"]).unwrap_err();
    assert_eq!(twice, "Train and train would both be the part train: move one of them elsewhere");
    let twice = parts(&["train/a", "val/a", "dev/a"]).unwrap_err();
    assert!(twice.starts_with("dev and val would both be the part val"), "{twice}");
}

/// Classes have any names.
#[test]
fn what_is_called_as_a_part_may_be_a_class() {
    for names in [
        &["valid/a", "invalid/a"][..],
        &["test", "dev", "spoon"],
        &["train", "car", "plane"],
        &["Train/steam", "Train/electric", "Car/red", "Car/blue"],
        &["training/a", "testbed/b"],
    ] {
        assert_eq!(parts(names).unwrap(), [""; 0], "{names:?}");
    }
    // These are none, and what is not there is told.
    assert_eq!(parts(&["train/a", "train/b"]).unwrap(), ["train train"]);
    assert_eq!(parts(&["train/a", "eval/a"]).unwrap(), ["train train"]);
    assert_eq!(parts(&["Train/a", "Train/b", "eval/a", "eval/b"]).unwrap(), ["train Train"]);
    assert_eq!(parts(&["val/a", "red/a"]).unwrap(), ["val val"]);
}

#[test]
fn what_a_divided_folder_lacks_is_told() {
    let told = |names: &[&str]| {
        let dir = folders(names);
        let parts = PartFolders::of(dir.path()).unwrap().unwrap();
        let of =
            |error: vgg_tensor::Error| error.to_string().split_once(": ").unwrap().1.to_owned();
        match parts.train() {
            Ok(_) => of(parts.tested_on(None).unwrap_err()),
            Err(error) => of(error),
        }
    };
    assert_eq!(told(&["train/a", "train/b"]), "it has train, but neither val nor test");
    let besides = "it has train, but neither val nor test (and besides docs, eval)";
    assert_eq!(told(&["train/a", "eval", "docs"]), besides);
    assert_eq!(told(&["val/a", "red"]), "it has val, but no train (and besides red)");
    let unlabelled = "it has Train, but neither val nor test; test has no folders of classes, so that nothing \
                      says what its images are";
    assert_eq!(told(&["Train/a", "test"]), unlabelled);
}

#[test]
fn each_part_can_be_tested_on() {
    let dir = folders(&["train/a", "train/b", "valid/a", "valid/b", "Test/a", "Test/b", "Test/c"]);
    fs::remove_dir_all(dir.path().join("Test/c")).unwrap();
    let open = |test_part| {
        let parts =
            arranged(&dir, &Arrangement { test_part, ..Arrangement::default() }, &options());
        parts.unwrap().iter().map(|(part, _)| *part).collect::<Vec<_>>()
    };
    assert_eq!([open(None), open(Some(VAL))], [[TRAIN, VAL], [TRAIN, VAL]]);
    assert_eq!(open(Some(TEST)), [TRAIN, TEST]);
    let all =
        Arrangement::default().open_all(dir.path(), &["a", "b"].map(String::from), &options());
    let all: Vec<_> = all.unwrap();
    assert_eq!(all.iter().map(|(part, _)| *part).collect::<Vec<_>>(), [TRAIN, VAL, TEST]);
    assert_eq!(all[2].1.name(1), Path::new("Test/b/a.png"));
    fs::remove_dir_all(dir.path().join("Test")).unwrap();
    let test = Arrangement { test_part: Some(TEST), ..Arrangement::default() };
    let error = arranged(&dir, &test, &options()).unwrap_err().to_string();
    assert!(error.ends_with("it has train and valid, but no test"), "{error}");
}

/// What parts are called is nothing that a run must know.
#[test]
fn the_names_of_parts_change_no_fingerprint() {
    let fingerprint = |names: &[&str]| {
        let parts = arranged(&folders(names), &Arrangement::default(), &options()).unwrap();
        fingerprint(parts.iter().map(|(_, part)| part))
    };
    let exact = fingerprint(&["train/a", "train/b", "val/a", "val/b"]);
    assert_eq!(exact, fingerprint(&["Training/a", "Training/b", "dev/a", "dev/b"]));
    assert_eq!(exact, fingerprint(&["train/a", "train/b", "val/a", "val/b", "test/c"]));
}
