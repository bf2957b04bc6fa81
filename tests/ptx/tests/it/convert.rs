//! `cvt` among integers and floats, with rounding and saturation.

use crate::harness::table;

fn f(value: f32) -> u64 {
    u64::from(value.to_bits())
}

fn d(value: f64) -> u64 {
    value.to_bits()
}

const NAN: u64 = 0x7FC0_0000;

#[test]
fn integers() {
    table(
        64,
        &[
            ("cvt.s64.s32 %o, %a;", [0xFFFF_FFFF, 0, 0, 0], u64::MAX),
            ("cvt.u64.u32 %o, %a;", [u64::MAX, 0, 0, 0], 0xFFFF_FFFF),
            ("cvt.u32.u64 %o, %a;", [u64::MAX, 0, 0, 0], 0xFFFF_FFFF),
            ("cvt.s32.s8 %o, %a; cvt.u64.u32 %o, %o;", [0x80, 0, 0, 0], 0xFFFF_FF80),
            ("cvt.u32.u8 %o, %a;", [0x1FF, 0, 0, 0], 0xFF),
            // Into a wider register, a signed type is extended by its sign.
            ("cvt.s8.s32 %o, %a;", [0x180, 0, 0, 0], (-128i64) as u64),
            ("cvt.sat.u8.s32 %o, %a;", [300, 0, 0, 0], 255),
            ("cvt.sat.u8.s32 %o, %a;", [0xFFFF_FFFF, 0, 0, 0], 0),
            ("cvt.sat.s8.s32 %o, %a;", [200, 0, 0, 0], 127),
            ("cvt.sat.s32.s64 %o, %a;", [i64::MIN as u64, 0, 0, 0], i32::MIN as i64 as u64),
            ("cvt.sat.s32.u32 %o, %a;", [0xFFFF_FFFF, 0, 0, 0], 0x7FFF_FFFF),
        ],
    );
}

#[test]
fn floats_to_integers() {
    table(
        32,
        &[
            ("cvt.rni.s32.f32 %o, %a;", [f(2.5), 0, 0, 0], 2),
            ("cvt.rni.s32.f32 %o, %a;", [f(3.5), 0, 0, 0], 4),
            ("cvt.rzi.s32.f32 %o, %a;", [f(-2.7), 0, 0, 0], (-2i32) as u32 as u64),
            ("cvt.rmi.s32.f32 %o, %a;", [f(-2.1), 0, 0, 0], (-3i32) as u32 as u64),
            ("cvt.rpi.s32.f32 %o, %a;", [f(2.1), 0, 0, 0], 3),
            ("cvt.rzi.s32.f32 %o, %a;", [f(3e9), 0, 0, 0], 0x7FFF_FFFF),
            ("cvt.rzi.s32.f32 %o, %a;", [f(f32::NEG_INFINITY), 0, 0, 0], 0x8000_0000),
            ("cvt.rzi.u32.f32 %o, %a;", [f(-1.0), 0, 0, 0], 0),
            ("cvt.rzi.u32.f32 %o, %a;", [f(3e9), 0, 0, 0], 3_000_000_000),
            ("cvt.rzi.s32.f32 %o, %a;", [NAN, 0, 0, 0], 0),
            ("cvt.rzi.u8.f32 %o, %a;", [f(300.0), 0, 0, 0], 255),
            ("cvt.rpi.s32.f32 %o, %a;", [1, 0, 0, 0], 1),
            ("cvt.rpi.ftz.s32.f32 %o, %a;", [1, 0, 0, 0], 0),
            ("cvt.rzi.s32.f16 %o, %a;", [0xC500, 0, 0, 0], (-5i32) as u32 as u64),
        ],
    );
    table(
        64,
        &[
            ("cvt.rzi.s64.f32 %o, %a;", [f(1e30), 0, 0, 0], i64::MAX as u64),
            ("cvt.rzi.u64.f64 %o, %a;", [d(1.5e19), 0, 0, 0], 15_000_000_000_000_000_000),
        ],
    );
}

#[test]
fn integers_to_floats() {
    let tie = (1 << 24) + 1;
    table(
        32,
        &[
            ("cvt.rn.f32.u32 %o, %a;", [tie, 0, 0, 0], f(16_777_216.0)),
            ("cvt.rp.f32.u32 %o, %a;", [tie, 0, 0, 0], f(16_777_218.0)),
            ("cvt.rz.f32.u32 %o, %a;", [(1 << 24) + 3, 0, 0, 0], f(16_777_218.0)),
            ("cvt.rm.f32.s32 %o, %a;", [-16_777_217i32 as u32 as u64, 0, 0, 0], f(-16_777_218.0)),
            ("cvt.rn.f32.s32 %o, %a;", [0xFFFF_FFFF, 0, 0, 0], f(-1.0)),
            // Through an f64 to the nearest, this would be a tie and round down.
            ("cvt.rn.f32.u64 %o, %a;", [(1 << 63) + (1 << 39) + 1, 0, 0, 0], f(9.223_373e18)),
            ("cvt.rn.f32.u64 %o, %a;", [u64::MAX, 0, 0, 0], f(18_446_744_073_709_551_616.0)),
            ("cvt.rz.f32.u64 %o, %a;", [u64::MAX, 0, 0, 0], 0x5F7F_FFFF),
        ],
    );
    table(
        64,
        &[
            ("cvt.rn.f64.s64 %o, %a;", [(1 << 53) + 1, 0, 0, 0], d(9_007_199_254_740_992.0)),
            ("cvt.rp.f64.s64 %o, %a;", [(1 << 53) + 1, 0, 0, 0], d(9_007_199_254_740_994.0)),
            ("cvt.rz.f64.u64 %o, %a;", [u64::MAX, 0, 0, 0], d(18_446_744_073_709_549_568.0)),
        ],
    );
    table(
        16,
        &[
            ("cvt.rn.f16.s32 %o, %a;", [2049, 0, 0, 0], 0x6800),
            ("cvt.rp.f16.s32 %o, %a;", [2049, 0, 0, 0], 0x6801),
            ("cvt.rn.f16.u32 %o, %a;", [70000, 0, 0, 0], 0x7C00),
            ("cvt.rz.f16.u32 %o, %a;", [70000, 0, 0, 0], 0x7BFF),
        ],
    );
}

