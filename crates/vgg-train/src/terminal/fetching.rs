//! How a fetch is told.

use std::time::{Duration, Instant};

use vgg_data::fetch::Event;

use super::ui::Ui;

/// Progress of a download is shown this often.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// What a fetch tells what happens.
pub(crate) fn told(ui: &Ui) -> impl FnMut(&Event<'_>) {
    let mut shown = Instant::now();
    move |event| match event {
        Event::Progress { .. } if shown.elapsed() < PROGRESS_INTERVAL => {}
        Event::Progress { .. } => {
            shown = Instant::now();
            ui.status(event.verb(), &event.to_string());
        }
        _ => ui.status(event.verb(), &event.to_string()),
    }
}
