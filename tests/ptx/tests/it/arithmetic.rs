//! Integer, logic, shift and bit instructions, by the definitions of the PTX manual (section 9.7.1
//! and following), at their edges.

use crate::harness::{eval, table};

const MIN32: u64 = 0x8000_0000;
const NEG1: u64 = 0xFFFF_FFFF;

#[test]
fn sums_and_products() {
    table(
        32,
        &[
            ("add.s32 %o, %a, %b;", [0x7FFF_FFFF, 1, 0, 0], MIN32),
            ("add.sat.s32 %o, %a, %b;", [0x7FFF_FFFF, 1, 0, 0], 0x7FFF_FFFF),
            ("add.sat.s32 %o, %a, %b;", [MIN32, NEG1, 0, 0], MIN32),
            ("sub.u32 %o, %a, %b;", [0, 1, 0, 0], NEG1),
            ("sub.sat.s32 %o, %a, %b;", [MIN32, 1, 0, 0], MIN32),
            ("mul.lo.u32 %o, %a, %b;", [0x1_0001, 0x1_0001, 0, 0], 0x2_0001),
            ("mul.hi.u32 %o, %a, %b;", [NEG1, NEG1, 0, 0], 0xFFFF_FFFE),
            ("mul.hi.s32 %o, %a, %b;", [NEG1, NEG1, 0, 0], 0),
            ("mul.hi.s32 %o, %a, %b;", [MIN32, 2, 0, 0], NEG1),
            ("mad.lo.s32 %o, %a, %b, %c;", [3, NEG1, 10, 0], 7),
            ("mad.hi.u32 %o, %a, %b, %c;", [NEG1, 2, 5, 0], 6),
            ("mad.hi.sat.s32 %o, %a, %b, %c;", [0x7FFF_FFFF, 4, 0x7FFF_FFFF, 0], 0x7FFF_FFFF),
            ("mul24.lo.u32 %o, %a, %b;", [0xFF00_0003, 0xAB00_0002, 0, 0], 6),
            ("mul24.lo.s32 %o, %a, %b;", [0xFF_FFFF, 5, 0, 0], (-5i32) as u32 as u64),
            ("sad.s32 %o, %a, %b, %c;", [NEG1, 4, 10, 0], 15),
            ("neg.s32 %o, %a;", [MIN32, 0, 0, 0], MIN32),
            ("abs.s32 %o, %a;", [(-7i32) as u32 as u64, 0, 0, 0], 7),
            ("min.s32 %o, %a, %b;", [NEG1, 1, 0, 0], NEG1),
            ("min.u32 %o, %a, %b;", [NEG1, 1, 0, 0], 1),
            ("max.s32 %o, %a, %b;", [NEG1, 1, 0, 0], 1),
            ("max.u32 %o, %a, %b;", [NEG1, 1, 0, 0], NEG1),
            ("add.s32 %o, %a, -3;", [1, 0, 0, 0], (-2i32) as u32 as u64),
        ],
    );
    table(
        64,
        &[
            ("mul.wide.u32 %o, %a, %b;", [NEG1, NEG1, 0, 0], 0xFFFF_FFFE_0000_0001),
            ("mul.wide.s32 %o, %a, %b;", [NEG1, 2, 0, 0], (-2i64) as u64),
            ("mad.wide.s32 %o, %a, %b, %c;", [NEG1, 2, 1 << 40, 0], (1 << 40) - 2),
            ("mad.wide.u32 %o, %a, %b, %c;", [NEG1, 2, 3, 0], 0x2_0000_0001),
            ("mul.hi.u64 %o, %a, %b;", [u64::MAX, u64::MAX, 0, 0], u64::MAX - 1),
            ("mul.hi.s64 %o, %a, %b;", [u64::MAX, 1, 0, 0], u64::MAX),
            ("add.s64 %o, %a, %b;", [u64::MAX, 1, 0, 0], 0),
            ("min.s64 %o, %a, %b;", [u64::MAX, 1, 0, 0], u64::MAX),
        ],
    );
    table(
        16,
        &[
            ("add.u16 %o, %a, %b;", [0xFFFF, 2, 0, 0], 1),
            ("mul.hi.s16 %o, %a, %b;", [0xFFFF, 2, 0, 0], 0xFFFF),
            ("min.s16 %o, %a, %b;", [0x8000, 1, 0, 0], 0x8000),
        ],
    );
}

