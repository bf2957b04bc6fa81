//! A network's tensors, to and from the device.

use vgg_tensor::{Backend, Result, Tensor};

use super::{Network, read, write};
use crate::plan::program::Place;
use crate::snapshot::Arriving;
use crate::{Mode, Moment, Moments, ParamSpec, Params, invalid};

/// Numbers of a parameter that move at once: 16 MiB. Few in unit tests, whose networks are small.
const PART: usize = if cfg!(test) { 1 << 8 } else { 4 << 20 };

/// A set of tensors, named and shaped alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Set {
    /// The parameters, and the running statistics with them.
    Params,
    /// The EMA of all of these.
    Ema,
    /// What the optimiser keeps of the parameters.
    Moment(Moment),
    /// The gradients of the parameters.
    Gradients,
    /// The running statistics alone.
    State,
}

impl<B: Backend> Network<B> {
    /// Whether the network keeps these tensors.
    pub(crate) fn has(&self, set: Set) -> bool {
        match (self.plan.mode(), set) {
            (_, Set::Params | Set::State) => true,
            (Mode::Train(recipe), Set::Ema) => recipe.ema_decay.is_some(),
            (Mode::Train(recipe), Set::Moment(moment)) => {
                recipe.optimizer.moments().contains(&moment)
            }
            (Mode::Train(_), Set::Gradients) => true,
            (Mode::Infer { .. }, _) => false,
        }
    }

    /// Copies tensors, which have been checked, into their buffers.
    pub(crate) fn upload<'a>(
        &mut self,
        set: Set,
        tensors: impl IntoIterator<Item = &'a Tensor>,
    ) -> Result<()> {
        for (place, tensor) in self.places(set).into_iter().zip(tensors) {
            let mut buffer = write(self.memory.at(place));
            self.backend.upload(self.plan.content(place), tensor.data(), &mut buffer)?;
        }
        Ok(())
    }

    /// Moves parameters, which have been checked, into their buffers: what has been copied is freed
    /// before more is, so that both together take no more memory than the parameters, and a part.
    pub(crate) fn take_in(&mut self, params: Params) -> Result<()> {
        for (place, tensor) in self.places(Set::Params).into_iter().zip(params.into_tensors()) {
            let content = self.plan.content(place);
            let mut buffer = write(self.memory.at(place));
            let mut numbers = tensor.into_data();
            let row = numbers.len() / content.rows();
            let rows = (PART / row).max(1);
            // From the end, where a vector can give its memory back.
            while !numbers.is_empty() {
                let first = (numbers.len() / row - 1) / rows * rows;
                self.backend.upload_rows(content, first, &numbers[row * first..], &mut buffer)?;
                numbers.truncate(row * first);
                numbers.shrink_to_fit();
            }
        }
        Ok(())
    }

    /// Starts to copy tensors to the host. `None` for those that the network does not keep.
    pub(crate) fn start(&mut self, set: Set) -> Result<Option<Arriving<B::Download>>> {
        if !self.has(set) {
            return Ok(None);
        }
        let places = self.places(set);
        let specs: Vec<&ParamSpec> = match set {
            Set::Params | Set::Ema => self.plan.vgg.tensors().collect(),
            Set::Moment(_) | Set::Gradients => self.plan.vgg.params().iter().collect(),
            Set::State => self.plan.vgg.state().iter().collect(),
        };
        let mut start = |(spec, place): (&ParamSpec, Place)| {
            let buffer = read(self.memory.at(place));
            let numbers = self.backend.start_download(self.plan.content(place), &buffer)?;
            Ok(((spec.name.clone(), spec.dims.clone()), numbers))
        };
        let arriving = specs.into_iter().zip(places).map(&mut start);
        Ok(Some(Arriving(arriving.collect::<Result<_>>()?)))
    }

    /// Replaces the EMA.
    pub(crate) fn restore_ema(&mut self, ema: &Params) -> Result<()> {
        ema.check(self.vgg())?;
        if !self.has(Set::Ema) {
            return Err(invalid("ema_decay", "none", "given to go on from an EMA"));
        }
        self.upload(Set::Ema, ema.tensors())
    }

    /// Replaces parameters, at which the EMA starts, and what the optimiser keeps of them: zeros where
    /// nothing is given.
    pub(crate) fn restore(&mut self, params: &Params, moments: &Moments) -> Result<()> {
        params.check(self.vgg())?;
        moments.values().try_for_each(|moment| moment.check_without_state(self.vgg()))?;
        self.upload(Set::Params, params.tensors())?;
        if self.has(Set::Ema) {
            self.restore_ema(params)?;
        }
        for moment in Moment::ALL {
            if !self.has(Set::Moment(moment)) {
                continue;
            }
            match moments.get(&moment) {
                Some(given) => self.upload(Set::Moment(moment), given.tensors())?,
                None => {
                    let zeros = Params::zeros(self.vgg())?;
                    self.upload(Set::Moment(moment), zeros.tensors())?;
                }
            }
        }
        Ok(())
    }

    /// Where tensors are, in their order.
    fn places(&self, set: Set) -> Vec<Place> {
        let params = |place: fn(usize) -> Place| (0..self.plan.params.len()).map(place);
        let moments = |moment| (0..self.plan.params.len()).map(move |i| Place::Moment(moment, i));
        let state = |place: fn(usize) -> Place| (0..self.plan.state.len()).map(place);
        match set {
            Set::Params => params(Place::Param).chain(state(Place::State)).collect(),
            Set::Ema => params(Place::Ema).chain(state(Place::EmaState)).collect(),
            Set::Moment(moment) => moments(moment).collect(),
            Set::Gradients => params(Place::Gradient).collect(),
            Set::State => state(Place::State).collect(),
        }
    }
}
