//! A run as one who does not train it sees it: what it is, how far it has come, and whether a process
//! trains in it now.
//!
//! Hundreds of runs are looked at in a moment: of a run's records, only those of the epochs and the
//! newest one are read.

use std::cmp::Ordering;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, anyhow};
use vgg_model::weights::WeightFile;

use super::best::ends_early;
use super::folder::{LOCK, METRICS, METRICS_CSV, Which, cannot, checkpoint_path};
use super::metrics::{self, EpochRecord, Record, StepRecord};
use crate::config::{self, BestBy, CHECKPOINTS, CONFIG, Config, is_run};
use crate::failure::{Code, Failure};

/// Bytes at the end of `metrics.jsonl` in which the newest record is: several times a line.
const NEWEST: u64 = 8192;

/// What a run has come to.
#[derive(Debug)]
pub(crate) struct Overview {
    pub path: PathBuf,
    pub state: State,
    /// Why it is damaged.
    pub problem: Option<String>,
    /// None if it does not read, or is not written yet.
    pub config: Option<Config>,
    pub epochs: Vec<EpochRecord>,
    /// The newest record, if it is a step's.
    pub step: Option<StepRecord>,
    /// When something was last recorded.
    pub changed: Option<SystemTime>,
}

/// Whether a run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// A process trains in it.
    Running,
    /// All epochs are done that its config asks for, or no better one was waited for.
    Finished,
    /// It can be resumed.
    Stopped,
    /// Its weights are from elsewhere, and no step was done.
    Imported,
    /// It cannot be resumed as it is.
    Damaged,
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Stopped => "stopped",
            Self::Imported => "imported",
            Self::Damaged => "damaged",
        }
    }
}

/// The folders in a folder.
#[derive(Debug, Default)]
pub(crate) struct Folders {
    /// Those of runs.
    pub runs: Vec<PathBuf>,
    /// Names of the others.
    pub others: Vec<String>,
}

/// The folders in `folder`, or the one run that it is.
///
/// # Errors
/// As [`require_folder`], and if the folder cannot be read.
pub(crate) fn folders(folder: &Path) -> Result<Folders> {
    require_folder(folder)?;
    if is_run(folder) {
        return Ok(Folders { runs: vec![folder.into()], others: vec![] });
    }
    let mut found = Folders::default();
    for entry in fs::read_dir(folder).with_context(|| cannot("read", folder))? {
        let name = entry.with_context(|| cannot("read", folder))?.file_name();
        let path = folder.join(&name);
        if seems_a_run(&path) {
            found.runs.push(path);
        } else if path.is_dir() {
            found.others.push(name.to_string_lossy().into_owned());
        }
    }
    found.runs.sort();
    found.others.sort();
    Ok(found)
}

/// Fails if there is no folder `path`.
pub(crate) fn require_folder(path: &Path) -> Result<()> {
    let name = path.display();
    let failure = match (path.is_dir(), path.exists()) {
        (true, _) => return Ok(()),
        (_, true) => Failure::new(Code::Usage, format!("{name} is not a folder of runs"))
            .help("runs are folders, made by `vgg-train CONFIG`"),
        _ => Failure::new(Code::Usage, format!("there is no folder {name}"))
            .help("`vgg-train CONFIG` makes it with its first run"),
    };
    Err(failure.into())
}

/// Whether `path` is a folder that has anything of a run, or does not tell.
pub(crate) fn seems_a_run(path: &Path) -> bool {
    let has = |name| path.join(name).symlink_metadata().is_ok();
    let own = [CONFIG, METRICS, METRICS_CSV, CHECKPOINTS, LOCK];
    path.is_dir() && (own.into_iter().any(has) || fs::read_dir(path).is_err())
}

/// Looks at runs, and sorts them: the one that changed last is at the end.
pub(crate) fn look(runs: &[PathBuf]) -> Vec<Overview> {
    let mut runs: Vec<_> = runs.iter().map(|run| Overview::of(run)).collect();
    runs.sort_by(|a, b| a.changed.cmp(&b.changed).then_with(|| a.by_name(b)));
    runs
}