#[test]
fn quotients() {
    table(
        32,
        &[
            ("div.s32 %o, %a, %b;", [(-7i32) as u32 as u64, 2, 0, 0], (-3i32) as u32 as u64),
            ("rem.s32 %o, %a, %b;", [(-7i32) as u32 as u64, 2, 0, 0], NEG1),
            ("div.u32 %o, %a, %b;", [NEG1, 2, 0, 0], 0x7FFF_FFFF),
            ("rem.u32 %o, %a, %b;", [NEG1, 16, 0, 0], 15),
            ("div.s32 %o, %a, %b;", [MIN32, NEG1, 0, 0], MIN32),
            ("div.u32 %o, %a, %b;", [5, 0, 0, 0], NEG1),
            ("rem.s32 %o, %a, %b;", [5, 0, 0, 0], 5),
        ],
    );
    table(
        64,
        &[
            ("div.s64 %o, %a, %b;", [i64::MIN as u64, u64::MAX, 0, 0], i64::MIN as u64),
            ("rem.s64 %o, %a, %b;", [i64::MIN as u64, u64::MAX, 0, 0], 0),
            ("div.u64 %o, %a, %b;", [u64::MAX, 3, 0, 0], u64::MAX / 3),
        ],
    );
}

#[test]
fn shifts() {
    table(
        32,
        &[
            ("shl.b32 %o, %a, 31;", [3, 0, 0, 0], MIN32),
            ("shl.b32 %o, %a, %b;", [3, 32, 0, 0], 0),
            ("shl.b32 %o, %a, %b;", [3, NEG1, 0, 0], 0),
            ("shr.u32 %o, %a, %b;", [MIN32, 31, 0, 0], 1),
            ("shr.u32 %o, %a, %b;", [MIN32, 32, 0, 0], 0),
            ("shr.s32 %o, %a, %b;", [MIN32, 4, 0, 0], 0xF800_0000),
            ("shr.s32 %o, %a, %b;", [MIN32, 99, 0, 0], NEG1),
            ("shr.b32 %o, %a, %b;", [0x1_0000_0000, 1, 0, 0], 0),
            ("shf.l.wrap.b32 %o, %a, %b, %c;", [0x8000_0001, 0xF, 4, 0], 0xF8),
            ("shf.l.wrap.b32 %o, %a, %b, %c;", [1, 2, 32, 0], 2),
            ("shf.l.clamp.b32 %o, %a, %b, %c;", [1, 2, 40, 0], 1),
            ("shf.r.wrap.b32 %o, %a, %b, %c;", [0xF0, 0xA, 4, 0], 0xA000_000F),
            ("shf.r.wrap.b32 %o, %a, %b, %c;", [1, 2, 33, 0], 0),
            ("shf.r.clamp.b32 %o, %a, %b, %c;", [1, 2, 33, 0], 2),
        ],
    );
    table(
        64,
        &[
            ("shl.b64 %o, %a, 63;", [1, 0, 0, 0], 1 << 63),
            ("shl.b64 %o, %a, 64;", [1, 0, 0, 0], 0),
            ("shr.s64 %o, %a, 64;", [1 << 63, 0, 0, 0], u64::MAX),
        ],
    );
    table(
        16,
        &[
            ("shr.s16 %o, %a, 3;", [0x8000, 0, 0, 0], 0xF000),
            ("shl.b16 %o, %a, 16;", [1, 0, 0, 0], 0),
        ],
    );
}

#[test]
fn logic() {
    table(
        32,
        &[
            ("and.b32 %o, %a, %b;", [0b1100, 0b1010, 0, 0], 0b1000),
            ("or.b32 %o, %a, %b;", [0b1100, 0b1010, 0, 0], 0b1110),
            ("xor.b32 %o, %a, %b;", [0b1100, 0b1010, 0, 0], 0b0110),
            ("not.b32 %o, %a;", [0, 0, 0, 0], NEG1),
            ("cnot.b32 %o, %a;", [0, 0, 0, 0], 1),
            ("cnot.b32 %o, %a;", [4, 0, 0, 0], 0),
            ("setp.eq.u32 %p0, %a, 1; not.pred %p1, %p0; selp.b32 %o, 5, 6, %p1;", [1, 0, 0, 0], 6),
            ("setp.eq.u32 %p0, %a, 1; mov.pred %p1, %p0; selp.b32 %o, 5, 6, %p1;", [1, 0, 0, 0], 5),
        ],
    );
}

#[test]
fn lop3_is_every_truth_table() {
    // With these operands, the lowest eight bits of the result are the table itself.
    for lut in 0..256 {
        assert_eq!(
            eval(&format!("lop3.b32 %o, %a, %b, %c, {lut};"), [0xF0, 0xCC, 0xAA, 0]) & 0xFF,
            lut
        );
    }
}

