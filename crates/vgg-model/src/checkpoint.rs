//! A training run on disk.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::TempPath;
use vgg_tensor::Result;
use vgg_tensor::new_file::sync_folder;

use crate::tensor_file::{self, Tensors, error_in_file, format_error, io_error};
use crate::{Input, Moment, Moments, Params, Vgg, VggConfig, invalid};

/// Everything a run needs to go on, or a network to classify.
///
/// On disk it is one safetensors file of the weights, with torchvision's names; the rest is in the
/// file's metadata. (torchvision's models with batch normalisations also have counters,
/// `num_batches_tracked`, which PyTorch sets to zero where they are missing.) What only training
/// needs, what the optimiser keeps and the weights that an EMA is of, are files beside it, which the first one
/// names by their SHA-256. All carry a checksum of all their bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// The network.
    pub vgg: VggConfig,
    /// The images it is fed with.
    pub input: Input,
    /// The names of the classes in the order of the logits; empty if they have none.
    pub classes: Vec<String>,
    /// The weights, and the running statistics with them.
    pub params: Params,
    /// What the optimiser keeps.
    pub moments: Moments,
    /// The weights that training goes on from, if `params` are their average (EMA).
    pub unaveraged: Option<Params>,
    /// How far the run is.
    pub progress: Progress,
    /// What the program that trains wants to find again.
    pub run: serde_json::Value,
}

/// How far a run is, and the running sums of its current epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// Epochs finished.
    pub epoch: u64,
    /// Batches done in the current epoch.
    pub batch: u64,
    /// Steps done in all.
    pub step: u64,
    /// The run's seed.
    pub seed: u64,
    /// Sum of the losses of the current epoch's images.
    pub loss_sum: f64,
    /// Images of the current epoch that the network was right about: whose true class came first, or whose
    /// box had an intersection over union above ½.
    pub top1: u64,
    /// Images of the current epoch whose true class came among the first five.
    pub top5: u64,
    /// Sum of the intersections over union of the current epoch's boxes.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub iou_sum: f64,
    /// Images of the current epoch that count in these sums.
    pub images: u64,
}

fn is_zero(x: &f64) -> bool {
    *x == 0.0
}

/// What the weights' file says beside the weights.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    vgg: VggConfig,
    input: Input,
    classes: Vec<String>,
    progress: Progress,
    velocity: Option<FileBeside>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mean: Option<FileBeside>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    square: Option<FileBeside>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unaveraged: Option<FileBeside>,
    run: serde_json::Value,
}

/// A file that belongs to a file of weights.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileBeside {
    /// Its name, in the same folder.
    file: String,
    sha256: String,
}

/// Where what only training needs is.
struct Beside {
    moments: Vec<(Moment, FileBeside)>,
    unaveraged: Option<FileBeside>,
}

impl Checkpoint {
    /// Writes the checkpoint to `path`, over an older one.
    ///
    /// At every moment `path` is the old checkpoint or the new one, whole: files are written under
    /// temporary names, flushed to the disk and renamed, the weights last. If anything fails, the
    /// old checkpoint and nothing else remains.
    ///
    /// # Errors
    /// [`vgg_tensor::Error::Io`] if it cannot be written; [`vgg_tensor::Error::Shape`] if its parts
    /// do not fit together.
    ///
    /// ```
    /// use vgg_model::{Checkpoint, Init, Input, Params, Progress, Vgg, VggConfig};
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("last.safetensors");
    /// let config = VggConfig { input: [1, 32, 32], width: 0.05, fc_width: 8, ..Default::default() };
    /// let checkpoint = Checkpoint {
    ///     params: Params::init(&Vgg::new(&config)?, &Init::default(), 42)?,
    ///     vgg: config,
    ///     input: Input::unnormalized(1, 28, 28),
    ///     classes: vec![],
    ///     moments: Default::default(),
    ///     unaveraged: None,
    ///     progress: Progress::default(),
    ///     run: "anything".into(),
    /// };
    /// checkpoint.save(&path)?;
    /// assert_eq!(Checkpoint::load(&path)?, checkpoint);
    /// # Ok::<(), vgg_model::Error>(())
    /// ```
    pub fn save(&self, path: &Path) -> Result<()> {
        self.save_also_as(None, path)
    }

