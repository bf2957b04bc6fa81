//! Loads and stores, with all their checks.

use super::thread::Thread;
use super::{Result, State, World};
use crate::race::Kind;
use crate::types::Space;
use crate::{Fault, Memory};

/// One access: what the error messages need.
#[derive(Clone, Copy)]
pub(super) struct Access {
    pub(super) what: &'static str,
    pub(super) space: Space,
    pub(super) address: u64,
    pub(super) bytes: usize,
}

impl Access {
    /// The access with its space known.
    pub(super) fn new(
        what: &'static str,
        space: Space,
        address: u64,
        bytes: usize,
    ) -> Result<Self> {
        let (space, address) = match space {
            // The module's own variables have windows in the global space.
            Space::Generic | Space::Global => Space::of_generic(address),
            _ => (space, address),
        };
        let access = Self { what, space, address, bytes };
        if address % bytes as u64 != 0 {
            return Err(Fault::Misaligned { access: what, space: space.name(), address, bytes });
        }
        Ok(access)
    }

    pub(super) fn out_of_bounds(self) -> Fault {
        let Self { what, space, address, bytes } = self;
        Fault::OutOfBounds { access: what, space: space.name(), address, bytes }
    }

    fn uninitialised(self) -> Fault {
        Fault::Uninitialised { space: self.space.name(), address: self.address, bytes: self.bytes }
    }

    /// The access as a range of a memory of `len` bytes that begins at address 0.
    fn range(self, len: usize) -> Result<std::ops::Range<usize>> {
        let end = self.address.checked_add(self.bytes as u64).filter(|&end| end <= len as u64);
        end.map(|end| self.address as usize..end as usize).ok_or_else(|| self.out_of_bounds())
    }
}

impl Thread {
    pub(super) fn load<M: Memory>(
        &self,
        world: &mut World<'_, M>,
        space: Space,
        address: u64,
        out: &mut [u8],
        line: u32,
    ) -> Result<()> {
        let access = Access::new("read", space, address, out.len())?;
        match access.space {
            Space::Const => {
                let bytes = world.module.constants.read(access.address, out.len());
                out.copy_from_slice(bytes.ok_or_else(|| access.out_of_bounds())?);
            }
            Space::Shared => {
                world.shared_access(access, self.index, line, Kind::Read)?;
                let begin = access.address as usize;
                out.copy_from_slice(&world.shared.bytes[begin..begin + out.len()]);
            }
            Space::Local => {
                let range = access.range(self.local.len())?;
                if self.local_written[range.clone()].contains(&false) {
                    return Err(access.uninitialised());
                }
                out.copy_from_slice(&self.local[range]);
            }
            Space::Param => out.copy_from_slice(&self.param[access.range(self.param.len())?]),
            Space::Generic | Space::Global => world.global_read(access, out)?,
        }
        Ok(())
    }

    pub(super) fn store<M: Memory>(
        &mut self,
        world: &mut World<'_, M>,
        space: Space,
        address: u64,
        bytes: &[u8],
        line: u32,
    ) -> Result<()> {
        let access = Access::new("write", space, address, bytes.len())?;
        match access.space {
            Space::Const => return Err(Fault::ReadOnly { space: "const" }),
            Space::Shared => {
                let there = world.shared.bytes.get(access.address as usize..);
                let same = there.is_some_and(|there| there.starts_with(bytes));
                world.shared_access(access, self.index, line, Kind::Write(same))?;
                world.shared_write(access, bytes);
            }
            Space::Local => {
                let range = access.range(self.local.len())?;
                self.local[range.clone()].copy_from_slice(bytes);
                self.local_written[range].fill(true);
            }
            Space::Param => {
                let range = access.range(self.param.len())?;
                self.param[range].copy_from_slice(bytes);
            }
            Space::Generic | Space::Global => {
                world.global_write(access, bytes)?;
                let World { global_races, clocks, block_index, .. } = world;
                let other = global_races.write(
                    clocks,
                    *block_index,
                    self.index,
                    line,
                    access.address,
                    bytes,
                );
                if let Some(other) = other {
                    return Err(race(access, other));
                }
            }
        }
        Ok(())
    }
}

impl<M: Memory> World<'_, M> {
    pub(super) fn global_read(&self, access: Access, out: &mut [u8]) -> Result<()> {
        if access.address >= Space::GLOBALS {
            let bytes = self.globals.read(access.address, out.len());
            out.copy_from_slice(bytes.ok_or_else(|| access.out_of_bounds())?);
            return Ok(());
        }
        let read = self.memory.read(access.address, out);
        read.map_err(|source| Fault::Global { access: access.what, source })
    }

    pub(super) fn global_write(&mut self, access: Access, bytes: &[u8]) -> Result<()> {
        if access.address >= Space::GLOBALS {
            let place = self.globals.at(access.address, bytes.len());
            place.ok_or_else(|| access.out_of_bounds())?.copy_from_slice(bytes);
            return Ok(());
        }
        let written = self.memory.write(access.address, bytes);
        written.map_err(|source| Fault::Global { access: access.what, source })
    }

    /// Checks and remembers an access to shared memory.
    pub(super) fn shared_access(
        &mut self,
        access: Access,
        thread: u32,
        line: u32,
        kind: Kind,
    ) -> Result<()> {
        let range = access.range(self.shared.state.len())?;
        let state = &self.shared.state[range.clone()];
        if state.contains(&State::Absent) {
            return Err(access.out_of_bounds());
        }
        if !matches!(kind, Kind::Write(_)) && state.contains(&State::Unwritten) {
            return Err(access.uninitialised());
        }
        for at in range {
            if let Some(other) = self.shared.races.access(&self.clocks, at, thread, line, kind) {
                return Err(race(Access { address: at as u64, ..access }, other));
            }
        }
        Ok(())
    }

    /// Writes bytes that [`Self::shared_access`] has allowed.
    pub(super) fn shared_write(&mut self, access: Access, bytes: &[u8]) {
        let range = access.address as usize..access.address as usize + bytes.len();
        self.shared.bytes[range.clone()].copy_from_slice(bytes);
        self.shared.state[range].fill(State::Written);
    }
}

fn race(access: Access, other: crate::race::Other) -> Fault {
    Fault::Race {
        space: access.space.name(),
        address: access.address,
        other: other.thread,
        other_line: other.line,
        scope: if other.same_block { "same block" } else { "another block" },
    }
}