impl Overview {
    /// Looks at the run in the folder `path`.
    pub(crate) fn of(path: &Path) -> Self {
        let config = match path.join(CONFIG).symlink_metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => Err(None),
            _ if is_stream(&path.join(CONFIG)) => Err(Some(anyhow!("{CONFIG} is no file"))),
            _ => config::load(&path.join(CONFIG), vec![]).map_err(Some),
        };
        let records = records(path);
        // Last, so that what is missing is missing because nobody trains.
        let is_running = is_training(path);
        let mut problem = match &config {
            Ok(_) => None,
            // A run that starts has none yet.
            Err(None) => (!is_running).then(|| format!("it has no {CONFIG}")),
            Err(Some(error)) => Some(first_line(error)),
        };
        problem = problem.or_else(|| records.as_ref().err().map(|e| format!("{METRICS}: {e}")));
        let config = config.ok().map(|loaded| loaded.config);
        let (epochs, step) = records.unwrap_or_default();
        let last = checkpoint_path(path, Which::Last);
        if !is_running && problem.is_none() {
            problem = checkpoint_problem(&last, epochs.len());
        }
        let done = epochs.last().map_or(0, |epoch| epoch.epoch);
        let is_done = |config: &Config| {
            done >= config.train.epochs || ends_early(&config.train, &epochs).is_some()
        };
        let state = match &problem {
            _ if is_running => State::Running,
            Some(_) => State::Damaged,
            // Its last checkpoint may not have been written.
            None if last.exists() && config.as_ref().is_some_and(is_done) => State::Finished,
            None if last.is_file() && epochs.is_empty() && !path.join(METRICS).exists() => {
                State::Imported
            }
            None => State::Stopped,
        };
        let changed = [METRICS, CONFIG].into_iter();
        let changed = changed.filter_map(|name| path.join(name).metadata().ok()?.modified().ok());
        let changed = changed.max().or_else(|| path.metadata().ok()?.modified().ok());
        Self { path: path.into(), state, problem, config, epochs, step, changed }
    }

    /// The name of its folder.
    pub(crate) fn name(&self) -> String {
        // Of `.` and `..`, too.
        let whole = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let name = self.path.file_name().or_else(|| whole.file_name());
        name.unwrap_or(self.path.as_os_str()).to_string_lossy().into_owned()
    }

    /// Epochs that are done.
    pub(crate) fn done(&self) -> u64 {
        self.epochs.last().map_or(0, |epoch| epoch.epoch)
    }

    /// The best epoch, the first of equals, as training has it.
    pub(crate) fn best(&self) -> Option<&EpochRecord> {
        EpochRecord::best(&self.epochs, self.best_by())
    }

    /// By which score the best epoch is chosen.
    pub(crate) fn best_by(&self) -> BestBy {
        self.config.as_ref().map_or_else(BestBy::default, |config| config.train.best_by)
    }

    /// The training loss of the newest epoch, so far if it is not done.
    pub(crate) fn loss(&self) -> Option<f64> {
        let epoch = self.epochs.last().map(|epoch| epoch.train_loss);
        self.step.as_ref().map(|step| step.train_loss).or(epoch)
    }

    /// Wall time of its epochs with their tests; what is not known of those that were interrupted is
    /// not in it. None if nothing is known.
    pub(crate) fn time(&self) -> Option<Duration> {
        let times = self.epochs.iter().filter_map(|epoch| epoch.seconds);
        let time = times.reduce(|sum, seconds| sum + seconds)?;
        Duration::try_from_secs_f64(time).ok()
    }

    /// Order of names, in which `a-2` is before `a-10`.
    pub(crate) fn by_name(&self, other: &Self) -> Ordering {
        let key = |run: &Self| {
            let name = run.name();
            match name.rsplit_once('-').map(|(name, number)| (name.to_owned(), number.parse())) {
                Some((name, Ok(number))) => (name, number),
                _ => (name, 0_u64),
            }
        };
        key(self).cmp(&key(other)).then_with(|| self.path.cmp(&other.path))
    }
}

/// Whether it is there and no file: reading a pipe would wait for ever.
fn is_stream(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| !metadata.is_file())
}

