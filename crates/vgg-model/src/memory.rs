//! A network's buffers on a backend.

use std::collections::HashMap;
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

    /// Makes a buffer for `place` unless there is one that is large enough.
    pub(crate) fn add(&mut self, backend: &mut B, plan: &Plan, place: Place) -> Result<()> {
        let content = plan.content(place);
        if self.kept.get(&place).is_none_or(|(room, _)| room.len() < content.len()) {
            self.kept.insert(place, (content, alloc(backend, content)?));
        }
        Ok(())
    }

    /// Makes room for a plan: what is too small for it is replaced.
    pub(crate) fn make_room(&mut self, backend: &mut B, plan: &Plan) -> Result<()> {
        for place in plan.kept() {
            self.add(backend, plan, place)?;
        }
        let sizes = plan.shared(&|content| backend.bytes(content));
        for (i, bytes) in sizes.into_iter().enumerate() {
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

fn alloc<B: Backend>(backend: &mut B, content: Content) -> Result<Shared<B::Buffer>> {
    Ok(Arc::new(RwLock::new(backend.alloc(content)?)))
}
