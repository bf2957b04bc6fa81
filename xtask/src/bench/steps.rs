//! Whole training steps and inference, each in a process of its own: so peak memory is the step's
//! alone, and ours and other programs are treated alike.

use std::fmt;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use vgg_model::{Init, Input, Params, Recipe, Session, SgdConfig, Trainer, WeightType};

use super::case::{Case, Pass};
use super::device::{Device, Job, Measurable};
use super::measured::Measured;
use super::peers::Python;
use super::statistics::{Ratio, Repeat, median, time};
use super::table::{Table, gib};
use crate::{child, status};

/// The cases that were measured.
#[derive(Serialize)]
pub(super) struct Steps(Vec<Step>);

/// One case: our rounds, and each peer's.
#[derive(Serialize)]
struct Step {
    case: String,
    ours: Rounds,
    /// The fastest first.
    peers: Vec<Comparison>,
}

#[derive(Serialize)]
struct Comparison {
    #[serde(flatten)]
    rounds: Rounds,
    /// How many times as fast we are.
    ratio: Ratio,
}

/// One program's rounds.
#[derive(Serialize)]
struct Rounds {
    program: String,
    /// The median of the rounds.
    img_per_s: f64,
    /// The most of any round.
    peak_bytes: Option<u64>,
    rounds_img_per_s: Vec<f64>,
}

impl Rounds {
    /// Of at least one round.
    fn of(measured: Vec<Measured>) -> Self {
        let rates: Vec<f64> = measured.iter().map(|round| round.img_per_s).collect();
        Self {
            program: measured[0].program.clone(),
            img_per_s: median(rates.clone()),
            peak_bytes: measured.iter().filter_map(|round| round.peak_bytes).max(),
            rounds_img_per_s: rates,
        }
    }
}

/// Measures each case in `rounds` rounds; in each it is our turn, then each peer's.
pub(super) fn measure(
    device: &Device,
    cases: &[Case],
    rounds: usize,
    python: Option<&Python>,
) -> Result<Steps> {
    let step = |case: &Case| {
        let peers = python.map_or(Vec::new(), |python| python.peers(case.pass, device));
        let mut ours = Vec::new();
        let mut theirs = vec![Vec::new(); peers.len()];
        for round in 1..=rounds {
            status("Measuring", format_args!("{case}, round {round} of {rounds}"));
            ours.push(in_child(device, *case)?);
            for (peer, measured) in peers.iter().zip(&mut theirs) {
                let python = python.expect("peers come from it");
                measured.push(python.measure(*peer, *case, device)?);
            }
        }
        let ours = Rounds::of(ours);
        let compare = |theirs| {
            let rounds = Rounds::of(theirs);
            let ratio = Ratio::of(&ours.rounds_img_per_s, &rounds.rounds_img_per_s);
            Comparison { rounds, ratio }
        };
        let mut peers: Vec<Comparison> = theirs.into_iter().map(compare).collect();
        peers.sort_by(|a, b| a.ratio.of_medians.total_cmp(&b.ratio.of_medians));
        Ok(Step { case: case.to_string(), ours, peers })
    };
    Ok(Steps(cases.iter().map(step).collect::<Result<_>>()?))
}

/// What no step takes, however large: something hangs.
const LIMIT: Duration = Duration::from_secs(20 * 60);

/// Starts this program again to measure one case.
fn in_child(device: &Device, case: Case) -> Result<Measured> {
    let program = std::env::current_exe().context("the path of this program")?;
    let mut command = Command::new(program);
    command.arg("bench-step").arg(case.to_string()).args(device.args());
    Measured::parse(&child::run(&mut command, "", LIMIT)?.checked(&case.to_string())?)
}

/// A case, to be measured in this process. A step begins with bytes: gray images of 28×28, which it
/// resizes, or colour images of the network's size.
pub(super) struct Whole(pub(super) Case);

impl Job for Whole {
    type Output = Measured;

