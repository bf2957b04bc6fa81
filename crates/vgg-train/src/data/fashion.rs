//! Fashion-MNIST, fetched if it is not there.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use vgg_data::fashion_mnist::{self, Split};
use vgg_data::fetch::{Fetch, Source};
use vgg_data::{Images, data_dir, sample};

use crate::config::{self, DatasetName};
use crate::failure::{Code, Failure};
use crate::terminal::fetching;
use crate::terminal::ui::Ui;

/// The name of the data set, and its images to train and to test on.
pub(super) fn open(config: &config::Data, ui: &Ui) -> Result<(String, [Images; 2])> {
    let is_sample = config.dataset == DatasetName::FashionMnistSample;
    let name = config.called();
    let load = |split| match is_sample {
        true => sample::load(split),
        false => fashion_mnist::load(&folder(config), split),
    };
    let load_both = || Ok([load(Split::Train)?, load(Split::Test)?].map(Images::from));
    let images = load_both()
        .or_else(|error| match is_sample {
            true => Err(error),
            false => fetch(config, ui).and_then(|()| load_both()),
        })
        .with_context(|| {
            let failure = Failure::new(Code::Data, format!("cannot load {name}"));
            match config.download {
                true => failure,
                false => {
                    failure.help("they are fetched without --offline and data.download = false")
                }
            }
        })?;
    Ok((name.into(), images))
}

/// The folder of its files.
pub(crate) fn folder(config: &config::Data) -> PathBuf {
    fashion_mnist::folder(&data_dir(config.dir.as_deref(), checkout_data().as_deref()))
}

/// `data` in the checkout of this workspace that encloses the current folder.
fn checkout_data() -> Option<PathBuf> {
    let current = std::env::current_dir().ok()?;
    let root = current.ancestors().find(|dir| dir.join("crates/vgg-train/Cargo.toml").is_file())?;
    // Shown to the user, `data` reads better than the same folder spelled from the root.
    Some(if root == current { "data".into() } else { root.join("data") })
}

fn fetch(config: &config::Data, ui: &Ui) -> vgg_tensor::Result<()> {
    let sources = Source::all_and_package(None, !config.download);
    let fetch = Fetch::fashion_mnist(folder(config), sources);
    fetch.run(&mut fetching::told(ui)).map(drop)
}