#[test]
fn bit_fields() {
    table(
        32,
        &[
            ("bfe.u32 %o, %a, 4, 8;", [0xABCD, 0, 0, 0], 0xBC),
            ("bfe.s32 %o, %a, 4, 8;", [0xABCD, 0, 0, 0], 0xFFFF_FFBC),
            ("bfe.s32 %o, %a, 28, 8;", [0x9000_0000, 0, 0, 0], 0xFFFF_FFF9),
            ("bfe.u32 %o, %a, 28, 8;", [0x9000_0000, 0, 0, 0], 9),
            ("bfe.s32 %o, %a, 40, 4;", [MIN32, 0, 0, 0], NEG1),
            ("bfe.s32 %o, %a, 40, 4;", [1, 0, 0, 0], 0),
            ("bfe.s32 %o, %a, 3, 0;", [NEG1, 0, 0, 0], 0),
            ("bfe.u32 %o, %a, 0, 32;", [NEG1, 0, 0, 0], NEG1),
            ("bfi.b32 %o, %a, %b, 8, 4;", [0xFA, 0, 0, 0], 0xA00),
            ("bfi.b32 %o, %a, %b, 8, 0;", [0xFA, 7, 0, 0], 7),
            ("bfi.b32 %o, %a, %b, 28, 9;", [0xFF, 0, 0, 0], 0xF000_0000),
            ("bfi.b32 %o, %a, %b, 32, 4;", [0xFF, 7, 0, 0], 7),
            ("popc.b32 %o, %a;", [0xF0F1, 0, 0, 0], 9),
            ("clz.b32 %o, %a;", [0, 0, 0, 0], 32),
            ("clz.b32 %o, %a;", [0x0001_0000, 0, 0, 0], 15),
            ("clz.b64 %o, %a;", [1, 0, 0, 0], 63),
            ("popc.b64 %o, %a;", [u64::MAX, 0, 0, 0], 64),
            ("brev.b32 %o, %a;", [1, 0, 0, 0], MIN32),
            ("bfind.u32 %o, %a;", [0x900, 0, 0, 0], 11),
            ("bfind.u32 %o, %a;", [0, 0, 0, 0], NEG1),
            ("bfind.s32 %o, %a;", [NEG1 - 1, 0, 0, 0], 0),
            ("bfind.shiftamt.u32 %o, %a;", [0x900, 0, 0, 0], 20),
        ],
    );
    table(
        64,
        &[
            ("brev.b64 %o, %a;", [1, 0, 0, 0], 1 << 63),
            ("bfe.s64 %o, %a, 60, 4;", [0x9 << 60, 0, 0, 0], (-7i64) as u64),
            ("bfi.b64 %o, %a, %b, 60, 4;", [0x9, 1, 0, 0], 0x9 << 60 | 1),
        ],
    );
}

#[test]
fn permutations() {
    let (a, b) = (0x8483_8281, 0x0807_0605);
    table(
        32,
        &[
            ("prmt.b32 %o, %a, %b, 0x7531;", [a, b, 0, 0], 0x0806_8482),
            ("prmt.b32 %o, %a, %b, 0xC840;", [a, b, 0, 0], 0x00FF_0581),
            ("prmt.b32.f4e %o, %a, %b, 1;", [a, b, 0, 0], 0x0584_8382),
            ("prmt.b32.b4e %o, %a, %b, 1;", [a, b, 0, 0], 0x0708_8182),
            ("prmt.b32.rc8 %o, %a, %b, 2;", [a, b, 0, 0], 0x8383_8383),
            ("prmt.b32.ecl %o, %a, %b, 2;", [a, b, 0, 0], 0x8483_8383),
            ("prmt.b32.ecr %o, %a, %b, 1;", [a, b, 0, 0], 0x8282_8281),
            ("prmt.b32.rc16 %o, %a, %b, 0;", [a, b, 0, 0], 0x8281_8281),
            ("prmt.b32.rc16 %o, %a, %b, 1;", [a, b, 0, 0], 0x8483_8483),
        ],
    );
}

#[test]
fn moves() {
    table(
        64,
        &[
            ("mov.b64 %o, {%a, %b};", [0x1_0000_0001, 2, 0, 0], 0x2_0000_0001),
            (
                "mov.b64 {%x0, %x1}, %a; shl.b64 %o, %x0, 32; or.b64 %o, %o, %x1;",
                [0x5_0000_0006, 0, 0, 0],
                0x6_0000_0005,
            ),
            ("mov.b64 {_, %o}, %a;", [0x5_0000_0006, 0, 0, 0], 5),
            ("mov.b32 %o, {%a, %b};", [0x1_FFFF, 0x2_0003, 0, 0], 0x3_FFFF),
            ("mov.u32 %o, %a;", [u64::MAX, 0, 0, 0], NEG1),
        ],
    );
}