    fn run<B: Measurable>(self, backend: B) -> Result<Measured> {
        let Self(case) = self;
        let vgg = case.net.vgg()?;
        let input = match vgg.config().input {
            [1, ..] => Input::unnormalized(1, 28, 28),
            [c, h, w] => Input::unnormalized(c, h, w),
        };
        let params = Params::init(&vgg, &Init::default(), 0)?;
        let pixels: Vec<u8> =
            (0..case.batch * input.image_bytes()).map(|i| (i * 7919 % 251) as u8).collect();
        let infer = |backend: B, weights: WeightType, params: Params| {
            let mut session =
                Session::with_linear_weights(weights, backend, &vgg, &input, params, case.batch)?;
            Repeat::STEP.median(|| time(|| session.logits(&pixels).map(drop)))
        };
        let median = match case.pass {
            Pass::Train | Pass::Finetune => {
                let labels: Vec<u32> = (0..case.batch as u32).map(|i| i % 10).collect();
                let sgd = SgdConfig::plain(0.05);
                let mut recipe = Recipe::from(sgd);
                if case.pass == Pass::Finetune {
                    recipe.freeze.push("features".into());
                }
                let mut trainer =
                    Trainer::new(backend, &vgg, &input, &params, case.batch, recipe, 0)?;
                drop(params); // the trainer has its own
                let mut steps = || -> vgg_tensor::Result<()> {
                    for _ in 0..B::AHEAD {
                        trainer.submit(&pixels, &labels, sgd.lr)?;
                    }
                    while trainer.next_metrics(true)?.is_some() {}
                    Ok(())
                };
                Repeat::STEP.median(|| Ok(time(&mut steps)? / B::AHEAD))?
            }
            Pass::Infer => infer(backend, WeightType::Factors, params)?,
            Pass::InferF16 => infer(backend, WeightType::F16, params)?,
        };
        Ok(Measured {
            program: format!("vgg-train {}", env!("CARGO_PKG_VERSION")),
            img_per_s: case.batch as f64 / median.as_secs_f64(),
            peak_bytes: B::peak_bytes(),
        })
    }
}

const LEGEND: &str = "\
ours: our peak memory over the peer's; speed: our img/s over the peer's; spread: the least and the
most of that in a round. Peers in all ways that they have, the fastest first. We begin with images
of bytes, gray ones of 28×28 to be resized, a peer with prepared ones.
";

impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut heading = vec!["case", "program", "img/s", "peak memory"];
        let compared = self.0.iter().any(|step| !step.peers.is_empty());
        if compared {
            heading.extend(["ours", "speed", "spread"]);
        }
        let mut table = Table::new(2, &heading);
        for Step { case, ours, peers } in &self.0 {
            table.row(row(case, ours));
            for Comparison { rounds, ratio: Ratio { of_medians, min, max } } in peers {
                let mut cells = row("", rounds);
                let memory = ours.peak_bytes.zip(rounds.peak_bytes);
                cells.push(memory.map_or(String::new(), |(ours, theirs)| {
                    format!("{:.2} ×", ours as f64 / theirs as f64)
                }));
                cells.push(format!("{of_medians:.2} ×"));
                cells.push(format!("{min:.2}–{max:.2}"));
                table.row(cells);
            }
        }
        let rounds = self.0.first().map_or(0, |step| step.ours.rounds_img_per_s.len());
        let plural = if rounds == 1 { "" } else { "s" };
        writeln!(f, "Whole steps: medians of {rounds} round{plural}")?;
        write!(f, "{table}")?;
        if !compared {
            return Ok(());
        }
        let mut best = Table::new(2, &["case", "the fastest peer", "speed"]);
        for Step { case, peers, .. } in &self.0 {
            if let Some(Comparison { rounds, ratio }) = peers.first() {
                let speed = format!("{:.2} ×", ratio.of_medians);
                best.row(vec![case.clone(), rounds.program.clone(), speed]);
            }
        }
        write!(f, "\n{best}\n{LEGEND}")
    }
}

fn row(case: &str, rounds: &Rounds) -> Vec<String> {
    vec![
        case.into(),
        rounds.program.clone(),
        format!("{:.1}", rounds.img_per_s),
        rounds.peak_bytes.map_or("unknown".into(), gib),
    ]
}
