//! Where cuDNN, cuBLAS and NCCL are installed: what somebody named comes first, then the Python that is
//! active, then what is there for everybody.
//!
//! Nothing is run to find out, and only folders are listed: it takes no time.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// Where libraries lie that are installed together.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The folders of `LD_LIBRARY_PATH`.
    Named(Vec<PathBuf>),
    Folders(Vec<PathBuf>),
    /// Wherever else the dynamic linker looks.
    Linker,
}

impl Place {
    /// Files of this name that it has, to be opened.
    pub(super) fn candidates(&self, file: &str) -> Vec<PathBuf> {
        match self {
            Place::Named(folders) | Place::Folders(folders) => {
                let files = folders.iter().map(|folder| folder.join(file));
                files.filter(|path| path.exists()).collect()
            }
            Place::Linker => vec![file.into()],
        }
    }
}

/// What places follow from.
pub(super) struct Surroundings<'a> {
    pub(super) variable: &'a dyn Fn(&str) -> Option<OsString>,
    /// The file system's.
    pub(super) root: &'a Path,
}

/// All of this process's, the likeliest first.
pub(super) fn all() -> Vec<Place> {
    Surroundings { variable: &|name| env::var_os(name), root: Path::new("/") }.places()
}

/// Of PyPI's packages: cuDNN's, CUDA 13's and 12's, NCCL's.
const WHEELS: [&str; 4] =
    ["nvidia/cudnn/lib", "nvidia/cu13/lib", "nvidia/cublas/lib", "nvidia/nccl/lib"];

impl Surroundings<'_> {
    pub(super) fn places(&self) -> Vec<Place> {
        let listed = (self.variable)("LD_LIBRARY_PATH").unwrap_or_default();
        let named = Place::Named(env::split_paths(&listed).filter(|path| path.is_dir()).collect());
        let wheels =
            self.packages().into_iter().map(|site| WHEELS.map(|lib| site.join(lib)).into());
        let conda = self.path("CONDA_PREFIX").map(|prefix| vec![prefix.join("lib")]);
        let toolkits = self.toolkits().into_iter();
        let toolkits = toolkits.map(|toolkit| ["lib64", "lib"].map(|lib| toolkit.join(lib)).into());
        let folders = |folders: Vec<PathBuf>| {
            let there: Vec<_> = folders.into_iter().filter(|folder| folder.is_dir()).collect();
            (!there.is_empty()).then_some(Place::Folders(there))
        };
        let environments = wheels.chain(conda).filter_map(folders);
        let toolkits = toolkits.filter_map(folders);
        let mut places = Vec::new();
        for place in [named].into_iter().chain(environments).chain([Place::Linker]).chain(toolkits)
        {
            if !places.contains(&place) {
                places.push(place);
            }
        }
        places
    }

    fn path(&self, variable: &str) -> Option<PathBuf> {
        (self.variable)(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
    }

    /// The folders of packages that the Python of this environment has, or the user's.
    fn packages(&self) -> Vec<PathBuf> {
        let listed = (self.variable)("PYTHONPATH").unwrap_or_default();
        let mut folders: Vec<PathBuf> = env::split_paths(&listed).collect();
        let active = ["VIRTUAL_ENV", "CONDA_PREFIX"].map(|variable| self.path(variable));
        let user =
            self.path("PYTHONUSERBASE").or(self.path("HOME").map(|home| home.join(".local")));
        let prefixes = active.into_iter().flatten().chain(self.pythons()).chain(user);
        for lib in
            prefixes.flat_map(|prefix| ["lib", "lib64", "local/lib"].map(|lib| prefix.join(lib)))
        {
            for python in newest_first(&lib, "python3") {
                folders.extend(["site-packages", "dist-packages"].map(|site| python.join(site)));
            }
        }
        folders
    }

    /// The prefixes of the first `python3` in `PATH`: as it is named, which is a virtual
    /// environment's, and as it is installed.
    fn pythons(&self) -> Vec<PathBuf> {
        let path = (self.variable)("PATH").unwrap_or_default();
        let mut files = env::split_paths(&path).map(|folder| folder.join("python3"));
        let Some(named) = files.find(|file| file.is_file()) else { return Vec::new() };
        let prefix = |file: &Path| Some(file.parent()?.parent()?.to_owned());
        let installed = fs::canonicalize(&named).ok();
        let mut prefixes: Vec<_> = prefix(&named).into_iter().collect();
        prefixes.extend(installed.as_deref().and_then(prefix));
        // pyenv has a script under this name, which starts the version that is chosen.
        if named.parent().is_some_and(|folder| folder.ends_with("shims"))
            && let Some(pyenv) = prefix(&named)
        {
            let chosen =
                (self.variable)("PYENV_VERSION").and_then(|version| version.into_string().ok());
            let chosen = chosen.or_else(|| fs::read_to_string(pyenv.join("version")).ok());
            let chosen = chosen.unwrap_or_default();
            let versions = chosen.split([':', '\n']).map(str::trim).filter(|name| !name.is_empty());
            prefixes.extend(versions.map(|version| pyenv.join("versions").join(version)));
        }
        prefixes
    }

    /// The folders of CUDA toolkits.
    fn toolkits(&self) -> Vec<PathBuf> {
        let named =
            ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(|variable| self.path(variable));
        let installed = newest_first(&self.root.join("usr/local"), "cuda");
        named.chain(installed).chain([self.root.join("opt/cuda")]).collect()
    }
}

