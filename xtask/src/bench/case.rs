//! Which whole steps are measured, and of which networks.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, bail};
use vgg_model::{Arch, Vgg, VggConfig};

/// VGG-11 on gray images of 224×224 (but for the tiny one), ten classes.
#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
pub(super) enum Net {
    /// A quarter of the channels, as Dive into Deep Learning has it.
    Small,
    /// All channels.
    Full,
    /// An eighth of them on 32×32: to try the bench itself, also where everything is slow.
    Tiny,
}

impl Net {
    const ALL: [Net; 3] = [Net::Small, Net::Full, Net::Tiny];

    pub(super) fn vgg(self) -> vgg_model::Result<Vgg> {
        let (width, side, fc_width) = match self {
            Net::Small => (0.25, 224, 4096),
            Net::Full => (1.0, 224, 4096),
            Net::Tiny => (0.125, 32, 64),
        };
        Vgg::new(&VggConfig {
            arch: Arch::Vgg11,
            width,
            input: [1, side, side],
            classes: 10,
            fc_width,
            ..VggConfig::default()
        })
    }
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Net::Small => "small",
            Net::Full => "full",
            Net::Tiny => "tiny",
        })
    }
}

/// What is done with a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pass {
    /// Forward, backward and the update.
    Train,
    /// Forward.
    Infer,
    /// Forward, with the fully connected layers' weights stored as halves.
    InferF16,
}

impl Pass {
    const ALL: [Pass; 3] = [Pass::Train, Pass::Infer, Pass::InferF16];
}

impl fmt::Display for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Pass::Train => "train",
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
            case(Pass::Infer, Net::Small, 32),
            case(Pass::Infer, Net::Small, 1),
            case(Pass::InferF16, Net::Small, 1),
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
            let net = Net::ALL.into_iter().find(|known| known.to_string() == net)?;
            Some(Case { pass, net, batch: batch.parse().ok()? })
        };
        let case = parts().with_context(|| {
            let passes = Pass::ALL.map(|pass| pass.to_string()).join("|");
            format!("it must be {passes}, then small|full|tiny, then a batch size: train-small-128")
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
