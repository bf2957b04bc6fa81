//! Convolution with its epilogue.
//!
//! Activations lie with channels innermost (NHWC), so that every kernel is vertical SIMD over
//! channels; weights lie in PyTorch's order and are transformed or packed when they have changed.
//!
//! Work comes in four sizes:
//! - a *tile* is a square of sums that are computed together from the patch of inputs under it: 4×4
//!   by Winograd's transforms, 2×2 where channels are few;
//! - a *strip* is a few whole rows of an image's sums, such as a row of tiles;
//! - a *block* is consecutive strips whose tiles are transformed, multiplied and transformed back
//!   together;
//! - a *chunk* is consecutive images with sums of their own of the weight's gradient; the chunks'
//!   sums are added in their order.
//!
//! A *job* is what a thread does at a time: a strip, a block, a chunk or some of a block's products.

mod chunks;
mod direct;
mod few_channels;
mod strips;
mod window;
mod winograd;

use vgg_tensor::Result;
use vgg_tensor::spec::Conv2d;

use crate::Cpu;
use crate::buffer::{Buffer, Form};
use crate::format::Format;
use crate::needs::Needs;
use winograd::Blocking;

pub(crate) use winograd::Interpolation;

/// What the backward pass writes.
struct Gradients<'a, F: Format> {
    dweight: &'a mut [f32],
    dbias: &'a mut [f32],
    /// Left out for the first layer.
    dx: Option<&'a mut [F::Number]>,
}

/// How a convolution is computed. A rule that was found by measuring says which, instead of a
/// measurement at run time: the numbers must not depend on a machine's moods.
#[derive(Debug)]
enum Algorithm {
    Winograd,
    FewChannels,
    Direct,
}

impl Algorithm {
    fn of(cpu: &Cpu, op: &Conv2d) -> Self {
        // With less than a vector of channels, Winograd's transforms cost more than the products they
        // save. Of the portable code, the compiler does not keep a square of sums in registers.
        match (op.stride(), op.kernel(), op.x().c, op.c_out()) {
            (1, 3, 8.., 8..) => Self::Winograd,
            (1, 3, ..=few_channels::FEW, _) if !cpu.isa.is_portable() => Self::FewChannels,
            _ => Self::Direct,
        }
    }
}

/// What a pass takes besides its buffers. `dx` says whether the input's gradient is wanted.
pub(crate) fn needs<F: Interpolation>(cpu: &Cpu, op: &Conv2d, pass: Form, dx: bool) -> Needs {
    match (Algorithm::of(cpu, op), pass) {
        (Algorithm::Winograd, Form::Forward) => {
            let blocking = Blocking::forward(op, cpu.threads.count());
            winograd::forward_needs::<F>(cpu, op, blocking)
        }
        (Algorithm::Winograd, Form::Backward) => {
            winograd::backward_needs::<F>(cpu, op, Blocking::backward(op), dx)
        }
        (Algorithm::FewChannels, Form::Forward) => few_channels::forward_needs(cpu, op),
        (Algorithm::FewChannels, Form::Backward) if !dx => few_channels::backward_needs(cpu, op),
        (Algorithm::Direct, Form::Forward) => direct::forward_needs(cpu, op),
        (Algorithm::FewChannels | Algorithm::Direct, Form::Backward) => {
            direct::backward_needs(cpu, op, dx)
        }
    }
}

/// Logs, the first time, how an operation is computed.
fn log_once(cpu: &Cpu, op: &Conv2d) {
    let new = || cpu.logged.lock().expect("no holder of this lock panics").insert(*op);
    if log::log_enabled!(log::Level::Debug) && new() {
        let (x, c_out, kernel, stride) = (op.x(), op.c_out(), op.kernel(), op.stride());
        let algorithm = Algorithm::of(cpu, op);
        let blocking = match algorithm {
            Algorithm::Winograd => {
                let forward = Blocking::forward(op, cpu.threads.count());
                format!("; forward {forward}, backward {}", Blocking::backward(op))
            }
            Algorithm::FewChannels | Algorithm::Direct => String::new(),
        };
        log::debug!(
            "{kernel}×{kernel}/{stride} convolution {x} → {c_out}: {algorithm:?}{blocking}"
        );
    }
}

/// See [`vgg_tensor::Command::Conv2d`].
pub(crate) fn forward<F: Interpolation>(
    cpu: &Cpu,
    op: &Conv2d,
    x: &Buffer,
    weight: &Buffer,
    bias: &Buffer,
    y: &mut Buffer,
    aux: Option<&mut Buffer>,
) -> Result<()> {
    let x = x.maps::<F>(op.x().len());
    let bias = bias.f32(op.c_out());
    let y = y.maps_mut::<F>(op.y().len());
    let aux = aux.map_or(&mut [][..], |aux| aux.bytes_mut(op.aux_bytes()));
    log_once(cpu, op);
    let workspace = &mut *cpu.workspace.lock().expect("no holder of this lock panics");
    cpu.threads.run(|| match Algorithm::of(cpu, op) {
        Algorithm::Winograd => {
            let blocking = Blocking::forward(op, cpu.threads.count());
            winograd::forward::<F>(cpu, op, blocking, x, weight, bias, y, aux, workspace)
        }
        Algorithm::FewChannels => few_channels::forward::<F>(cpu, op, x, weight, bias, y, aux),
        Algorithm::Direct => direct::forward::<F>(cpu, op, x, weight, bias, y, aux),
    })
}

/// See [`vgg_tensor::Command::Conv2dBackward`].
pub(crate) fn backward<F: Interpolation>(
    cpu: &Cpu,
    op: &Conv2d,
    x: &Buffer,
    weight: &Buffer,
    dy: &Buffer,
    aux: &Buffer,
    dweight: &mut Buffer,
    dbias: &mut Buffer,
    dx: Option<&mut Buffer>,
) -> Result<()> {
    let x = x.maps::<F>(op.x().len());
    let dy = dy.maps::<F>(op.y().len());
    let aux = aux.bytes(op.aux_bytes());
    let gradients = Gradients {
        dweight: dweight.f32_mut(op.weight().len()),
        dbias: dbias.f32_mut(op.c_out()),
        dx: dx.map(|dx| dx.maps_mut::<F>(op.x().len())),
    };
    let workspace = &mut *cpu.workspace.lock().expect("no holder of this lock panics");
    cpu.threads.run(|| match Algorithm::of(cpu, op) {
        Algorithm::Winograd => {
            let blocking = Blocking::backward(op);
            winograd::backward::<F>(cpu, op, blocking, x, weight, dy, aux, gradients, workspace)
        }
        Algorithm::FewChannels if gradients.dx.is_none() => {
            few_channels::backward::<F>(cpu, op, x, dy, aux, gradients, workspace)
        }
        Algorithm::FewChannels | Algorithm::Direct => {
            direct::backward::<F>(cpu, op, x, weight, dy, aux, gradients, workspace)
        }
    })
}
