//! That nothing is overwritten which is still needed, and what is saved.

use vgg_tensor::ranks::Shards;
use vgg_tensor::{BufferId, BufferSpec, Command, In, InOut, Instruction, Out, Pass, check_sharing};

use super::*;
use crate::plan::program::{Place, Weights, Work};
use crate::{Arch, Input, Mode, Plan, Recipe, SgdConfig, Vgg, VggConfig, WeightType};

fn plans() -> Vec<Plan> {
    let arches = [
        Arch::LeNet,
        Arch::AlexNet,
        Arch::Vgg11,
        Arch::Vgg11Lrn,
        Arch::Vgg13,
        Arch::Vgg16C,
        Arch::Vgg16,
        Arch::Vgg19,
    ];
    let mut plans = Vec::new();
    for arch in arches {
        for batch_norm in [false, true] {
            let config = VggConfig {
                arch: arch.clone(),
                batch_norm,
                width: 0.25,
                input: [1, 224, 224],
                ..VggConfig::default()
            };
            let Ok(vgg) = Vgg::new(&config) else { continue };
            let plain = Recipe::from(SgdConfig { momentum: 0.9, ..SgdConfig::plain(0.1) });
            let all = Recipe {
                micro_batches: 3,
                clip_norm: Some(1.0),
                ema_decay: Some(0.9),
                mixes: true,
                ..plain.clone()
            };
            let first = vgg.params()[0].name.trim_end_matches(".weight").to_owned();
            let frozen = Recipe { freeze: vec![first], ..plain.clone() };
            let shards = Shards::new(7, 1, 3).unwrap();
            let shared = Recipe { shards, ..Recipe { micro_batches: 1, ..all.clone() } };
            let train = [plain, all, frozen, shared].map(Mode::Train);
            let infer = Mode::Infer { linear_weights: WeightType::F32 };
            let plan = |mode| Plan::new(&vgg, &Input::unnormalized(1, 28, 28), 6, mode).unwrap();
            plans.extend(train.into_iter().chain([infer]).map(plan));
        }
    }
    plans
}

fn bytes(content: Content) -> u64 {
    content.bytes() as u64
}

/// Memories of a program, those that are not shared with numbers of their own.
fn memories(placement: &Placement) -> Vec<usize> {
    let shared = placement.sizes.len();
    let memory = |(id, memory): (usize, &Option<usize>)| memory.unwrap_or(shared + id);
    placement.memories.iter().enumerate().map(memory).collect()
}

#[test]
fn no_command_finds_what_another_left() {
    let mut programs = 0;
    for plan in plans() {
        for (_, program) in plan.programs() {
            let placement = Placement::new(&program.program, bytes);
            check_sharing(&program.program, &memories(&placement)).unwrap();
            for (buffer, memory) in program.program.buffers().iter().zip(&placement.memories) {
                assert!(memory.is_none_or(|m| bytes(buffer.content) <= placement.sizes[m]));
            }
            programs += 1;
        }
    }
    assert!(programs > 100, "{programs}");
}

/// Even if the last command alone reads it, as labels.
#[test]
fn what_is_given_is_needed_from_the_start() {
    let content = Content::Vector(4);
    let roles = [Role::Input, Role::Temporary, Role::Input, Role::Output];
    let buffers = roles.map(|role| BufferSpec { content, role });
    let [pixels, maps, labels, y] = [0, 1, 2, 3].map(BufferId);
    let scale = |x, y| Command::Scale { content, alpha: 0.5, x: In(x), y: Out(y) };
    let blend = Command::Blend { content, alpha: 0.5, x: In(labels), beta: 0.5, y: InOut(y) };
    let commands = vec![scale(pixels, maps), scale(maps, y), blend];
    let instruction = |command| Instruction { pass: Pass::Forward, layer: "layer".into(), command };
    let instructions = commands.into_iter().map(instruction).collect();
    let program = Program::new(buffers.into(), instructions).unwrap();
    check_sharing(&program, &memories(&Placement::new(&program, bytes))).unwrap();
}

