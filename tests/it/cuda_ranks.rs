//! Several ranks train on GPUs: to the bits of one, by NCCL and by way of the host, and not for ever.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use vgg_comm::local;
use vgg_cuda::{Config, Cuda, Precision, devices};
use vgg_model::{Metrics, Moments, Params, Recipe, SgdConfig, Trainer};
use vgg_tensor::ranks::{Peers, Shards};
use vgg_tensor::{Command, Content, Error, Result, ShardSum};
use vgg_testkit::conformance::Bench;

use crate::cuda::{BATCH, IMAGE, batch, bits, lr, network};
use crate::simulated::{GPUS, has_gpu, make};

const SHARDS: usize = 4;

/// What training came to, and what it goes on from.
struct State {
    params: Params,
    moments: Moments,
    ema: Params,
    backend: Vec<u32>,
    metrics: Vec<Metrics>,
    steps: u64,
}

impl State {
    fn of(trainer: &mut Trainer<Cuda>, metrics: Vec<Metrics>) -> Result<Self> {
        Ok(Self {
            params: trainer.params()?,
            moments: trainer.moments()?,
            ema: trainer.ema()?.expect("the recipe keeps one"),
            backend: trainer.backend_state()?,
            metrics,
            steps: trainer.steps(),
        })
    }

    #[track_caller]
    fn assert_same(&self, other: &Self, what: &str) {
        assert_eq!(self.metrics, other.metrics, "{what}");
        assert_eq!(self.backend, other.backend, "{what}");
        assert!(bits(&self.params) == bits(&other.params), "weights, {what}");
        assert!(bits(&self.ema) == bits(&other.ema), "EMA, {what}");
        assert_eq!(self.moments, other.moments, "{what}");
    }
}

/// One rank's training, of so many, for some steps.
fn rank(
    precision: Precision,
    device: usize,
    peers: Arc<dyn Peers>,
    from: Option<&State>,
    steps: u64,
) -> Result<State> {
    let config = Config { device, precision, deterministic: true, ..Config::default() };
    let shards = Shards::new(SHARDS, peers.rank(), peers.ranks())?;
    let backend = make(config).with_peers(peers.clone());
    let (vgg, input, params) = network(0.5, true);
    let recipe = Recipe {
        clip_norm: Some(0.5),
        ema_decay: Some(0.8),
        shards,
        ..SgdConfig { momentum: 0.9, weight_decay: 1e-3, ..SgdConfig::plain(0.01) }.into()
    };
    let mut trainer = Trainer::new(backend, &vgg, &input, &params, BATCH, recipe, 42)?;
    if let Some(State { params, moments, ema, backend, steps, .. }) = from {
        trainer.restore(params, moments, *steps)?;
        trainer.restore_ema(ema)?;
        trainer.restore_backend(backend)?;
    }
    let first = trainer.steps();
    let mut metrics = Vec::new();
    for step in first..first + steps {
        let (pixels, labels) = batch(step);
        let rows = trainer.rows(labels.len());
        trainer.submit(&pixels[IMAGE * rows.start..IMAGE * rows.end], &labels, lr(step))?;
        metrics.extend(trainer.next_metrics(trainer.in_flight() > 2)?);
    }
    while let Some(next) = trainer.next_metrics(true)? {
        metrics.push(next);
    }
    let state = State::of(&mut trainer, metrics)?;
    // Nobody leaves before the others have what they were sent.
    peers.finish()?;
    Ok(state)
}

/// What so many ranks come to, which are on these GPUs, and are all the same.
fn ranks(precision: Precision, gpus: &[usize], from: Option<&State>, steps: u64) -> Result<State> {
    let states: Vec<Result<State>> = thread::scope(|scope| {
        let threads: Vec<_> = local(gpus.len())
            .into_iter()
            .zip(gpus)
            .map(|(peers, gpu)| scope.spawn(move || rank(precision, *gpu, peers, from, steps)))
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a rank")).collect()
    });
    let mut states = states.into_iter().collect::<Result<Vec<_>>>()?.into_iter();
    let first = states.next().expect("a rank");
    states.for_each(|other| other.assert_same(&first, "another rank"));
    Ok(first)
}

/// Some batches are short, so that ranks have no shard of them. In `f16` the first steps overflow.
#[test]
fn any_number_of_gpus_comes_to_the_same() -> Result<()> {
    let test = concat!(module_path!(), "::any_number_of_gpus_comes_to_the_same");
    if !has_gpu(test, &GPUS) {
        return Ok(());
    }
    let gpus = devices()?.len();
    let own = |ranks: usize| -> Vec<usize> { (0..ranks).map(|rank| rank % gpus).collect() };
    for precision in [Precision::F32, Precision::Bf16, Precision::F16] {
        let name = precision.name();
        let one = ranks(precision, &[0], None, 3)?;
        ranks(precision, &own(4), None, 3)?.assert_same(&one, name);
        if precision == Precision::F16 {
            // Interrupted, and gone on with another number of ranks, which share a GPU.
            let half = ranks(precision, &own(2), None, 2)?;
            let mut whole = ranks(precision, &[0, 0, 0], Some(&half), 1)?;
            whole.metrics.splice(0..0, half.metrics);
            whole.assert_same(&one, name);
        }
    }
    Ok(())
}

