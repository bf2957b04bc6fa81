//! What several ranks exchange. Each is a thread with a backend of its own.

use std::ops::Range;
use std::sync::Arc;
use std::thread;

use vgg_tensor::ranks::{Peers, Shards, Tree};
use vgg_tensor::spec::{Linear, LinearEpilogue};
use vgg_tensor::{Backend, Command, Content, Result, Shape, ShardSum};

use super::optimizer::CONTENTS;
use super::{Bench, Memory, Operand};
use crate::inputs;

/// Shards, how many of them are present, and ranks: each rank has one sum or several, or none.
const CASES: [[usize; 3]; 7] =
    [[4, 4, 1], [4, 4, 2], [4, 4, 3], [4, 3, 4], [5, 5, 2], [8, 8, 3], [8, 1, 2]];

/// Lengths of the vectors that each shard has.
const VECTORS: [usize; 2] = [3, 33];

/// Checks the commands of several ranks, to the bit: what each one has of a sum, added up on the device
/// as a trainer does, becomes the same sum on all. `local` gives so many ranks, `make` a backend.
///
/// # Panics
/// If a number differs.
pub fn check_exchange<B: Backend>(
    local: impl Fn(usize) -> Vec<Arc<dyn Peers>>,
    make: impl Fn(Arc<dyn Peers>) -> B + Sync,
) {
    for [count, present, ranks] in CASES {
        thread::scope(|scope| {
            let make = &make;
            for peers in local(ranks) {
                scope.spawn(move || {
                    let shards =
                        Shards::new(count, peers.rank(), ranks).expect("ranks share shards");
                    let mut backend = make(peers);
                    for memory in [Memory::Exact, Memory::Bytes] {
                        let bench = &mut Bench::with(&mut backend, memory);
                        check_sums(bench, shards, present).expect("sums are exchanged");
                        check_gathered(bench, shards, present).expect("vectors are exchanged");
                        for epilogue in [LinearEpilogue::Bias, LinearEpilogue::BiasRelu] {
                            check_factors(bench, shards, present, epilogue)
                                .expect("rows are exchanged");
                        }
                    }
                });
            }
        });
    }
}

/// What a shard has of the `i`-th content, with zeros of both signs and subnormal numbers.
fn leaf(shard: usize, i: usize, len: usize) -> Vec<f32> {
    let seed = (100 * shard + i) as u64;
    let mut numbers = inputs::uniform(seed, len, 1.0);
    for (place, x) in numbers.iter_mut().enumerate() {
        match (place + shard) % 7 {
            0 => *x = -0.0,
            1 => *x = f32::from_bits((seed as u32 + place as u32) << 9),
            _ => {}
        }
    }
    numbers
}

fn check_sums<B: Backend>(bench: &mut Bench<'_, B>, shards: Shards, present: usize) -> Result<()> {
    let (tree, own) = (Tree::new(shards.count(), present), shards.own());
    let mut sums = Vec::new();
    for (i, content) in CONTENTS.into_iter().enumerate() {
        let mut stack: Vec<Operand<B::Buffer>> = Vec::new();
        for (shard, additions) in tree.additions(own.clone()) {
            stack.push(bench.uploaded(content, &leaf(shard, i, content.len()))?);
            for _ in 0..additions {
                let x = &stack.pop().expect("an addition is of two");
                let y = stack.last().expect("an addition is of two");
                bench.run(Command::Blend { content, alpha: 1.0, x, beta: 1.0, y })?;
            }
        }
        if stack.is_empty() {
            stack.push(bench.poisoned(content)?);
        }
        sums.push((content, stack));
    }
    let command = Command::SumShards {
        shards,
        present,
        sums: sums
            .iter()
            .map(|(content, stack)| ShardSum {
                content: *content,
                first: &stack[0],
                others: stack[1..].iter().collect(),
            })
            .collect(),
    };
    // With one rank there is nobody to ask, and nothing left to add.
    if shards.ranks() > 1 {
        bench.run(command)?;
    }
    for (i, (content, stack)) in sums.iter().enumerate() {
        let leaves: Vec<_> = (0..present).map(|shard| leaf(shard, i, content.len())).collect();
        let expected = naive(0..shards.count(), &leaves).expect("a shard is present");
        assert_same(&format!("{content:?}, {shards:?}"), &bench.downloaded(&stack[0])?, &expected);
    }
    Ok(())
}

