use std::sync::{Arc, RwLock};

use vgg_tensor::spec::{
    BatchNorm2d, BatchNormEpilogue, Conv2d, ConvEpilogue, Linear, LinearEpilogue, Lrn, Normalize,
    PrepareImages,
};
use vgg_tensor::{
    Backend, BufferId, BufferSpec, Content, In, InOut, Instruction, Out, Pass, Role, Scalars,
    Shape, WeightGradient,
};

use super::*;
use crate::{Config, Isa, Precision};

/// Commands that are put together into a program.
#[derive(Default)]
struct Builder {
    buffers: Vec<BufferSpec>,
    commands: Vec<Command>,
}

impl Builder {
    fn buffer(&mut self, content: Content, role: Role) -> BufferId {
        self.buffers.push(BufferSpec { content, role });
        BufferId(self.buffers.len() - 1)
    }

    fn given(&mut self, content: Content) -> In {
        In(self.buffer(content, Role::Input))
    }

    fn out(&mut self, content: Content) -> Out {
        Out(self.buffer(content, Role::Output))
    }

    fn state(&mut self, content: Content) -> InOut {
        InOut(self.buffer(content, Role::State))
    }

    fn program(self) -> Program {
        let instruction =
            |command| Instruction { pass: Pass::Forward, layer: "tried".into(), command };
        let instructions = self.commands.into_iter().map(instruction).collect();
        Program::new(self.buffers, instructions).unwrap()
    }
}

fn cpu(isa: Isa, precision: Precision) -> Cpu {
    Cpu::new(Config { threads: Some(3), isa: Some(isa), precision }).unwrap()
}

/// Checks that a program takes what is said of it.
fn check(builder: Builder) {
    let program = builder.program();
    let both = [Precision::F32, Precision::Bf16];
    let settings =
        Isa::available().into_iter().flat_map(|isa| both.map(|precision| (isa, precision)));
    for (isa, precision) in settings {
        let mut cpu = cpu(isa, precision);
        let said = cpu.workspace(&[&program]);
        let mut alloc = |content| {
            let buffer = cpu.alloc(content).unwrap();
            assert_eq!(cpu.bytes(content), buffer.data_bytes() as u64);
            Arc::new(RwLock::new(buffer))
        };
        let buffers: Vec<_> = program.buffers().iter().map(|b| alloc(b.content)).collect();
        // Bytes that the backend holds besides buffers.
        let held = |cpu: &Cpu| {
            cpu.workspace.lock().unwrap().as_bytes().len() + cpu.threads.scratch_bytes()
        };
        assert_eq!(held(&cpu), 0);
        let mut executable = cpu.compile(&program, buffers.clone()).unwrap();
        let compiled = held(&cpu);
        cpu.run(&mut executable, Scalars::default()).unwrap();
        assert_eq!(held(&cpu), compiled, "{isa}, {precision:?}: what is taken is taken beforehand");
        let derived = buffers.iter().map(|buffer| buffer.read().unwrap().derived_bytes());
        assert_eq!(
            said,
            (compiled + derived.sum::<usize>()) as u64,
            "{isa}, {precision:?}: {program:?}"
        );
    }
}

#[test]
fn convolutions_take_what_they_say() {
    let conv = |n, c, side, c_out, kernel, epilogue| {
        Conv2d::new(Shape::new(n, c, side, side), c_out, kernel, kernel / 2, epilogue).unwrap()
    };
    let specs = [
        // Few channels; Winograd's in blocks of a thread's own and of all threads'; implicit products.
        conv(3, 1, 14, 20, 3, ConvEpilogue::BiasReluMaxPool),
        conv(8, 20, 10, 36, 3, ConvEpilogue::BiasReluMaxPool),
        conv(1, 20, 10, 36, 3, ConvEpilogue::BiasRelu),
        conv(2, 260, 9, 256, 3, ConvEpilogue::BiasRelu),
        conv(4, 5, 8, 7, 5, ConvEpilogue::BiasRelu),
        conv(4, 6, 9, 24, 3, ConvEpilogue::BiasRelu).with_stride(2).unwrap(),
    ];
    for (spec, dx) in specs.into_iter().flat_map(|spec| [(spec, false), (spec, true)]) {
        let mut b = Builder::default();
        let [x, weight, bias] =
            [Content::Maps(spec.x()), spec.weight(), Content::Vector(spec.c_out())]
                .map(|content| b.given(content));
        let [y, aux] = [Content::Maps(spec.y()), Content::Bytes(spec.aux_bytes())]
            .map(|content| b.out(content));
        b.commands.push(Command::Conv2d { spec, x, weight, bias, y, aux: Some(aux) });
        let [dweight, dbias] =
            [spec.weight(), Content::Vector(spec.c_out())].map(|content| b.out(content));
        let dx = dx.then(|| b.out(Content::Maps(spec.x())));
        let (dy, aux) = (In(y.0), In(aux.0));
        b.commands.push(Command::Conv2dBackward { spec, x, weight, dy, aux, dweight, dbias, dx });
        check(b);
    }
}

