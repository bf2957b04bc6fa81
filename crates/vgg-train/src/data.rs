//! The images of a run, fetched if they are not there.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use vgg_data::fashion_mnist::{self, Split};
use vgg_data::fetch::{Event, Fetch, Source};
use vgg_data::{Dataset, data_dir, sample};

use crate::config::{self, DatasetName};
use crate::exit::{Code, Failure};
use crate::ui::{Ui, grouped};

/// Progress of a download is shown this often.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// What is trained on and what is tested on.
#[derive(Clone, Debug)]
pub(crate) struct Data {
    pub train: Arc<Dataset>,
    pub test: Dataset,
}

/// Loads the data set of a config.
///
/// # Errors
/// With [`Code::Data`]; the message says what was tried and what to do.
pub(crate) fn open(config: &config::Data, ui: &Ui) -> Result<Data> {
    let name = match config.dataset {
        DatasetName::FashionMnist => "fashion-mnist",
        DatasetName::FashionMnistSample => "fashion-mnist-sample",
    };
    let load = |split| match config.dataset {
        DatasetName::FashionMnist => fashion_mnist::load(&folder(config), split),
        DatasetName::FashionMnistSample => sample::load(split),
    };
    let load_both = || Ok((load(Split::Train)?, load(Split::Test)?));
    let (train, test) = load_both()
        .or_else(|error| match config.dataset {
            DatasetName::FashionMnist => fetch(config, ui).and_then(|()| load_both()),
            DatasetName::FashionMnistSample => Err(error),
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
    let limit = |data: Dataset, limit: Option<usize>| match limit {
        Some(n) => data.take(n),
        None => data,
    };
    let data = Data {
        train: Arc::new(limit(train, config.train_limit)),
        test: limit(test, config.test_limit),
    };
    let [c, h, w] = data.train.image_shape();
    let (train, test) = (grouped(data.train.len() as u64), grouped(data.test.len() as u64));
    let classes = data.train.classes().len();
    ui.status(
        "Dataset",
        &format!("{name}: {train} train, {test} test, {classes} classes, {c}×{h}×{w}"),
    );
    Ok(data)
}

pub(crate) fn folder(config: &config::Data) -> PathBuf {
    fashion_mnist::folder(&data_dir(config.dir.as_deref()))
}

fn fetch(config: &config::Data, ui: &Ui) -> vgg_tensor::Result<()> {
    let sources = Source::all(None, !config.download);
    let mut shown = Instant::now();
    Fetch::fashion_mnist(folder(config), sources)
        .run(&mut |event| match event {
            Event::Progress { .. } if shown.elapsed() < PROGRESS_INTERVAL => {}
            Event::Progress { .. } => {
                shown = Instant::now();
                ui.status(event.verb(), &event.to_string());
            }
            _ => ui.status(event.verb(), &event.to_string()),
        })
        .map(drop)
}
