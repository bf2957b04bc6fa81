//! Train, evaluate and use VGG networks: the program.
//!
//! [`cli`] and [`config`] say what to do, [`device`] chooses the backend, [`start`] sets a run up,
//! [`mod@train`] has the loop, [`run_dir`] is where its results go, and [`exit`] is how it ends.
//! [`profile`] times the operations of a step instead.
//! Results go to standard output, all else through [`ui`] to standard error.
#![forbid(unsafe_code)]

mod background;
mod checkpoint_writer;
mod cli;
mod config;
mod data;
mod device;
mod doctor;
mod eval;
mod exit;
mod export;
mod extract;
mod file;
mod guard;
mod import;
mod lines;
mod log;
mod memory;
mod metrics;
mod network;
mod predict;
mod print;
mod profile;
mod progress;
mod report;
mod resume;
mod run_dir;
mod signals;
mod start;
mod stored;
mod summary;
mod table;
mod train;
mod ui;
mod views;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use clap::Parser as _;

use cli::{Cli, Command, DataCommand, Settings};
use config::Override;
use exit::Code;
use import::ImportOptions;
use log::Log;
use run_dir::{CONFIG, RunDir};
use start::{Start, Train};
use ui::Ui;

fn main() -> ExitCode {
    tell_of_bugs();
    let mut cli = Cli::parse();
    let command = cli.take_command();
    let ui = Ui::new(cli.output);
    let done =
        Log::start(cli.output.verbose).and_then(|log| run(&command, &cli.settings, &ui, &log));
    let code = done.unwrap_or_else(|error| {
        if exit::is_broken_pipe(&error) {
            return Code::Success;
        }
        tracing::error!("{}", exit::render(&error, false).trim_end());
        ui.error(&error);
        exit::code(&error)
    });
    ExitCode::from(code as u8)
}

fn run(command: &Command, settings: &Settings, ui: &Ui, log: &Log) -> Result<Code> {
    let overrides = settings.overrides();
    match command {
        Command::Train { config, .. }
        | Command::Summary { config }
        | Command::Import { options: ImportOptions { config: Some(config), .. }, .. }
            if settings.print_config =>
        {
            print_config(config, overrides)?;
        }
        Command::Resume { run }
        | Command::Predict { run, .. }
        | Command::Extract { run, .. }
        | Command::Export { run, .. }
            if settings.print_config =>
        {
            print_config(&run.join(CONFIG), overrides)?;
        }
        Command::Eval { runs, .. } if settings.print_config => {
            // The first run has the images.
            print_config(&runs[0].join(CONFIG), overrides)?;
        }
        Command::Train { config, profile } => match &profile.trace {
            Some(trace) => profile::command(config, overrides, trace, ui)?,
            None => return train(config, overrides, &settings.out, ui, log),
        },
        Command::Resume { run } => return resume::command(run, overrides, ui, log),
        Command::Eval { runs, network, views, confusion, json } => {
            let (network, json, confusion) = (*network, *json, confusion.as_deref());
            let request = eval::Request { runs, network, views, confusion, json };
            eval::command(&request, &overrides, ui)?;
        }
        Command::Predict { run, files, network, json, top } => {
            let request =
                predict::Request { run, files, network: *network, top: *top, json: *json };
            predict::command(&request, &overrides, ui)?;
        }
        Command::Extract { run, files, options } => {
            extract::command(run, files, options, &overrides, ui)?;
        }
        Command::Import { file, options } => import::command(file, options, overrides, ui)?,
        Command::Export { run, options } => export::command(run, options, ui)?,
        Command::Data(DataCommand::Check { dir }) => return data::check(dir, ui),
        Command::Data(DataCommand::Stats { dir, channels, images }) => {
            data::statistics(dir, *channels, *images, ui)?;
        }
        Command::Doctor { json } => doctor::command(overrides, &settings.out, *json)?,
        Command::Summary { config } => {
            summary::command(&data::load_noted(config, overrides, ui)?.config)?;
        }
    }
    Ok(Code::Success)
}

/// A panic is never the user's doing.
fn tell_of_bugs() {
    let no_bug = Arc::new(AtomicBool::new(true));
    signals::leave_without_memory(no_bug.clone());
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        no_bug.store(false, Ordering::Relaxed);
        default(panic);
        let version = env!("CARGO_PKG_VERSION");
        let _ = writeln!(
            std::io::stderr(),
            "this is a bug in vgg-train {version}; please report it with the lines above"
        );
    }));
}

fn print_config(path: &Path, overrides: Vec<Override>) -> Result<()> {
    print::lines(config::load(path, overrides)?.effective().lines())
}

fn train(path: &Path, overrides: Vec<Override>, out: &Path, ui: &Ui, log: &Log) -> Result<Code> {
    let loaded = data::load_noted(path, overrides, ui)?;
    let config = &loaded.config;
    let create = || {
        let run = RunDir::create(out, &config.name)?;
        run.write(CONFIG, &loaded.effective())?;
        Ok(run)
    };
    device::run(&config.device, Train { config, ui, log, start: Start::New(&create) })
}
