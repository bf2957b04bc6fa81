use vgg_tensor::spec::{
    BatchNorm2d, BatchNormEpilogue, Conv2d, ConvEpilogue, Linear, LinearEpilogue, Lrn, Normalize,
    PrepareImages,
};
use vgg_tensor::{Backend, Content, Shape, WeightGradient};

use super::*;
use crate::{Buffer, Config, Isa};

/// Bytes that a backend holds besides buffers.
fn held(cpu: &Cpu) -> usize {
    cpu.workspace.lock().unwrap().as_bytes().len() + cpu.threads.scratch_bytes()
}

fn cpu(isa: Isa) -> Cpu {
    Cpu::new(Config { threads: Some(3), isa: Some(isa) }).unwrap()
}

/// Checks that operations take what was said, and gives the buffers for them.
fn check(isa: Isa, operations: &[Operation], run: impl FnOnce(&mut Cpu) -> Buffer) {
    let mut cpu = cpu(isa);
    let said = cpu.workspace(operations);
    assert_eq!(held(&cpu), 0);
    let weight = run(&mut cpu);
    assert_eq!(said, (held(&cpu) + weight.derived_bytes()) as u64, "{isa}: {operations:?}");
}

fn alloc(cpu: &mut Cpu, content: Content) -> Buffer {
    let buffer = cpu.alloc(content).unwrap();
    assert_eq!(cpu.bytes(content), buffer.data_bytes() as u64);
    buffer
}

#[test]
fn convolutions_take_what_they_say() {
    let conv = |n, c, side, c_out, kernel, epilogue| {
        Conv2d::new(Shape::new(n, c, side, side), c_out, kernel, kernel / 2, epilogue).unwrap()
    };
    let ops = [
        // Few channels; Winograd's in blocks of a thread's own and of all threads'; implicit products.
        conv(3, 1, 14, 20, 3, ConvEpilogue::BiasReluMaxPool),
        conv(8, 20, 10, 36, 3, ConvEpilogue::BiasReluMaxPool),
        conv(1, 20, 10, 36, 3, ConvEpilogue::BiasRelu),
        conv(2, 260, 9, 256, 3, ConvEpilogue::BiasRelu),
        conv(4, 5, 8, 7, 5, ConvEpilogue::BiasRelu),
        conv(4, 6, 9, 24, 3, ConvEpilogue::BiasRelu).with_stride(2).unwrap(),
    ];
    for isa in Isa::available() {
        for (op, dx) in ops.iter().flat_map(|op| [(op, false), (op, true)]) {
            let operations = [Operation::Conv2d(*op), Operation::Conv2dBackward { op: *op, dx }];
            check(isa, &operations, |cpu| {
                let weight = alloc(cpu, op.weight());
                let bias = alloc(cpu, Content::Vector(op.c_out()));
                let [x, mut y] = [op.x(), op.y()].map(|maps| alloc(cpu, Content::Maps(maps)));
                let mut aux = alloc(cpu, Content::Bytes(op.aux_bytes()));
                cpu.conv2d(op, &x, &weight, &bias, &mut y, Some(&mut aux)).unwrap();
                let (mut dw, mut db) = (alloc(cpu, op.weight()), bias);
                let mut gradient = alloc(cpu, Content::Maps(op.x()));
                let dx = dx.then_some(&mut gradient);
                cpu.conv2d_backward(op, &x, &weight, &y, &aux, &mut dw, &mut db, dx).unwrap();
                weight
            });
        }
    }
}

