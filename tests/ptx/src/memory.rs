//! Global memory, as a kernel sees it.

use std::cell::Cell;

use thiserror::Error;

/// Why global memory refused an access.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MemoryError {
    /// Not all bytes lie in one allocation.
    #[error("{bytes} bytes at {address:#x} are out of bounds ({nearest})")]
    OutOfBounds {
        /// First byte of the access.
        address: u64,
        /// Its size.
        bytes: usize,
        /// The allocation that was probably meant.
        nearest: String,
    },
    /// A byte that nobody has written.
    #[error("byte at {address:#x} is not initialised ({place})")]
    Uninitialised {
        /// The first such byte.
        address: u64,
        /// Where in its allocation.
        place: String,
    },
}

/// Global memory. Alignment is the interpreter's business.
pub trait Memory {
    /// Fills `bytes` from `address` on.
    ///
    /// # Errors
    /// Bytes that do not exist or are not initialised.
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), MemoryError>;

    /// Writes `bytes` to `address` and on.
    ///
    /// # Errors
    /// Bytes that do not exist.
    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), MemoryError>;
}

/// Allocations at made-up addresses, far from each other, that know which bytes were written.
#[derive(Debug)]
pub struct DeviceMemory {
    /// Ascending by address.
    allocations: Vec<Allocation>,
    next: u64,
    /// The allocation of the last access: the next one mostly goes there, too.
    last: Cell<usize>,
}

#[derive(Debug)]
struct Allocation {
    address: u64,
    bytes: Vec<u8>,
    initialised: Vec<bool>,
}

/// As `cudaMalloc`: every allocation suits every vector.
const ALIGN: u64 = 256;

/// Where Linux puts nothing of a process, so that addresses of the host are never taken for these.
const FIRST: u64 = 0x0200_0000_0000;

/// A gap wide enough for an index that is wrong by a whole row of a large layer.
const GAP: u64 = 1 << 24;

impl DeviceMemory {
    /// Memory without allocations.
    pub fn new() -> Self {
        Self { allocations: Vec::new(), next: FIRST, last: Cell::new(0) }
    }

    /// Allocates `len` bytes, none of them initialised, and returns their address.
    pub fn alloc(&mut self, len: usize) -> u64 {
        let address = self.next;
        self.next = (address + len as u64).next_multiple_of(ALIGN) + GAP;
        self.allocations.push(Allocation {
            address,
            bytes: vec![0xA5; len],
            initialised: vec![false; len],
        });
        address
    }

    /// Allocates and fills memory.
    pub fn upload(&mut self, bytes: &[u8]) -> u64 {
        let address = self.alloc(bytes.len());
        if let Some(allocation) = self.allocations.last_mut() {
            allocation.bytes.copy_from_slice(bytes);
            allocation.initialised.fill(true);
        }
        address
    }

    /// Frees an allocation; its address is never given again. False if there is none there.
    pub fn free(&mut self, address: u64) -> bool {
        let found = self.allocations.binary_search_by_key(&address, |a| a.address);
        found.map(|i| self.allocations.remove(i)).is_ok()
    }

    /// Whether an address is in the region of allocations, of past ones, too.
    pub fn contains(&self, address: u64) -> bool {
        (FIRST..self.next).contains(&address)
    }

    /// Copies `len` bytes out.
    ///
    /// # Errors
    /// As [`Memory::read`].
    pub fn download(&self, address: u64, len: usize) -> Result<Vec<u8>, MemoryError> {
        let mut bytes = vec![0; len];
        self.read(address, &mut bytes)?;
        Ok(bytes)
    }

    /// Index of the allocation, and the offset in it.
    fn find(&self, address: u64, len: usize) -> Result<(usize, usize), MemoryError> {
        let inside = |index: usize| {
            let allocation = self.allocations.get(index)?;
            let offset = usize::try_from(address.checked_sub(allocation.address)?).ok()?;
            (offset.checked_add(len)? <= allocation.bytes.len()).then_some((index, offset))
        };
        if let Some(found) = inside(self.last.get()) {
            return Ok(found);
        }
        let after = self.allocations.partition_point(|a| a.address <= address);
        let found = after.checked_sub(1).and_then(inside);
        let found = found.ok_or_else(|| self.out_of_bounds(address, len, after))?;
        self.last.set(found.0);
        Ok(found)
    }

    fn out_of_bounds(&self, address: u64, bytes: usize, after: usize) -> MemoryError {
        let below = after.checked_sub(1).and_then(|i| self.allocations.get(i));
        let above = self.allocations.get(after);
        let past = below.map(|a| {
            (address - a.address - a.bytes.len().min((address - a.address) as usize) as u64, a)
        });
        let nearest = match (past, above) {
            (_, Some(a)) if a.address - address < GAP / 2 => {
                format!("{} bytes before an allocation of {}", a.address - address, a.bytes.len())
            }
            (Some((past, a)), _) if past < GAP => {
                format!("{past} bytes past the end of an allocation of {}", a.bytes.len())
            }
            _ => "no allocation near".into(),
        };
        MemoryError::OutOfBounds { address, bytes, nearest }
    }
}

impl Default for DeviceMemory {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory for DeviceMemory {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), MemoryError> {
        let (index, offset) = self.find(address, bytes.len())?;
        let allocation = &self.allocations[index];
        let range = offset..offset + bytes.len();
        if let Some(hole) = allocation.initialised[range.clone()].iter().position(|done| !done) {
            let place =
                format!("byte {} of an allocation of {}", offset + hole, allocation.bytes.len());
            return Err(MemoryError::Uninitialised { address: address + hole as u64, place });
        }
        bytes.copy_from_slice(&allocation.bytes[range]);
        Ok(())
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), MemoryError> {
        let (index, offset) = self.find(address, bytes.len())?;
        let allocation = &mut self.allocations[index];
        let range = offset..offset + bytes.len();
        allocation.bytes[range.clone()].copy_from_slice(bytes);
        allocation.initialised[range].fill(true);
        Ok(())
    }
}