    /// As [`Checkpoint::save`]; before `path`, `other` becomes the same file of weights, in the same
    /// folder and without being written twice. It stays when `path` is replaced. What is beside
    /// `path`, which training alone needs, goes with `path` then: of `other`, it is
    /// [`Checkpoint::load_weights`] that works always. If renaming the last file fails, `other` is
    /// the new network already, whole.
    ///
    /// # Errors
    /// As [`Checkpoint::save`].
    pub fn save_also_as(&self, other: Option<&Path>, path: &Path) -> Result<()> {
        self.check()?;
        let stem = path.file_stem().ok_or_else(|| {
            io_error(path)(io::Error::new(io::ErrorKind::InvalidInput, "no file name"))
        })?;
        let mut new_files = Vec::new();
        let mut beside = |kind, params: Option<&Params>| -> Result<_> {
            let Some(params) = params else { return Ok(None) };
            let (file, new) = save_beside(path, stem, kind, params)?;
            new_files.extend(new);
            Ok(Some(file))
        };
        let mut moment = |moment: Moment| beside(moment.name(), self.moments.get(&moment));
        let header = Header {
            vgg: self.vgg.clone(),
            input: self.input.clone(),
            classes: self.classes.clone(),
            progress: self.progress,
            velocity: moment(Moment::Velocity)?,
            mean: moment(Moment::Mean)?,
            square: moment(Moment::Square)?,
            unaveraged: beside(UNAVERAGED, self.unaveraged.as_ref())?,
            run: self.run.clone(),
        };
        let json = serde_json::to_string(&header).map_err(|e| io_error(path)(e.into()))?;
        let (weights, _) = tensor_file::write(path, &json, self.params.named())?;
        if let Some(other) = other {
            weights.link(other).map_err(io_error(other))?;
        }
        weights.rename(path).map_err(io_error(path))?;
        // From here on the new checkpoint counts, and what is beside it must stay.
        for new_file in new_files {
            new_file.keep().map_err(|e| io_error(path)(e.error))?;
        }
        sync_folder(path).map_err(io_error(path))?;
        let Header { velocity, mean, square, unaveraged, .. } = header;
        for (moment, file) in Moment::ALL.into_iter().zip([velocity, mean, square]) {
            remove_stale(path, stem, moment.name(), file);
        }
        remove_stale(path, stem, UNAVERAGED, unaveraged);
        Ok(())
    }

    /// Reads and checks a checkpoint.
    ///
    /// # Errors
    /// [`vgg_tensor::Error::Io`] if a file cannot be read; [`vgg_tensor::Error::Format`] if one is
    /// damaged or no checkpoint, or one beside it is missing.
    pub fn load(path: &Path) -> Result<Self> {
        let (mut checkpoint, Beside { moments, unaveraged }) = Self::load_own(path)?;
        let vgg = Vgg::new(&checkpoint.vgg)?;
        for (moment, file) in moments {
            let (beside, tensors) = read_beside(path, moment.name(), &file)?;
            checkpoint.moments.insert(moment, Params::moment_of_file(&beside, &vgg, tensors)?);
        }
        if let Some(file) = unaveraged {
            let (beside, tensors) = read_beside(path, UNAVERAGED, &file)?;
            checkpoint.unaveraged = Some(Params::of_file(&beside, &vgg, tensors)?);
        }
        Ok(checkpoint)
    }

    /// Reads and checks a checkpoint without what only training needs: the one file at `path` is
    /// enough.
    ///
    /// # Errors
    /// As [`Checkpoint::load`], but for files beside it.
    pub fn load_weights(path: &Path) -> Result<Self> {
        Ok(Self::load_own(path)?.0)
    }

    /// Bytes of its numbers in memory.
    pub fn bytes(&self) -> u64 {
        let others = self.moments.values().chain(&self.unaveraged);
        let tensors = others.chain([&self.params]).flat_map(Params::iter);
        tensors.map(|(_, tensor)| size_of_val(tensor.data()) as u64).sum()
    }

    /// What the file at `path` has, and where the rest is.
    fn load_own(path: &Path) -> Result<(Self, Beside)> {
        let (own, tensors) = tensor_file::read_own(path)?;
        let header: Header = serde_json::from_str(&own.header)
            .map_err(|e| format_error(path, format!("its header does not read: {e}")))?;
        let Header { vgg, input, classes, progress, velocity, mean, square, unaveraged, run } =
            header;
        let network = Vgg::new(&vgg).map_err(|e| error_in_file(path, e))?;
        let params = Params::of_file(path, &network, tensors)?;
        let moments = Moment::ALL.into_iter().zip([velocity, mean, square]);
        let moments = moments.filter_map(|(moment, file)| Some((moment, file?))).collect();
        let checkpoint = Self {
            vgg,
            input,
            classes,
            params,
            moments: Moments::new(),
            unaveraged: None,
            progress,
            run,
        };
        checkpoint.check().map_err(|e| error_in_file(path, e))?;
        Ok((checkpoint, Beside { moments, unaveraged }))
    }

