//! What a network is built from.

use std::fmt;

use serde::{Deserialize, Serialize};
use vgg_tensor::{Error, Result};

use crate::{Arch, Task, invalid};

/// What a network is built from. Keys that are left out have the paper's values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VggConfig {
    /// Which network.
    pub arch: Arch,
    /// Multiplies the channels of all convolutions (rounded, at least one); 0.25 makes the small
    /// networks of Dive into Deep Learning.
    pub width: f64,
    /// Input maps, `[channels, rows, columns]`. Each side is at least [`Arch::min_side`], and a
    /// multiple of [`Arch::side_multiple`].
    pub input: [usize; 3],
    /// Whether a batch normalisation follows each convolution of a VGG, before its ReLU. The paper,
    /// which is older, has none; torchvision's `vgg11_bn` and so on are these.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub batch_norm: bool,
    /// Side of the maps that an average pool makes of the last ones, whatever the input's size, for
    /// the fully connected layers. torchvision's VGGs have 7. Left out, there is no such pool: the
    /// fully connected layers take whatever maps there are, as in the paper, where those have a side
    /// of 7, and in Dive into Deep Learning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avg_pool: Option<usize>,
    /// Classes to tell apart, or of the objects to locate.
    pub classes: usize,
    /// What it says of an image.
    #[serde(skip_serializing_if = "Task::is_classification")]
    pub task: Task,
    /// Outputs of each of the hidden fully connected layers. LeNet's are fixed: there it has to
    /// be left at its default.
    pub fc_width: usize,
    /// Hidden fully connected layers: two in the paper; none, where the last maps are classified as they
    /// are. LeNet has its two.
    #[serde(skip_serializing_if = "is_the_papers")]
    pub fc_hidden: usize,
    /// Probability that dropout zeroes an output of a hidden fully connected layer. LeNet has none:
    /// there it has to be left at its default, or be 0.
    pub dropout: f32,
}

/// Hidden fully connected layers in the paper.
const FC_HIDDEN: usize = 2;

fn is_the_papers(fc_hidden: &usize) -> bool {
    *fc_hidden == FC_HIDDEN
}

impl Default for VggConfig {
    fn default() -> Self {
        Self {
            arch: Arch::Vgg11,
            width: 1.0,
            input: [3, 224, 224],
            batch_norm: false,
            avg_pool: None,
            classes: 1000,
            task: Task::Classification,
            fc_width: 4096,
            fc_hidden: FC_HIDDEN,
            dropout: 0.5,
        }
    }
}

impl VggConfig {
    /// The largest allowed number of input rows and columns.
    pub const MAX_SIDE: usize = 65_535;

    /// The largest allowed number of hidden fully connected layers.
    pub const MAX_FC_HIDDEN: usize = 16;

    pub(crate) fn check(&self) -> Result<()> {
        let arch = &self.arch;
        if let Some(problem) = arch.problem() {
            return Err(Error::Shape(format!("arch = {arch}, but it {problem}")));
        }
        if !(self.width.is_finite() && self.width > 0.0) {
            return Err(invalid("width", self.width, "finite and above 0"));
        }
        self.check_input()?;
        if self.batch_norm && matches!(arch, Arch::AlexNet | Arch::LeNet) {
            let allowed = format!("false for {arch}: only VGG has batch normalisations");
            return Err(invalid("batch_norm", true, &allowed));
        }
        if self.avg_pool == Some(0) {
            return Err(invalid("avg_pool", 0, "at least 1, or left out for no such pool"));
        }
        if self.classes < 2 {
            return Err(invalid("classes", self.classes, "at least 2"));
        }
        if self.fc_width == 0 {
            return Err(invalid("fc_width", self.fc_width, "at least 1"));
        }
        if self.fc_hidden > Self::MAX_FC_HIDDEN {
            let allowed = format!("at most {}", Self::MAX_FC_HIDDEN);
            return Err(invalid("fc_hidden", self.fc_hidden, &allowed));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(invalid("dropout", self.dropout, "at least 0 and below 1"));
        }
        if *arch == Arch::LeNet {
            let default = Self::default();
            if self.fc_width != default.fc_width {
                let allowed = "left out for lenet, whose layers have 120 and 84 outputs";
                return Err(invalid("fc_width", self.fc_width, allowed));
            }
            if self.fc_hidden != default.fc_hidden {
                let allowed = "left out for lenet, which has two hidden layers";
                return Err(invalid("fc_hidden", self.fc_hidden, allowed));
            }
            if self.dropout != default.dropout && self.dropout != 0.0 {
                let allowed = "left out for lenet, which has no dropout";
                return Err(invalid("dropout", self.dropout, allowed));
            }
        }
        Ok(())
    }