#[test]
fn floats_to_floats() {
    table(
        16,
        &[
            ("cvt.rn.f16.f32 %o, %a;", [f(1.0), 0, 0, 0], 0x3C00),
            ("cvt.rn.f16.f32 %o, %a;", [f(1.0 + 1.0 / 2048.0), 0, 0, 0], 0x3C00),
            ("cvt.rn.f16.f32 %o, %a;", [f(1.0 + 3.0 / 2048.0), 0, 0, 0], 0x3C02),
            ("cvt.rz.f16.f32 %o, %a;", [f(1.0 + 3.0 / 2048.0), 0, 0, 0], 0x3C01),
            ("cvt.rn.f16.f32 %o, %a;", [f(65519.0), 0, 0, 0], 0x7BFF),
            ("cvt.rn.f16.f32 %o, %a;", [f(65520.0), 0, 0, 0], 0x7C00),
            ("cvt.rn.f16.f32 %o, %a;", [f(-6e-8), 0, 0, 0], 0x8001),
            ("cvt.rn.f16.f32 %o, %a;", [f(2.98e-8), 0, 0, 0], 0),
            ("cvt.rn.f16.f32 %o, %a;", [NAN, 0, 0, 0], 0x7FFF),
            ("cvt.rn.relu.f16.f32 %o, %a;", [f(-1.0), 0, 0, 0], 0),
            ("cvt.rn.bf16.f32 %o, %a;", [0x3F80_8000, 0, 0, 0], 0x3F80),
            ("cvt.rn.bf16.f32 %o, %a;", [0x3F81_8000, 0, 0, 0], 0x3F82),
            ("cvt.rn.bf16.f32 %o, %a;", [0x7F7F_FFFF, 0, 0, 0], 0x7F80),
            ("cvt.rz.bf16.f32 %o, %a;", [0x7F7F_FFFF, 0, 0, 0], 0x7F7F),
            ("cvt.rn.bf16.f32 %o, %a;", [0x0000_8001, 0, 0, 0], 1),
        ],
    );
    table(
        32,
        &[
            ("cvt.f32.f16 %o, %a;", [0x3555, 0, 0, 0], f(0.333_251_95)),
            ("cvt.f32.f16 %o, %a;", [0x8001, 0, 0, 0], f(-5.960_464_5e-8)),
            ("cvt.f32.f16 %o, %a;", [0x7C00, 0, 0, 0], f(f32::INFINITY)),
            ("cvt.f32.bf16 %o, %a;", [0x4049, 0, 0, 0], f(3.140_625)),
            ("cvt.rn.f32.f64 %o, %a;", [d(0.1), 0, 0, 0], f(0.1)),
            ("cvt.rz.f32.f64 %o, %a;", [d(0.1), 0, 0, 0], f(0.1) - 1),
            ("cvt.rm.f32.f64 %o, %a;", [d(1e300), 0, 0, 0], f(f32::MAX)),
            ("cvt.rni.f32.f32 %o, %a;", [f(-0.5), 0, 0, 0], f(-0.0)),
            ("cvt.rpi.f32.f32 %o, %a;", [f(1.25), 0, 0, 0], f(2.0)),
            ("cvt.sat.f32.f32 %o, %a;", [f(1.5), 0, 0, 0], f(1.0)),
            ("cvt.sat.f32.f32 %o, %a;", [f(-0.5), 0, 0, 0], f(0.0)),
            ("cvt.sat.f32.f32 %o, %a;", [NAN, 0, 0, 0], f(0.0)),
            ("cvt.ftz.f32.f32 %o, %a;", [0x8000_0001, 0, 0, 0], 0x8000_0000),
            ("cvt.rn.f16x2.f32 %o, %a, %b;", [f(1.0), f(-2.0), 0, 0], 0x3C00_C000),
            ("cvt.rn.bf16x2.f32 %o, %a, %b;", [f(1.0), f(-2.0), 0, 0], 0x3F80_C000),
        ],
    );
    table(64, &[("cvt.f64.f32 %o, %a;", [f(0.1), 0, 0, 0], d(f64::from(0.1f32)))]);
}

#[test]
fn addresses() {
    table(
        64,
        &[
            ("cvta.to.global.u64 %o, %a;", [77, 0, 0, 0], 77),
            ("cvta.shared.u64 %x0, %a; cvta.to.shared.u64 %o, %x0;", [77, 0, 0, 0], 77),
            (
                "cvta.shared.u64 %x0, %a; isspacep.shared %p0, %x0; selp.u64 %o, 1, 0, %p0;",
                [77, 0, 0, 0],
                1,
            ),
            ("isspacep.global %p0, %a; selp.u64 %o, 1, 0, %p0;", [77, 0, 0, 0], 1),
            (
                ".local .align 4 .b8 l[8]; mov.u64 %x0, l; cvta.local.u64 %x0, %x0; st.u32 [%x0+4], %a; ld.local.u32 %o, [l+4];",
                [77, 0, 0, 0],
                77,
            ),
            ("mov.b64 %x0, b; ld.param.u64 %o, [%x0+8];", [1, 2, 3, 0], 3),
        ],
    );
}
