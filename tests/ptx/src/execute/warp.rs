//! Instructions that the threads of a mask execute together.

use super::block::Block;
use super::{Result, World, arith};
use crate::instruction::{Mode, Op, WarpOp};
use crate::{Fault, Memory};

/// One participant of a warp-wide instruction.
#[derive(Clone, Copy)]
struct Lane {
    op: WarpOp,
    mask: u32,
    a: u64,
    b: u32,
    c: u32,
}

impl Block {
    /// Executes what all living threads of a mask wait for.
    pub(super) fn meet_warp<M: Memory>(
        &mut self,
        world: &mut World<'_, M>,
        warp: u32,
    ) -> Result<()> {
        let lanes: [Option<Lane>; 32] =
            std::array::from_fn(|lane| self.lane(world, warp * 32 + lane as u32));
        let alive = self.alive[warp as usize];
        let mut done = 0u32;
        for lane in 0..32 {
            let Some(first) = lanes[lane].filter(|_| done >> lane & 1 == 0) else { continue };
            let members = first.mask & alive;
            let all = (0..32).filter(|lane| members >> lane & 1 == 1);
            let together = all
                .clone()
                .all(|lane| lanes[lane].is_some_and(|l| (l.op, l.mask) == (first.op, first.mask)));
            if together {
                let threads: Vec<u32> = all.map(|lane| warp * 32 + lane as u32).collect();
                self.execute(world, &threads, &lanes, members)?;
                done |= members;
            }
        }
        Ok(())
    }

    fn lane<M>(&self, world: &World<'_, M>, t: u32) -> Option<Lane> {
        if self.at_warp[t as usize / 32] >> (t % 32) & 1 == 0 {
            return None;
        }
        let thread = &self.threads[t as usize];
        let Op::Warp { op, a, b, c, mask, .. } = &thread.instruction(world).op else { return None };
        let [a, b, c, mask] = [a, b, c, mask].map(|operand| thread.value(*operand, world));
        Some(Lane { op: *op, mask: mask as u32, a, b: b as u32, c: c as u32 })
    }

    fn execute<M>(
        &mut self,
        world: &mut World<'_, M>,
        threads: &[u32],
        lanes: &[Option<Lane>; 32],
        members: u32,
    ) -> Result<()> {
        for &t in threads {
            let Some(lane) = lanes[t as usize % 32] else { continue };
            let (value, predicate) = result(lane, t % 32, lanes, members)?;
            let thread = &mut self.threads[t as usize];
            if let Op::Warp { d, p, .. } = &thread.instruction(world).op {
                if let Some(d) = d {
                    thread.set(*d, value);
                }
                if let Some(p) = p {
                    thread.set(*p, u64::from(predicate));
                }
            }
        }
        if lanes[threads[0] as usize % 32].is_some_and(|lane| lane.op == WarpOp::Sync) {
            world.clocks.warp_barrier(threads);
        }
        for &t in threads {
            self.release(t);
        }
        Ok(())
    }
}

/// The value of one lane, and a shuffle's predicate.
fn result(this: Lane, lane: u32, lanes: &[Option<Lane>; 32], members: u32) -> Result<(u64, bool)> {
    let members = (0..32u32).filter(|lane| members >> lane & 1 == 1);
    let votes = |negate: bool| {
        let yes = |lane: &u32| lanes[*lane as usize].is_some_and(|l| (l.a & 1 == 1) != negate);
        members.clone().filter(yes).fold(0u32, |mask, lane| mask | 1 << lane)
    };
    let all = members.clone().fold(0u32, |mask, lane| mask | 1 << lane);
    let value = match this.op {
        WarpOp::Sync => 0,
        WarpOp::VoteAll(negate) => u64::from(votes(negate) == all),
        WarpOp::VoteAny(negate) => u64::from(votes(negate) != 0),
        WarpOp::VoteUni(negate) => u64::from(votes(negate) == all || votes(negate) == 0),
        WarpOp::VoteBallot(negate) => u64::from(votes(negate)),
        WarpOp::Reduce(f, ty) => {
            let values = members.filter_map(|lane| lanes[lane as usize].map(|l| l.a));
            let fold = |x, y| arith::integer(f, ty, Mode::default(), [x, y, 0, 0]);
            values.reduce(fold).unwrap_or(0)
        }
        WarpOp::MatchAny(ty) => {
            let same = |lane: &u32| {
                lanes[*lane as usize].is_some_and(|l| ty.truncate(l.a) == ty.truncate(this.a))
            };
            u64::from(members.filter(same).fold(0u32, |mask, lane| mask | 1 << lane))
        }
        WarpOp::ShuffleUp
        | WarpOp::ShuffleDown
        | WarpOp::ShuffleButterfly
        | WarpOp::ShuffleIndex => {
            let (source, inside) = shuffle_source(this, lane);
            let from = lanes[source as usize].filter(|_| all >> source & 1 == 1);
            let absent = || {
                Fault::DivergentWarp(format!(
                    "lane {lane} shuffles from lane {source}, which does not take part"
                ))
            };
            return Ok((from.ok_or_else(absent)?.a as u32 as u64, inside));
        }
    };
    Ok((value, false))
}

/// The lane that a shuffle reads, and whether it lies in the segment; outside, a lane reads itself.
/// As the PTX manual, "shfl.sync": `c` holds a clamp in bits 0–4 and the segment's mask in bits 8–12.
fn shuffle_source(this: Lane, lane: u32) -> (u32, bool) {
    let (b, clamp, segment) = (this.b & 31, this.c & 31, this.c >> 8 & 31);
    let last = (lane & segment) | (clamp & !segment);
    let first = lane & segment;
    let (source, inside) = match this.op {
        // For `up`, `last` is the lowest lane.
        WarpOp::ShuffleUp => (lane.wrapping_sub(b), lane as i32 - b as i32 >= last as i32),
        WarpOp::ShuffleDown => (lane + b, lane + b <= last),
        WarpOp::ShuffleButterfly => (lane ^ b, lane ^ b <= last),
        _ => {
            let source = first | (b & !segment);
            (source, source <= last)
        }
    };
    (if inside { source } else { lane }, inside)
}