/// The records of the finished epochs, and the newest one of a step, if no epoch ended after it.
fn records(run: &Path) -> Result<(Vec<EpochRecord>, Option<StepRecord>)> {
    if is_stream(&run.join(METRICS)) {
        return Err(anyhow!("it is no file"));
    }
    let (done, step) = match newest(&run.join(METRICS)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok((metrics::rows(run), None)),
        Err(error) => return Err(error.into()),
        Ok(Some(Record::Epoch(epoch))) => (epoch.epoch, None),
        Ok(Some(Record::Step(step))) => (step.epoch.saturating_sub(1), Some(step)),
        Ok(_) => (0, None),
    };
    // A row an epoch; it may be behind, and is made anew of the records when the run is resumed.
    let rows = metrics::rows(run);
    if rows.last().map_or(0, |row| row.epoch) >= done {
        return Ok((rows, step));
    }
    Ok((metrics::epochs(run)?, step))
}

/// The newest record of `metrics.jsonl` of a step or an epoch.
fn newest(path: &Path) -> io::Result<Option<Record>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(NEWEST)))?;
    let mut end = Vec::new();
    file.take(NEWEST).read_to_end(&mut end)?;
    // The last line is torn while it is being written.
    let mut records =
        end.rsplit(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    let numbers = |record: &Record| matches!(record, Record::Step(_) | Record::Epoch(_));
    Ok(records.find(numbers))
}

/// What is wrong with the last checkpoint of a run in which nobody trains, as far as a look at its
/// beginning tells.
fn checkpoint_problem(last: &Path, epochs: usize) -> Option<String> {
    let name = Path::new(CHECKPOINTS).join(last.file_name()?);
    match WeightFile::open(last) {
        // A run that was stopped before its first checkpoint starts over.
        _ if !last.exists() => (epochs > 1).then(|| format!("{} is missing", name.display())),
        Ok(_) => None,
        Err(error) => Some(first_line(&error.into())),
    }
}

/// Whether a process trains in the run.
///
/// A lock that is shared is asked for, and let go of at once. Others who look do not see it, and a
/// process that wants the run for itself tries again for a second.
pub(crate) fn is_training(path: &Path) -> bool {
    let Ok(lock) = File::open(path.join(LOCK)) else { return false };
    matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock))
}

