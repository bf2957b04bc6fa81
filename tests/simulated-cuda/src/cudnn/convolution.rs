//! The calls that compute.

use cudarc::cudnn::sys::{
    cudnnConvolutionBwdDataAlgo_t as DataAlgorithm,
    cudnnConvolutionBwdFilterAlgo_t as FilterAlgorithm,
    cudnnConvolutionFwdAlgo_t as ForwardAlgorithm, cudnnStatus_t as Status,
};
use vgg_ptx::Memory as _;

use super::algorithm::{self, Algorithm};
use super::compute::{self, Sizes};
use super::problem::Problem;
use super::{functions, needed, stream};
use crate::ffi::{Handle, Host};
use crate::memory::Memory;
use crate::numbers::Type;
use crate::state::{Result, State};
use crate::work::Task;

/// Memory that a call computes from or to.
#[derive(Clone, Copy)]
struct Place {
    at: u64,
    bytes: usize,
    kind: Type,
}

/// A call that has been checked.
struct Call {
    problem: Problem,
    /// The two factors.
    from: [Place; 2],
    to: Place,
    alpha: f32,
    beta: f32,
    workspace: Place,
    deterministic: bool,
    compute: fn(&Sizes, &[f64], &[f64]) -> Vec<f64>,
    name: &'static str,
}

impl Call {
    fn order(self, state: &mut State, handle: Handle) -> Result<(), Status> {
        let stream = stream(state, handle)?;
        let [a, b] = self.from;
        let places = [a, b, self.to, self.workspace];
        let overlap = |a: Place, b: Place| {
            a.bytes > 0
                && b.bytes > 0
                && a.at < b.at + b.bytes as u64
                && b.at < a.at + a.bytes as u64
        };
        if overlap(a, self.to) || overlap(b, self.to) {
            return Err(Status::CUDNN_STATUS_BAD_PARAM);
        }
        let workspace = [a, b, self.to].iter().any(|place| overlap(*place, self.workspace));
        if workspace {
            return Err(Status::CUDNN_STATUS_BAD_PARAM);
        }
        if places.iter().any(|place| !place.at.is_multiple_of(16)) {
            return Err(Status::CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER);
        }
        let task = Task::run(move |memory, random| {
            if let Err(error) = self.run(memory, random) {
                memory.fail(&format!("{}: {error}", self.name));
            }
        });
        crate::driver::order(state, stream, task).map_err(|_| Status::CUDNN_STATUS_EXECUTION_FAILED)
    }

    fn run(&self, memory: &mut Memory, random: u64) -> Result<(), vgg_ptx::MemoryError> {
        let read = |memory: &Memory, place: &Place| {
            Ok(place.kind.decode(&memory.device.download(place.at, place.bytes)?))
        };
        // A workspace holds anything afterwards.
        if self.workspace.bytes > 0 {
            memory.device.write(self.workspace.at, &vec![random as u8; self.workspace.bytes])?;
        }
        let factors = |memory: &Memory, place: &Place| {
            let numbers = read(memory, place)?;
            Ok(numbers.iter().map(|x| self.problem.round(*x)).collect::<Vec<_>>())
        };
        let (a, b) = (factors(memory, &self.from[0])?, factors(memory, &self.from[1])?);
        let sums = (self.compute)(&self.problem.sizes(), &a, &b);
        // What is not asked for is not read: it may be anything.
        let before = match self.beta {
            0.0 => vec![0.0; sums.len()],
            _ => read(memory, &self.to)?,
        };
        let alpha = f64::from(self.alpha);
        let numbers: Vec<f32> =
            sums.iter()
                .zip(before)
                .map(|(sum, before)| (alpha * sum) as f32 + self.beta * before)
                .enumerate()
                .map(|(i, number)| {
                    if self.deterministic { number } else { reordered(number, random >> (i % 64)) }
                })
                .collect();
        memory.device.write(self.to.at, &self.to.kind.encode(&numbers))
    }
}

/// A sum as it may be if its terms are added in a random order: the last bit differs.
fn reordered(sum: f32, random: u64) -> f32 {
    f32::from_bits(sum.to_bits() ^ (random & 1) as u32)
}

/// What products are multiplied by, or what is kept of the output.
fn scalar(state: &State, at: Host) -> Result<f32, Status> {
    state.check_host(at).map_err(|_| Status::CUDNN_STATUS_BAD_PARAM)?;
    needed(at.f32())
}

