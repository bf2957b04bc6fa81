//! A training state on its way from the device.

use vgg_tensor::{Download, Result, Tensor};

use crate::{Moment, Moments, Params};

/// What a run needs to go on, as it was at one moment, on its way to the host
/// ([`crate::Trainer::start_snapshot`]). Another thread may wait for it.
pub struct Snapshot<D> {
    pub(crate) params: Arriving<D>,
    pub(crate) moments: Vec<(Moment, Arriving<D>)>,
    pub(crate) ema: Option<Arriving<D>>,
}

/// A [`Snapshot`] that has arrived.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainerState {
    /// The parameters, and the running statistics with them.
    pub params: Params,
    /// What the optimiser keeps.
    pub moments: Moments,
    /// The parameters' EMA; `None` if the recipe keeps none.
    pub ema: Option<Params>,
}

impl<D: Download> Snapshot<D> {
    /// Waits until the parameters have arrived: whether none is infinite or NaN. An update can
    /// overflow although its loss did not.
    ///
    /// # Errors
    /// [`vgg_tensor::Error::Device`] if the device failed.
    pub fn is_finite(&self) -> Result<bool> {
        let mut tensors = self.params.0.iter();
        tensors.try_fold(true, |all, (_, numbers)| Ok(all & numbers.is_finite()?))
    }

    /// Waits for all of it.
    ///
    /// # Errors
    /// [`vgg_tensor::Error::Device`] if the device failed.
    pub fn wait(self) -> Result<TrainerState> {
        let Self { params, moments, ema } = self;
        let wait = |(moment, numbers): (Moment, Arriving<D>)| Ok((moment, numbers.wait()?));
        Ok(TrainerState {
            params: params.wait()?,
            moments: moments.into_iter().map(wait).collect::<Result<_>>()?,
            ema: ema.map(Arriving::wait).transpose()?,
        })
    }
}

/// Parameters on their way, or what has their shapes, with their names and shapes.
pub(crate) struct Arriving<D>(pub(crate) Vec<((String, Vec<usize>), D)>);

impl<D: Download> Arriving<D> {
    /// Waits for them.
    pub(crate) fn wait(self) -> Result<Params> {
        let arrived = |((name, dims), numbers): ((String, Vec<usize>), D)| {
            Ok((name, Tensor::new(dims, numbers.wait()?)?))
        };
        self.0.into_iter().map(arrived).collect::<Result<_>>().map(Params::of_tensors)
    }
}
