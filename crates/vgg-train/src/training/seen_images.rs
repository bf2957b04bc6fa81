//! Which images a run has seen: the keys of a config that decide it, and when they may change.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};
use vgg_model::Progress;

use crate::config::Config;
use crate::failure::{Code, Failure};

/// When a key may change.
#[derive(Clone, Copy, Debug)]
enum Change {
    /// Never, and why.
    Never(&'static str),
    /// From an epoch to the next one.
    BetweenEpochs,
}

use Change::{BetweenEpochs, Never};

const TEST_SHORT_SIDE: &str = "data.test_short_side";
const FILES: &str = "data.files_sha256";
const ORIENTATION: &str = "data.orientation";
const DECODE: &str = "data.decode";
const HOLD_OUT: &str = "data.hold_out";
const SEEN: &str = "it would be tested on images that it was trained on";
const COMPARED: &str = "its epochs are compared by their tests";

const KEYS: [(&str, Change); 29] = [
    ("data.dataset", Never("it knows one data set")),
    (HOLD_OUT, Never(SEEN)),
    ("data.split", Never(SEEN)),
    ("data.test_part", Never(COMPARED)),
    ("data.test_limit", Never(COMPARED)),
    (TEST_SHORT_SIDE, Never(COMPARED)),
    (ORIENTATION, Never(COMPARED)),
    ("data.background", Never(COMPARED)),
    (DECODE, Never(COMPARED)),
    (FILES, BetweenEpochs),
    ("data.boxes_sha256", BetweenEpochs),
    ("data.skip_damaged", BetweenEpochs),
    ("data.sampler", BetweenEpochs),
    ("data.train_limit", BetweenEpochs),
    ("data.augment.short_side", BetweenEpochs),
    ("data.augment.random_crop", BetweenEpochs),
    ("data.augment.resized_crop", BetweenEpochs),
    ("data.augment.flip", BetweenEpochs),
    ("data.augment.pad_crop", BetweenEpochs),
    ("data.augment.rand_augment", BetweenEpochs),
    ("data.augment.trivial_augment_wide", BetweenEpochs),
    ("data.augment.color_jitter", BetweenEpochs),
    ("data.augment.color_shift", BetweenEpochs),
    ("data.augment.color_values", BetweenEpochs),
    ("data.augment.color_vectors", BetweenEpochs),
    ("data.augment.random_erasing", BetweenEpochs),
    ("data.augment.mixup", BetweenEpochs),
    ("data.augment.cutmix", BetweenEpochs),
    ("train.batch_size", BetweenEpochs),
];

/// The values of the keys that decide which images a run sees; part of a checkpoint.
///
/// None of them says where images are: a folder may move.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SeenImages(BTreeMap<String, Option<Value>>);

impl SeenImages {
    /// Those of a config.
    pub(crate) fn of(config: &Config) -> Self {
        let table = Table::try_from(config).expect("a config is a table of plain values");
        let value = |key: &str| {
            let mut path = key.split('.');
            let first = table.get(path.next()?)?;
            path.try_fold(first, |value, key| value.get(key)).cloned()
        };
        let value_of = |(key, _): &(&str, Change)| ((*key).to_owned(), value(key));
        let mut values: BTreeMap<_, _> = KEYS.iter().map(value_of).collect();
        if config.data.has_any_size() {
            // It may follow from another key.
            let side = config.data.test_short_side(config.model.image_size);
            values.insert(TEST_SHORT_SIDE.into(), Some((side as i64).into()));
        }
        Self(values)
    }

