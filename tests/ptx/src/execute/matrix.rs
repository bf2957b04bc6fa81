//! Products of small matrices, whose numbers are spread over the registers of a warp.
//!
//! As the PTX manual, "Matrix fragments for mma.m16n8k16" and its neighbours, has them. Lane `l` is
//! of group `g = l / 4` and is number `t = l % 4` in it. A register holds `p` numbers along k, one of
//! tf32 and two of 16 bits, the first in the lower half; number `e` of register `r` is
//!
//! ```text
//! a[g + 8 · (r % 2)][4p · (r / 2) + p · t + e]     b[4p · r + p · t + e][g]     c[g + 8 · (r / 2)][2t + r % 2]
//! ```

use super::block::Block;
use super::{World, round};
use crate::Memory;
use crate::instruction::{Factors, MatrixMultiply, Operand, Rounding};
use crate::types::Type;

/// Rows of `a`, columns of `b`, and the most of `a`'s columns and `b`'s rows.
const M: usize = 16;
const N: usize = 8;
const K: usize = 16;

const LANES: usize = 32;

impl Block {
    /// Multiplies if all lanes of a warp have come to one instruction. Lanes that never come are
    /// reported once nobody can run.
    pub(super) fn multiply<M: Memory>(
        &mut self,
        world: &World<'_, M>,
        warp: u32,
        multiply: &MatrixMultiply,
    ) {
        let threads = warp * 32..warp * 32 + 32;
        let place = |t: u32| {
            let frame = self.threads[t as usize].frame;
            (frame.function, frame.pc)
        };
        let first = place(threads.start);
        if self.at_warp[warp as usize] != u32::MAX || threads.clone().any(|t| place(t) != first) {
            return;
        }
        let registers = |lane: usize, of: &[Operand]| -> Vec<u64> {
            let thread = &self.threads[threads.start as usize + lane];
            of.iter().map(|operand| thread.value(*operand, world)).collect()
        };
        let sums = product(multiply, registers);
        for (t, sums) in threads.zip(sums) {
            for (d, sum) in multiply.d.iter().zip(sums) {
                self.threads[t as usize].set(*d, sum);
            }
            self.release(t);
        }
    }
}

/// The registers of `d`, lane by lane. Sums are exact to a bit of `f64` and then cut to `f32`, as
/// tensor cores do: towards zero.
fn product(
    multiply: &MatrixMultiply,
    registers: impl Fn(usize, &[Operand]) -> Vec<u64>,
) -> [[u64; 4]; LANES] {
    let factors = multiply.factors;
    let p = factors.of_register();
    let (mut a, mut b) = ([[0.0; K]; M], [[0.0; N]; K]);
    let mut d = [[0.0; N]; M];
    for lane in 0..LANES {
        let (g, t) = (lane / 4, lane % 4);
        for (r, register) in registers(lane, &multiply.a).into_iter().enumerate() {
            for e in 0..p {
                a[g + 8 * (r % 2)][4 * p * (r / 2) + p * t + e] = number(factors, register, e);
            }
        }
        for (r, register) in registers(lane, &multiply.b).into_iter().enumerate() {
            for e in 0..p {
                b[4 * p * r + p * t + e][g] = number(factors, register, e);
            }
        }
        for (r, register) in registers(lane, &multiply.c).into_iter().enumerate() {
            d[g + 8 * (r / 2)][2 * t + r % 2] = round::widen(register, Type::F32);
        }
    }
    for (row, sums) in a.iter().zip(&mut d) {
        for (column, sum) in sums.iter_mut().enumerate() {
            *sum += row.iter().zip(&b).map(|(x, of_row)| x * of_row[column]).sum::<f64>();
        }
    }
    std::array::from_fn(|lane| {
        let (g, t) = (lane / 4, lane % 4);
        std::array::from_fn(|r| {
            round::narrow(d[g + 8 * (r / 2)][2 * t + r % 2], Type::F32, Rounding::Zero)
        })
    })
}

/// One of the numbers in a register.
fn number(factors: Factors, register: u64, index: usize) -> f64 {
    let half = register >> (16 * index) & 0xFFFF;
    match factors {
        Factors::F16 => round::widen(half, Type::F16),
        Factors::Bf16 => round::widen(half, Type::Bf16),
        Factors::Tf32 => round::widen(register & 0xFFFF_E000, Type::F32),
    }
}
