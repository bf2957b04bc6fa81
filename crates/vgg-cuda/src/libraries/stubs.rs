//! Stubs of the driver, with which programs are linked where there is no driver.

#[cfg(any(unix, test))]
use std::{env, ffi::OsString, path::Path};

/// The variable with the folders in which the dynamic linker looks first.
#[cfg(unix)]
const SEARCH_PATH: &str = "LD_LIBRARY_PATH";

/// Starts the program again, in the same process, without the folders of `LD_LIBRARY_PATH` that have a
/// stub of the driver in them. Returns if there are none, or if it cannot.
///
/// The crate that binds the driver opens `libcuda.so`, as a stub is called, and the dynamic linker
/// reads the variable when a program starts, never later. So this is for the first line of a program's
/// `main`; what does not call it is told what hides the driver. Systems other than Unix have no such variable.
pub fn start_again_without_stubs() {
    #[cfg(unix)]
    if let Some(path) = without_stubs(env::var_os(SEARCH_PATH)) {
        use std::os::unix::process::CommandExt as _;
        use std::process::Command;

        let Ok(program) = env::current_exe() else { return };
        let mut args = env::args_os();
        let mut again = Command::new(program);
        if let Some(name) = args.next() {
            again.arg0(name);
        }
        let error = again.args(args).env(SEARCH_PATH, path).exec();
        log::debug!("cannot start again without stubs of the driver: {error}");
    }
}

/// The folders of a search path but for those with a stub of the driver, if there are such.
#[cfg(any(unix, test))]
fn without_stubs(path: Option<OsString>) -> Option<OsString> {
    let path = path?;
    let has_stub = |folder: &Path| folder.ends_with("stubs") && folder.join("libcuda.so").is_file();
    let all = || env::split_paths(&path);
    if !all().any(|folder| has_stub(&folder)) {
        return None;
    }
    env::join_paths(all().filter(|folder| !has_stub(folder))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_with_a_stub_of_the_driver_are_left_out() {
        let root = tempfile::tempdir().unwrap();
        let folder = |name: &str, file: &str| {
            let folder = root.path().join(name);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(file), "").unwrap();
            folder
        };
        let driver = folder("lib", "libcuda.so");
        let stubs = folder("lib64/stubs", "libcuda.so");
        let other = folder("other/stubs", "libm.so");
        let without = |folders: &[&Path]| without_stubs(Some(env::join_paths(folders).unwrap()));
        assert_eq!(without_stubs(None), None);
        assert_eq!(without(&[&driver, &other]), None);
        assert_eq!(without(&[&stubs]), Some(OsString::new()));
        let rest = env::join_paths([&driver, &other]).unwrap();
        assert_eq!(without(&[&driver, &stubs, &other]), Some(rest));
    }
}
