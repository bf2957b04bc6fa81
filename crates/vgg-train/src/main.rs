//! Train, evaluate and use VGG networks: the program.
//!
//! Its rooms, each of which knows those below it and none above: [`cli`], the command line;
//! [`commands`], what it can be asked to do; [`watch`], a live page of runs; [`training`]; [`report`]s
//! of what came out; the [`reporters`] that training tells how it goes; [`passes`] of images through
//! networks; [`data`]; the [`machine`]; the folder of a [`run`]; the [`config`]; [`scores`];
//! [`drawing`]s; the [`terminal`].
//! Results go to standard output, all else to standard error.
#![forbid(unsafe_code)]

mod cli;
mod commands;
mod config;
mod data;
mod drawing;
mod failure;
mod machine;
mod passes;
mod report;
mod reporters;
mod run;
mod scores;
mod signals;
mod terminal;
mod training;
mod version;
mod watch;

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cli::Cli;
use failure::Code;
use terminal::error::render;
use terminal::log::{Log, SAID};
use terminal::print::ReaderGone;
use terminal::ui::Ui;
use version::VERSION;

fn main() -> ExitCode {
    vgg_cuda::start_again_without_stubs();
    tell_of_bugs();
    signals::survive_file_size_limit();
    let Cli { command, output } = Cli::of_process();
    let ui = Ui::new(output, command.progress());
    let done = Log::start(output.verbose).and_then(|log| command.run(&ui, &log));
    let code = done.unwrap_or_else(|error| {
        if error.is::<ReaderGone>() {
            return Code::Success;
        }
        tracing::error!(target: SAID, "{}", render(&error, false).trim_end());
        ui.error(&error);
        failure::code(&error)
    });
    ExitCode::from(code as u8)
}

/// A panic is never the user's doing, but for a damaged image's, which its decoder's caller tells of.
fn tell_of_bugs() {
    let no_bug = Arc::new(AtomicBool::new(true));
    signals::leave_without_memory(no_bug.clone());
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if vgg_data::is_panic_caught() {
            return;
        }
        no_bug.store(false, Ordering::Relaxed);
        default(panic);
        let _ = writeln!(
            std::io::stderr(),
            "this is a bug in vgg-train {VERSION}; please report it with the lines above"
        );
    }));
}
