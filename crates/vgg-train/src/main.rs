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
mod confusion;
mod curves;
mod data;
mod device;
mod doctor;
mod eval;
mod exit;
mod export;
mod extract;
mod fields;
mod file;
mod guard;
mod import;
mod lines;
mod log;
mod memory;
mod metrics;
mod nearest;
mod network;
mod outcome;
mod predict;
mod print;
mod profile;
mod progress;
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

use cli::{Cli, Command, DataCommand, Settings};
use config::{Override, SHIPPED};
use exit::Code;
use log::Log;
use run_dir::{CONFIG, RunDir};
use start::{Start, Train};
use ui::Ui;

fn main() -> ExitCode {
    tell_of_bugs();
    signals::survive_file_size_limit();
    let Cli { command, output } = Cli::of_process();
    let ui = Ui::new(output, command.progress());
    let done = Log::start(output.verbose).and_then(|log| run(&command, &ui, &log));
    let code = done.unwrap_or_else(|error| {
        if error.is::<print::ReaderGone>() {
            return Code::Success;
        }
        tracing::error!(target: log::SAID, "{}", exit::render(&error, false).trim_end());
        ui.error(&error);
        exit::code(&error)
    });
    ExitCode::from(code as u8)
}

fn run(command: &Command, ui: &Ui, log: &Log) -> Result<Code> {
    match command {
        Command::Summary { config: run, settings }
            if settings.print_config && run.join(CONFIG).is_file() =>
        {
            print_config(&run.join(CONFIG), settings)?;
        }
        Command::Train { config, settings, .. } | Command::Summary { config, settings }
            if settings.print_config =>
        {
            print_config(config, settings)?;
        }
        Command::Resume { run, settings, .. } if settings.print_config => {
            print_config(&run.join(CONFIG), settings)?;
        }
        Command::Eval { runs, settings, .. } if settings.print_config => {
            // The first run has the images.
            print_config(&runs[0].join(CONFIG), settings)?;
        }
        Command::Import { file, options, settings } if settings.print_config => {
            print::lines(import::config(file, options, settings.overrides())?.effective().lines())?;
        }
        Command::Train { config, options, settings, runs, .. } => {
            let (overrides, out) = (settings.overrides(), &runs.out);
            match &options.profile {
                Some(trace) => profile::command(config, overrides, trace.as_deref(), out, ui)?,
                None => return train(config, overrides, out, options.json, ui, log),
            }
        }
        Command::Resume { run, json, settings, .. } => {
            return resume::command(run, settings.overrides(), *json, ui, log);
        }
        Command::Eval { runs, network, views, confusion, json, settings, .. } => {
            let (network, json, confusion) = (*network, *json, confusion.as_deref());
            let request = eval::Request { runs, network, views, confusion, json };
            eval::command(&request, &settings.overrides(), ui)?;
        }
        Command::Predict { run, files, network, json, top, device } => {
            let request =
                predict::Request { run, files, network: *network, top: *top, json: *json };
            predict::command(&request, &device.overrides(), ui)?;
        }
        Command::Extract { run, files, options, device, .. } => {
            extract::command(run, files, options, &device.overrides(), ui)?;
        }
        Command::Import { file, options, settings } => {
            import::command(file, options, settings.overrides(), ui)?;
        }
        Command::Export { run, options } => export::command(run, options, ui)?,
        Command::Data(DataCommand::Check { dir }) => return data::check(dir, ui),
        Command::Data(DataCommand::Stats { dir, channels, images }) => {
            data::statistics(dir, *channels, *images, ui)?;
        }
        Command::Configs { name: None } => configs()?,
        Command::Configs { name: Some(name) } => print::lines(config::text(name)?.lines())?,
        Command::Doctor { json, hardware, data, runs } => {
            let overrides = hardware.overrides().chain(data.overrides()).collect();
            doctor::command(overrides, &runs.out, *json)?;
        }
        Command::Summary { config, settings } => {
            summary::command(config, settings.overrides(), ui)?;
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
        let version = cli::VERSION;
        let _ = writeln!(
            std::io::stderr(),
            "this is a bug in vgg-train {version}; please report it with the lines above"
        );
    }));
}

/// The program's own configs.
fn configs() -> Result<()> {
    print::lines(
        SHIPPED
            .iter()
            .flat_map(|shipped| [shipped.name.to_owned(), format!("    {}", shipped.about())]),
    )
}

fn print_config(path: &Path, settings: &Settings) -> Result<()> {
    print::lines(config::load(path, settings.overrides())?.effective().lines())
}

fn train(
    path: &Path,
    overrides: Vec<Override>,
    out: &Path,
    json: bool,
    ui: &Ui,
    log: &Log,
) -> Result<Code> {
    let mut loaded = data::load_noted(path, overrides, ui)?;
    device::note_precision(&mut loaded, ui)?;
    let config = &loaded.config;
    let create = || {
        let run = RunDir::create(out, &config.name)?;
        run.write(CONFIG, &loaded.effective())?;
        Ok(run)
    };
    let start = Start::New(&create);
    outcome::tell(device::run(&config.device, Train { config, ui, log, start })?, json)
}
