//! How much each class counts in the loss.

use std::fmt::Formatter;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const BALANCED: &str = "balanced";

/// The classes' weights: `"balanced"` or a list.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ClassWeights {
    /// Each class counts the same as a whole: an image counts less, the more there are of its class.
    Balanced,
    /// A number a class, in the order of their labels.
    Given(Vec<f64>),
}

impl ClassWeights {
    /// A number for each of so many classes, of images with these labels: `images / (classes · images of
    /// the class)`, as scikit-learn's `compute_class_weight("balanced", …)`. As there, classes without
    /// images are not counted; their weight is 1.
    pub(super) fn of(&self, classes: usize, labels: &[u32]) -> Vec<f32> {
        let Self::Given(weights) = self else {
            let mut counts = vec![0_u64; classes];
            labels.iter().for_each(|label| counts[*label as usize] += 1);
            let present = counts.iter().filter(|count| **count > 0).count();
            let weight = |count: &u64| match count {
                0 => 1.0,
                _ => (labels.len() as f64 / (present as f64 * *count as f64)) as f32,
            };
            return counts.iter().map(weight).collect();
        };
        weights.iter().map(|weight| *weight as f32).collect()
    }

    /// The numbers that are given.
    pub(super) fn given(&self) -> &[f64] {
        match self {
            Self::Balanced => &[],
            Self::Given(weights) => weights,
        }
    }
}

impl Serialize for ClassWeights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Balanced => BALANCED.serialize(serializer),
            Self::Given(weights) => weights.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ClassWeights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Weights;

        impl<'de> Visitor<'de> for Weights {
            type Value = ClassWeights;

            fn expecting(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
                write!(f, "\"{BALANCED}\" or a list of numbers")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ClassWeights, E> {
                match text {
                    BALANCED => Ok(ClassWeights::Balanced),
                    _ => Err(E::unknown_variant(text, &[BALANCED])),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<ClassWeights, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(ClassWeights::Given)
            }
        }

        deserializer.deserialize_any(Weights)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `compute_class_weight("balanced", classes=np.unique(labels), y=labels)` of scikit-learn 1.9.1.
    #[test]
    fn balanced_weights_are_those_of_scikit_learn() {
        let weights = ClassWeights::Balanced.of(4, &[0, 0, 0, 0, 1, 3, 3, 3]);
        assert_eq!(weights, [2.0 / 3.0, 8.0 / 3.0, 1.0, 8.0 / 9.0]);
        assert_eq!(ClassWeights::Balanced.of(2, &[]), [1.0; 2]);
        assert_eq!(ClassWeights::Given(vec![0.5, 2.0]).of(2, &[0, 0, 1]), [0.5, 2.0]);
    }
}