/// The workspace that was given, if it suffices.
fn workspace(at: u64, bytes: usize, needed: usize) -> Result<Place, Status> {
    if bytes < needed {
        return Err(Status::CUDNN_STATUS_BAD_PARAM_SIZE_INSUFFICIENT);
    }
    if needed > 0 && at == 0 {
        return Err(Status::CUDNN_STATUS_BAD_PARAM_NULL_POINTER);
    }
    Ok(Place { at, bytes: needed, kind: Type::F32 })
}

functions! {
    fn cudnnConvolutionForward(
        handle: Handle,
        alpha: Host,
        x: Handle,
        x_at: u64,
        filter: Handle,
        filter_at: u64,
        convolution: Handle,
        algorithm: ForwardAlgorithm,
        workspace_at: u64,
        workspace_bytes: usize,
        beta: Host,
        y: Handle,
        y_at: u64,
    ) |state| {
        let problem = Problem::new(state, x, filter, convolution, y)?;
        let needs = algorithm::workspace(&problem, algorithm)?;
        let Problem { x, filter, y, .. } = problem;
        let call = Call {
            problem,
            from: [
                Place { at: x_at, bytes: x.bytes(), kind: x.kind },
                Place { at: filter_at, bytes: filter.bytes(), kind: filter.kind },
            ],
            to: Place { at: y_at, bytes: y.bytes(), kind: y.kind },
            alpha: scalar(state, alpha)?,
            beta: scalar(state, beta)?,
            workspace: workspace(workspace_at, workspace_bytes, needs)?,
            deterministic: algorithm.traits().deterministic,
            compute: compute::forward,
            name: "cudnnConvolutionForward",
        };
        call.order(state, handle)
    }

    fn cudnnConvolutionBackwardData(
        handle: Handle,
        alpha: Host,
        filter: Handle,
        filter_at: u64,
        dy: Handle,
        dy_at: u64,
        convolution: Handle,
        algorithm: DataAlgorithm,
        workspace_at: u64,
        workspace_bytes: usize,
        beta: Host,
        dx: Handle,
        dx_at: u64,
    ) |state| {
        let problem = Problem::new(state, dx, filter, convolution, dy)?;
        let needs = algorithm::workspace(&problem, algorithm)?;
        let Problem { x, filter, y, .. } = problem;
        let call = Call {
            problem,
            from: [
                Place { at: filter_at, bytes: filter.bytes(), kind: filter.kind },
                Place { at: dy_at, bytes: y.bytes(), kind: y.kind },
            ],
            to: Place { at: dx_at, bytes: x.bytes(), kind: x.kind },
            alpha: scalar(state, alpha)?,
            beta: scalar(state, beta)?,
            workspace: workspace(workspace_at, workspace_bytes, needs)?,
            deterministic: algorithm.traits().deterministic,
            compute: compute::backward_data,
            name: "cudnnConvolutionBackwardData",
        };
        call.order(state, handle)
    }

    fn cudnnConvolutionBackwardFilter(
        handle: Handle,
        alpha: Host,
        x: Handle,
        x_at: u64,
        dy: Handle,
        dy_at: u64,
        convolution: Handle,
        algorithm: FilterAlgorithm,
        workspace_at: u64,
        workspace_bytes: usize,
        beta: Host,
        dw: Handle,
        dw_at: u64,
    ) |state| {
        let problem = Problem::new(state, x, dw, convolution, dy)?;
        let needs = algorithm::workspace(&problem, algorithm)?;
        let Problem { x, filter, y, .. } = problem;
        let call = Call {
            problem,
            from: [
                Place { at: x_at, bytes: x.bytes(), kind: x.kind },
                Place { at: dy_at, bytes: y.bytes(), kind: y.kind },
            ],
            to: Place { at: dw_at, bytes: filter.bytes(), kind: filter.kind },
            alpha: scalar(state, alpha)?,
            beta: scalar(state, beta)?,
            workspace: workspace(workspace_at, workspace_bytes, needs)?,
            deterministic: algorithm.traits().deterministic,
            compute: compute::backward_filter,
            name: "cudnnConvolutionBackwardFilter",
        };
        call.order(state, handle)
    }
}