/// Runs a sum over two shards of this many numbers, on a GPU.
fn sum(cuda: &mut Cuda, rank: usize, len: usize) -> Result<()> {
    let content = Content::Vector(len);
    let mut bench = Bench::new(cuda);
    let first = &bench.uploaded(content, &vec![1.0; len])?;
    let shards = Shards::new(2, rank, 2)?;
    let sums = vec![ShardSum { content, first, others: vec![] }];
    bench.run(Command::SumShards { shards, present: 2, sums })?;
    bench.downloaded(first).map(drop)
}

/// Peers who wait for others no longer once somebody says so.
struct Impatient {
    peers: Arc<dyn Peers>,
    has_enough: Arc<AtomicBool>,
}

impl Peers for Impatient {
    fn rank(&self) -> usize {
        self.peers.rank()
    }

    fn ranks(&self) -> usize {
        self.peers.ranks()
    }

    fn describe(&self) -> String {
        self.peers.describe()
    }

    fn exchange(&self, send: &[Vec<&[u8]>], receive: &mut [Vec<&mut [u8]>]) -> Result<()> {
        self.peers.exchange(send, receive)
    }

    fn waits(&self, time: Duration) -> Result<()> {
        match self.has_enough.load(Ordering::SeqCst) {
            true => Err(Error::Rank { rank: 1 - self.rank(), reason: "it hangs".into() }),
            false => self.peers.waits(time),
        }
    }

    fn finish(&self) -> Result<()> {
        self.peers.finish()
    }

    fn leave(&self, reason: &str) {
        self.peers.leave(reason);
    }
}

/// Two ranks with a GPU each, and what becomes of them. Once `has_enough` they do not wait for each other.
fn two(
    test: &str,
    has_enough: &Arc<AtomicBool>,
    work: impl Fn(&mut Cuda, &dyn Peers) -> Result<()> + Sync,
) -> Vec<String> {
    if !has_gpu(test, &GPUS) || devices().is_ok_and(|gpus| gpus.len() < 2) {
        return vec![];
    }
    let rank = |peers: Arc<dyn Peers>| {
        let peers: Arc<dyn Peers> = Arc::new(Impatient { peers, has_enough: has_enough.clone() });
        let config = Config { device: peers.rank(), ..Config::default() };
        let mut cuda = make(config).with_peers(peers.clone());
        let done = work(&mut cuda, &*peers);
        done.inspect_err(|error: &Error| peers.leave(&error.to_string()))
    };
    thread::scope(|scope| {
        let rank = &rank;
        let threads: Vec<_> =
            local(2).into_iter().map(|peers| scope.spawn(move || rank(peers))).collect();
        let done = threads.into_iter().map(|thread| thread.join().expect("a rank"));
        done.map(|done| done.map_or_else(words, |()| "done".into())).collect()
    })
}

/// An error, and what it comes from.
fn words(error: Error) -> String {
    use std::error::Error as _;
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

/// Ranks whose programs differ, which is a bug, are told how.
#[test]
fn calls_that_do_not_fit_are_told() {
    let test = concat!(module_path!(), "::calls_that_do_not_fit_are_told");
    let told =
        two(test, &Arc::default(), |cuda, peers| sum(cuda, peers.rank(), 8 + 8 * peers.rank()));
    // A real NCCL says nothing, and waits: then it is over when one of them is not waited for any longer.
    let expected = "rank 0 sends [16] bytes to rank 1, which expects [32]";
    assert!(told.is_empty() || told.iter().any(|told| told.contains(expected)), "{told:?}");
    assert!(!told.contains(&"done".into()), "{told:?}");
}

/// The GPU waits for its numbers, and nobody for the GPU.
#[test]
fn a_rank_that_leaves_is_not_waited_for() {
    let test = concat!(module_path!(), "::a_rank_that_leaves_is_not_waited_for");
    let told = two(test, &Arc::default(), |cuda, peers| {
        sum(cuda, peers.rank(), 100)?;
        match peers.rank() {
            0 => sum(cuda, 0, 100),
            rank => Err(Error::Rank { rank, reason: "it has had enough".into() }),
        }
    });
    assert!(told.iter().all(|told| told.contains("it has had enough")), "{told:?}");
}

/// It is there, but does not come: the others end all the same.
#[test]
fn a_rank_that_hangs_is_not_waited_for_any_longer() {
    let test = concat!(module_path!(), "::a_rank_that_hangs_is_not_waited_for_any_longer");
    let (has_enough, ended) = (Arc::new(AtomicBool::new(false)), Barrier::new(2));
    let told = two(test, &has_enough, |cuda, peers| {
        sum(cuda, peers.rank(), 100)?;
        let done = match peers.rank() {
            0 => {
                has_enough.store(true, Ordering::SeqCst);
                sum(cuda, 0, 100)
            }
            _ => Ok(()),
        };
        // This is where the other one is.
        ended.wait();
        done
    });
    assert!(told.is_empty() || told[0].contains("it hangs"), "{told:?}");
}
