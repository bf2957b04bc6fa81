//! Batches that several ranks share: results depend on the shards alone.

use std::sync::Arc;
use std::thread;

use vgg_cpu::{Config, Cpu};
use vgg_tensor::ranks::{Peers, Shards};

use super::*;
use crate::Group;

/// Images of a full batch.
const FULL: usize = 8;

const WIDE: usize = 64;
const NARROW: usize = 16;

/// All that a run comes to: the parameters with running statistics, what the optimiser keeps, the EMA,
/// logits, and the metrics of each step.
#[derive(Debug, PartialEq)]
struct Came {
    params: Params,
    moments: Moments,
    ema: Option<Params>,
    logits: Vec<f32>,
    metrics: Vec<Metrics>,
}

/// What is trained how.
#[derive(Clone)]
struct Case {
    batch_norm: bool,
    dropout: f32,
    /// Outputs of fully connected layers: with [`WIDE`] ranks exchange factors, with [`NARROW`] gradients.
    fc_width: usize,
    recipe: Recipe,
    full: usize,
    /// Images of each step.
    steps: Vec<usize>,
}

impl Case {
    fn new(recipe: impl Into<Recipe>) -> Self {
        let steps = vec![FULL, FULL, 7, 3, 1, FULL];
        Self {
            batch_norm: false,
            dropout: 0.5,
            fc_width: WIDE,
            recipe: recipe.into(),
            full: FULL,
            steps,
        }
    }

    fn trainer<B: Backend>(&self, backend: B, shards: Shards) -> Trainer<B> {
        let config = VggConfig {
            width: 0.05,
            input: [1, 32, 32],
            classes: 3,
            fc_width: self.fc_width,
            dropout: self.dropout,
            batch_norm: self.batch_norm,
            ..VggConfig::default()
        };
        let vgg = Vgg::new(&config).unwrap();
        let params = Params::init(&vgg, &Init::default(), 5).unwrap();
        let input = Input::unnormalized(1, 16, 16);
        let recipe = Recipe { shards, ..self.recipe.clone() };
        Trainer::new(backend, &vgg, &input, &params, self.full, recipe, 42).unwrap()
    }

    /// What a rank comes to from `from` on, a state after so many steps.
    fn train<B: Backend>(&self, backend: B, shards: Shards, from: Option<(&Came, usize)>) -> Came {
        let mut trainer = self.trainer(backend, shards);
        let first = from.map_or(0, |(_, steps)| steps);
        if let Some((came, steps)) = from {
            trainer.restore(&came.params, &came.moments, steps as u64).unwrap();
            if let Some(ema) = &came.ema {
                trainer.restore_ema(ema).unwrap();
            }
        }
        let mut metrics = Vec::new();
        for (step, n) in self.steps.iter().copied().enumerate().skip(first) {
            let (mut pixels, labels) = images(n);
            pixels.iter_mut().for_each(|x| *x = x.wrapping_mul(step as u8 + 1));
            let mix = |i: usize| (i as u32 % 3, 0.125 * (i % 4) as f32);
            let mix: Vec<_> = (0..n).filter(|_| self.recipe.mixes).map(mix).collect();
            let rows = trainer.rows(n);
            let own = &pixels[256 * rows.start..256 * rows.end];
            trainer.submit(own, Target::mixed(&labels, &mix), 0.01).unwrap();
            metrics.push(trainer.next_metrics(true).unwrap().unwrap());
        }
        trainer.set_ema_evaluated(true);
        Came {
            logits: trainer.logits(&images(4).0).unwrap(),
            params: trainer.params().unwrap(),
            moments: trainer.moments().unwrap(),
            ema: trainer.ema().unwrap(),
            metrics,
        }
    }

