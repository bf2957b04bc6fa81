//! What a run is: the keys of a config file, their defaults and their limits.
//!
//! A config comes from four places, each of which beats the one before: the defaults here, the
//! file, environment variables, the command line ([`load()`]). Nothing else decides what a run does,
//! so its effective config ([`Loaded::effective`]) is all that it takes to repeat it.

mod augment;
mod best;
mod check;
mod class_weights;
mod data;
mod device;
mod error;
mod keys;
mod limits;
mod load;
mod localisation;
mod nearest;
mod network;
mod of_network;
mod one_or_more;
mod overrides;
mod pretrained;
mod shipped;
mod source;
mod text;

pub(crate) use augment::{Augment, ColorJitter, RandAugment, ResizedCrop};
pub(crate) use best::{BestBy, EarlyStop};
pub(crate) use data::{Data, DatasetName, Decode, Normalize, Orientation, Sampler, TestPart};
pub(crate) use device::{Device, DeviceKind, Precision};
pub(crate) use keys::{
    Config, FlatLoss, Model, OptimizerKind, ScheduleKind, TaskName, Train, Weights,
};
#[cfg(test)]
pub(crate) use load::without_file;
pub(crate) use load::{Loaded, device, load, load_text, text};
pub(crate) use nearest::nearest;
pub(crate) use of_network::{decode, in_config, of, of_network, orientation};
pub(crate) use overrides::{Override, flag, may_download};
pub(crate) use pretrained::{arch_of, pretrained, pretrained_names};
pub(crate) use shipped::{SHIPPED, Shipped, keys};
pub(crate) use source::{CHECKPOINTS, CONFIG, is_run};
pub(crate) use text::read_text;
