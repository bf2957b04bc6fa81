//! Places for results that the user names: `--output`, `--confusion`, `--predictions`,
//! `--profile`.
//!
//! A result's file appears whole or not at all, where a signal ends the program, too, and under the
//! permissions that an older one had. Links are followed, and pipes and devices are written to as
//! they are: nothing that is no plain file is ever replaced by one. What may not be written to is
//! refused when [`Output::new`] looks at it, before anything is computed.

use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::iter;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use vgg_tensor::new_file::{NewFile, sync_folder};

use super::folder;
use crate::failure::{Code, Failure};
use crate::signals::Unfinished;

/// Links that are followed from one to the next; Linux gives up there, too.
const MAX_LINKS: usize = 40;

/// A place for a result.
#[derive(Debug)]
pub(crate) struct Output {
    path: PathBuf,
    /// The plain file that is made or replaced; none for a pipe or a device.
    target: Option<PathBuf>,
}

impl Output {
    /// Looks at `path`, which must be none of the files that are read, `inputs`.
    ///
    /// # Errors
    /// A [`Failure`] with [`Code::Usage`] if it is a folder, in a folder that is not there, a file of
    /// a run, an input, an image, or protected; an error if its folder cannot be written to.
    pub(crate) fn new(path: &Path, inputs: &[&Path]) -> Result<Self> {
        let output = Self::of_picture(path, inputs)?;
        if output.target.as_ref().is_some_and(|target| vgg_data::is_picture(target)) {
            let message =
                format!("cannot write {}: it is an image, which would be lost", path.display());
            let help = "name another file, or remove the image first";
            return Err(Failure::new(Code::Usage, message).help(help).into());
        }
        Ok(output)
    }

    /// As [`Output::new`], of a result that is an image itself, which may replace another one.
    ///
    /// # Errors
    /// As [`Output::new`].
    pub(crate) fn of_picture(path: &Path, inputs: &[&Path]) -> Result<Self> {
        let refuse = |why: String| {
            let message = format!("cannot write {}: {why}", path.display());
            Failure::new(Code::Usage, message)
        };
        let unreadable = || format!("cannot write {}", path.display());
        let stream = || Self { path: path.into(), target: None };
        let Some(target) = follow(path).with_context(unreadable)? else { return Ok(stream()) };
        let old = metadata(&target).with_context(unreadable)?;
        match &old {
            Some(old) if is_stream(old) => return Ok(stream()),
            Some(old) if old.is_dir() => return Err(refuse("it is a folder".into()).into()),
            Some(old) if !old.is_file() => {
                return Err(refuse("it is neither a file nor a pipe".into()).into());
            }
            Some(old) if old.permissions().readonly() => {
                return Err(refuse("it is protected from being written".into()).into());
            }
            _ => {}
        }
        let folder = match target.parent() {
            Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
            Some(folder) => folder,
            None => return Err(refuse("it has no name".into()).into()),
        };
        if !folder.is_dir() {
            return Err(refuse(format!("there is no folder {}", folder.display())).into());
        }
        let folder = fs::canonicalize(folder).with_context(unreadable)?;
        let target = folder.join(target.file_name().unwrap_or_default());
        if folder::is_own_file(&target) {
            let failure = refuse("it is a file of a run".into());
            return Err(failure
                .help("name another file: a run's own files are the program's")
                .into());
        }
        let is_target = |input: &&&Path| fs::canonicalize(input).is_ok_and(|path| path == target);
        if inputs.iter().any(|input| is_target(&input)) {
            return Err(refuse("it is read, too".into()).help("name another file").into());
        }
        // A folder that takes no file is told now; nobody sees this one.
        NewFile::beside_others(&target).with_context(unreadable)?;
        Ok(Self { path: path.into(), target: Some(target) })
    }

    /// As the user names it.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the result goes to standard output, as by /dev/stdout: nothing else belongs there then.
    pub(crate) fn is_standard_output(&self) -> bool {
        self.target.is_none() && own_stream(&self.path) == Some(1)
    }

    /// Refuses to write two results into one file.
    pub(crate) fn refuse_same_as(&self, other: &Self) -> Result<()> {
        if self.target.is_none() || self.target != other.target {
            return Ok(());
        }
        let message = format!("cannot write {}: another result goes there", self.path.display());
        Err(Failure::new(Code::Usage, message).help("name another file").into())
    }

