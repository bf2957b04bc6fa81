//! Running a kernel.

mod access;
mod arith;
mod atomic;
mod block;
mod convert;
mod float;
mod matrix;
mod round;
mod thread;
mod warp;

use crate::module::{Image, Kernel, Module, SharedVariable};
use crate::race::{Clocks, GlobalRaces, SharedRaces};
use crate::random::Random;
use crate::{Fault, LaunchError, Memory};
use block::Block;

/// The limit of all GPUs so far.
const MAX_THREADS: u64 = 1024;

/// Of compute capability 9.0; the largest so far.
const MAX_SHARED_BYTES: usize = 227 << 10;

/// Where static shared variables end, `extern __shared__` begins, with an alignment for any vector.
const DYNAMIC_SHARED_ALIGN: u64 = 128;

type Result<T> = std::result::Result<T, Fault>;

/// What all threads of a launch see.
struct World<'a, M> {
    module: &'a Module,
    memory: &'a mut M,
    globals: &'a mut Image,
    global_races: GlobalRaces,
    shared: Shared,
    clocks: Clocks,
    grid: [u32; 3],
    block: [u32; 3],
    /// The block that runs.
    ctaid: [u32; 3],
    block_index: u64,
    dynamic_shared: u64,
    dynamic_shared_bytes: u64,
    /// Instructions that the block has executed.
    steps: u64,
}

/// A block's shared memory.
struct Shared {
    bytes: Vec<u8>,
    state: Vec<State>,
    races: SharedRaces,
    /// The states at a block's start.
    fresh: Vec<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No variable has this byte.
    Absent,
    Unwritten,
    Written,
}

impl Shared {
    fn new(kernel: Kernel<'_>, dynamic: u64, dynamic_bytes: usize) -> Self {
        let mut fresh = vec![State::Absent; dynamic as usize + dynamic_bytes];
        fresh[dynamic as usize..].fill(State::Unwritten);
        for variable in &kernel.module.shared {
            if variable.owner.is_none_or(|owner| owner == kernel.function) {
                let begin = variable.offset as usize;
                fresh[begin..begin + variable.bytes as usize].fill(State::Unwritten);
            }
        }
        let races = SharedRaces::new(fresh.len());
        Self { bytes: vec![0xA5; fresh.len()], state: fresh.clone(), races, fresh }
    }

    fn reset(&mut self) {
        self.bytes.fill(0xA5);
        self.state.copy_from_slice(&self.fresh);
    }
}

impl Kernel<'_> {
    /// Runs a grid of blocks to the end. Equal seeds give equal schedules.
    ///
    /// `shared_bytes` is the dynamic shared memory of a block; `params` are the parameters as a C
    /// struct of them would lie in memory.
    ///
    /// # Errors
    /// The first fault that a thread meets; memory is left as it was at that moment.
    pub fn launch(
        &self,
        grid: [u32; 3],
        block: [u32; 3],
        shared_bytes: usize,
        params: &[u8],
        memory: &mut impl Memory,
        seed: u64,
    ) -> std::result::Result<(), LaunchError> {
        let function = &self.module.functions[self.function];
        let fail = |line, block, thread, fault| LaunchError {
            kernel: function.name.clone(),
            line,
            block,
            thread,
            fault,
        };
        self.check(grid, block, shared_bytes)
            .and_then(|()| check_parameters(*self, params))
            .map_err(|fault| fail(function.line, [0; 3], [0; 3], fault))?;

        let dynamic =
            SharedVariable::end(&self.module.shared).next_multiple_of(DYNAMIC_SHARED_ALIGN);
        let threads = block.iter().product::<u32>() as usize;
        let mut random = Random::new(seed);
        let mut world = World {
            module: self.module,
            memory,
            globals: &mut self.module.globals(),
            global_races: GlobalRaces::default(),
            shared: Shared::new(*self, dynamic, shared_bytes),
            clocks: Clocks::new(threads),
            grid,
            block,
            ctaid: [0; 3],
            block_index: 0,
            dynamic_shared: dynamic,
            dynamic_shared_bytes: shared_bytes as u64,
            steps: 0,
        };
        let blocks: u64 = grid.iter().map(|&n| u64::from(n)).product();
        let mut order: Vec<u64> = (0..blocks).collect();
        random.shuffle(&mut order);
        let mut running = Block::new(threads);
        for index in order {
            let [x, y] = [u64::from(grid[0]), u64::from(grid[1])];
            world.ctaid = [(index % x) as u32, (index / x % y) as u32, (index / x / y) as u32];
            world.block_index = index;
            world.steps = 0;
            world.shared.reset();
            world.clocks.block_barrier();
            running.run(&mut world, self.function, params, &mut random).map_err(
                |(line, thread, fault)| fail(line, world.ctaid, position(thread, block), fault),
            )?;
        }
        Ok(())
    }

    /// Passes if a launch of this shape can begin.
    ///
    /// # Errors
    /// [`Fault::Launch`] if the kernel or the hardware does not allow it.
    pub fn check(&self, grid: [u32; 3], block: [u32; 3], shared_bytes: usize) -> Result<()> {
        let function = &self.module.functions[self.function];
        let error = |message: String| Err(Fault::Launch(message));
        let threads: u64 = block.iter().map(|&n| u64::from(n)).fold(1, u64::saturating_mul);
        let limit = function.max_threads.unwrap_or(MAX_THREADS).min(MAX_THREADS);
        if threads == 0 || threads > limit || block[2] > 64 {
            return error(format!(
                "a block of {block:?} threads, the kernel allows 1 to {limit}, 64 of them in z"
            ));
        }
        if grid.contains(&0) || grid[0] > i32::MAX as u32 || grid[1] > 65535 || grid[2] > 65535 {
            return error(format!(
                "a grid of {grid:?} blocks, at most 2147483647, 65535 and 65535 are allowed"
            ));
        }
        let static_bytes = self.static_shared_bytes();
        if shared_bytes.saturating_add(static_bytes) > MAX_SHARED_BYTES {
            return error(format!(
                "{static_bytes} + {shared_bytes} bytes of shared memory, {MAX_SHARED_BYTES} exist"
            ));
        }
        Ok(())
    }
}

/// `threadIdx` of a thread's linear index.
fn position(thread: u32, block: [u32; 3]) -> [u32; 3] {
    [thread % block[0], thread / block[0] % block[1], thread / block[0] / block[1]]
}

fn check_parameters(kernel: Kernel<'_>, params: &[u8]) -> Result<()> {
    let (given, taken) = (params.len(), kernel.param_bytes());
    if given == taken {
        return Ok(());
    }
    Err(Fault::Launch(format!("{given} bytes of parameters, the kernel takes {taken}")))
}
