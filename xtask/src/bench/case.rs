//! Which whole steps are measured, and of which networks.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, bail};
use clap::ValueEnum;
use vgg_model::{Arch, Vgg, VggConfig};

/// A network. VGG-11s have ten classes, and all but the tiny one gray images of 224×224.
#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
pub(super) enum Net {
    /// VGG-11 with a quarter of the channels, as Dive into Deep Learning has it.
    Small,
    /// VGG-11 with all channels.
    Full,
    /// VGG-13 with batch normalisation and half of the channels, as `configs/vgg13_accurate.toml` has it, on
    /// gray images of 32×32.
    Accurate,
    /// VGG-16 on colour images of 224×224, a thousand classes.
    Vgg16,
    /// The same with batch normalisation.
    #[value(name = "vgg16_bn")]
    Vgg16Bn,
    /// AlexNet on the same images.
    Alexnet,
    /// VGG-11 with an eighth of the channels, on gray images of 32×32: to try the bench itself, also
    /// where everything is slow.
    Tiny,
}

impl Net {
    pub(super) fn vgg(self) -> vgg_model::Result<Vgg> {
        let of_colour = |arch| VggConfig { arch, ..VggConfig::default() };
        let of_gray = |arch, width, side| VggConfig {
            arch,
            width,
            input: [1, side, side],
            classes: 10,
            ..VggConfig::default()
        };
        Vgg::new(&match self {
            Net::Small => of_gray(Arch::Vgg11, 0.25, 224),
            Net::Full => of_gray(Arch::Vgg11, 1.0, 224),
            Net::Accurate => {
                let config = of_gray(Arch::Vgg13, 0.5, 32);
                VggConfig { batch_norm: true, fc_width: 512, ..config }
            }
            Net::Vgg16 => of_colour(Arch::Vgg16),
            Net::Vgg16Bn => VggConfig { batch_norm: true, ..of_colour(Arch::Vgg16) },
            Net::Alexnet => of_colour(Arch::AlexNet),
            Net::Tiny => VggConfig { fc_width: 64, ..of_gray(Arch::Vgg11, 0.125, 32) },
        })
    }
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().expect("no network is hidden").get_name())
    }
}

/// What is done with a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pass {
    /// Forward, backward and the update.
    Train,
    /// The same where all convolutions stay as they are.
    Finetune,
    /// Forward.
    Infer,
    /// Forward, with the fully connected layers' weights stored as halves.
    InferF16,
}

impl Pass {
    const ALL: [Pass; 4] = [Pass::Train, Pass::Finetune, Pass::Infer, Pass::InferF16];

    /// Whether weights change.
    pub(super) fn trains(self) -> bool {
        matches!(self, Pass::Train | Pass::Finetune)
    }
}

impl fmt::Display for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Pass::Train => "train",
            Pass::Finetune => "finetune",
            Pass::Infer => "infer",
            Pass::InferF16 => "infer-f16",
        })
    }
}

/// A whole step to measure; written as `train-small-128`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Case {
    pub(super) pass: Pass,
    pub(super) net: Net,
    pub(super) batch: usize,
}

impl Case {
    pub(super) fn defaults() -> Vec<Case> {
        let case = |pass, net, batch| Case { pass, net, batch };
        vec![
            case(Pass::Train, Net::Small, 128),
            case(Pass::Train, Net::Full, 32),
            case(Pass::Train, Net::Accurate, 128),
            case(Pass::Train, Net::Vgg16, 16),
            case(Pass::Train, Net::Vgg16Bn, 16),
            case(Pass::Finetune, Net::Vgg16, 16),
            case(Pass::Train, Net::Alexnet, 128),
            case(Pass::Infer, Net::Small, 32),
            case(Pass::Infer, Net::Small, 1),
            case(Pass::InferF16, Net::Small, 1),
            case(Pass::Infer, Net::Vgg16Bn, 16),
        ]
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.pass, self.net, self.batch)
    }
}

impl FromStr for Case {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let parts = || {
            let (head, batch) = text.rsplit_once('-')?;
            let (pass, net) = head.rsplit_once('-')?;
            let pass = Pass::ALL.into_iter().find(|known| known.to_string() == pass)?;
            let net = Net::from_str(net, false).ok()?;
            Some(Case { pass, net, batch: batch.parse().ok()? })
        };
        let case = parts().with_context(|| {
            let passes = Pass::ALL.map(|pass| pass.to_string()).join("|");
            let nets: Vec<_> = Net::value_variants().iter().map(Net::to_string).collect();
            let nets = nets.join("|");
            format!("it must be {passes}, then {nets}, then a batch size: train-small-128")
        })?;
        if case.batch == 0 {
            bail!("a batch has at least 1 image");
        }
        Ok(case)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_read_as_they_are_written() {
        for case in Case::defaults() {
            assert_eq!(case.to_string().parse::<Case>().unwrap(), case);
        }
        for wrong in ["", "train", "train-small", "small-train-8", "infer-full-0", "infer-full--1"]
        {
            assert!(wrong.parse::<Case>().is_err(), "{wrong}");
        }
    }
}