    /// Writes all of the file, or if that fails nothing.
    pub(crate) fn write(
        &self,
        contents: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<()> {
        let done = match &self.target {
            Some(target) => self.replace(target, contents),
            None => open_stream(&self.path).and_then(|file| {
                let mut out = BufWriter::with_capacity(1 << 18, file);
                contents(&mut out)?;
                out.flush()
            }),
        };
        done.map_err(|error| match error.kind() {
            ErrorKind::BrokenPipe => Failure::new(Code::Other, "its reader has gone").into(),
            _ => anyhow::Error::new(error),
        })
        .with_context(|| format!("cannot write {}", self.path.display()))
    }

    fn replace(
        &self,
        target: &Path,
        contents: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let new = NewFile::beside_others(target)?;
        let _unfinished = Unfinished::new(new.path());
        new.write(contents)?;
        if let Some(old) = metadata(target)? {
            keep(&old, new.file())?;
        }
        new.finish()?.rename(target)?;
        sync_folder(target)
    }
}

/// Where links lead, whether there is something or not; none if to a file that is open already, as
/// /dev/stdout is, and has no other name for certain.
fn follow(path: &Path) -> io::Result<Option<PathBuf>> {
    let is_open = |path: &Path| folder_of(path).is_ok_and(|folder| folder.starts_with("/proc"));
    let mut places: Vec<PathBuf> = links(path).collect();
    match places.len() {
        _ if places.iter().any(|place| is_open(place)) => Ok(None),
        MAX_LINKS => Err(io::Error::other("its links lead nowhere")),
        _ => Ok(places.pop()),
    }
}

/// A path, and where it leads from link to link.
fn links(path: &Path) -> impl Iterator<Item = PathBuf> {
    let next = |path: &PathBuf| {
        let folder = path.parent().unwrap_or(Path::new(""));
        // No link, or nothing at all, ends it.
        fs::read_link(path).ok().map(|next| folder.join(next))
    };
    iter::successors(Some(path.to_owned()), next).take(MAX_LINKS)
}

/// The folder of a file, without links.
fn folder_of(path: &Path) -> io::Result<PathBuf> {
    fs::canonicalize(path.parent().unwrap_or(Path::new("")))
}

/// The number of the stream of this process that `path` leads to, as /dev/stdout to 1.
fn own_stream(path: &Path) -> Option<u32> {
    let own = fs::canonicalize("/proc/self/fd").ok();
    links(path).find_map(|path| match path.to_str()? {
        // By these names on every Unix; where they are links, to what the others are on Linux.
        "/dev/stdout" => Some(1),
        "/dev/stderr" => Some(2),
        _ if folder_of(&path).is_ok_and(|folder| own.as_ref() == Some(&folder)) => {
            path.file_name()?.to_str()?.parse().ok()
        }
        _ => None,
    })
}

/// Opens what is no plain file, or has no other name for certain.
///
/// A stream of this process that leads to a file goes on where it is: opened by name it would begin at the
/// file's beginning, over what is there.
fn open_stream(path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd as _;
        let stream = match own_stream(path) {
            Some(1) => {
                io::stdout().flush()?;
                Some(io::stdout().as_fd().try_clone_to_owned()?)
            }
            Some(2) => Some(io::stderr().as_fd().try_clone_to_owned()?),
            _ => None,
        };
        if let Some(stream) = stream {
            return Ok(stream.into());
        }
    }
    File::options().append(true).open(path)
}

/// What is known of a file, if there is one.
fn metadata(path: &Path) -> io::Result<Option<Metadata>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(unix)]
fn is_stream(metadata: &Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    metadata.file_type().is_fifo() || metadata.file_type().is_char_device()
}

#[cfg(not(unix))]
fn is_stream(_: &Metadata) -> bool {
    false
}

/// Gives a new file what an old one had: permissions, and the owner where that is allowed.
fn keep(old: &Metadata, new: &File) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt as _, fchown};
        let _ = fchown(new, Some(old.uid()), Some(old.gid()));
    }
    new.set_permissions(old.permissions())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(path: &Path, inputs: &[&Path]) -> String {
        let error = Output::new(path, inputs).unwrap_err();
        assert_eq!(crate::failure::code(&error), Code::Usage);
        error.to_string()
    }

    /// The names in a folder.
    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            names.map(|name| name.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let output = Output::new(&path, &[]).unwrap();
        assert!(names(folder.path()).is_empty(), "a look leaves nothing behind");
        output.write(|out| out.write_all(b"one")).unwrap();
        let fails = |out: &mut dyn Write| {
            out.write_all(b"two")?;
            Err(io::Error::other("no more"))
        };
        let error = format!("{:#}", output.write(fails).unwrap_err());
        assert_eq!(error, format!("cannot write {}: no more", path.display()));
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn what_cannot_be_or_is_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let [input, other] = ["a", "b"].map(|name| folder.path().join(name));
        fs::write(&input, "").unwrap();
        assert!(refused(&input, &[&other, &input]).ends_with("/a: it is read, too"));
        let roundabout = folder.path().join("../").join(folder.path().file_name().unwrap());
        assert!(refused(&roundabout.join("a"), &[&input]).ends_with("it is read, too"));
        assert!(refused(folder.path(), &[]).ends_with(": it is a folder"));
        assert!(refused(&folder.path().join("no/a"), &[]).contains(": there is no folder "));
        let mut permissions = fs::metadata(&input).unwrap().permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&input, permissions).unwrap();
        assert!(refused(&input, &[]).ends_with(": it is protected from being written"));
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_permissions_kept() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let folder = tempfile::tempdir().unwrap();
        let [store, file, link, dangling, looping] =
            ["store", "store/a", "link", "dangling", "loop"].map(|name| folder.path().join(name));
        fs::create_dir(&store).unwrap();
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        symlink("store/a", &link).unwrap();
        symlink("store/b", &dangling).unwrap();
        symlink("loop", &looping).unwrap();
        for path in [&link, &dangling] {
            Output::new(path, &[]).unwrap().write(|out| out.write_all(b"new")).unwrap();
            assert!(fs::symlink_metadata(path).unwrap().is_symlink());
            assert_eq!(fs::read(path).unwrap(), b"new");
        }
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(names(&store), ["a", "b"]);
        assert!(refused(&link, &[&file]).ends_with("it is read, too"));
        let error = Output::new(&looping, &[]).unwrap_err();
        assert!(format!("{error:#}").ends_with("its links lead nowhere"), "{error:#}");
    }
}