    /// Reads the file at `path` as [`Checkpoint::load_weights`] does, if it is a checkpoint, and not
    /// weights alone or anything else.
    ///
    /// # Errors
    /// As [`Checkpoint::load_weights`], of a checkpoint.
    pub fn load_if_one(path: &Path) -> Result<Option<Self>> {
        match tensor_file::has_header(path)? {
            true => Self::load_weights(path).map(Some),
            false => Ok(None),
        }
    }

    /// Writes the network alone: the bytes of a checkpoint without a run's progress.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_network(&self, out: &mut dyn Write) -> io::Result<()> {
        let header = Header {
            vgg: self.vgg.clone(),
            input: self.input.clone(),
            classes: self.classes.clone(),
            progress: Progress::default(),
            velocity: None,
            mean: None,
            square: None,
            unaveraged: None,
            run: serde_json::Value::Null,
        };
        tensor_file::write_stream(out, &serde_json::to_string(&header)?, self.params.named())
    }

    /// Whether the parts fit together and all numbers of the header can be written as JSON.
    ///
    /// # Errors
    /// [`vgg_tensor::Error::Shape`] with the first that does not.
    pub fn check(&self) -> Result<()> {
        let vgg = Vgg::new(&self.vgg)?;
        self.params.check(&vgg)?;
        if let Some(unaveraged) = &self.unaveraged {
            unaveraged.check(&vgg)?;
        }
        self.moments.values().try_for_each(|moment| moment.check_without_state(&vgg))?;
        self.input.normalize(self.vgg.input[0])?;
        if !self.classes.is_empty() && self.classes.len() != self.vgg.classes {
            let allowed = format!("{} or none", self.vgg.classes);
            return Err(invalid("names of classes", self.classes.len(), &allowed));
        }
        if !self.progress.loss_sum.is_finite() {
            return Err(invalid("loss_sum", self.progress.loss_sum, "finite to be saved"));
        }
        Ok(())
    }
}

/// What files beside a checkpoint's are called, but for those that [`Moment::name`] names.
const UNAVERAGED: &str = "unaveraged";
const EXTENSION: &str = ".safetensors";

/// Writes tensors beside `path`. The guard, if the file is a new one, removes it again unless it is
/// told to keep it.
///
/// The name holds the digest, so that the file that the old checkpoint needs is never overwritten
/// with other contents.
fn save_beside(
    path: &Path,
    stem: &OsStr,
    kind: &str,
    params: &Params,
) -> Result<(FileBeside, Option<TempPath>)> {
    let (file, sha256) =
        tensor_file::write(&path_beside(path, stem, kind, "new"), "", params.named())?;
    let target = path_beside(path, stem, kind, &sha256[..16]);
    let is_new = !target.exists();
    file.rename(&target).map_err(io_error(&target))?;
    let guard = is_new.then(|| TempPath::try_from_path(&target)).transpose();
    let guard = guard.map_err(io_error(&target))?;
    // The name must be on the disk before a checkpoint mentions it.
    sync_folder(path).map_err(io_error(path))?;
    let file = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok((FileBeside { file, sha256 }, guard))
}

fn path_beside(path: &Path, stem: &OsStr, kind: &str, tag: &str) -> PathBuf {
    path.with_file_name(format!("{}.{kind}-{tag}{EXTENSION}", stem.to_string_lossy()))
}

/// Where a file beside `path` is, and what is in it.
fn read_beside(path: &Path, kind: &str, file: &FileBeside) -> Result<(PathBuf, Tensors)> {
    let name = Path::new(&file.file);
    if name.file_name() != Some(name.as_os_str()) {
        let reason = format!("its {kind} file {:?} is not a plain name", file.file);
        return Err(format_error(path, reason));
    }
    let beside = path.with_file_name(name);
    if !beside.exists() {
        let needs = format!("missing, but {} needs it to go on training", path.display());
        return Err(format_error(&beside, needs));
    }
    let (own, tensors) = tensor_file::read_own(&beside)?;
    if own.sha256 != file.sha256 {
        let reason = format!("the checksum does not match the one in {}", path.display());
        return Err(format_error(&beside, reason));
    }
    Ok((beside, tensors))
}

/// Removes the files of a kind of older checkpoints of this name. One that stays does no harm, and
/// the next save tries again, so errors are no errors.
fn remove_stale(path: &Path, stem: &OsStr, kind: &str, keep: Option<FileBeside>) {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let start = format!("{}.{kind}-", stem.to_string_lossy());
    let keep = keep.map(|file| file.file);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let tag = name.strip_prefix(&start).and_then(|rest| rest.strip_suffix(EXTENSION));
        let is_ours =
            tag.is_some_and(|t| t.len() == 16 && t.bytes().all(|b| b.is_ascii_hexdigit()));
        if is_ours && keep.as_ref() != Some(&name) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests;