fn check_gathered<B: Backend>(
    bench: &mut Bench<'_, B>,
    shards: Shards,
    present: usize,
) -> Result<()> {
    if shards.ranks() == 1 {
        return Ok(());
    }
    let of_shard = |shard| VECTORS.map(|len| (Content::Vector(len), leaf(shard, len, len)));
    let (mut own, mut others) = (Vec::new(), Vec::new());
    for shard in 0..present {
        for (content, numbers) in of_shard(shard) {
            match shards.own().contains(&shard) {
                true => own.push((content, bench.uploaded(content, &numbers)?)),
                false => others.push((content, bench.poisoned(content)?, numbers)),
            }
        }
    }
    bench.run(Command::GatherShards {
        shards,
        present,
        own: own.iter().map(|(content, x)| (*content, x)).collect(),
        others: others.iter().map(|(content, y, _)| (*content, y)).collect(),
    })?;
    for (_, y, expected) in &others {
        assert_same(&format!("gathered, {shards:?}"), &bench.downloaded(y)?, expected);
    }
    Ok(())
}

/// Images of a shard in a full batch.
const IMAGES: usize = 2;

/// Outputs of a layer that takes [`INPUTS`].
const OUTPUTS: usize = 5;

/// What the layer takes of an image.
const INPUTS: Shape = Shape::new(1, 3, 2, 2);

/// The factors of a weight's gradient, of all shards' images: whole numbers, so that whatever they are
/// computed in, ReLU decides alike. The last shard has less than the others.
fn check_factors<B: Backend>(
    bench: &mut Bench<'_, B>,
    shards: Shards,
    present: usize,
    epilogue: LinearEpilogue,
) -> Result<()> {
    let (batch, n, alpha) = (IMAGES * shards.count(), IMAGES * present - 1, 0.5);
    let layer = |n| Linear::new(Shape { n, ..INPUTS }, OUTPUTS, epilogue);
    let (whole, features) = (layer(n)?, INPUTS.features());
    let x = inputs::integers(1, whole.x().len(), 2);
    let dy = inputs::integers(2, whole.y().len(), 3);
    let weights = inputs::integers(3, whole.weight().len(), 1);
    let biases = inputs::integers(4, OUTPUTS, 1);
    let weight = &bench.uploaded(whole.weight(), &weights)?;
    let bias = &bench.uploaded(Content::Vector(OUTPUTS), &biases)?;
    let maps = [whole.x(), whole.y()];
    let [xs, dsums] = &maps.map(|shape| bench.poisoned(Content::Maps(shape)).expect("memory"));
    for shard in shards.own().filter(|shard| *shard < present) {
        let rows = shards.rows_of(shard, batch, n);
        let spec = layer(rows.len())?;
        let of = |numbers: &[f32], row: usize| numbers[row * rows.start..row * rows.end].to_vec();
        let x = &bench.uploaded(Content::Maps(spec.x()), &of(&x, features))?;
        let dy = &bench.uploaded(Content::Maps(spec.y()), &of(&dy, OUTPUTS))?;
        let y = &bench.poisoned(Content::Maps(spec.y()))?;
        let aux = &bench.poisoned(Content::Bytes(spec.aux_bytes()))?;
        bench.run(Command::Linear { spec, x, weight, bias, y, aux: Some(aux) })?;
        let (first, rows) = (rows.start, n);
        bench.run(Command::LinearFactors { spec, first, rows, alpha, x, dy, aux, xs, dsums })?;
    }
    if shards.ranks() > 1 {
        let maps = maps.into_iter().zip([xs, dsums]).collect();
        bench.run(Command::GatherRows { shards, batch, maps })?;
    }
    let expected = (0..n * OUTPUTS).map(|at| {
        let (image, o) = (at / OUTPUTS, at % OUTPUTS);
        let products = (0..features).map(|i| x[image * features + i] * weights[o * features + i]);
        let alive = epilogue == LinearEpilogue::Bias || biases[o] + products.sum::<f32>() > 0.0;
        if alive { alpha * dy[at] } else { 0.0 }
    });
    assert_same(&format!("inputs, {shards:?}"), &bench.downloaded(xs)?, &x);
    let (dsums, expected) = (bench.downloaded(dsums)?, expected.collect::<Vec<_>>());
    assert_eq!(dsums, expected, "sums' gradients, {shards:?}");
    Ok(())
}

/// The sum over leaves by its definition, in `f32`.
fn naive(node: Range<usize>, leaves: &[Vec<f32>]) -> Option<Vec<f32>> {
    if node.len() == 1 {
        return leaves.get(node.start).cloned();
    }
    let middle = node.start + node.len() / 2;
    match (naive(node.start..middle, leaves), naive(middle..node.end, leaves)) {
        (Some(left), Some(right)) => Some(left.iter().zip(right).map(|(x, y)| x + y).collect()),
        (one, other) => one.or(other),
    }
}

#[track_caller]
fn assert_same(what: &str, actual: &[f32], expected: &[f32]) {
    let bits = |numbers: &[f32]| numbers.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(actual), bits(expected), "{what}");
}
