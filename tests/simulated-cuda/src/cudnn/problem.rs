//! What a call is about.

use cudarc::cudnn::sys::{cudnnMathType_t as Math, cudnnStatus_t as Status};

use super::compute::Sizes;
use super::descriptor;
use crate::ffi::Handle;
use crate::numbers::{Type, round_to_tf32};
use crate::state::{Convolution, Filter, Result, State, Tensor};

/// A convolution whose descriptors fit together.
#[derive(Clone, Copy)]
pub(super) struct Problem {
    pub(super) x: Tensor,
    pub(super) filter: Filter,
    pub(super) convolution: Convolution,
    pub(super) y: Tensor,
    capability: i32,
}

impl Problem {
    pub(super) fn new(
        state: &State,
        x: Handle,
        filter: Handle,
        convolution: Handle,
        y: Handle,
    ) -> Result<Self, Status> {
        let (x, y) = (descriptor::tensor(state, x)?, descriptor::tensor(state, y)?);
        let filter = descriptor::filter(state, filter)?;
        let convolution = descriptor::convolution(state, convolution)?;
        let ([rows, columns], [row_stride, column_stride]) =
            (convolution.padding, convolution.stride);
        let side = |side: usize, padding: usize, kernel: usize, stride: usize| {
            (side + 2 * padding).checked_sub(kernel).map(|rest| rest / stride + 1)
        };
        let fits = x.n == y.n
            && x.c == filter.c
            && y.c == filter.k
            && side(x.h, rows, filter.h, row_stride) == Some(y.h)
            && side(x.w, columns, filter.w, column_stride) == Some(y.w);
        if !fits {
            return Err(Status::CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH);
        }
        let capability = state.settings.capability.0;
        let one_type = x.kind == filter.kind && x.kind == y.kind;
        if !one_type || x.kind == Type::Bf16 && capability < 8 {
            return Err(Status::CUDNN_STATUS_NOT_SUPPORTED);
        }
        Ok(Self { x, filter, convolution, y, capability })
    }

    pub(super) fn sizes(&self) -> Sizes {
        let Self { x, filter, y, .. } = self;
        Sizes {
            n: x.n,
            x: [x.h, x.w],
            y: [y.h, y.w],
            kernel: [filter.h, filter.w],
            padding: self.convolution.padding,
            stride: self.convolution.stride,
            c_in: x.c,
            c_out: y.c,
        }
    }

    /// A factor as the hardware takes it.
    pub(super) fn round(&self, x: f32) -> f64 {
        let float = self.x.kind == Type::F32;
        f64::from(match self.convolution.math {
            Math::CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION if float => half::f16::from_f32(x).to_f32(),
            Math::CUDNN_DEFAULT_MATH | Math::CUDNN_TENSOR_OP_MATH if float => {
                if self.capability >= 8 { round_to_tf32(x) } else { x }
            }
            _ => x,
        })
    }
}