/// Anything else that is shared is found.
#[test]
fn whatever_is_put_where_it_must_not_be_is_found() {
    let plan = plans().swap_remove(8);
    let program = &plan.programs()[0].1.program;
    let placement = Placement::new(program, bytes);
    let good = memories(&placement);
    let lifetimes = program.lifetimes();
    let overlaps = |a: usize, b: usize| {
        let ((first, last), (other_first, other_last)) =
            (lifetimes[a].unwrap(), lifetimes[b].unwrap());
        first <= other_last && other_first <= last
    };
    let mut tried = 0;
    for a in 0..good.len() {
        for b in 0..good.len() {
            if a != b && overlaps(a, b) && placement.memories[a].is_some() {
                let mut bad = good.clone();
                bad[a] = good[b];
                assert!(check_sharing(program, &bad).is_err(), "{a} in the memory of {b}");
                tried += 1;
            }
        }
    }
    assert!(tried > 100, "{tried}");
}

#[test]
fn a_short_batch_lies_as_the_full_one() {
    let config = VggConfig { width: 0.25, input: [1, 224, 224], ..VggConfig::default() };
    let vgg = Vgg::new(&config).unwrap();
    let modes = [
        Mode::Infer { linear_weights: WeightType::F16 },
        Mode::Train(SgdConfig::plain(0.1).into()),
    ];
    for mode in modes {
        let plan = |n| Plan::new(&vgg, &Input::unnormalized(1, 28, 28), n, mode.clone()).unwrap();
        let (full, short) = (plan(128), plan(97));
        for ((work, full), (_, short)) in full.programs().iter().zip(short.programs()) {
            let placement = Placement::new(&full.program, bytes);
            assert_eq!(full.places, short.places, "{work:?}");
            check_sharing(&short.program, &memories(&placement)).unwrap();
            for (buffer, memory) in short.program.buffers().iter().zip(&placement.memories) {
                assert!(memory.is_none_or(|m| bytes(buffer.content) <= placement.sizes[m]));
            }
        }
    }
}

/// Against a buffer for each activation and two that gradients alternate between, and in inference
/// two that activations alternate between.
#[test]
fn sharing_saves_memory() {
    for plan in plans() {
        let program = &plan.programs()[0].1;
        let shared: u64 = Placement::new(&program.program, bytes).sizes.iter().sum();
        let trains = matches!(plan.mode(), Mode::Train(_));
        let (mut own, mut pair, mut turn) = (0, [0, 0], 0);
        for (instruction, outputs) in written(&program.program) {
            let alternates = !trains || instruction == Pass::Backward;
            for content in outputs {
                match content {
                    Content::Maps(_) if alternates || instruction == Pass::Loss => {
                        pair[turn] = bytes(content).max(pair[turn]);
                        turn = 1 - turn;
                    }
                    content => own += bytes(content),
                }
            }
        }
        for (place, buffer) in program.places.iter().zip(program.program.buffers()) {
            own += match place {
                Place::Pixels | Place::Targets => bytes(buffer.content),
                _ => 0,
            };
        }
        let apart = own + pair[0] + pair[1];
        let what = &plan.vgg.config().arch;
        assert!(shared < apart, "{what}, {:?}: {shared} and {apart}", plan.mode());
    }
}

/// What each command overwrites of a program's own.
fn written(program: &Program) -> Vec<(Pass, Vec<Content>)> {
    struct Written<'a>(&'a Program, Vec<Content>);
    impl vgg_tensor::Operands<vgg_tensor::In, Out, vgg_tensor::InOut> for Written<'_> {
        type In = ();
        type Out = ();
        type InOut = ();
        fn input(&mut self, _: vgg_tensor::In, _: Content) {}
        fn output(&mut self, Out(id): Out, content: Content) {
            if !matches!(self.0.buffers()[id.0].role, Role::Output | Role::State) {
                self.1.push(content);
            }
        }
        fn in_place(&mut self, _: vgg_tensor::InOut, _: Content) {}
    }
    let of = |command: &Command| {
        let mut written = Written(program, Vec::new());
        command.clone().map(&mut written);
        written.1
    };
    program.instructions().iter().map(|i| (i.pass, of(&i.command))).collect()
}

#[test]
fn the_ema_lies_as_the_last_weights() {
    let config = VggConfig { width: 0.1, input: [1, 32, 32], ..VggConfig::default() };
    let vgg = Vgg::new(&config).unwrap();
    let recipe = Recipe { ema_decay: Some(0.9), ..SgdConfig::plain(0.1).into() };
    let plan = Plan::new(&vgg, &Input::unnormalized(1, 32, 32), 4, Mode::Train(recipe)).unwrap();
    let placement = |weights| {
        let program = plan.program_of(Work::Logits(weights), 0).unwrap();
        Placement::new(&program.program, bytes)
    };
    assert_eq!(placement(Weights::Last), placement(Weights::Ema));
}
