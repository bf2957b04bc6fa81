//! Algorithms: what is proposed, and how much workspace each needs.
//!
//! The proposals are meant for a backend to stumble over: the first ones are not supported, give other
//! sums in every run, or round factors to `f16`.

use std::ffi::c_int;

use cudarc::cudnn::sys::{
    cudnnConvolutionBwdDataAlgo_t as DataAlgorithm,
    cudnnConvolutionBwdDataAlgoPerf_t as DataProposal,
    cudnnConvolutionBwdFilterAlgo_t as FilterAlgorithm,
    cudnnConvolutionBwdFilterAlgoPerf_t as FilterProposal,
    cudnnConvolutionFwdAlgo_t as ForwardAlgorithm,
    cudnnConvolutionFwdAlgoPerf_t as ForwardProposal, cudnnDeterminism_t as Determinism,
    cudnnMathType_t as Math, cudnnStatus_t as Status,
};

use super::problem::Problem;
use super::{functions, needed, stream};
use crate::ffi::{Handle, Out};
use crate::numbers::Type;
use crate::state::Result;

/// An algorithm: whether it exists, whether it is deterministic, and whether it needs workspace.
#[derive(Clone, Copy)]
pub(super) struct Traits {
    pub(super) supported: bool,
    pub(super) deterministic: bool,
    needs_workspace: bool,
}

const fn traits(supported: bool, deterministic: bool, needs_workspace: bool) -> Traits {
    Traits { supported, deterministic, needs_workspace }
}

impl Traits {
    pub(super) fn workspace(self, problem: &Problem) -> usize {
        if self.needs_workspace { 1024 + problem.filter.bytes() / 2 } else { 0 }
    }
}

pub(super) trait Algorithm: Copy + PartialEq + 'static {
    /// All, as they are proposed.
    const ALL: &'static [(Self, Traits)];

    fn traits(self) -> Traits {
        let found = Self::ALL.iter().find(|(algorithm, _)| *algorithm == self);
        found.map_or(traits(false, true, false), |(_, traits)| *traits)
    }
}

/// Bytes of workspace that an algorithm needs, if it is supported.
pub(super) fn workspace(problem: &Problem, algorithm: impl Algorithm) -> Result<usize, Status> {
    let traits = algorithm.traits();
    if !traits.supported {
        return Err(Status::CUDNN_STATUS_NOT_SUPPORTED);
    }
    Ok(traits.workspace(problem))
}

impl Algorithm for ForwardAlgorithm {
    const ALL: &'static [(Self, Traits)] = &[
        (Self::CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD, traits(false, true, false)),
        (Self::CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM, traits(true, true, true)),
        (Self::CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM, traits(true, true, false)),
    ];
}

impl Algorithm for DataAlgorithm {
    const ALL: &'static [(Self, Traits)] = &[
        (Self::CUDNN_CONVOLUTION_BWD_DATA_ALGO_WINOGRAD, traits(false, true, false)),
        (Self::CUDNN_CONVOLUTION_BWD_DATA_ALGO_0, traits(true, false, false)),
        (Self::CUDNN_CONVOLUTION_BWD_DATA_ALGO_1, traits(true, true, true)),
    ];
}

impl Algorithm for FilterAlgorithm {
    const ALL: &'static [(Self, Traits)] = &[
        (Self::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_3, traits(false, false, false)),
        (Self::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0, traits(true, false, false)),
        (Self::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1, traits(true, true, true)),
    ];
}

/// A proposal, which has a type of its own for each direction.
macro_rules! proposal {
    ($proposal:ident, $problem:expr, $algorithm:expr, $traits:expr, $math:expr) => {
        $proposal {
            algo: $algorithm,
            status: match $traits.supported {
                true => Status::CUDNN_STATUS_SUCCESS,
                false => Status::CUDNN_STATUS_NOT_SUPPORTED,
            },
            time: -1.0,
            memory: $traits.workspace($problem),
            determinism: match $traits.deterministic {
                true => Determinism::CUDNN_DETERMINISTIC,
                false => Determinism::CUDNN_NON_DETERMINISTIC,
            },
            mathType: $math,
            reserved: [0; 3],
        }
    };
}

