//! Measuring cuDNN's algorithms, and remembering which was the fastest.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cudarc::driver::CudaStream;
use cudarc::driver::sys::CUevent_flags::CU_EVENT_DEFAULT;
use vgg_tensor::Result;
use vgg_tensor::new_file::NewFile;
use vgg_tensor::spec::Conv2d;

use super::algorithm::Candidate;
use super::direction::{Call, Direction, Workspace};
use crate::error::During;
use crate::memory::Memory;
use crate::precision::Storage;

/// Runs that are timed together, after one that is not.
const RUNS: usize = 3;

/// What was measured, in a file of lines `what<tab>algorithm`.
pub(crate) struct Tuning {
    file: PathBuf,
    /// The GPU, cuDNN's version, and what else decides about the fastest besides the shape.
    setting: String,
    fastest: BTreeMap<String, String>,
}

impl Tuning {
    /// With what the file has, if there is one.
    pub(crate) fn open(file: &Path, setting: String) -> Self {
        let text = fs::read_to_string(file).unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                log::warn!("{}: {error}; convolutions are measured again", file.display());
            }
            String::new()
        });
        let pair = |line: &str| line.split_once('\t').map(|(a, b)| (a.to_owned(), b.to_owned()));
        Self { file: file.to_owned(), setting, fastest: text.lines().filter_map(pair).collect() }
    }

    /// The index of the fastest of the candidates, by measurement unless it is known.
    pub(super) fn fastest<D: Direction>(
        &mut self,
        stream: &Arc<CudaStream>,
        storage: Storage,
        op: &Conv2d,
        call: impl Fn(&Candidate<D::Algorithm>) -> Result<Call>,
        candidates: &[Candidate<D::Algorithm>],
    ) -> Result<usize> {
        let (x, c_out, kernel, padding) = (op.x(), op.c_out(), op.kernel(), op.padding());
        let stride = op.stride();
        let what =
            format!("{}, {}, {x} to {c_out}, {kernel}, {padding}, {stride}", self.setting, D::NAME);
        let known = self.fastest.get(&what);
        let named = |name: &String| candidates.iter().position(|c| c.name() == *name);
        if let Some(index) = known.and_then(named) {
            return Ok(index);
        }
        let times = candidates
            .iter()
            .map(|candidate| time::<D>(stream, storage, op, call(candidate)?, candidate))
            .collect::<Result<Vec<f32>>>()?;
        let fastest = (0..times.len()).min_by(|a, b| times[*a].total_cmp(&times[*b]));
        let fastest = fastest.unwrap_or(0);
        log::debug!("{what}: {} of {times:?} ms", candidates[fastest].name());
        self.fastest.insert(what, candidates[fastest].name());
        if let Err(error) = self.save() {
            log::warn!("{}: {error}; what was measured is not kept", self.file.display());
        }
        Ok(fastest)
    }

    /// The file appears whole or not at all.
    fn save(&self) -> io::Result<()> {
        let lines: String =
            self.fastest.iter().map(|(what, name)| format!("{what}\t{name}\n")).collect();
        if let Some(folder) = self.file.parent() {
            fs::create_dir_all(folder)?;
        }
        let new = NewFile::beside_others(&self.file)?;
        new.write(|out| out.write_all(lines.as_bytes()))?;
        new.finish()?.rename(&self.file)
    }
}

/// Milliseconds of a run.
fn time<D: Direction>(
    stream: &Arc<CudaStream>,
    storage: Storage,
    op: &Conv2d,
    call: Call,
    candidate: &Candidate<D::Algorithm>,
) -> Result<f32> {
    const OP: &str = "measuring a convolution";
    let [a, b, to] = D::lens(op).map(|len| Memory::zeroed(stream, storage.bytes() * len));
    let (a, b, to) = (a?, b?, to?);
    let workspace = Memory::uninitialised(stream, candidate.workspace)?;
    let run = || {
        let factors = [a.address(), b.address()];
        let workspace = Workspace { at: workspace.address(), bytes: candidate.workspace };
        // SAFETY: the call is valid, and the memory was made for its tensors.
        unsafe { D::compute(call, candidate.algorithm, factors, to.address(), workspace) }
            .during(OP)
    };
    run()?;
    let start = stream.record_event(Some(CU_EVENT_DEFAULT)).during(OP)?;
    (0..RUNS).try_for_each(|_| run())?;
    let end = stream.record_event(Some(CU_EVENT_DEFAULT)).during(OP)?;
    Ok(start.elapsed_ms(&end).during(OP)? / RUNS as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_is_kept() {
        let folder = std::env::temp_dir().join(format!("vgg-tuning-{}", std::process::id()));
        let file = folder.join("a/algorithms.txt");
        let mut tuning = Tuning::open(&file, "a GPU".into());
        assert!(tuning.fastest.is_empty());
        tuning.fastest.insert("a GPU, a shape".into(), "ALGO_1".into());
        tuning.save().unwrap();
        fs::write(&file, fs::read_to_string(&file).unwrap() + "a line of something else\n")
            .unwrap();
        assert_eq!(Tuning::open(&file, "a GPU".into()).fastest, tuning.fastest);
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
        fs::remove_dir_all(folder).unwrap();
    }
}