#[test]
fn other_layers_take_what_they_say() {
    let x = Shape::new(6, 40, 6, 4);
    let flat = Shape::flat(6, x.features());
    let linear = Linear::new(flat, 37, LinearEpilogue::BiasRelu).unwrap();
    let few = Linear::new(Shape::flat(2, 70), 37, LinearEpilogue::BiasRelu).unwrap();
    let norm = BatchNorm2d::new(x, BatchNormEpilogue::ReluMaxPool).unwrap();
    let lrn = Lrn::new(x).unwrap();
    let images = PrepareImages::new(Shape::new(2, 3, 20, 30), 32, 40).unwrap();
    for isa in Isa::available() {
        for op in [linear, few] {
            let backward = Operation::LinearBackward { op, applied: false, dx: true };
            check(isa, &[Operation::Linear(op), backward], |cpu| {
                let weight = alloc(cpu, op.weight());
                let bias = alloc(cpu, Content::Vector(37));
                let x = alloc(cpu, Content::Maps(op.x()));
                let mut y = alloc(cpu, Content::Maps(op.y()));
                let mut aux = alloc(cpu, Content::Bytes(op.aux_bytes()));
                cpu.linear(&op, &x, &weight, &bias, &mut y, Some(&mut aux)).unwrap();
                let mut dweight = alloc(cpu, op.weight());
                let gradient = WeightGradient::Stored { weight: &weight, dweight: &mut dweight };
                let (mut db, mut dx) = (bias, alloc(cpu, Content::Maps(op.x())));
                cpu.linear_backward(&op, &x, gradient, &y, &aux, &mut db, Some(&mut dx)).unwrap();
                weight
            });
        }
        check(isa, &[Operation::BatchNorm2d(norm), Operation::BatchNorm2dBackward(norm)], |cpu| {
            let channels = || Content::Vector(40);
            let maps = alloc(cpu, Content::Maps(x));
            let [mut a, mut mean, mut var, mut b] = [(); 4].map(|()| alloc(cpu, channels()));
            let (mut saved, mut y) =
                (alloc(cpu, norm.saved()), alloc(cpu, Content::Maps(norm.y())));
            let mut aux = alloc(cpu, Content::Bytes(norm.aux_bytes()));
            let weight = alloc(cpu, channels());
            cpu.batch_norm2d(
                &norm, &maps, &weight, &a, &mut mean, &mut var, &mut saved, &mut y, &mut aux,
            )
            .unwrap();
            let mut dx = alloc(cpu, Content::Maps(x));
            cpu.batch_norm2d_backward(
                &norm, &maps, &weight, &saved, &y, &aux, &mut a, &mut b, &mut dx,
            )
            .unwrap();
            weight
        });
        check(isa, &[Operation::Lrn(lrn), Operation::LrnBackward(lrn)], |cpu| {
            let [x, mut y, mut dx] = [(); 3].map(|()| alloc(cpu, Content::Maps(x)));
            cpu.lrn(&lrn, &x, &mut y).unwrap();
            cpu.lrn_backward(&lrn, &x, &y, &mut dx).unwrap();
            x
        });
        check(isa, &[Operation::PrepareImages(images)], |cpu| {
            let pixels = alloc(cpu, Content::Bytes(images.source().len()));
            let mut x = alloc(cpu, Content::Maps(images.x()));
            let normalize = Normalize::identity(3);
            cpu.prepare_images(&images, &normalize, &pixels, &mut x).unwrap();
            x
        });
    }
}

#[test]
fn operations_share_but_for_derived_forms() {
    let cpu = cpu(Isa::best());
    let conv = |c_out| {
        let x = Shape::new(8, 16, 10, 10);
        Conv2d::new(x, c_out, 3, 1, ConvEpilogue::BiasRelu).map(Operation::Conv2d).unwrap()
    };
    let (small, large) = (conv(16), conv(64));
    let bytes = |operation| {
        let Needs { workspace, scratch, derived } = Needs::of(&cpu, &operation);
        [workspace, 3 * scratch, derived].map(|len| 4 * len)
    };
    let [_, _, of_small] = bytes(small);
    let alone = cpu.workspace(&[large]) - cpu.workspace(&[]);
    let both = cpu.workspace(&[large, small]);
    assert_eq!(both - alone, AlignedVec::bytes_for(of_small / 4) as u64);
}
