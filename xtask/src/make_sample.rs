//! `cargo xtask make-sample`: the few images that live in the repository, chosen anew from the
//! whole data set. The result is always the same.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use flate2::{Compression, write::GzEncoder};
use vgg_data::fashion_mnist::{self, Split};
use vgg_data::{idx, sample};

use crate::checkout::{self, data_dir};
use crate::status;

/// Write the sample images of crates/vgg-data/sample anew
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder of the data sets [default: `data` in the checkout; env: VGG_DATA_DIR]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let dir = fashion_mnist::folder(&data_dir(args.data_dir.as_deref()));
    let sample_dir = checkout::root().join("crates/vgg-data/sample");
    for (split, prefix, len) in
        [(Split::Train, "train", sample::TRAIN_LEN), (Split::Test, "t10k", sample::TEST_LEN)]
    {
        let chosen = fashion_mnist::load(&dir, split)
            .context("the whole data set is needed: cargo xtask fetch-data")?
            .take(len);
        let [_, h, w] = chosen.image_shape();
        let labels: Vec<u8> = chosen.labels().iter().map(|&label| label as u8).collect();
        let images = idx::encode_images(h, w, chosen.pixels());
        write_gz(&sample_dir.join(format!("{prefix}-images-idx3-ubyte.gz")), &images)?;
        write_gz(
            &sample_dir.join(format!("{prefix}-labels-idx1-ubyte.gz")),
            &idx::encode_labels(&labels),
        )?;
    }
    Ok(())
}

fn write_gz(path: &Path, contents: &[u8]) -> Result<()> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(contents)?;
    fs::write(path, encoder.finish()?).with_context(|| path.display().to_string())?;
    status("Wrote", path.display());
    Ok(())
}
