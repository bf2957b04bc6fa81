//! Programs on CUDA, which are recorded the second time they run, and launched from then on.

use std::sync::{Arc, RwLock};

use vgg_cuda::{Buffer, Config, Cuda, Executable, Precision};
use vgg_tensor::spec::Sgd;
use vgg_tensor::{
    Backend, BufferId, BufferSpec, Command, Content, In, InOut, Instruction, Optimizer, Out, Pass,
    Program, Result, Role, Scalars, Shape, Shared,
};

use crate::simulated::{make, on_cuda};

fn cuda() -> Cuda {
    make(Config { precision: Precision::F32, ..Config::default() })
}

fn shared(cuda: &mut Cuda, content: Content) -> Result<Shared<Buffer>> {
    Ok(Arc::new(RwLock::new(cuda.alloc(content)?)))
}

fn upload(cuda: &mut Cuda, content: Content, x: &[f32], to: &Shared<Buffer>) -> Result<()> {
    cuda.upload(content, x, &mut to.write().expect("a buffer"))
}

fn download(cuda: &mut Cuda, content: Content, from: &Shared<Buffer>) -> Result<Vec<f32>> {
    let mut x = vec![0.0; content.len()];
    cuda.download(content, &from.read().expect("a buffer"), &mut x)?;
    Ok(x)
}

fn program(buffers: Vec<BufferSpec>, commands: Vec<Command>) -> Result<Program> {
    let instruction = |command| Instruction { pass: Pass::Update, layer: String::new(), command };
    Program::new(buffers, commands.into_iter().map(instruction).collect())
}

const WEIGHT: Content = Content::Vector(1);

/// A step on a weight, and a copy of the weight: as one command is not recorded.
fn step(spec: Sgd) -> Result<Program> {
    let [weight, velocity, dweight, copy] = [0, 1, 2, 3].map(BufferId);
    let roles = [Role::State, Role::State, Role::Input, Role::Output];
    let buffers = roles.map(|role| BufferSpec { content: WEIGHT, role }).to_vec();
    let (content, optimizer) = (WEIGHT, Optimizer::Sgd { spec, velocity: Some(InOut(velocity)) });
    let sgd = Command::Step { optimizer, content, weight: InOut(weight), dweight: In(dweight) };
    let copied = Command::Scale { content, alpha: 1.0, x: In(weight), y: Out(copy) };
    program(buffers, vec![sgd, copied])
}

on_cuda! {
    /// Programs that differ in their settings alone, on the same buffers.
    fn a_recording_reads_the_learning_rate_anew() {
        let mut cuda = cuda();
        let buffers: Vec<_> =
            (0..4).map(|_| shared(&mut cuda, WEIGHT)).collect::<Result<_>>()?;
        let [_, velocity, dweight, copy] = &buffers[..] else { unreachable!("four buffers") };
        upload(&mut cuda, WEIGHT, &[1.0], dweight)?;
        let half = Sgd { momentum: 0.5, ..Sgd::default() };
        let (mut w, mut v) = (0.0f32, 0.0f32);
        for spec in [
            half,
            Sgd { momentum: 0.25, ..half },
            Sgd { weight_decay: 0.5, ..half },
            Sgd { nesterov: true, ..half },
            Sgd { rate: 0.5, ..half },
        ] {
            let mut executable = cuda.compile(&step(spec)?, buffers.clone())?;
            for lr in [0.5, 0.5, 0.25, 0.125] {
                cuda.run(&mut executable, Scalars { lr, step: 0 })?;
                let Sgd { rate, momentum, weight_decay, nesterov } = spec;
                let g = weight_decay.mul_add(w, 1.0);
                v = momentum.mul_add(v, g);
                w = (-(rate * lr)).mul_add(if nesterov { momentum.mul_add(v, g) } else { v }, w);
                assert_eq!(download(&mut cuda, WEIGHT, copy)?, [w], "{spec:?}, {lr}");
                assert_eq!(download(&mut cuda, WEIGHT, velocity)?, [v], "{spec:?}, {lr}");
            }
        }
    }
}