    fn check_input(&self) -> Result<()> {
        let (arch, [channels, h, w]) = (&self.arch, self.input);
        let (least, multiple, most) = (arch.min_side(), arch.side_multiple(), Self::MAX_SIDE);
        let fits = |side: usize| (least..=most).contains(&side) && side.is_multiple_of(multiple);
        if channels > 0 && fits(h) && fits(w) {
            return Ok(());
        }
        let multiples = match multiple {
            1 => String::new(),
            _ => format!(", sides being multiples of {multiple}"),
        };
        let allowed = format!(
            "at least [1, {least}, {least}] for {arch}, and at most {most} a side{multiples}"
        );
        Err(invalid("input", format!("{:?}", self.input), &allowed))
    }

    /// Numbers that come out for an image.
    pub(crate) fn outputs(&self) -> usize {
        self.task.outputs(self.classes)
    }

    /// Channels of a layer that has so many at full width.
    pub(crate) fn channels(&self, full: usize) -> usize {
        // The cast saturates; what is too large for memory is refused with the shapes.
        (full as f64 * self.width).round().max(1.0) as usize
    }
}

/// In a few words, as `vgg11 × 0.25 with batch norm`.
impl fmt::Display for VggConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.arch)?;
        if self.width != 1.0 {
            write!(f, " × {}", self.width)?;
        }
        if self.batch_norm {
            f.write_str(" with batch norm")?;
        }
        if !self.task.is_classification() {
            f.write_str(", which locates")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Layer, Vgg};

    fn small() -> VggConfig {
        VggConfig { width: 0.25, input: [1, 224, 224], classes: 10, ..VggConfig::default() }
    }

    #[test]
    fn widths_round_and_keep_a_channel() {
        let first = |width| match Vgg::new(&VggConfig { width, ..small() }).unwrap().layers()[0] {
            Layer::Conv2d { c_out, .. } => c_out,
            _ => 0,
        };
        assert_eq!([first(0.25), first(0.39), first(1e-9)], [16, 25, 1]);
    }

    #[test]
    fn settings_out_of_range_are_refused_by_name() {
        let refused = |config: VggConfig| Vgg::new(&config).unwrap_err().to_string();
        let message = refused(VggConfig { width: f64::NAN, ..small() });
        assert_eq!(message, "width = NaN, but it must be finite and above 0");
        let message = refused(VggConfig { input: [1, 31, 224], ..small() });
        assert_eq!(
            message,
            "input = [1, 31, 224], but it must be at least [1, 32, 32] for vgg11, \
             and at most 65535 a side"
        );
        let message = refused(VggConfig { avg_pool: Some(0), ..small() });
        assert!(message.starts_with("avg_pool = 0, but it must be at least 1"));
        let alexnet = VggConfig { arch: Arch::AlexNet, batch_norm: true, ..small() };
        assert_eq!(
            refused(alexnet),
            "batch_norm = true, but it must be false for alexnet: only VGG has batch normalisations"
        );
        let message = refused(VggConfig { classes: 1, ..small() });
        assert_eq!(message, "classes = 1, but it must be at least 2");
        let message = refused(VggConfig { fc_width: 0, ..small() });
        assert_eq!(message, "fc_width = 0, but it must be at least 1");
        let message = refused(VggConfig { fc_hidden: 17, ..small() });
        assert_eq!(message, "fc_hidden = 17, but it must be at most 16");
        let message = refused(VggConfig { dropout: 1.0, ..small() });
        assert_eq!(message, "dropout = 1, but it must be at least 0 and below 1");
        assert!(Vgg::new(&VggConfig { dropout: f32::NAN, ..small() }).is_err());
    }

    #[test]
    fn lenet_takes_what_it_has() {
        let lenet = VggConfig { arch: Arch::LeNet, width: 1.0, input: [1, 28, 28], ..small() };
        let refused = |config: VggConfig| Vgg::new(&config).unwrap_err().to_string();
        assert!(Vgg::new(&VggConfig { dropout: 0.0, ..lenet.clone() }).is_ok());
        let message = refused(VggConfig { dropout: 0.3, ..lenet.clone() });
        let expected = "dropout = 0.3, but it must be left out for lenet, which has no dropout";
        assert_eq!(message, expected);
        let message = refused(VggConfig { fc_width: 64, ..lenet.clone() });
        assert!(message.starts_with("fc_width = 64, but it must be left out for lenet"));
        let message = refused(VggConfig { fc_hidden: 1, ..lenet.clone() });
        assert!(message.starts_with("fc_hidden = 1, but it must be left out for lenet"));
        let message = refused(VggConfig { input: [1, 28, 30], ..lenet });
        assert!(message.ends_with("sides being multiples of 4"), "{message}");
    }
}
