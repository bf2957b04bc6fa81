//! Every optimiser and schedule: 200 steps of LeNet, which `golden/steps.py` describes.

use vgg_cpu::Cpu;
use vgg_cuda::{Config, Precision};
use vgg_model::{
    AdamWConfig, Arch, Decay, OptimizerConfig, Plateau, Recipe, Schedule, SgdConfig, Trainer, Vgg,
};
use vgg_tensor::{Backend, Result, Tensor};
use vgg_testkit::Reference;

use super::nets::{Net, largest_error, nets, params};
use super::whole_step::sample;
use super::{F32, F64, golden};
use crate::simulated::{self, has_cuda};

const STEPS_PER_EPOCH: u64 = 20;
const STEPS: u64 = 200;
const BATCH: usize = 2;
/// A score an epoch, which stops rising.
const SCORES: [f64; 10] = [0.5, 0.6, 0.6, 0.6, 0.7, 0.7, 0.6, 0.7, 0.6, 0.5];

/// How a run trains.
struct Run {
    name: &'static str,
    recipe: Recipe,
    base: f32,
    schedule: Schedule,
}

fn runs() -> Vec<Run> {
    let sgd = SgdConfig { momentum: 0.875, ..SgdConfig::plain(1.0 / 8.0) };
    let adamw = AdamWConfig { weight_decay: 1.0 / 8.0, ..AdamWConfig::usual(1.0 / 512.0) };
    let own = AdamWConfig { betas: [0.75, 0.96875], eps: 1.0 / 1024.0, ..adamw };
    let decay = SgdConfig { weight_decay: 1.0 / 256.0, ..sgd };
    let run = |name, optimizer: OptimizerConfig, schedule| {
        let base = match optimizer {
            OptimizerConfig::Sgd(sgd) => sgd.lr,
            OptimizerConfig::AdamW(adamw) => adamw.lr,
        };
        Run { name, recipe: optimizer.into(), base, schedule }
    };
    let constant = Schedule::default();
    let after = |decay, warmup_steps| Schedule { decay, warmup_steps, ..constant };
    let after_share = |decay, warmup_share| Schedule { decay, warmup_share, ..constant };
    let cosine = |min_lr| Decay::Cosine { min_lr };
    let mut runs = vec![
        run("sgd", SgdConfig::plain(0.25).into(), constant),
        run("momentum", sgd.into(), constant),
        run("nesterov", SgdConfig { nesterov: true, ..sgd }.into(), constant),
        run("weight_decay", decay.into(), constant),
        run("adamw", AdamWConfig { weight_decay: 0.0, ..adamw }.into(), constant),
        run("adamw_decay", adamw.into(), constant),
        run("adamw_betas", own.into(), constant),
        weights_alone(run("weights_decay", decay.into(), constant)),
        weights_alone(run("adamw_weights_decay", adamw.into(), constant)),
        run("adamw_cosine", adamw.into(), after(cosine(0.0), 30)),
    ];
    let schedules = [
        ("step", after(Decay::Step { every_epochs: 3, factor: 0.5 }, 0)),
        ("plateau", after(Decay::Plateau { patience: 2, factor: 0.5 }, 0)),
        ("cosine", after(cosine(1.0 / 256.0), 0)),
        ("one_cycle", after(Decay::OneCycle { rise: 0.3 }, 0)),
        ("warm_up", after(Decay::Constant, 30)),
        ("warm_up_cosine", after_share(cosine(0.0), 0.15)),
    ];
    runs.extend(schedules.map(|(name, schedule)| run(name, sgd.into(), schedule)));
    runs
}

/// The same without a decay of biases.
fn weights_alone(run: Run) -> Run {
    Run { recipe: Recipe { decays_vectors: false, ..run.recipe }, ..run }
}

/// Trains by all of them for so many steps, and prints a table of the largest differences, each as a share
/// of the largest number.
#[expect(clippy::print_stdout, reason = "the table of docs/results.md")]
fn check_all<B: Backend>(make: impl Fn() -> B, steps: u64, error: f64) -> Result<()> {
    let golden = golden("steps");
    let net = nets().into_iter().find(|net| net.config.arch == Arch::LeNet).expect("LeNet");
    let (vgg, input) = (Vgg::new(&net.config)?, net.input());
    let initial = params("", &vgg, &golden)?;
    let net = Net { images: 4, ..net };
    let (pixels, labels) = (net.pixels(), [3, 4, 5, 6]);
    println!("| run | rate | losses | weights |\n|---|---|---|---|");
    for Run { name, recipe, base, schedule } in runs() {
        let mut trainer = Trainer::new(make(), &vgg, &input, &initial, BATCH, recipe, 0)?;
        let (mut rates, mut losses) = (Vec::new(), Vec::new());
        let mut plateau = Plateau::default();
        for step in 0..steps {
            let lr = schedule.lr(base, step, STEPS_PER_EPOCH, STEPS);
            let lr = lr * plateau.factor(schedule.decay);
            let first = step as usize % 2 * BATCH;
            let images = first * 784..(first + BATCH) * 784;
            let metrics = trainer.step(&pixels[images], &labels[first..first + BATCH], lr)?;
            rates.push(lr);
            losses.push(metrics.loss_sum / BATCH as f32);
            if (step + 1) % STEPS_PER_EPOCH == 0 {
                plateau.epoch(schedule.decay, SCORES[(step / STEPS_PER_EPOCH) as usize]);
            }
        }
        let until = |kind: &str| &golden.numbers(&format!("{name}.{kind}"))[..steps as usize];
        let mut errors =
            vec![largest_error(&rates, until("rates")), largest_error(&losses, until("losses"))];
        if steps == STEPS {
            let of_tensor = |(tensor, numbers): (&str, &Tensor)| {
                let expected = golden.numbers(&format!("{name}.final.{tensor}"));
                largest_error(&sample(numbers.data(), expected.len()), expected)
            };
            let params = trainer.params()?;
            errors.push(params.iter().map(of_tensor).fold(0.0, f64::max));
        }
        let cells: Vec<String> = errors.iter().map(|error| format!("{error:.0e}")).collect();
        println!("| {name} | {} |", cells.join(" | "));
        assert!(errors.iter().all(|far| *far <= error), "{name}: {errors:?}");
    }
    Ok(())
}

#[test]
fn reference_f64() -> Result<()> {
    check_all(Reference::<f64>::new, STEPS, F64)
}

#[test]
fn cpu() -> Result<()> {
    check_all(|| Cpu::new(vgg_cpu::Config::default()).expect("threads start"), STEPS, F32)
}

/// Fewer steps, as its kernels may be interpreted.
#[test]
fn cuda() -> Result<()> {
    let config = Config { precision: Precision::F32, ..Config::default() };
    match has_cuda(concat!(module_path!(), "::cuda")) {
        true => check_all(|| simulated::make(config.clone()), 12, F32),
        false => Ok(()),
    }
}