on_cuda! {
    /// Twice the same draw gives zero or four times a number.
    fn a_recording_reads_the_step_of_dropout_anew() {
        let shape = Shape::flat(2, 64);
        let content = Content::Maps(shape);
        let buffers = vec![BufferSpec { content, role: Role::State }];
        let dropout = Command::Dropout { shape, p: 0.5, seed: 3, stream: 7, x: InOut(BufferId(0)) };
        let mut cuda = cuda();
        let x = shared(&mut cuda, content)?;
        let twice = program(buffers, vec![dropout.clone(), dropout])?;
        let mut executable = cuda.compile(&twice, vec![x.clone()])?;
        let mut seen = Vec::new();
        for step in [1, 1 << 33, 3, 1, 1 << 33, 3] {
            upload(&mut cuda, content, &[1.0; 128], &x)?;
            cuda.run(&mut executable, Scalars { lr: 0.0, step })?;
            let kept = download(&mut cuda, content, &x)?;
            assert!(kept.iter().all(|x| [0.0, 4.0].contains(x)), "{kept:?}");
            seen.push(kept);
        }
        assert_eq!(seen[..3], seen[3..]);
        assert!(seen[0] != seen[1] && seen[1] != seen[2] && seen[2] != seen[0]);
    }
}

/// A gradient whose norm is limited to 1, twice, and its buffer.
struct Clipped {
    content: Content,
    gradient: Shared<Buffer>,
    executable: Executable,
}

impl Clipped {
    fn new(cuda: &mut Cuda, len: usize) -> Result<Self> {
        let content = Content::Vector(len);
        let buffers = vec![BufferSpec { content, role: Role::State }];
        let gradients = vec![(content, InOut(BufferId(0)))];
        let clip = Command::ClipGradients { max_norm: 1.0, gradients };
        let gradient = shared(cuda, content)?;
        let program = program(buffers, vec![clip.clone(), clip])?;
        let executable = cuda.compile(&program, vec![gradient.clone()])?;
        Ok(Self { content, gradient, executable })
    }

    fn check(&mut self, cuda: &mut Cuda) -> Result<()> {
        let len = self.content.len();
        upload(cuda, self.content, &vec![1.0; len], &self.gradient)?;
        cuda.run(&mut self.executable, Scalars::default())?;
        let clipped = download(cuda, self.content, &self.gradient)?;
        let norm = clipped.iter().map(|x| x * x).sum::<f32>().sqrt();
        assert!((norm - 1.0).abs() < 1e-3, "{norm}");
        Ok(())
    }
}

on_cuda! {
    /// Other programs may have asked for more scratch memory, and others who share a buffer may have
    /// put another one in its place.
    fn a_recording_is_not_used_on_memory_that_is_gone() {
        let mut cuda = cuda();
        let (mut small, mut large) = (Clipped::new(&mut cuda, 4)?, Clipped::new(&mut cuda, 1 << 17)?);
        for _ in 0..3 {
            small.check(&mut cuda)?;
        }
        large.check(&mut cuda)?;
        small.check(&mut cuda)?;
        small.check(&mut cuda)?;
        *small.gradient.write().expect("a buffer") = cuda.alloc(small.content)?;
        small.check(&mut cuda)?;
        small.check(&mut cuda)?;
    }
}

on_cuda! {
    /// Whoever compiled it need not wait before it is dropped.
    fn a_program_is_dropped_while_its_work_is_under_way() {
        let mut cuda = cuda();
        for runs in 1..4 {
            let content = Content::Vector(1 << 10);
            let [x, y, z] = [0, 1, 2].map(BufferId);
            let roles = [Role::Input, Role::Temporary, Role::Output];
            let buffers = roles.map(|role| BufferSpec { content, role }).to_vec();
            let double = |x, y| Command::Scale { content, alpha: 2.0, x: In(x), y: Out(y) };
            let program = program(buffers, vec![double(x, y), double(y, z)])?;
            let buffers: Vec<_> =
                (0..3).map(|_| shared(&mut cuda, content)).collect::<Result<_>>()?;
            let numbers: Vec<f32> = (0..content.len()).map(|i| i as f32).collect();
            upload(&mut cuda, content, &numbers, &buffers[0])?;
            let result = buffers[2].clone();
            let mut executable = cuda.compile(&program, buffers)?;
            for _ in 0..runs {
                cuda.run(&mut executable, Scalars::default())?;
            }
            drop(executable);
            // Memory that is free is given to others.
            let other = shared(&mut cuda, content)?;
            upload(&mut cuda, content, &[-1.0; 1 << 10], &other)?;
            let expected: Vec<f32> = numbers.iter().map(|x| 4.0 * x).collect();
            assert_eq!(download(&mut cuda, content, &result)?, expected);
        }
    }
}

on_cuda! {
    fn a_program_outlives_its_backend() {
        let mut first = cuda();
        let mut small = Clipped::new(&mut first, 4)?;
        for _ in 0..3 {
            small.check(&mut first)?;
        }
        drop(first);
        drop(small);
        let mut second = cuda();
        Clipped::new(&mut second, 4)?.check(&mut second)?;
    }
}