    /// Whether a run that has seen these images, as far as `progress`, can go on with `next`.
    ///
    /// # Errors
    /// A [`Failure`] with [`Code::Usage`] that names the key, its values and the reason.
    pub(crate) fn can_become(&self, next: &Self, progress: &Progress) -> Result<(), Failure> {
        let Progress { epoch, batch, step, .. } = *progress;
        for (key, change) in KEYS.iter().filter(|_| step > 0) {
            // What an older version did not know did not exist, but files were decoded somehow.
            let before = match *key {
                ORIENTATION => Some(Some("stored".into())),
                DECODE => Some(Some("full".into())),
                _ => None,
            };
            let was = self.0.get(*key).or(before.as_ref());
            let (Some(was), Some(is)) = (was, next.0.get(*key)) else { continue };
            let holds_out = self.0.get(HOLD_OUT).is_some_and(Option::is_some);
            let (reason, help) = match change {
                _ if was == is => continue,
                Never(reason) => ((*reason).to_owned(), "start a new run"),
                // Which images are held out depends on all there are.
                BetweenEpochs if *key == FILES && holds_out => (SEEN.into(), "start a new run"),
                BetweenEpochs if batch == 0 => continue,
                BetweenEpochs => (
                    format!("it is at step {batch} of epoch {}", epoch + 1),
                    "it can change between epochs, or in a new run",
                ),
            };
            let in_words = |value: &Option<Value>| {
                value.as_ref().map_or("not set".to_owned(), Value::to_string)
            };
            let (was, is) = (in_words(was), in_words(is));
            let message = format!("{key} was {was} and cannot become {is} in this run: {reason}");
            return Err(Failure::new(Code::Usage, message).help(help));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Override, without_file};

    fn seen(sets: &[&str]) -> SeenImages {
        let sets = sets.iter().map(|set| Override::parse(set).unwrap()).collect();
        SeenImages::of(&without_file("x", sets).unwrap().config)
    }

    const FOLDER: [&str; 2] = ["data.dataset=image-folder", "data.folder=a"];

    #[test]
    fn within_an_epoch_and_between_epochs() {
        let within = Progress { epoch: 1, batch: 2, step: 18, images: 64, ..Progress::default() };
        let between = Progress { epoch: 1, step: 16, ..Progress::default() };
        let none = seen(&[]);
        for set in [
            "data.train_limit=20",
            "data.augment.flip=true",
            "data.augment.mixup=0.2",
            "train.batch_size=127",
        ] {
            let key = set.split('=').next().unwrap();
            let error = none.can_become(&seen(&[set]), &within).unwrap_err();
            assert!(error.message.starts_with(key), "{}", error.message);
            assert!(error.message.ends_with("in this run: it is at step 2 of epoch 2"));
            none.can_become(&seen(&[set]), &between).unwrap();
        }
        for set in ["data.hold_out=9", "data.test_limit=9", "data.dataset=fashion-mnist-sample"] {
            for progress in [within, between] {
                assert!(none.can_become(&seen(&[set]), &progress).is_err(), "{set}");
            }
            none.can_become(&seen(&[set]), &Progress::default()).unwrap();
        }
        for set in ["train.epochs=90", "data.dir=b", "device.threads=3", "optimizer.lr=1"] {
            none.can_become(&seen(&[set]), &within).unwrap();
        }
    }

    #[test]
    fn what_follows_from_other_keys() {
        let between = Progress { epoch: 1, step: 16, ..Progress::default() };
        let folder = |sets: &[&str]| seen(&[&FOLDER, sets].concat());
        let jittered = "data.augment.short_side=[224, 256]";
        let error = folder(&[]).can_become(&folder(&[jittered]), &between).unwrap_err();
        assert_eq!(
            error.message,
            "data.test_short_side was 224 and cannot become 240 in this run: its epochs are compared \
             by their tests"
        );
        let fixed = "data.test_short_side=224";
        folder(&[]).can_become(&folder(&[jittered, fixed]), &between).unwrap();
        folder(&[]).can_become(&folder(&["data.folder=b"]), &between).unwrap();

        let files = "data.files_sha256=ab";
        folder(&[]).can_become(&folder(&[files]), &between).unwrap();
        let held_out = "data.hold_out=9";
        assert!(folder(&[held_out]).can_become(&folder(&[held_out, files]), &between).is_err());
    }

    #[test]
    fn a_checkpoint_keeps_them_and_an_older_one_may_lack_some() {
        let seen = seen(&["data.hold_out=9", "data.augment.mixup=0.1"]);
        let mut json = serde_json::to_value(&seen).unwrap();
        assert_eq!(serde_json::from_value::<SeenImages>(json.clone()).unwrap(), seen);
        json.as_object_mut().unwrap().retain(|key, _| key != "data.augment.mixup");
        let older: SeenImages = serde_json::from_value(json.clone()).unwrap();
        let within = Progress { batch: 2, step: 2, ..Progress::default() };
        older.can_become(&seen, &within).unwrap();
        json.as_object_mut().unwrap().retain(|key, _| key != "data.orientation");
        let older: SeenImages = serde_json::from_value(json).unwrap();
        let error = older.can_become(&seen, &within).unwrap_err().message;
        let told = "data.orientation was \"stored\" and cannot become \"exif\" in this run: ";
        assert!(error.starts_with(told), "{error}");
    }
}