    /// What each of the ranks comes to.
    fn on_ranks<B: Backend>(
        &self,
        [count, ranks]: [usize; 2],
        make: impl Fn(Arc<dyn Peers>) -> B + Sync,
        from: Option<(&Came, usize)>,
    ) -> Vec<Came> {
        thread::scope(|scope| {
            let start = |peers: Arc<dyn Peers>| {
                let make = &make;
                scope.spawn(move || {
                    let shards = Shards::new(count, peers.rank(), ranks).unwrap();
                    self.train(make(peers), shards, from)
                })
            };
            let threads: Vec<_> = vgg_comm::local(ranks).into_iter().map(start).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }
}

fn cpu(threads: usize) -> Cpu {
    Cpu::new(Config { threads: Some(threads), ..Config::default() }).unwrap()
}

fn cases() -> Vec<(&'static str, Case)> {
    let plain = Case::new(SgdConfig::plain(0.01));
    let momentum = Case::new(momentum());
    let with = |recipe: Recipe| Case { recipe, ..momentum.clone() };
    let recipe = || momentum.recipe.clone();
    let group = Group { layers: "classifier".into(), lr: 0.5, weight_decay: Some(0.0) };
    vec![
        ("plain", plain.clone()),
        ("momentum", momentum.clone()),
        ("clip", with(Recipe { clip_norm: Some(0.1), ..recipe() })),
        ("ema", with(Recipe { ema_decay: Some(0.9), ..recipe() })),
        ("freeze", with(Recipe { freeze: vec!["features".into()], ..recipe() })),
        ("groups", with(Recipe { groups: vec![group], ..recipe() })),
        ("mixed", with(Recipe { mixes: true, label_smoothing: 0.1, ..recipe() })),
        ("weights", with(Recipe { class_weights: vec![1.0, 2.5, 0.3], ..recipe() })),
        ("batch norm", Case { batch_norm: true, ..momentum.clone() }),
        (
            "batch norm, ema",
            Case {
                batch_norm: true,
                recipe: Recipe { ema_decay: Some(0.9), ..recipe() },
                ..momentum.clone()
            },
        ),
        ("adamw", Case::new(adamw())),
        ("fewer images than shards", Case { full: 3, steps: vec![3, 3, 2], ..plain }),
    ]
}

#[track_caller]
fn assert_same(what: &str, ranks: &[Came], one: &Came) {
    for (rank, came) in ranks.iter().enumerate() {
        let what = format!("{what}, rank {rank} of {}", ranks.len());
        assert_eq!(came.metrics, one.metrics, "{what}: metrics");
        for ((name, a), (_, b)) in came.params.iter().zip(one.params.iter()) {
            let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert!(bits(a.data()) == bits(b.data()), "{what}: {name}");
        }
        assert!(came == one, "{what}: what the optimiser keeps, the EMA or logits");
    }
}

#[test]
fn ranks_train_the_same_to_the_bit() {
    let widths = |(name, case): (&'static str, Case)| {
        [WIDE, NARROW].map(|fc_width| (name, Case { fc_width, ..case.clone() }))
    };
    for (name, case) in cases().into_iter().flat_map(widths) {
        let shards = Shards::new(4, 0, 1).unwrap();
        let one = case.train(cpu(2), shards, None);
        assert!(one.metrics.iter().all(|metrics| metrics.loss_sum.is_finite()), "{name}");
        for ranks in 1..5 {
            let make = |peers: Arc<dyn Peers>| cpu(1 + ranks % 2).with_peers(peers);
            assert_same(name, &case.on_ranks([4, ranks], make, None), &one);
        }
    }
}

/// Also where ranks do not divide the shards.
#[test]
fn any_shards_on_any_ranks_are_the_same() {
    let case = Case { batch_norm: true, ..Case::new(adamw()) };
    for count in [2, 3, 7, 8] {
        let one = case.train(cpu(1), Shards::new(count, 0, 1).unwrap(), None);
        for ranks in (2..=count).filter(|ranks| *ranks <= 3 || *ranks == count) {
            let came = case.on_ranks([count, ranks], |peers| cpu(1).with_peers(peers), None);
            assert_same(&format!("{count} shards"), &came, &one);
        }
    }
}

#[test]
fn references_train_the_same_to_the_bit() {
    let case = Case { batch_norm: true, steps: vec![FULL, 3], ..Case::new(momentum()) };
    let one = case.train(Reference::<f32>::new(), Shards::new(4, 0, 1).unwrap(), None);
    for ranks in [2, 3] {
        let make = |peers| Reference::<f32>::new().with_peers(peers);
        assert_same("reference", &case.on_ranks([4, ranks], make, None), &one);
    }
}

/// A run that begins on three ranks goes on with two, and ends as on one.
#[test]
fn a_run_goes_on_with_any_number_of_ranks() {
    let recipe = Recipe { ema_decay: Some(0.9), ..adamw().into() };
    let case = Case { batch_norm: true, ..Case::new(recipe) };
    let make = |peers: Arc<dyn Peers>| cpu(1).with_peers(peers);
    let mut one = case.train(cpu(1), Shards::new(4, 0, 1).unwrap(), None);
    let begun = Case { steps: case.steps[..3].to_vec(), ..case.clone() };
    let begun = begun.on_ranks([4, 3], make, None);
    let came = case.on_ranks([4, 2], make, Some((&begun[1], 3)));
    one.metrics.drain(..3);
    assert_same("resumed", &came, &one);
}

/// Without dropout and batch normalisation shards are the batch but for rounding.
#[test]
fn a_batch_in_shards_is_the_batch() {
    let weighted = Recipe { class_weights: vec![1.0, 2.5, 0.3], ..momentum().into() };
    let cases = [momentum().into(), weighted]
        .map(|recipe| [WIDE, NARROW].map(|fc_width| (recipe.clone(), fc_width)));
    for (recipe, fc_width) in cases.into_iter().flatten() {
        let case = Case { dropout: 0.0, fc_width, ..Case::new(recipe) };
        let whole = case.train(cpu(1), Shards::ONE, None);
        let shards = case.train(cpu(1), Shards::new(4, 0, 1).unwrap(), None);
        for ((name, a), (_, b)) in whole.params.iter().zip(shards.params.iter()) {
            let far = a.data().iter().zip(b.data()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(far < 1e-5, "{name} is off by {far}");
        }
        assert_ne!(whole.params, shards.params, "the order of sums is another one");
    }
}

/// Statistics are moved by each shard in turn: with `m` for the momentum and `x` for what a shard has,
/// `running = (1 − m) · running + m · x`.
#[test]
fn each_shard_moves_running_statistics() {
    let case = Case { batch_norm: true, steps: vec![2], full: 2, ..Case::new(momentum()) };
    let two = case.train(cpu(1), Shards::new(2, 0, 1).unwrap(), None);
    let alone = |row: usize| {
        let mut trainer = case.trainer(cpu(1), Shards::ONE);
        let (pixels, labels) = images(2);
        trainer.step(&pixels[256 * row..][..256], &labels[row..row + 1], 0.0).unwrap();
        trainer.params().unwrap()
    };
    let [first, second] = [alone(0), alone(1)];
    for (name, start) in [("features.1.running_mean", 0.0), ("features.1.running_var", 1.0)] {
        let get = |params: &Params| params.get(name).unwrap().data().to_vec();
        let (first, second, two) = (get(&first), get(&second), get(&two.params));
        for ((a, b), both) in first.into_iter().zip(second).zip(two) {
            let expected = 0.9 * a + (b - 0.9 * start);
            assert!((expected - both).abs() < 1e-6, "{name}: {a} {b} {both}");
        }
    }
}

/// Each shard draws for itself, whichever rank has it.
#[test]
fn shards_drop_out_differently() {
    let (pixels, labels) = images(1);
    let case = Case { full: 4, ..Case::new(momentum()) };
    let loss = |times: usize| {
        let mut trainer = case.trainer(cpu(1), Shards::new(4, 0, 1).unwrap());
        let metrics = trainer.step(&pixels.repeat(times), &labels.repeat(times), 0.0).unwrap();
        metrics.loss_sum
    };
    assert!((loss(2) - 2.0 * loss(1)).abs() > 1e-4);
}

#[test]
fn what_is_no_ranks_is_refused() {
    let case = Case::new(momentum());
    let peers = vgg_comm::local(2);
    let backend = cpu(1).with_peers(peers[0].clone());
    let mut trainer = case.trainer(backend, Shards::new(4, 0, 2).unwrap());
    assert_eq!((trainer.rows(8), trainer.rows(3)), (0..4, 0..3));
    let (pixels, labels) = images(8);
    let error = trainer.step(&pixels, &labels, 0.1).unwrap_err();
    assert_eq!(error.to_string(), "images of a rank = 8, but it must be 4, this rank's of 8");
    let recipe =
        Recipe { micro_batches: 2, shards: Shards::new(2, 0, 1).unwrap(), ..case.recipe.clone() };
    let error = recipe.check(trainer.vgg()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "micro_batches = 2, but it must be 1 where there are shards, each of which passes by itself"
    );
}

/// The memory that a plan counts is all there is, whatever the rank.
#[test]
fn nothing_is_allocated_besides_the_plan() {
    for (ranks, rank) in [(1, 0), (2, 1), (3, 2)] {
        let case = Case { batch_norm: true, ..Case::new(adamw()) };
        let peers = vgg_comm::local(ranks).swap_remove(rank);
        let mut trainer = case.trainer(
            Reference::<f32>::new().with_peers(peers),
            Shards::new(8, rank, ranks).unwrap(),
        );
        let planned = trainer.network.plan().bytes();
        if ranks == 1 {
            let (pixels, labels) = images(FULL);
            trainer.step(&pixels, &labels, 0.1).unwrap();
        }
        assert_eq!(trainer.network.memory.bytes(), planned);
    }
}
