//! Convolutions by cuDNN.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::c_int;
use std::mem::MaybeUninit;

use cudarc::cudnn::result::{self, CudnnError};
use cudarc::cudnn::sys;
use cudarc::driver::CudaStream;
use vgg_tensor::spec::Conv2d;
use vgg_tensor::{Result, Shape};

use super::algorithm::{Algorithm, MOST, Proposal, Rules};
use super::descriptor::{Filter, Tensor};
use crate::error::During;
use crate::memory::Address;

const FORWARD: &str = "a convolution";
const DATA: &str = "a convolution's input gradient";
const FILTER: &str = "a convolution's weight gradient";

/// cuDNN on a stream, with what it knows about each convolution so far.
pub(crate) struct Cudnn {
    handle: sys::cudnnHandle_t,
    rules: Rules,
    convolutions: HashMap<Key, Convolution>,
}

/// What cuDNN knows of a convolution: not what follows the sums.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    x: Shape,
    c_out: usize,
    kernel: usize,
    padding: usize,
}

/// A convolution's descriptors, and the algorithms of the directions it was used in.
struct Convolution {
    x: Tensor,
    y: Tensor,
    weight: Filter,
    forward: Option<Algorithm<sys::cudnnConvolutionFwdAlgo_t>>,
    data: Option<Algorithm<sys::cudnnConvolutionBwdDataAlgo_t>>,
    filter: Option<Algorithm<sys::cudnnConvolutionBwdFilterAlgo_t>>,
}

/// Memory that a call may use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Workspace {
    pub(super) at: Address,
    pub(super) bytes: usize,
}

impl Cudnn {
    pub(crate) fn new(stream: &CudaStream, rules: Rules) -> Result<Self> {
        const OP: &str = "starting cuDNN";
        let handle = result::create_handle().during(OP)?;
        let cudnn = Self { handle, rules, convolutions: HashMap::new() };
        // SAFETY: the handle is valid, and the stream lives as long as it does.
        unsafe { result::set_stream(handle, stream.cu_stream().cast()) }.during(OP)?;
        Ok(cudnn)
    }

