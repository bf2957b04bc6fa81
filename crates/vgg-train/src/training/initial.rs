//! The weights before the first step.

use anyhow::Result;
use vgg_model::{Params, Transferred, Vgg, is_within};

use crate::config::Config;
use crate::failure::{Code, Failure};
use crate::run::checkpoints;
use crate::run::folder::Which;
use crate::terminal::ui::Ui;

/// The weights before the first step.
pub(crate) fn initial(config: &Config, vgg: &Vgg, ui: &Ui) -> Result<Params> {
    let mut params = Params::init(vgg, &config.init(), config.train.seed)?;
    let freeze = &config.optimizer.freeze;
    let Some(from) = config.starts_from() else {
        if !freeze.is_empty() {
            let names = freeze.join(", ");
            ui.warn(&format!(
                "{names} stay as they are initialised: optimizer.freeze, without init.from"
            ));
        }
        return Ok(params);
    };
    let path = checkpoints::network(&from, Which::Best, config.data.download, ui)?;
    let starting = checkpoints::starting(&path, &config.model.arch)?;
    ui.status("Starting", &format!("from {}, {}", path.display(), starting.vgg));
    starting.notes.iter().for_each(|note| ui.detail(note));
    let other = Vgg::new(&starting.vgg)?;
    let layers = params.copy_from(vgg, &starting.params, &other, config.init.copying);
    for Transferred { layer, from } in &layers {
        match from {
            Ok(from) => ui.detail(&format!("{layer}: a copy of {from}")),
            Err(reason) => ui.detail(&format!("{layer}: initialised, {reason}")),
        }
    }
    if layers.iter().all(|layer| layer.from.is_err()) {
        let message = format!("nothing of {} fits this network", path.display());
        let help = "another arch, width, fc_width or image size has other shapes".to_owned();
        return Err(Failure::new(Code::Checkpoint, message).help(help).into());
    }
    // What stays random would never learn.
    let is_frozen = |layer: &str| {
        let mut of_layer = vgg
            .params()
            .iter()
            .filter(|spec| spec.name.strip_prefix(layer).is_some_and(|rest| rest.starts_with('.')));
        of_layer.any(|spec| freeze.iter().any(|frozen| is_within(&spec.name, frozen)))
    };
    for Transferred { layer, from } in &layers {
        if let (Err(reason), true) = (from, is_frozen(layer)) {
            let message = format!(
                "optimizer.freeze keeps {layer} as it is, but it was just initialised at random: {reason}"
            );
            let help = format!("let it be trained, or give it the shapes of {}", path.display());
            return Err(Failure::new(Code::Usage, message).help(help).into());
        }
    }
    let (was, is) = (&starting.input, config.input());
    if was.channels == is.channels && (&was.mean, &was.std) != (&is.mean, &is.std) {
        ui.warn(&format!(
            "the copied layers were trained on images less {:?}, divided by {:?}: data.mean and \
             data.std are others here",
            was.mean, was.std
        ));
    }
    Ok(params)
}
