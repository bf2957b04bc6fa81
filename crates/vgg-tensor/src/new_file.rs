//! Files that appear whole or not at all, after a power failure, too.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile, TempPath};

/// Bytes that are written at once.
const PIECE: usize = 1 << 18;

/// Writes a file, over an older one: who reads `path` sees all of the old one or all of the new one,
/// and once this returns, the new one is on the disk.
///
/// # Errors
/// Those of `contents` and of the file system, without the path. The old file is then still there.
pub fn replace(
    path: &Path,
    contents: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let file = NewFile::beside(path)?;
    file.write(contents)?;
    file.finish()?.rename(path)?;
    sync_folder(path)
}

/// A file that is being written: it has another name beside the one that it is to have, and is
/// removed unless it gets that.
#[derive(Debug)]
pub struct NewFile(NamedTempFile);

impl NewFile {
    /// Begins a file that is to be `path`, where one process at a time does so.
    ///
    /// Its name is always `.NAME.tmp`, so that what a killed process left behind is removed. That is
    /// not written into, as it may be a good file under a second name ([`WholeFile::link`]).
    ///
    /// # Errors
    /// Those of the file system, without the path; so are those of the other functions.
    pub fn beside(path: &Path) -> io::Result<Self> {
        remove_if_there(&hidden(path))?;
        Self::create(path, 0)
    }

    /// As [`NewFile::beside`], where several processes may do so at a time: under a name that no
    /// other file has.
    pub fn beside_others(path: &Path) -> io::Result<Self> {
        const LETTERS: usize = 6;
        Self::create(path, LETTERS)
    }

    fn create(path: &Path, letters: usize) -> io::Result<Self> {
        let mut builder = Builder::new();
        let prefix = dotted(path);
        builder.prefix(&prefix).suffix(".tmp").rand_bytes(letters);
        // Those that files have which no option decides about, less the process's mask.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
        builder.tempfile_in(folder_of(path)).map(Self)
    }

    /// Its name for now.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The open file.
    pub fn file(&self) -> &File {
        self.0.as_file()
    }

    /// Writes its contents.
    ///
    /// # Errors
    /// Those of `contents`, too.
    pub fn write(&self, contents: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        let mut out = BufWriter::with_capacity(PIECE, self.file());
        contents(&mut out)?;
        out.flush()
    }

    /// Flushes it to the disk.
    pub fn finish(self) -> io::Result<WholeFile> {
        self.file().sync_all()?;
        Ok(WholeFile(self.0.into_temp_path()))
    }
}

/// A file that is on the disk to its last byte, and is removed unless it is renamed.
#[derive(Debug)]
pub struct WholeFile(TempPath);

impl WholeFile {
    /// Gives it the name `path`, too, in the same folder. Where the file system has no such links it
    /// is copied.
    ///
    /// # Errors
    /// As [`NewFile::beside`].
    pub fn link(&self, path: &Path) -> io::Result<()> {
        let temp = hidden(path);
        remove_if_there(&temp)?;
        let linked = fs::hard_link(&self.0, &temp);
        let temp = TempPath::try_from_path(&temp)?;
        if linked.is_err() {
            fs::copy(&self.0, &temp)?;
            File::options().write(true).open(&temp)?.sync_all()?;
        }
        temp.persist(path).map_err(|error| error.error)
    }

    /// Gives it its name. That this is on the disk, too, [`sync_folder`] makes sure.
    ///
    /// # Errors
    /// As [`NewFile::beside`].
    pub fn rename(self, path: &Path) -> io::Result<()> {
        self.0.persist(path).map_err(|error| error.error)
    }
}

/// Makes sure that the names in the folder of `path` outlive a power failure.
///
/// # Errors
/// Those of the file system, without the path.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    // Other systems cannot open a folder, and flush names on their own.
    if cfg!(unix) { File::open(folder_of(path))?.sync_all() } else { Ok(()) }
}

/// The folder that `path` is in.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// What a file is called that is to be `path`.
fn hidden(path: &Path) -> PathBuf {
    let mut name = dotted(path);
    name.push(".tmp");
    path.with_file_name(name)
}

fn dotted(path: &Path) -> OsString {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = entries.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        fs::write(&path, "old").unwrap();
        let torn = replace(&path, |out| {
            out.write_all(b"ne")?;
            Err(io::Error::other("full"))
        });
        assert_eq!(torn.unwrap_err().to_string(), "full");
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        // As of a process that was killed.
        fs::write(folder.path().join(".a.txt.tmp"), "ne").unwrap();
        replace(&path, |out| out.write_all(b"new")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(names(folder.path()), ["a.txt"]);
    }

    #[test]
    fn a_second_name_keeps_its_contents() {
        let folder = tempfile::tempdir().unwrap();
        let [last, best] = ["last", "best"].map(|name| folder.path().join(name));
        let file = NewFile::beside(&last).unwrap();
        file.write(|out| out.write_all(b"1")).unwrap();
        let file = file.finish().unwrap();
        file.link(&best).unwrap();
        file.rename(&last).unwrap();
        replace(&last, |out| out.write_all(b"2")).unwrap();
        let contents = [last, best].map(|path| fs::read_to_string(path).unwrap());
        assert_eq!(contents, ["2", "1"]);
    }

    #[test]
    fn several_may_write_a_file_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        let files = [1, 2].map(|_| NewFile::beside_others(&path).unwrap());
        files[0].write(|out| out.write_all(b"1")).unwrap();
        files[1].write(|out| out.write_all(b"22")).unwrap();
        for (file, contents) in files.into_iter().zip(["1", "22"]) {
            file.finish().unwrap().rename(&path).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), contents);
        }
        assert_eq!(names(folder.path()), ["a.txt"]);
    }
}
