//! Which of cuDNN's algorithms a convolution uses.

use cudarc::cudnn::sys;
use vgg_tensor::spec::Conv2d;
use vgg_tensor::{Error, Result};

use super::descriptor::Convolution;
use crate::Precision;
use crate::error::During;
use crate::libraries::{CudnnError, Enum, Perf};

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
    memory: usize,
    determinism: sys::cudnnDeterminism_t,
    math: sys::cudnnMathType_t,
}

impl<A: Enum> Proposal<A> {
    /// One that works, and of which everything is known: of a newer cuDNN's algorithms and math,
    /// nobody here knows what they round.
    pub(super) fn known(perf: &Perf<A>) -> Option<Self> {
        perf.status.result().ok()?;
        Some(Self {
            algorithm: perf.algorithm.known()?,
            memory: perf.memory,
            determinism: perf.determinism.known()?,
            math: perf.math.known()?,
        })
    }
}

/// How one direction of a convolution is computed.
pub(super) struct Algorithm<A> {
    pub(super) convolution: Convolution,
    pub(super) algorithm: A,
    /// Bytes.
    pub(super) workspace: usize,
}

/// A proposal that the rules allow.
pub(super) struct Candidate<A> {
    pub(super) algorithm: A,
    /// Bytes.
    pub(super) workspace: usize,
    math: sys::cudnnMathType_t,
}

impl<A: std::fmt::Debug> Candidate<A> {
    /// As it is remembered.
    pub(super) fn name(&self) -> String {
        format!("{:?}, {:?}", self.algorithm, self.math)
    }

    /// Makes a convolution be computed as was proposed.
    pub(super) fn set_up(&self, convolution: &Convolution) -> Result<(), CudnnError> {
        convolution.set_math(self.math)
    }
}

impl<A: Copy + std::fmt::Debug> Algorithm<A> {
    /// One of cuDNN's proposals that the rules allow.
    ///
    /// `propose` asks for them for a convolution, best first, `workspace` for what one really needs,
    /// and `pick` decides for one of them.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if there is none.
    pub(super) fn choose(
        op: &'static str,
        rules: &Rules,
        spec: &Conv2d,
        propose: impl FnOnce(&Convolution) -> Result<Vec<Proposal<A>>, CudnnError>,
        workspace: impl Fn(&Convolution, A) -> Result<usize, CudnnError>,
        pick: impl FnOnce(&Convolution, &[Candidate<A>]) -> Result<usize>,
    ) -> Result<Self> {
        let convolution = Convolution::new(spec).during(op)?;
        convolution.set_math(asked_math(rules.precision)).during(op)?;
        let mut candidates = Vec::new();
        let proposals = propose(&convolution).during(op)?;
        for proposal in proposals.iter().filter(|proposal| proposal.is_allowed(rules)) {
            let (algorithm, math) = (proposal.algorithm, proposal.used_math(rules.precision));
            convolution.set_math(math).during(op)?;
            // What is needed can differ from what was proposed, and even the algorithm be refused.
            if let Ok(workspace) = workspace(&convolution, algorithm)
                && workspace <= rules.workspace
            {
                candidates.push(Candidate { algorithm, workspace, math });
            }
        }
        if candidates.is_empty() {
            return Err(Error::Unavailable {
                what: format!("{op} in {} by cuDNN", rules.precision.name()),
                hint:
                    "none of its algorithms can do it under the settings: try another precision, \
                       a smaller batch, or without deterministic"
                        .into(),
            });
        }
        let picked = &candidates[pick(&convolution, &candidates)?];
        picked.set_up(&convolution).during(op)?;
        log::debug!("{op}: {}, {} bytes of workspace", picked.name(), picked.workspace);
        let &Candidate { algorithm, workspace, .. } = picked;
        Ok(Self { convolution, algorithm, workspace })
    }
}

impl<A> Proposal<A> {
    fn is_allowed(&self, rules: &Rules) -> bool {
        let deterministic = self.determinism == sys::cudnnDeterminism_t::CUDNN_DETERMINISTIC;
        // That one rounds factors to f16.
        let converts = self.math == sys::cudnnMathType_t::CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION;
        self.memory <= rules.workspace && (deterministic || !rules.deterministic) && !converts
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

#[cfg(test)]
mod tests {
    use sys::cudnnConvolutionFwdAlgo_t as Forward;

    use super::*;
    use crate::libraries::codes::Code;

    #[test]
    fn what_a_newer_cudnn_proposes_is_left_out() {
        let perf = |algorithm, status, determinism, math| Perf::<Forward> {
            algorithm: Code::new(algorithm),
            status: Code::new(status),
            time: -1.0,
            memory: 0,
            determinism: Code::new(determinism),
            math: Code::new(math),
            reserved: [0; 3],
        };
        let known = Proposal::known(&perf(1, 0, 1, 3)).expect("all of it is known");
        assert_eq!(known.algorithm, Forward::CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM);
        assert_eq!(known.math, sys::cudnnMathType_t::CUDNN_FMA_MATH);
        for newer in [perf(8, 0, 1, 3), perf(1, 3014, 1, 3), perf(1, 0, 2, 3), perf(1, 0, 1, 4)] {
            assert!(Proposal::known(&newer).is_none(), "{newer:?}");
        }
        assert!(Proposal::known(&perf(1, 3000, 1, 3)).is_none());
    }
}