fn first_line(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::folder::RunDir;
    use super::*;

    /// A run's config, with these keys.
    fn config_of(sets: &[&str]) -> String {
        let sets = sets.iter().map(|set| config::Override::parse(set).unwrap()).collect();
        config::without_file("a", sets).unwrap().effective()
    }

    /// A run of `asked` epochs of two steps each, of which so many are done, and a step more.
    fn run(parent: &Path, name: &str, asked: u64, done: u64) -> RunDir {
        let run = RunDir::create(parent, name).unwrap();
        run.write(CONFIG, config_of(&[&format!("train.epochs={asked}")])).unwrap();
        let epoch = |epoch: u64| EpochRecord {
            epoch,
            step: 2 * epoch,
            test_accuracy: if epoch == 2 { 0.75 } else { 0.5 },
            test_macro_f1: Some(epoch as f64 / 8.0),
            seconds: (epoch != 1).then_some(1.5),
            ..EpochRecord::sample()
        };
        let mut csv = csv::Writer::from_writer(Vec::new());
        let mut jsonl = String::new();
        for epoch in (1..=done).map(epoch) {
            csv.serialize(&epoch).unwrap();
            jsonl += &(serde_json::to_string(&Record::Epoch(epoch)).unwrap() + "\n");
        }
        jsonl += &format!(
            r#"{{"kind":"step","epoch":{},"step":{},"batch_loss":1.0,"train_loss":1.25,"train_accuracy":0.5,"lr":0.1,"images_per_second":1.0,"wait_share":0.0}}"#,
            done + 1,
            2 * done + 1
        );
        // A line that is being written.
        jsonl += "\n{\"kind\":\"st";
        run.write(METRICS_CSV, csv.into_inner().unwrap()).unwrap();
        run.write(METRICS, jsonl).unwrap();
        run
    }

    /// Gives the run a file of weights as its last checkpoint.
    fn save(run: &RunDir) {
        let tensors: [(&str, safetensors::tensor::TensorView<'_>); 0] = [];
        let bytes = safetensors::serialize(tensors, None).unwrap();
        fs::write(run.checkpoint(Which::Last), bytes).unwrap();
    }

    #[test]
    fn a_run_tells_how_far_it_is() {
        let parent = tempfile::tempdir().unwrap();
        let run = run(parent.path(), "a", 4, 3);
        save(&run);
        let path = run.path().to_owned();
        assert_eq!(Overview::of(&path).state, State::Running);
        drop(run);
        let overview = Overview::of(&path);
        assert_eq!((overview.state, overview.problem.as_deref()), (State::Stopped, None));
        assert_eq!((overview.done(), overview.best().map(|best| best.epoch)), (3, Some(2)));
        assert_eq!((overview.loss(), overview.time()), (Some(1.25), Some(Duration::from_secs(3))));
        for table in ["epoch\none\n", ""] {
            fs::write(path.join(METRICS_CSV), table).unwrap();
            assert_eq!(Overview::of(&path).epochs, overview.epochs, "as the records say");
        }
        fs::write(path.join(CONFIG), config_of(&["train.epochs=3"])).unwrap();
        assert_eq!(Overview::of(&path).state, State::Finished);
        // By another score another epoch is the best, and it goes on as long as that rises.
        for (best_by, best, state) in
            [("accuracy", 2, State::Finished), ("macro_f1", 3, State::Stopped)]
        {
            let best_by = format!("train.best_by={best_by}");
            let sets = ["train.epochs=9", "train.early_stop.patience=1", &best_by];
            fs::write(path.join(CONFIG), config_of(&sets)).unwrap();
            let overview = Overview::of(&path);
            assert_eq!((overview.best().unwrap().epoch, overview.state), (best, state));
        }
    }

    #[test]
    fn what_is_damaged_says_why() {
        let parent = tempfile::tempdir().unwrap();
        let path = run(parent.path(), "a", 4, 3).path().to_owned();
        let problem = || {
            let overview = Overview::of(&path);
            assert_eq!(overview.state, State::Damaged);
            overview.problem.unwrap().replace(&path.display().to_string(), "RUN")
        };
        assert_eq!(problem(), "checkpoints/last.safetensors is missing");
        fs::write(path.join("checkpoints/last.safetensors"), "weights?").unwrap();
        assert!(problem().starts_with("RUN/checkpoints/last.safetensors: "), "{}", problem());
        fs::write(path.join(CONFIG), "[train]\nepoch = 3\n").unwrap();
        assert_eq!(problem(), "RUN/config.toml:2: unknown key `epoch`");
        fs::remove_file(path.join(CONFIG)).unwrap();
        assert_eq!(problem(), "it has no config.toml");
    }

    /// However many look: each has the lock for a moment, and shares it.
    #[test]
    fn looking_is_in_nobodys_way() {
        let parent = tempfile::tempdir().unwrap();
        let path = run(parent.path(), "a", 4, 0).path().to_owned();
        let looked = File::open(path.join(LOCK)).unwrap();
        looked.lock_shared().unwrap();
        assert!(!is_training(&path), "another one who looks is no process that trains");
        drop(looked);
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        Overview::of(&path);
                    }
                });
            }
            let opened: Vec<_> = (0..20).map(|_| RunDir::open(&path).map(drop).is_ok()).collect();
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            assert_eq!(opened, [true; 20]);
        });
    }

    #[test]
    fn a_folder_has_its_runs_in_order_and_names_what_is_none() {
        let parent = tempfile::tempdir().unwrap();
        let paths = [2, 10].map(|number| parent.path().join(format!("a-{number}")));
        for path in &paths {
            RunDir::create_at(path).unwrap();
        }
        fs::create_dir(parent.path().join("notes")).unwrap();
        fs::write(parent.path().join("file"), "").unwrap();
        let set = |path: &Path, seconds| {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            let config = File::create(path.join(CONFIG)).unwrap();
            config.set_modified(time).unwrap();
        };
        let names = || {
            let Folders { runs, others } = folders(parent.path()).unwrap();
            assert_eq!(others, ["notes"]);
            look(&runs).iter().map(Overview::name).collect::<Vec<_>>()
        };
        set(&paths[0], 2);
        set(&paths[1], 1);
        assert_eq!(names(), ["a-10", "a-2"]);
        set(&paths[1], 2);
        assert_eq!(names(), ["a-2", "a-10"]);
        assert_eq!(folders(&paths[0]).unwrap().runs, [paths[0].clone()]);
    }
}
