//! A network's buffers on a backend.

use std::collections::HashMap;
use std::iter;
use std::sync::{Arc, RwLock};

use vgg_tensor::{Backend, Content, Result, Shared};

use crate::placement::Placement;
use crate::plan::Plan;
use crate::plan::program::{NetworkProgram, Place};

/// All of a network's buffers: those that have a name from run to run, and memory that the others
/// share.
pub(crate) struct Memory<B: Backend> {
    kept: HashMap<Place, (Content, Shared<B::Buffer>)>,
    /// With its size in bytes, the largest first.
    shared: Vec<(u64, Shared<B::Buffer>)>,
}

impl<B: Backend> Memory<B> {
    pub(crate) fn alloc(backend: &mut B, plan: &Plan) -> Result<Self> {
        let mut memory = Self { kept: HashMap::new(), shared: Vec::new() };
        memory.make_room(backend, plan)?;
        Ok(memory)
    }

    /// Makes room for a plan: what is too small for it is replaced.
    pub(crate) fn make_room(&mut self, backend: &mut B, plan: &Plan) -> Result<()> {
        for place in plan.kept() {
            self.keep(backend, place, plan.content(place))?;
        }
        let sizes = plan.shared(&|content| backend.bytes(content));
        self.share(backend, &sizes)
    }

    /// Makes room for a program besides.
    pub(crate) fn make_room_for(
        &mut self,
        backend: &mut B,
        program: &NetworkProgram,
        placement: &Placement,
    ) -> Result<()> {
        for (place, content) in kept(program, placement) {
            self.keep(backend, place, content)?;
        }
        self.share(backend, &placement.sizes)
    }

    /// Whether there is room for a program.
    pub(crate) fn has_room_for(&self, program: &NetworkProgram, placement: &Placement) -> bool {
        let mut rooms = self.shared.iter().map(|(room, _)| *room).chain(iter::repeat(0));
        kept(program, placement).all(|(place, content)| self.is_kept(place, content))
            && placement.sizes.iter().all(|size| rooms.next().is_some_and(|room| *size <= room))
    }

    fn is_kept(&self, place: Place, content: Content) -> bool {
        self.kept.get(&place).is_some_and(|(room, _)| content.len() <= room.len())
    }

    /// Makes a buffer for `place` unless there is one that is large enough.
    fn keep(&mut self, backend: &mut B, place: Place, content: Content) -> Result<()> {
        if !self.is_kept(place, content) {
            self.kept.insert(place, (content, alloc(backend, content)?));
        }
        Ok(())
    }

    /// Makes memory of these sizes to share, the largest first.
    fn share(&mut self, backend: &mut B, sizes: &[u64]) -> Result<()> {
        for (i, &bytes) in sizes.iter().enumerate() {
            let content = Content::Bytes(bytes as usize);
            match self.shared.get_mut(i) {
                Some((room, buffer)) if *room < bytes => {
                    *buffer = alloc(backend, content)?;
                    *room = bytes;
                }
                Some(_) => {}
                None => self.shared.push((bytes, alloc(backend, content)?)),
            }
        }
        Ok(())
    }

    /// The buffer of a place that has one.
    pub(crate) fn at(&self, place: Place) -> &Shared<B::Buffer> {
        &self.kept.get(&place).expect("a place in the plan has a buffer").1
    }

    /// Bytes of all buffers.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> u64 {
        let kept = self.kept.values().map(|(content, _)| content.bytes() as u64);
        kept.sum::<u64>() + self.shared.iter().map(|(bytes, _)| bytes).sum::<u64>()
    }

    /// A program's buffers, where its own lie as in `placement`.
    pub(crate) fn bind(
        &self,
        program: &NetworkProgram,
        placement: &Placement,
    ) -> Vec<Shared<B::Buffer>> {
        let buffer = |(place, memory): (&Place, &Option<usize>)| match memory {
            Some(memory) => self.shared[*memory].1.clone(),
            None => self.at(*place).clone(),
        };
        program.places.iter().zip(&placement.memories).map(buffer).collect()
    }
}

/// The places of a program whose buffers have memory of their own, and what they hold.
fn kept<'a>(
    program: &'a NetworkProgram,
    placement: &'a Placement,
) -> impl Iterator<Item = (Place, Content)> + 'a {
    let places = program.places.iter().zip(program.program.buffers()).zip(&placement.memories);
    places.filter_map(|((place, buffer), memory)| {
        memory.is_none().then_some((*place, buffer.content))
    })
}

fn alloc<B: Backend>(backend: &mut B, content: Content) -> Result<Shared<B::Buffer>> {
    Ok(Arc::new(RwLock::new(backend.alloc(content)?)))
}
