//! `cargo xtask fetch-data`: the verified data set in its folder.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use vgg_data::fashion_mnist;
use vgg_data::fetch::{Event, Fetch, Outcome, Source};

use crate::checkout::data_dir;
use crate::status;

/// A download shows at most one line in this time.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// Fetch Fashion-MNIST and verify it; a second run only verifies.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder of the data sets [default: `data` in the checkout; env: VGG_DATA_DIR]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// Folder that has the four files already, compressed or not
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,

    /// Use no network
    #[arg(long, env = "VGG_OFFLINE", value_parser = clap::builder::FalseyValueParser::new())]
    offline: bool,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let start = Instant::now();
    let dir = fashion_mnist::folder(&data_dir(args.data_dir.as_deref()));
    let fetch = Fetch::fashion_mnist(dir.clone(), Source::all_and_package(args.from, args.offline));
    let mut last_progress = start;
    let outcome = fetch.run(&mut |event| {
        if matches!(event, Event::Progress { .. }) {
            if last_progress.elapsed() < PROGRESS_INTERVAL {
                return;
            }
            last_progress = Instant::now();
        }
        status(event.verb(), event);
    })?;
    match outcome {
        Outcome::UpToDate => status("Up to date", dir.display()),
        Outcome::Fetched(files) => {
            let (plural, seconds) =
                (if files == 1 { "" } else { "s" }, start.elapsed().as_secs_f64());
            status("Finished", format_args!("{files} file{plural} in {seconds:.1} s"));
        }
    }
    Ok(())
}
