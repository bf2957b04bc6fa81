//! cuDNN, and what it knows of each convolution.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::sync::Arc;

use cudarc::cudnn::sys;
use cudarc::driver::CudaStream;
use vgg_tensor::spec::Conv2d;
use vgg_tensor::{Result, Shape};

use super::algorithm::{Algorithm, Candidate, Proposal, Rules};
use super::descriptor::{self, Filter, Tensor};
use super::direction::{Algorithms, Call, Direction, Workspace};
use super::tuning::Tuning;
use crate::error::During;
use crate::libraries::cudnn::{cudnnCreate, cudnnDestroy, cudnnSetStream};
use crate::libraries::{CudnnError, Perf};
use crate::memory::Address;

/// cuDNN has no more algorithms for anything.
const MOST: usize = 16;

/// cuDNN on a stream.
pub(crate) struct Cudnn {
    handle: sys::cudnnHandle_t,
    stream: Arc<CudaStream>,
    rules: Rules,
    /// Where algorithms are measured.
    tuning: Option<Tuning>,
    convolutions: HashMap<Key, Convolution>,
}

/// What cuDNN knows of a convolution: not what follows the sums.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    x: Shape,
    c_out: usize,
    kernel: usize,
    padding: usize,
    stride: usize,
}

/// A convolution's descriptors, and how the directions are computed that it was used in.
struct Convolution {
    x: Tensor,
    sums: Tensor,
    weight: Filter,
    algorithms: Algorithms,
}

impl Cudnn {
    pub(crate) fn new(
        stream: &Arc<CudaStream>,
        rules: Rules,
        tuning: Option<Tuning>,
    ) -> Result<Self> {
        const OP: &str = "starting cuDNN";
        let mut handle = std::ptr::null_mut();
        // SAFETY: there is room for the handle.
        unsafe { cudnnCreate(&raw mut handle) }.result().during(OP)?;
        let convolutions = HashMap::new();
        let cudnn = Self { handle, stream: stream.clone(), rules, tuning, convolutions };
        // SAFETY: the handle is valid, and the stream lives as long as it does.
        unsafe { cudnnSetStream(handle, stream.cu_stream().cast()) }.result().during(OP)?;
        Ok(cudnn)
    }

    /// Bytes of workspace that a direction of a convolution needs.
    pub(super) fn workspace<D: Direction>(&mut self, op: &Conv2d) -> Result<usize> {
        self.decided::<D>(op).map(|(_, how)| how.workspace)
    }

    /// Orders a direction of a convolution: `to`, from the factors.
    ///
    /// # Safety
    /// The addresses are of memory that the tensors fit into, `to` in no other's, and the workspace
    /// is what [`Cudnn::workspace`] asks for.
    pub(super) unsafe fn compute<D: Direction>(
        &mut self,
        op: &Conv2d,
        factors: [Address; 2],
        to: Address,
        workspace: Workspace,
    ) -> Result<()> {
        let handle = self.handle;
        let (convolution, how) = self.decided::<D>(op)?;
        let call = convolution.call(handle, &how.convolution);
        // SAFETY: handle and descriptors are valid; the memory is as the caller promises.
        unsafe { D::compute(call, how.algorithm, factors, to, workspace) }.during(D::NAME)
    }

    /// A convolution, and how a direction of it is computed. That is decided the first time.
    fn decided<D: Direction>(
        &mut self,
        op: &Conv2d,
    ) -> Result<(&Convolution, &Algorithm<D::Algorithm>)> {
        let (handle, rules) = (self.handle, self.rules);
        let key = Key {
            x: op.x(),
            c_out: op.c_out(),
            kernel: op.kernel(),
            padding: op.padding(),
            stride: op.stride(),
        };
        let convolution = match self.convolutions.entry(key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Convolution::new(rules, op).during(D::NAME)?),
        };
        let convolution = &*convolution;
        let decided = D::decided(&convolution.algorithms);
        if let Some(how) = decided.get() {
            return Ok((convolution, how));
        }
        let call = |with: &descriptor::Convolution| convolution.call(handle, with);
        let propose = |with: &descriptor::Convolution| proposals::<D>(call(with));
        let workspace = |with: &descriptor::Convolution, algorithm| {
            // SAFETY: handle and descriptors are valid.
            unsafe { D::workspace(call(with), algorithm) }
        };
        let (tuning, stream) = (&mut self.tuning, &self.stream);
        let pick = |with: &descriptor::Convolution, candidates: &[Candidate<D::Algorithm>]| {
            let Some(tuning) = tuning else { return Ok(0) };
            let call = |candidate: &Candidate<D::Algorithm>| {
                candidate.set_up(with).during(D::NAME)?;
                Ok(call(with))
            };
            tuning.fastest::<D>(stream, rules.precision.storage(), op, call, candidates)
        };
        let how = Algorithm::choose(D::NAME, &rules, op, propose, workspace, pick)?;
        Ok((convolution, decided.get_or_init(|| how)))
    }
}

impl Drop for Cudnn {
    fn drop(&mut self) {
        // SAFETY: the handle is valid, and nobody uses it any more.
        if let Err(error) = unsafe { cudnnDestroy(self.handle) }.result() {
            log::debug!("cuDNN does not close: {error}");
        }
    }
}

impl Convolution {
    fn new(rules: Rules, op: &Conv2d) -> Result<Self, CudnnError> {
        let storage = rules.precision.storage();
        Ok(Self {
            x: Tensor::new(storage, op.x())?,
            sums: Tensor::new(storage, op.conv_y())?,
            weight: Filter::new(storage, op.c_out(), op.x().c, op.kernel())?,
            algorithms: Algorithms::default(),
        })
    }

    fn call(&self, handle: sys::cudnnHandle_t, with: &descriptor::Convolution) -> Call {
        Call {
            handle,
            x: self.x.raw(),
            weight: self.weight.raw(),
            sums: self.sums.raw(),
            convolution: with.raw(),
        }
    }
}

/// What cuDNN proposes, best first, as far as it is known here.
fn proposals<D: Direction>(call: Call) -> Result<Vec<Proposal<D::Algorithm>>, CudnnError> {
    let mut found: [MaybeUninit<Perf<D::Algorithm>>; MOST] =
        std::array::from_fn(|_| MaybeUninit::uninit());
    let mut count = 0;
    // SAFETY: handle and descriptors are valid, and there is room for so many.
    unsafe { D::propose(call, MOST as c_int, &raw mut count, found.as_mut_ptr().cast()) }?;
    let count = usize::try_from(count).unwrap_or(0);
    let found = found.into_iter().take(count);
    // SAFETY: cuDNN has written so many, and every number is valid in them.
    let found = found.map(|perf| unsafe { perf.assume_init() });
    Ok(found.filter_map(|perf| Proposal::known(&perf)).collect())
}