    fn convolution(&mut self, op: &Conv2d) -> Result<&mut Convolution> {
        let key = Key { x: op.x(), c_out: op.c_out(), kernel: op.kernel(), padding: op.padding() };
        match self.convolutions.entry(key) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let convolution = Convolution::new(self.rules, op).during(FORWARD)?;
                Ok(entry.insert(convolution))
            }
        }
    }

    /// Bytes of workspace of [`Cudnn::forward`].
    pub(super) fn forward_workspace(&mut self, op: &Conv2d) -> Result<usize> {
        let (handle, rules) = (self.handle, self.rules);
        let Convolution { x, y, weight, forward, .. } = self.convolution(op)?;
        let (x, y, weight) = (x.raw(), y.raw(), weight.raw());
        if forward.is_none() {
            // SAFETY: handle and descriptors are valid.
            let propose = |convolution: &super::descriptor::Convolution| {
                proposals(|most, count, found| unsafe {
                    let convolution = convolution.raw();
                    result::get_convolution_forward_algorithm(
                        handle,
                        x,
                        weight,
                        convolution,
                        y,
                        most,
                        count,
                        found,
                    )
                })
            };
            // SAFETY: as above.
            *forward =
                Some(Algorithm::choose(FORWARD, &rules, op.padding(), propose, |c, a| unsafe {
                    result::get_convolution_forward_workspace_size(handle, x, weight, c.raw(), y, a)
                })?);
        }
        Ok(forward.as_ref().map_or(0, |algorithm| algorithm.workspace))
    }

    /// Bytes of workspace of [`Cudnn::backward_data`].
    pub(super) fn data_workspace(&mut self, op: &Conv2d) -> Result<usize> {
        let (handle, rules) = (self.handle, self.rules);
        let Convolution { x, y, weight, data, .. } = self.convolution(op)?;
        let (x, y, weight) = (x.raw(), y.raw(), weight.raw());
        if data.is_none() {
            // SAFETY: handle and descriptors are valid.
            let propose = |convolution: &super::descriptor::Convolution| {
                proposals(|most, count, found| unsafe {
                    let convolution = convolution.raw();
                    result::get_convolution_backward_data_algorithm(
                        handle,
                        weight,
                        y,
                        convolution,
                        x,
                        most,
                        count,
                        found,
                    )
                })
            };
            // SAFETY: as above.
            *data = Some(Algorithm::choose(DATA, &rules, op.padding(), propose, |c, a| unsafe {
                result::get_convolution_backward_data_workspace_size(
                    handle,
                    weight,
                    y,
                    c.raw(),
                    x,
                    a,
                )
            })?);
        }
        Ok(data.as_ref().map_or(0, |algorithm| algorithm.workspace))
    }

    /// Bytes of workspace of [`Cudnn::backward_filter`].
    pub(super) fn filter_workspace(&mut self, op: &Conv2d) -> Result<usize> {
        let (handle, rules) = (self.handle, self.rules);
        let Convolution { x, y, weight, filter, .. } = self.convolution(op)?;
        let (x, y, weight) = (x.raw(), y.raw(), weight.raw());
        if filter.is_none() {
            // SAFETY: handle and descriptors are valid.
            let propose = |convolution: &super::descriptor::Convolution| {
                proposals(|most, count, found| unsafe {
                    let convolution = convolution.raw();
                    result::get_convolution_backward_filter_algorithm(
                        handle,
                        x,
                        y,
                        convolution,
                        weight,
                        most,
                        count,
                        found,
                    )
                })
            };
            // SAFETY: as above.
            *filter =
                Some(Algorithm::choose(FILTER, &rules, op.padding(), propose, |c, a| unsafe {
                    result::get_convolution_backward_filter_workspace_size(
                        handle,
                        x,
                        y,
                        c.raw(),
                        weight,
                        a,
                    )
                })?);
        }
        Ok(filter.as_ref().map_or(0, |algorithm| algorithm.workspace))
    }

    /// The sums of `x` and `weight`, without bias.
    ///
    /// # Safety
    /// The addresses are of memory that the tensors fit into, `sums` in no other's, and the
    /// workspace is what [`Cudnn::forward_workspace`] asks for.
    pub(super) unsafe fn forward(
        &mut self,
        op: &Conv2d,
        x: Address,
        weight: Address,
        sums: Address,
        workspace: Workspace,
    ) -> Result<()> {
        self.forward_workspace(op)?;
        let handle = self.handle;
        let convolution = self.convolution(op)?;
        let Some(how) = &convolution.forward else { return Ok(()) };
        let (one, zero) = scalars();
        // SAFETY: handle and descriptors are valid; the memory is as the caller promises.
        unsafe {
            result::convolution_forward(
                handle,
                (&raw const one).cast(),
                convolution.x.raw(),
                x.0 as *const _,
                convolution.weight.raw(),
                weight.0 as *const _,
                how.convolution.raw(),
                how.algorithm,
                workspace.at.0 as *mut _,
                workspace.bytes,
                (&raw const zero).cast(),
                convolution.y.raw(),
                sums.0 as *mut _,
            )
        }
        .during(FORWARD)
    }

    /// `x`'s gradient, from that of the sums.
    ///
    /// # Safety
    /// As [`Cudnn::forward`], with `dx` in no other's memory and the workspace of
    /// [`Cudnn::data_workspace`].
    pub(super) unsafe fn backward_data(
        &mut self,
        op: &Conv2d,
        weight: Address,
        dsums: Address,
        dx: Address,
        workspace: Workspace,
    ) -> Result<()> {
        self.data_workspace(op)?;
        let handle = self.handle;
        let convolution = self.convolution(op)?;
        let Some(how) = &convolution.data else { return Ok(()) };
        let (one, zero) = scalars();
        // SAFETY: handle and descriptors are valid; the memory is as the caller promises.
        unsafe {
            result::convolution_backward_data(
                handle,
                (&raw const one).cast(),
                convolution.weight.raw(),
                weight.0 as *const _,
                convolution.y.raw(),
                dsums.0 as *const _,
                how.convolution.raw(),
                how.algorithm,
                workspace.at.0 as *mut _,
                workspace.bytes,
                (&raw const zero).cast(),
                convolution.x.raw(),
                dx.0 as *mut _,
            )
        }
        .during(DATA)
    }

    /// `weight`'s gradient, from that of the sums, in the storage type.
    ///
    /// # Safety
    /// As [`Cudnn::forward`], with `dweight` in no other's memory and the workspace of
    /// [`Cudnn::filter_workspace`].
    pub(super) unsafe fn backward_filter(
        &mut self,
        op: &Conv2d,
        x: Address,
        dsums: Address,
        dweight: Address,
        workspace: Workspace,
    ) -> Result<()> {
        self.filter_workspace(op)?;
        let handle = self.handle;
        let convolution = self.convolution(op)?;
        let Some(how) = &convolution.filter else { return Ok(()) };
        let (one, zero) = scalars();
        // SAFETY: handle and descriptors are valid; the memory is as the caller promises.
        unsafe {
            result::convolution_backward_filter(
                handle,
                (&raw const one).cast(),
                convolution.x.raw(),
                x.0 as *const _,
                convolution.y.raw(),
                dsums.0 as *const _,
                how.convolution.raw(),
                how.algorithm,
                workspace.at.0 as *mut _,
                workspace.bytes,
                (&raw const zero).cast(),
                convolution.weight.raw(),
                dweight.0 as *mut _,
            )
        }
        .during(FILTER)
    }
}

impl Drop for Cudnn {
    fn drop(&mut self) {
        // SAFETY: the handle is valid, and nobody uses it any more.
        if let Err(error) = unsafe { result::destroy_handle(self.handle) } {
            log::debug!("cuDNN does not close: {error}");
        }
    }
}

impl Convolution {
    fn new(rules: Rules, op: &Conv2d) -> Result<Self, CudnnError> {
        let storage = rules.precision.storage();
        Ok(Self {
            x: Tensor::new(storage, op.x())?,
            y: Tensor::new(storage, op.conv_y())?,
            weight: Filter::new(storage, op.c_out(), op.x().c, op.kernel())?,
            forward: None,
            data: None,
            filter: None,
        })
    }
}

/// What products are multiplied by and what is kept of the output, as cuDNN wants them.
const fn scalars() -> (f32, f32) {
    (1.0, 0.0)
}

/// What cuDNN proposes, best first. `ask` is given how many there is room for.
fn proposals<P, A>(
    ask: impl FnOnce(c_int, *mut c_int, *mut P) -> Result<(), CudnnError>,
) -> Result<Vec<Proposal<A>>, CudnnError>
where
    Proposal<A>: From<P>,
{
    let mut found: [MaybeUninit<P>; MOST] = std::array::from_fn(|_| MaybeUninit::uninit());
    let mut count = 0;
    ask(MOST as c_int, &raw mut count, found.as_mut_ptr().cast())?;
    let count = usize::try_from(count).unwrap_or(0);
    let found = found.into_iter().take(count);
    // SAFETY: cuDNN has written so many.
    Ok(found.map(|proposal| unsafe { proposal.assume_init() }.into()).collect())
}
