//! The architectures: from a config to a list of layers.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An architecture: a network of Simonyan & Zisserman 2014, table 1, or one that came before them, as
/// Dive into Deep Learning trains it.
///
/// A config names it in lower case (`vgg16-c`), or by its column of the table (`C`).
///
/// # Names of layers
/// Those of VGG are torchvision's: the place in the `Sequential`s `features` and `classifier`, where
/// ReLU, dropout and each pool have places, too. torchvision has no [`Arch::Vgg16C`] and no
/// [`Arch::Vgg11Lrn`]; theirs are the places in a `features` that has all their modules, the
/// normalisation between ReLU and pool included.
///
/// Those of AlexNet and LeNet are the places in one `Sequential` called `net`, where flattening has a
/// place, too, as in the classes of the book's second edition. To load parameters into a bare
/// `Sequential`, as the first edition has it, leave out `net.`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// Configuration A: eleven weight layers.
    #[serde(alias = "A")]
    Vgg11,
    /// Configuration A-LRN: A with a local response normalisation after the first ReLU.
    #[serde(rename = "vgg11-lrn", alias = "A-LRN")]
    Vgg11Lrn,
    /// Configuration B: thirteen weight layers.
    #[serde(alias = "B")]
    Vgg13,
    /// Configuration C: sixteen weight layers, three of which are 1×1 convolutions.
    #[serde(rename = "vgg16-c", alias = "C")]
    Vgg16C,
    /// Configuration D: sixteen weight layers.
    #[serde(alias = "D")]
    Vgg16,
    /// Configuration E: nineteen weight layers.
    #[serde(alias = "E")]
    Vgg19,
    /// AlexNet (Krizhevsky et al. 2012) in one tower and without normalisations: five convolutions,
    /// overlapping max-pools, three fully connected layers.
    AlexNet,
    /// LeNet-5 (LeCun et al. 1998) with sigmoids and without Gaussian connections: two convolutions,
    /// average pools, three fully connected layers, of 120, 84 and the classes' outputs. It has no
    /// dropout.
    LeNet,
}

/// The name in configs.
impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl Arch {
    /// All of them, the paper's by their columns first.
    pub const ALL: [Self; 8] = [
        Arch::Vgg11,
        Arch::Vgg11Lrn,
        Arch::Vgg13,
        Arch::Vgg16C,
        Arch::Vgg16,
        Arch::Vgg19,
        Arch::AlexNet,
        Arch::LeNet,
    ];

    /// The smallest number of input rows and columns, which pools and strides leave something of.
    pub const fn min_side(self) -> usize {
        match self {
            Arch::AlexNet => 65,
            Arch::LeNet => 12,
            _ => 32,
        }
    }

    /// What the numbers of input rows and columns are multiples of, so that average pools halve
    /// their maps evenly.
    pub const fn side_multiple(self) -> usize {
        match self {
            Arch::LeNet => 4,
            _ => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Vgg, VggConfig};

    #[test]
    fn configs_name_an_architecture_or_a_column() {
        let known = [
            (Arch::Vgg11, "vgg11", "A"),
            (Arch::Vgg11Lrn, "vgg11-lrn", "A-LRN"),
            (Arch::Vgg13, "vgg13", "B"),
            (Arch::Vgg16C, "vgg16-c", "C"),
            (Arch::Vgg16, "vgg16", "D"),
            (Arch::Vgg19, "vgg19", "E"),
            (Arch::AlexNet, "alexnet", "alexnet"),
            (Arch::LeNet, "lenet", "lenet"),
        ];
        for (arch, name, alias) in known {
            assert_eq!(arch.to_string(), name);
            for name in [name, alias] {
                assert_eq!(serde_json::from_str::<Arch>(&format!("{name:?}")).unwrap(), arch);
            }
        }
    }

    #[test]
    fn the_smallest_input_leaves_one_position() {
        for arch in [Arch::Vgg11, Arch::Vgg19, Arch::AlexNet, Arch::LeNet] {
            let side = arch.min_side();
            let config = VggConfig { arch, input: [1, side, side], ..VggConfig::default() };
            let vgg = Vgg::new(&config).unwrap();
            let last_conv = vgg.params().iter().rfind(|param| param.dims.len() == 4).unwrap();
            let linear = vgg.params().iter().find(|param| param.dims.len() == 2).unwrap();
            assert_eq!(linear.dims[1], last_conv.dims[0], "{arch}");
            let step = arch.side_multiple();
            let smaller = VggConfig { input: [1, side - step, side], ..config };
            let message = Vgg::new(&smaller).unwrap_err().to_string();
            assert!(message.contains(&format!("at least [1, {side}, {side}] for {arch}")));
        }
    }
}
