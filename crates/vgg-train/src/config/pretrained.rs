//! Networks that are known by name: torchvision's VGGs, trained on ImageNet.

use std::path::{Path, PathBuf};

use serde_json::from_value;
use vgg_data::imagenet::{PRETRAINED, Pretrained};
use vgg_model::Arch;

use super::keys::{Config, Init, Model};
use super::source::is_run;

/// How the names begin: `imagenet-vgg16` is the network that torchvision calls so, too.
const PREFIXES: [&str; 2] = ["imagenet-", "torchvision:"];

/// What `init.from` says of the network of the config's own architecture.
const OWN: &str = "imagenet";

/// The network that a word names, unless it names a file or a run.
pub(crate) fn pretrained(word: &Path) -> Option<&'static Pretrained> {
    let name = word.to_str()?;
    let name = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix))?;
    Pretrained::find(name).filter(|_| !word.is_file() && !is_run(word))
}

/// All their names.
pub(crate) fn pretrained_names() -> impl Iterator<Item = String> {
    let names = |prefix| PRETRAINED.iter().map(move |it| format!("{prefix}{}", it.name));
    PREFIXES.into_iter().flat_map(names)
}

/// The configuration of such a network, and whether it has batch normalisations.
pub(crate) fn arch_of(pretrained: &Pretrained) -> (Arch, bool) {
    let (arch, batch_norm) = match pretrained.name.strip_suffix("_bn") {
        Some(arch) => (arch, true),
        None => (pretrained.name, false),
    };
    (from_value(arch.into()).expect("the table has known ones"), batch_norm)
}

impl Model {
    /// What torchvision calls this network, if it has its weights.
    fn of_torchvision(&self) -> Option<&'static Pretrained> {
        let norm = if self.batch_norm { "_bn" } else { "" };
        Pretrained::find(&format!("{}{norm}", self.arch))
    }
}

impl Init {
    /// Whether `from` means torchvision's network of the config's own architecture.
    fn is_own(&self) -> bool {
        self.from.as_deref().is_some_and(|from| from == OWN && !from.is_file() && !is_run(from))
    }
}

impl Config {
    /// What names the network that this one starts from.
    pub(crate) fn starts_from(&self) -> Option<PathBuf> {
        match self.model.of_torchvision().filter(|_| self.init.is_own()) {
            Some(own) => Some(format!("{}{}", PREFIXES[0], own.name).into()),
            None => self.init.from.clone(),
        }
    }

    /// What is wrong with the name of a network to start from.
    pub(super) fn unknown_start(&self) -> Option<String> {
        let from = self.init.from.as_deref()?.to_string_lossy();
        let plain = PRETRAINED.iter().map(|it| it.name).filter(|name| !name.ends_with("_bn"));
        let has = plain.collect::<Vec<_>>().join(", ");
        if self.init.is_own() && self.model.of_torchvision().is_none() {
            let own = &self.model.arch;
            return Some(format!(
                "= \"imagenet\" has no weights of {own}: it has those of {has}; \
                 \"torchvision:vgg11\" copies what fits of another network"
            ));
        }
        let is_name = PREFIXES.iter().any(|prefix| from.starts_with(prefix));
        let is_there = Path::new(&*from).exists();
        (is_name && !is_there && pretrained(Path::new(&*from)).is_none())
            .then(|| format!("= {from:?}: torchvision has {has}, and these with _bn behind"))
    }

    /// Whether the weights that it starts from are known by name.
    pub(super) fn starts_by_name(&self) -> bool {
        self.starts_from().is_some_and(|from| pretrained(&from).is_some())
    }
}