/// The folders whose names begin so: the name alone first, as it is a link to what was chosen, then
/// by version.
fn newest_first(folder: &Path, name: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<(Vec<u32>, PathBuf)> = entries
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.strip_prefix(name)?.to_owned();
            let numbers = version.split(['-', '.']).filter_map(|part| part.parse().ok());
            Some((numbers.collect(), entry.path()))
        })
        .collect();
    found.sort_by(|(a, _), (b, _)| a.is_empty().cmp(&b.is_empty()).then(a.cmp(b)).reverse());
    found.into_iter().map(|(_, path)| path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file system of these folders, and what follows from the variables, which are relative to it.
    fn places(folders: &[&str], variables: &[(&str, &str)]) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        for folder in folders {
            let folder = root.path().join(folder);
            if folder.ends_with("python3") {
                fs::create_dir_all(folder.parent().unwrap()).unwrap();
                fs::write(folder, "").unwrap();
            } else {
                fs::create_dir_all(folder).unwrap();
            }
        }
        let variable = |name: &str| {
            let (_, value) = variables.iter().find(|(known, _)| *known == name)?;
            Some(match name {
                "PYENV_VERSION" => value.into(),
                _ => env::join_paths(value.split(':').map(|path| root.path().join(path))).unwrap(),
            })
        };
        let found = Surroundings { variable: &variable, root: root.path() }.places();
        let name = |folder: &PathBuf| {
            folder.strip_prefix(root.path()).unwrap().to_str().unwrap().to_owned()
        };
        let names = |folders: &[PathBuf]| folders.iter().map(name).collect::<Vec<_>>().join(" ");
        let told = found.iter().map(|place| match place {
            Place::Named(folders) => format!("named {}", names(folders)),
            Place::Folders(folders) => names(folders),
            Place::Linker => "linker".to_owned(),
        });
        told.collect()
    }

    #[test]
    fn packages_of_a_python_are_found_in_each_kind_of_environment() {
        const PACKAGES: &str = "lib/python3.12/site-packages/nvidia/cudnn/lib";
        for (prefix, variables) in [
            ("venv", &[("VIRTUAL_ENV", "venv")][..]),
            ("env", &[("CONDA_PREFIX", "env")]),
            ("p", &[("PATH", "none:p/bin")]),
            ("base", &[("PYTHONUSERBASE", "base")]),
            ("home/.local", &[("HOME", "home")]),
            ("pyenv/versions/3.12.1", &[("PATH", "pyenv/shims"), ("PYENV_VERSION", "3.12.1")]),
        ] {
            let packages = format!("{prefix}/{PACKAGES}");
            let folders = [&*packages, "p/bin/python3", "pyenv/shims/python3"];
            let mut expected = vec!["named ", &*packages, "linker"];
            if variables[0].0 == "CONDA_PREFIX" {
                expected.insert(2, "env/lib");
            }
            assert_eq!(places(&folders, variables), expected, "{variables:?}");
            assert_eq!(places(&folders, &[]), ["named ", "linker"]);
        }
        let debian = "usr/local/lib/python3.11/dist-packages/nvidia/cu13/lib";
        assert_eq!(
            places(&[debian, "usr/bin/python3"], &[("PATH", "usr/bin")]),
            ["named ", debian, "linker"]
        );
        let target = "target/nvidia/cublas/lib";
        let variables = [("PYTHONPATH", "other:target")];
        assert_eq!(places(&[target], &variables), ["named ", target, "linker"]);
    }

    #[test]
    fn what_is_installed_together_is_one_place_and_what_is_active_comes_first() {
        let site = "venv/lib/python3.11/site-packages";
        let folders = [
            "usr/local/cuda-12.9/lib64",
            "usr/local/cuda-12.10/lib64",
            "usr/local/cuda/lib64",
            "usr/local/cuda-samples",
            "opt/cuda/lib64",
            "env/lib",
            &format!("{site}/nvidia/cudnn/lib"),
            &format!("{site}/nvidia/cu13/lib"),
        ];
        let variables =
            [("VIRTUAL_ENV", "venv"), ("CONDA_PREFIX", "env"), ("LD_LIBRARY_PATH", "x:opt:env")];
        let expected = [
            "named opt env",
            &*format!("{site}/nvidia/cudnn/lib {site}/nvidia/cu13/lib"),
            "env/lib",
            "linker",
            "usr/local/cuda/lib64",
            "usr/local/cuda-12.10/lib64",
            "usr/local/cuda-12.9/lib64",
            "opt/cuda/lib64",
        ];
        assert_eq!(places(&folders, &variables), expected);
    }
}