#[test]
fn fully_connected_layers_take_what_they_say() {
    for x in [Shape::new(6, 40, 6, 4), Shape::flat(2, 70)] {
        let spec = Linear::new(x, 37, LinearEpilogue::BiasRelu).unwrap();
        let mut b = Builder::default();
        let [x, weight, bias] =
            [Content::Maps(spec.x()), spec.weight(), Content::Vector(37)].map(|c| b.given(c));
        let [y, aux] =
            [Content::Maps(spec.y()), Content::Bytes(spec.aux_bytes())].map(|c| b.out(c));
        b.commands.push(Command::Linear { spec, x, weight, bias, y, aux: Some(aux) });
        let [dweight, dbias, dx] =
            [spec.weight(), Content::Vector(37), Content::Maps(spec.x())].map(|c| b.out(c));
        let weight = WeightGradient::Stored { weight, dweight };
        let (dy, aux, dx) = (In(y.0), In(aux.0), Some(dx));
        b.commands.push(Command::LinearBackward { spec, x, weight, dy, aux, dbias, dx });
        check(b);

        let mut b = Builder::default();
        let [weight, dy, aux] =
            [spec.weight(), Content::Maps(spec.y()), Content::Bytes(spec.aux_bytes())]
                .map(|content| b.given(content));
        let dx = b.out(Content::Maps(spec.x()));
        b.commands.push(Command::LinearInputBackward { spec, weight, dy, aux, dx });
        check(b);
    }
}

#[test]
fn normalisations_take_what_they_say() {
    let shape = Shape::new(6, 40, 6, 4);
    let spec = BatchNorm2d::new(shape, BatchNormEpilogue::ReluMaxPool).unwrap();
    let mut b = Builder::default();
    let x = b.given(Content::Maps(shape));
    let [weight, bias] = [(); 2].map(|()| b.given(spec.vector()));
    let [running_mean, running_var] = [(); 2].map(|()| b.state(spec.vector()));
    let [saved, y, aux] =
        [spec.saved(), Content::Maps(spec.y()), Content::Bytes(spec.aux_bytes())].map(|c| b.out(c));
    b.commands.push(Command::BatchNorm2d {
        spec,
        x,
        weight,
        bias,
        running_mean,
        running_var,
        saved,
        y,
        aux,
    });
    let [dweight, dbias, dx] =
        [spec.vector(), spec.vector(), Content::Maps(shape)].map(|c| b.out(c));
    let [saved, dy, aux] = [saved, y, aux].map(|Out(buffer)| In(buffer));
    b.commands.push(Command::BatchNorm2dBackward {
        spec,
        x,
        weight,
        saved,
        dy,
        aux,
        dweight,
        dbias,
        dx,
    });
    check(b);

    let spec = Lrn::new(shape).unwrap();
    let mut b = Builder::default();
    let x = b.given(Content::Maps(shape));
    let [y, dx] = [(); 2].map(|()| b.out(Content::Maps(shape)));
    b.commands.push(Command::Lrn { spec, x, y });
    b.commands.push(Command::LrnBackward { spec, x, dy: In(y.0), dx });
    check(b);
}

#[test]
fn images_take_what_they_say() {
    let spec = PrepareImages::new(Shape::new(2, 3, 20, 30), 32, 40).unwrap();
    let mut b = Builder::default();
    let pixels = b.given(Content::Bytes(spec.source().len()));
    let x = b.out(Content::Maps(spec.x()));
    b.commands.push(Command::PrepareImages { spec, normalize: Normalize::identity(3), pixels, x });
    check(b);
}

#[test]
fn commands_share_but_for_derived_forms() {
    let cpu = cpu(Isa::best(), Precision::F32);
    let conv = |b: &mut Builder, c_out| {
        let x = Shape::new(8, 16, 10, 10);
        let spec = Conv2d::new(x, c_out, 3, 1, ConvEpilogue::BiasRelu).unwrap();
        let [x, weight, bias] = [Content::Maps(x), spec.weight(), Content::Vector(c_out)]
            .map(|content| b.given(content));
        let y = b.out(Content::Maps(spec.y()));
        b.commands.push(Command::Conv2d { spec, x, weight, bias, y, aux: None });
    };
    let program = |sizes: &[usize]| {
        let mut b = Builder::default();
        sizes.iter().for_each(|c_out| conv(&mut b, *c_out));
        b.program()
    };
    let [small, large, both] = [&[16][..], &[64], &[64, 16]].map(program);
    let derived = needs(&cpu, small.commands().next().unwrap()).derived;
    let derived = AlignedVec::bytes_for(derived) as u64;
    let alone = cpu.workspace(&[&large]);
    assert_eq!(cpu.workspace(&[&both]) - alone, derived);
    assert_eq!(cpu.workspace(&[&large, &small]) - alone, derived);
}
