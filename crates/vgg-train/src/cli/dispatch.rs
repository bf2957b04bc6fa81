//! From what was asked for to what does it.

use anyhow::Result;
use clap::CommandFactory as _;

use super::{Cli, Command, DataCommand};
use crate::commands::{
    completions, configs, data, doctor, eval, export, extract, find_lr, finetune, import, man,
    predict, report, resume, runs, summary, train, watch,
};
use crate::config::{self, Loaded};
use crate::failure::Code;
use crate::run::folder::config_of;
use crate::terminal::log::Log;
use crate::terminal::print;
use crate::terminal::ui::Ui;

impl Command {
    /// Does it.
    pub(crate) fn run(&self, ui: &Ui, log: &Log) -> Result<Code> {
        if let Some(config) = self.config_to_print() {
            print::lines(config?.effective().lines())?;
            return Ok(Code::Success);
        }
        match self {
            Self::Train { config, options, settings, runs, .. } => {
                return train::command(config, settings.overrides(), &runs.out, options, ui, log);
            }
            Self::Finetune { folder, options, settings, runs, .. } => {
                let overrides = settings.overrides();
                return finetune::command(folder, options, overrides, &runs.out, ui, log);
            }
            Self::FindLr { config, options, settings, .. } => {
                return find_lr::command(config, settings.overrides(), options, ui);
            }
            Self::Resume { run, ranks, json, settings, .. } => {
                return resume::command(run, settings.overrides(), *ranks, *json, ui, log);
            }
            Self::Eval { runs, network, averaging, locating, outputs, json, settings, .. } => {
                let (network, json) = (*network, *json);
                let request =
                    eval::EvalRequest { runs, network, averaging, locating, outputs, json };
                eval::command(&request, &settings.overrides(), ui)?;
            }
            Self::Report { runs, options, settings, .. } => {
                report::command(runs, options, &settings.overrides(), ui)?;
            }
            Self::Predict {
                run,
                files,
                null,
                network,
                views,
                json,
                csv,
                top,
                explain,
                draw,
                classifier,
                device,
            } => {
                let request = predict::PredictRequest {
                    run,
                    files,
                    null: *null,
                    network: *network,
                    views: *views,
                    top: *top,
                    format: match (json, csv) {
                        (true, _) => predict::Format::Json,
                        (_, true) => predict::Format::Csv,
                        _ => predict::Format::Text,
                    },
                    explain: explain.as_deref(),
                    draw: draw.as_deref(),
                    classifier: classifier.as_deref(),
                };
                predict::command(&request, &device.overrides(), ui)?;
            }
            Self::Extract { run, files, options, device, .. } => {
                extract::command(run, files, options, &device.overrides(), ui)?;
            }
            Self::Import { file, options, settings } => {
                import::command(file, options, settings.overrides(), ui)?;
            }
            Self::Export { run, options, offline } => {
                export::command(run, options, offline.may_download(), ui)?;
            }
            Self::Data(DataCommand::Check { dir, arranged, options }) => {
                return data::check::command(dir, &arranged.arrangement(), options, ui);
            }
            Self::Data(DataCommand::Stats { dir, arranged, options }) => {
                data::stats::command(dir, &arranged.arrangement(), options, ui)?;
            }
            Self::Data(DataCommand::Pack { dir, out, arranged, options }) => {
                data::pack::command(dir, out, &arranged.arrangement(), options, ui)?;
            }
            Self::Configs { name: None } => configs::list()?,
            Self::Configs { name: Some(name) } => configs::show(name)?,
            Self::Doctor { json, hardware, data, runs } => {
                let overrides = hardware.overrides().chain(data.overrides()).collect();
                doctor::command(overrides, &runs.out, *json)?;
            }
            Self::Runs { folder, sort, json } => runs::command(folder, *sort, *json, ui)?,
            Self::Watch { options, threads } => {
                let overrides: Vec<_> = threads.overrides().into_iter().collect();
                return watch::command(options, config::device(&overrides)?, ui);
            }
            Self::Completions { shell } => completions::command(*shell)?,
            Self::Man { folder } => man::command(folder, Cli::command(), ui)?,
            Self::Summary { config, settings } => {
                summary::command(config, settings.overrides(), ui)?;
            }
        }
        Ok(Code::Success)
    }

    /// The config that is to be printed instead, if that is asked for.
    fn config_to_print(&self) -> Option<Result<Loaded>> {
        Some(match self {
            Self::Train { config, settings, .. } => config::load(config, settings.to_print()?),
            Self::Finetune { folder, options, settings, runs, .. } => {
                finetune::config(folder, options, settings.to_print()?, &runs.out)
            }
            Self::FindLr { config, settings, .. } => config::load(config, settings.to_print()?),
            Self::Summary { config, settings } => config::of(config, settings.to_print()?),
            Self::Resume { run, settings, .. } => config_of(run, settings.to_print()?),
            // The first run has the images.
            Self::Eval { runs, settings, .. } | Self::Report { runs, settings, .. } => {
                config_of(&runs[0], settings.to_print()?)
            }
            Self::Import { file, options, settings } => {
                import::config(file, options, settings.to_print()?)
            }
            _ => return None,
        })
    }
}
