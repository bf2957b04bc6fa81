//! Which of cuDNN's algorithms a convolution uses.

use cudarc::cudnn::result::CudnnError;
use cudarc::cudnn::sys;
use vgg_tensor::{Error, Result};

use super::descriptor::Convolution;
use crate::Precision;
use crate::error::During;

/// What algorithms may do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) precision: Precision,
    /// Only those that give the same sums in every run.
    pub(crate) deterministic: bool,
    /// Only those whose workspace has at most so many bytes.
    pub(crate) workspace: usize,
}

/// An algorithm that cuDNN proposes.
pub(super) struct Proposal<A> {
    algorithm: A,
    status: sys::cudnnStatus_t,
    memory: usize,
    determinism: sys::cudnnDeterminism_t,
    math: sys::cudnnMathType_t,
}

/// cuDNN has a type of the same fields for each of the three directions.
macro_rules! proposal {
    ($perf:ty, $algorithm:ty) => {
        impl From<$perf> for Proposal<$algorithm> {
            fn from(perf: $perf) -> Self {
                Self {
                    algorithm: perf.algo,
                    status: perf.status,
                    memory: perf.memory,
                    determinism: perf.determinism,
                    math: perf.mathType,
                }
            }
        }
    };
}

proposal!(sys::cudnnConvolutionFwdAlgoPerf_t, sys::cudnnConvolutionFwdAlgo_t);
proposal!(sys::cudnnConvolutionBwdDataAlgoPerf_t, sys::cudnnConvolutionBwdDataAlgo_t);
proposal!(sys::cudnnConvolutionBwdFilterAlgoPerf_t, sys::cudnnConvolutionBwdFilterAlgo_t);

/// How one direction of a convolution is computed.
pub(super) struct Algorithm<A> {
    pub(super) convolution: Convolution,
    pub(super) algorithm: A,
    /// Bytes.
    pub(super) workspace: usize,
}

impl<A: Copy + std::fmt::Debug> Algorithm<A> {
    /// The first of cuDNN's proposals, best first, that the rules allow.
    ///
    /// `propose` asks for them for a convolution, `workspace` for what one really needs.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if there is none.
    pub(super) fn choose(
        op: &'static str,
        rules: &Rules,
        padding: usize,
        propose: impl FnOnce(&Convolution) -> Result<Vec<Proposal<A>>, CudnnError>,
        workspace: impl Fn(&Convolution, A) -> Result<usize, CudnnError>,
    ) -> Result<Self> {
        let convolution = Convolution::new(padding).during(op)?;
        convolution.set_math(asked_math(rules.precision)).during(op)?;
        let proposals = propose(&convolution).during(op)?;
        for proposal in proposals.iter().filter(|proposal| proposal.is_allowed(rules)) {
            convolution.set_math(proposal.used_math(rules.precision)).during(op)?;
            // What is needed can differ from what was proposed, and even the algorithm be refused.
            let Ok(workspace) = workspace(&convolution, proposal.algorithm) else { continue };
            if workspace <= rules.workspace {
                log::debug!("{op}: {:?}, {workspace} bytes of workspace", proposal.algorithm);
                return Ok(Self { convolution, algorithm: proposal.algorithm, workspace });
            }
        }
        Err(Error::Unavailable {
            what: format!("{op} in {} by cuDNN", rules.precision.name()),
            hint: "none of its algorithms can do it under the settings: try another precision, a \
                   smaller batch, or without deterministic"
                .into(),
        })
    }
}

impl<A> Proposal<A> {
    fn is_allowed(&self, rules: &Rules) -> bool {
        let deterministic = self.determinism == sys::cudnnDeterminism_t::CUDNN_DETERMINISTIC;
        // That one rounds factors to f16.
        let converts = self.math == sys::cudnnMathType_t::CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION;
        self.status == sys::cudnnStatus_t::CUDNN_STATUS_SUCCESS
            && self.memory <= rules.workspace
            && (deterministic || !rules.deterministic)
            && !converts
    }

    /// An algorithm is only as fast as proposed with the math it was proposed with. In `f32`, nothing
    /// may be rounded, whatever the proposal.
    fn used_math(&self, precision: Precision) -> sys::cudnnMathType_t {
        match precision {
            Precision::F32 => sys::cudnnMathType_t::CUDNN_FMA_MATH,
            Precision::Tf32 | Precision::Bf16 | Precision::F16 => self.math,
        }
    }
}

const fn asked_math(precision: Precision) -> sys::cudnnMathType_t {
    match precision {
        Precision::F32 => sys::cudnnMathType_t::CUDNN_FMA_MATH,
        Precision::Tf32 => sys::cudnnMathType_t::CUDNN_DEFAULT_MATH,
        Precision::Bf16 | Precision::F16 => sys::cudnnMathType_t::CUDNN_TENSOR_OP_MATH,
    }
}