/// The algorithms with their math: where conversions are allowed, each with them first.
fn all<A: Algorithm>(problem: &Problem) -> Vec<(A, Traits, Math)> {
    let plain = match problem.x.kind {
        Type::F32 => problem.convolution.math,
        Type::F16 | Type::Bf16 => Math::CUDNN_TENSOR_OP_MATH,
    };
    let converts = problem.x.kind == Type::F32 && plain != Math::CUDNN_FMA_MATH;
    let conversion = converts.then_some(Math::CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION);
    let maths = conversion.into_iter().chain([plain]);
    maths.flat_map(|math| A::ALL.iter().map(move |(a, traits)| (*a, *traits, math))).collect()
}

/// How many proposals a caller gets.
fn count(asked: c_int, there_are: usize) -> Result<usize, Status> {
    if asked < 1 {
        return Err(Status::CUDNN_STATUS_BAD_PARAM);
    }
    Ok(there_are.min(asked as usize))
}

functions! {
    fn cudnnGetConvolutionForwardAlgorithm_v7(
        handle: Handle,
        x: Handle,
        filter: Handle,
        convolution: Handle,
        y: Handle,
        asked: c_int,
        given: Out<c_int>,
        proposals: Out<ForwardProposal>,
    ) |state| {
        stream(state, handle)?;
        let problem = Problem::new(state, x, filter, convolution, y)?;
        let all = all(&problem);
        let count = count(asked, all.len())?;
        needed(given.put(count as c_int))?;
        needed(proposals.put_all(all[..count].iter().map(|(algorithm, traits, math)| {
            proposal!(ForwardProposal, &problem, *algorithm, *traits, *math)
        })))
    }

    fn cudnnGetConvolutionBackwardDataAlgorithm_v7(
        handle: Handle,
        filter: Handle,
        dy: Handle,
        convolution: Handle,
        dx: Handle,
        asked: c_int,
        given: Out<c_int>,
        proposals: Out<DataProposal>,
    ) |state| {
        stream(state, handle)?;
        let problem = Problem::new(state, dx, filter, convolution, dy)?;
        let all = all(&problem);
        let count = count(asked, all.len())?;
        needed(given.put(count as c_int))?;
        needed(proposals.put_all(all[..count].iter().map(|(algorithm, traits, math)| {
            proposal!(DataProposal, &problem, *algorithm, *traits, *math)
        })))
    }

    fn cudnnGetConvolutionBackwardFilterAlgorithm_v7(
        handle: Handle,
        x: Handle,
        dy: Handle,
        convolution: Handle,
        dw: Handle,
        asked: c_int,
        given: Out<c_int>,
        proposals: Out<FilterProposal>,
    ) |state| {
        stream(state, handle)?;
        let problem = Problem::new(state, x, dw, convolution, dy)?;
        let all = all(&problem);
        let count = count(asked, all.len())?;
        needed(given.put(count as c_int))?;
        needed(proposals.put_all(all[..count].iter().map(|(algorithm, traits, math)| {
            proposal!(FilterProposal, &problem, *algorithm, *traits, *math)
        })))
    }

    fn cudnnGetConvolutionForwardWorkspaceSize(
        handle: Handle,
        x: Handle,
        filter: Handle,
        convolution: Handle,
        y: Handle,
        algorithm: ForwardAlgorithm,
        bytes: Out<usize>,
    ) |state| {
        stream(state, handle)?;
        let problem = Problem::new(state, x, filter, convolution, y)?;
        needed(bytes.put(workspace(&problem, algorithm)?))
    }

    fn cudnnGetConvolutionBackwardDataWorkspaceSize(
        handle: Handle,
        filter: Handle,
        dy: Handle,
        convolution: Handle,
        dx: Handle,
        algorithm: DataAlgorithm,
        bytes: Out<usize>,
    ) |state| {
        stream(state, handle)?;
        let problem = Problem::new(state, dx, filter, convolution, dy)?;
        needed(bytes.put(workspace(&problem, algorithm)?))
    }

    fn cudnnGetConvolutionBackwardFilterWorkspaceSize(
        handle: Handle,
        x: Handle,
        dy: Handle,
        convolution: Handle,
        dw: Handle,
        algorithm: FilterAlgorithm,
        bytes: Out<usize>,
    ) |state| {
        stream(state, handle)?;
        let problem = Problem::new(state, x, dw, convolution, dy)?;
        needed(bytes.put(workspace(&problem, algorithm)?))
    }
}
