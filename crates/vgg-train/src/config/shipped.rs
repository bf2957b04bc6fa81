//! The configs that are part of the program, by name: `vgg11_small`, `experiments/depth`.

use std::path::Path;

/// A config of the folder `configs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shipped {
    /// Its path below `configs`, without the ending.
    pub name: &'static str,
    pub text: &'static str,
}

macro_rules! shipped {
    ($($name:literal)*) => {
        [$(Shipped {
            name: $name,
            text: include_str!(concat!(env!("VGG_TRAIN_CONFIGS"), "/", $name, ".toml")),
        }),*]
    };
}

/// All of them, the usual ones first.
pub(crate) const SHIPPED: [Shipped; 15] = shipped! {
    "smoke"
    "vgg11_small_quick"
    "vgg11_small"
    "vgg13_accurate"
    "vgg11"
    "alexnet"
    "lenet"
    "imagenet"
    "imagenet_modern"
    "paper"
    "experiments/baselines"
    "experiments/depth"
    "experiments/localisation"
    "experiments/pre_initialisation"
    "experiments/scale"
};

impl Shipped {
    /// The config of this name, which may be written as the path of its file in a checkout.
    pub(crate) fn find(name: &Path) -> Option<Self> {
        let name = name.to_str()?;
        let name = name.strip_prefix("./").unwrap_or(name);
        let name = name.strip_prefix("configs/").unwrap_or(name);
        let name = name.strip_suffix(".toml").unwrap_or(name);
        SHIPPED.into_iter().find(|shipped| shipped.name == name)
    }

    /// What to write for a name of before configs that differ by the architecture alone became one.
    pub(crate) fn instead_of(name: &str) -> Option<String> {
        let (config, arch) = match name.strip_prefix("paper/") {
            Some(arch) => ("paper", arch),
            None => ("vgg11_small", name.strip_suffix("_small")?),
        };
        let was_there =
            ["vgg11", "vgg11-lrn", "vgg13", "vgg16-c", "vgg16", "vgg19"].contains(&arch);
        was_there.then(|| format!("{config} --set model.arch={arch}"))
    }

    /// What it is, in the first sentence of its comment.
    pub(crate) fn about(&self) -> String {
        let comment = self.text.lines().map_while(|line| line.strip_prefix("# "));
        let comment = comment.collect::<Vec<_>>().join(" ");
        match comment.split_once(". ") {
            Some((first, _)) => format!("{first}."),
            None => comment,
        }
    }
}

/// All keys, as `train.epochs`, from the config that explains them.
pub(crate) fn keys() -> Vec<String> {
    let reference = Shipped::find(Path::new("vgg11_small")).map_or("", |config| config.text);
    let (mut table, mut keys) = (String::new(), vec!["name".to_owned()]);
    for line in reference.lines() {
        let is_key = |word: &str| {
            word.bytes().all(|b| b.is_ascii_lowercase() || b"._0123456789".contains(&b))
        };
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            table = format!("{name}.");
        // One without a default is a comment.
        } else if let Some((key, _)) = line.trim_start_matches("# ").split_once(" = ")
            && is_key(key)
        {
            keys.push(format!("{table}{key}"));
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_config_of_the_checkout_is_part_of_the_program() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
        let mut files = vec![];
        for folder in ["", "experiments"].map(|part| folder.join(part)) {
            files.extend(std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
        }
        files.retain(|path| path.is_file());
        let named = |path: &Path| Shipped::find(path.strip_prefix(&folder).unwrap());
        let missing: Vec<_> = files.iter().filter(|path| named(path).is_none()).collect();
        assert!(missing.is_empty(), "{missing:?}");
        assert_eq!(files.len(), SHIPPED.len());
    }

    #[test]
    fn configs_have_names_and_say_what_they_are() {
        const DEPTH: &str = "experiments/depth";
        for name in [DEPTH, "configs/experiments/depth.toml", "./configs/experiments/depth.toml"] {
            assert_eq!(Shipped::find(Path::new(name)).unwrap().name, DEPTH, "{name}");
        }
        assert_eq!(Shipped::find(Path::new("elsewhere/smoke.toml")), None);
        let instead = |name| Shipped::instead_of(name);
        assert_eq!(instead("vgg16_small").unwrap(), "vgg11_small --set model.arch=vgg16");
        assert_eq!(instead("paper/vgg16-c").unwrap(), "paper --set model.arch=vgg16-c");
        assert_eq!([instead("paper/x"), instead("smoke")], [None, None]);
        for shipped in SHIPPED {
            let about = shipped.about();
            assert!(about.ends_with('.') && (20..150).contains(&about.len()), "{about}");
        }
    }
}
