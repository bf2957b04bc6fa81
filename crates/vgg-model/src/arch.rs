//! The architectures: from a config to a list of layers.

use std::fmt;
use std::str::FromStr;

use serde::de::value::{SeqAccessDeserializer, StrDeserializer};
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An architecture: a network of Simonyan & Zisserman 2014, table 1, one that came before them, as
/// Dive into Deep Learning trains it, or blocks of convolutions as one likes.
///
/// A config names it in lower case (`vgg16-c`), or by its column of the table (`C`), or has the blocks:
/// `[[64], [128], [256, 256], [512, 512], [512, 512]]` is A.
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
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all = "lowercase")] // of those that have names
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
    /// A VGG of other blocks: the channels of the 3×3 convolutions of each, which a max-pool ends. As
    /// torchvision's `make_layers`, where each block ends with `"M"`.
    #[serde(skip)]
    Blocks(Vec<Vec<usize>>),
}

/// The name in configs, or the blocks.
impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Arch::Blocks(blocks) => write!(f, "{blocks:?}"),
            named => Arch::serialize(named, f),
        }
    }
}

/// As a config has it, blocks in JSON.
impl FromStr for Arch {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.starts_with('[') {
            true => serde_json::from_str(text),
            false => serde_json::from_value(text.into()),
        }
    }
}

impl Serialize for Arch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Arch::Blocks(blocks) => blocks.serialize(serializer),
            named => Arch::serialize(named, serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Arch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrBlocks;
        impl<'de> Visitor<'de> for NameOrBlocks {
            type Value = Arch;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "the name of an architecture, or blocks of channels as [[64], [128, 128]]",
                )
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Arch, E> {
                Arch::deserialize(StrDeserializer::new(name))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, blocks: A) -> Result<Arch, A::Error> {
                Deserialize::deserialize(SeqAccessDeserializer::new(blocks)).map(Arch::Blocks)
            }
        }
        deserializer.deserialize_any(NameOrBlocks)
    }
}

impl Arch {
    /// All that have names, the paper's by their columns first.
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
    pub fn min_side(&self) -> usize {
        match self {
            Arch::AlexNet => 65,
            Arch::LeNet => 12,
            Arch::Blocks(blocks) => 1_usize.checked_shl(blocks.len() as u32).unwrap_or(usize::MAX),
            _ => 32,
        }
    }

    /// What the numbers of input rows and columns are multiples of, so that average pools halve
    /// their maps evenly.
    pub const fn side_multiple(&self) -> usize {
        match self {
            Arch::LeNet => 4,
            _ => 1,
        }
    }

    /// What its blocks must be and are not.
    pub fn problem(&self) -> Option<&'static str> {
        let Arch::Blocks(blocks) = self else { return None };
        if blocks.is_empty() || blocks.iter().any(Vec::is_empty) {
            Some("must have a block, and each block a convolution")
        } else if blocks.iter().flatten().any(|channels| *channels == 0) {
            Some("must have convolutions of a channel at least")
        } else if blocks.len() > Self::MOST_BLOCKS {
            Some("must have 15 blocks at most: more pools leave nothing of the largest images")
        } else {
            None
        }
    }

    /// As many pools leave one place of the largest allowed inputs.
    const MOST_BLOCKS: usize = 15;
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
    fn configs_may_have_blocks() {
        let text = "[[64], [128], [256, 256], [512, 512], [512, 512]]";
        let blocks: Arch = text.parse().unwrap();
        assert_eq!(blocks.to_string(), text);
        assert_eq!(serde_json::to_string(&blocks).unwrap(), text.replace(' ', ""));
        assert_eq!("vgg16-c".parse::<Arch>().unwrap(), Arch::Vgg16C);
        let layers = |arch| {
            let vgg = Vgg::new(&VggConfig { arch, ..VggConfig::default() }).unwrap();
            (vgg.layers().to_vec(), vgg.params().to_vec())
        };
        assert_eq!(layers(blocks), layers(Arch::Vgg11));

        let wrong = |text: &str| text.parse::<Arch>().unwrap_err().to_string();
        assert!(
            wrong("vgg12").starts_with("unknown variant `vgg12`, expected one of `A`, `vgg11`")
        );
        let expected =
            "expected the name of an architecture, or blocks of channels as [[64], [128, 128]]";
        let error = serde_json::from_str::<Arch>("11").unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(wrong("[64, 128]").starts_with("invalid type: integer `64`, expected a sequence"));
        assert!(wrong("[[-1]]").starts_with("invalid value: integer `-1`, expected usize"));
    }

    #[test]
    fn blocks_that_are_none_are_refused() {
        let wrong = |blocks| {
            let config = VggConfig { arch: Arch::Blocks(blocks), ..VggConfig::default() };
            Vgg::new(&config).unwrap_err().to_string()
        };
        let of_one = "must have a block, and each block a convolution";
        assert_eq!(wrong(vec![]), format!("arch = [], but it {of_one}"));
        assert_eq!(wrong(vec![vec![8], vec![]]), format!("arch = [[8], []], but it {of_one}"));
        assert!(wrong(vec![vec![8, 0]]).ends_with("must have convolutions of a channel at least"));
        assert_eq!(VggConfig::MAX_SIDE.ilog2() as usize, Arch::MOST_BLOCKS);
        assert!(wrong(vec![vec![1]; 16]).contains("must have 15 blocks at most"));
        assert!(wrong(vec![vec![1]; 9]).contains("at least [1, 512, 512] for [[1], [1],"));
    }

    #[test]
    fn the_smallest_input_leaves_one_position() {
        let blocks = Arch::Blocks(vec![vec![3], vec![4, 5], vec![6]]);
        for arch in [Arch::Vgg11, Arch::Vgg19, Arch::AlexNet, Arch::LeNet, blocks] {
            let side = arch.min_side();
            let config =
                VggConfig { arch: arch.clone(), input: [1, side, side], ..VggConfig::default() };
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
