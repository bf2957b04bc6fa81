//! The image files of a folder and of those in it.

use std::path::{Path, PathBuf};

use vgg_tensor::Result;

use super::list::{entries, is_image};

/// The image files in `folder` and in the folders below it, each folder in the order of names: those
/// whose names end as images' do, and others whose contents are an image. Hidden files and folders are
/// passed over, and a link to a folder below is not followed, so that links cannot form a loop.
///
/// A folder that cannot be read is an error, and others go on. What is in memory are the names in one
/// folder and in those that it is in.
pub fn image_files(folder: &Path) -> impl Iterator<Item = Result<PathBuf>> + use<> {
    let mut first = Some(folder.to_owned());
    let mut pending: Vec<PathBuf> = Vec::new();
    std::iter::from_fn(move || {
        loop {
            let given = first.take();
            let path = match &given {
                Some(_) => given.clone()?,
                None => pending.pop()?,
            };
            let is_folder = || path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
            if given.is_some() || is_folder() {
                match entries(&path) {
                    // The next one is taken from the end.
                    Ok(entries) => pending.extend(entries.into_iter().rev()),
                    Err(error) => return Some(Err(error)),
                }
            } else if is_image(&path) {
                return Some(Ok(path));
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_come_folder_by_folder_in_the_order_of_names() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for folder in ["b/c", ".hidden", "z"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        let png = {
            image::GrayImage::new(1, 1).save(at("a.png")).unwrap();
            fs::read(at("a.png")).unwrap()
        };
        for name in ["b/c/2.jpg", "b/1.WEBP", "z/without_ending", ".hidden/x.png", "b/.x.png"] {
            fs::write(at(name), &png).unwrap();
        }
        fs::write(at("b/notes.txt"), "no image").unwrap();
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("../..", at("b/c/up")).unwrap();
            std::os::unix::fs::symlink("../a.png", at("z/linked.png")).unwrap();
        }
        let names = |folder: &str| -> Vec<String> {
            let files = image_files(&at(folder)).map(|file| file.unwrap());
            let files = files.map(|file| file.strip_prefix(dir.path()).unwrap().to_owned());
            files.map(|file| file.to_str().unwrap().to_owned()).collect()
        };
        let mut expected =
            vec!["a.png", "b/1.WEBP", "b/c/2.jpg", "z/linked.png", "z/without_ending"];
        expected.retain(|name| cfg!(unix) || *name != "z/linked.png");
        assert_eq!(names("."), expected);
        assert_eq!(names("z").last().unwrap(), "z/without_ending");
        let missing: Vec<_> = image_files(&at("no")).collect();
        assert!(matches!(&missing[..], [Err(_)]));
    }
}
