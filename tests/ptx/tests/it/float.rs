//! Float arithmetic: rounding, flushing, NaN, and the special functions.

use crate::harness::{eval, table};

fn f(value: f32) -> u64 {
    u64::from(value.to_bits())
}

fn d(value: f64) -> u64 {
    value.to_bits()
}

const NAN: u64 = 0x7FC0_0001;
const CANONICAL: u64 = 0x7FFF_FFFF;

#[test]
fn sums_and_products_in_every_direction() {
    let tiny = 2f32.powi(-30);
    let up = |value: f32| f(value.next_up());
    let down = |value: f32| f(value.next_down());
    table(
        32,
        &[
            ("add.f32 %o, %a, %b;", [f(0.1), f(0.2), 0, 0], f(0.1 + 0.2)),
            ("add.rn.f32 %o, %a, %b;", [f(1.0), f(tiny), 0, 0], f(1.0)),
            ("add.rp.f32 %o, %a, %b;", [f(1.0), f(tiny), 0, 0], up(1.0)),
            ("add.rz.f32 %o, %a, %b;", [f(1.0), f(-tiny), 0, 0], down(1.0)),
            ("add.rm.f32 %o, %a, %b;", [f(-1.0), f(-tiny), 0, 0], down(-1.0)),
            ("add.rm.f32 %o, %a, %b;", [f(1.0), f(-1.0), 0, 0], f(-0.0)),
            ("add.rp.f32 %o, %a, %b;", [f(1.0), f(-1.0), 0, 0], f(0.0)),
            ("add.rz.f32 %o, %a, %b;", [f(f32::MAX), f(f32::MAX), 0, 0], f(f32::MAX)),
            ("sub.f32 %o, %a, %b;", [f(1.0), f(3.0), 0, 0], f(-2.0)),
            ("add.sat.f32 %o, %a, %b;", [f(0.75), f(0.5), 0, 0], f(1.0)),
            ("mul.rn.f32 %o, %a, %b;", [f(0.1), f(0.1), 0, 0], f(0.1 * 0.1)),
            ("mul.rm.f32 %o, %a, %b;", [up(1.0), up(1.0), 0, 0], up(1.0) + 1),
            ("mul.rp.f32 %o, %a, %b;", [up(1.0), up(1.0), 0, 0], up(1.0) + 2),
            (
                "fma.rn.f32 %o, %a, %b, %c;",
                [up(1.0), down(1.0), f(-1.0), 0],
                f(1.0f32.next_up().mul_add(1.0f32.next_down(), -1.0)),
            ),
            ("fma.rm.f32 %o, %a, %b, %c;", [f(1.0), f(1.0), f(-tiny), 0], down(1.0)),
            ("fma.rp.f32 %o, %a, %b, %c;", [f(1.0), f(1.0), f(tiny), 0], up(1.0)),
            ("mad.rn.f32 %o, %a, %b, %c;", [f(2.0), f(3.0), f(1.0), 0], f(7.0)),
            ("add.f32 %o, %a, %b;", [f(f32::INFINITY), f(f32::NEG_INFINITY), 0, 0], CANONICAL),
            ("mul.f32 %o, %a, %b;", [NAN, f(1.0), 0, 0], CANONICAL),
        ],
    );
    table(
        64,
        &[
            ("add.f64 %o, %a, %b;", [d(0.1), d(0.2), 0, 0], d(0.1 + 0.2)),
            (
                "fma.rn.f64 %o, %a, %b, %c;",
                [d(0.1), d(10.0), d(-1.0), 0],
                d(0.1f64.mul_add(10.0, -1.0)),
            ),
            ("div.rn.f64 %o, %a, %b;", [d(1.0), d(3.0), 0, 0], d(1.0 / 3.0)),
            ("sqrt.rn.f64 %o, %a;", [d(2.0), 0, 0, 0], d(2f64.sqrt())),
            ("rcp.rn.f64 %o, %a;", [d(3.0), 0, 0, 0], d(1.0 / 3.0)),
        ],
    );
}

#[test]
fn quotients_and_roots() {
    table(
        32,
        &[
            ("div.rn.f32 %o, %a, %b;", [f(1.0), f(3.0), 0, 0], f(1.0 / 3.0)),
            ("div.rm.f32 %o, %a, %b;", [f(1.0), f(3.0), 0, 0], f(1.0 / 3.0) - 1),
            ("div.rp.f32 %o, %a, %b;", [f(1.0), f(3.0), 0, 0], f(1.0 / 3.0)),
            ("div.rp.f32 %o, %a, %b;", [f(-1.0), f(3.0), 0, 0], f(-1.0 / 3.0) - 1),
            ("div.rz.f32 %o, %a, %b;", [f(1.0), f(-3.0), 0, 0], f(-1.0 / 3.0) - 1),
            ("div.approx.f32 %o, %a, %b;", [f(1.0), f(3.0), 0, 0], f(1.0 / 3.0)),
            ("div.full.f32 %o, %a, %b;", [f(1.0), f(0.0), 0, 0], f(f32::INFINITY)),
            ("div.rn.f32 %o, %a, %b;", [0, 0, 0, 0], CANONICAL),
            ("rcp.rn.f32 %o, %a;", [f(-0.0), 0, 0, 0], f(f32::NEG_INFINITY)),
            ("rcp.approx.ftz.f32 %o, %a;", [1, 0, 0, 0], f(f32::INFINITY)),
            ("sqrt.rn.f32 %o, %a;", [f(2.0), 0, 0, 0], f(2f32.sqrt())),
            ("sqrt.rm.f32 %o, %a;", [f(2.0), 0, 0, 0], f(2f32.sqrt())),
            ("sqrt.rp.f32 %o, %a;", [f(2.0), 0, 0, 0], f(2f32.sqrt()) + 1),
            ("sqrt.rz.f32 %o, %a;", [f(9.0), 0, 0, 0], f(3.0)),
            ("sqrt.approx.f32 %o, %a;", [f(-1.0), 0, 0, 0], CANONICAL),
            ("rsqrt.approx.f32 %o, %a;", [f(4.0), 0, 0, 0], f(0.5)),
            ("rsqrt.approx.f32 %o, %a;", [f(0.0), 0, 0, 0], f(f32::INFINITY)),
            ("ex2.approx.f32 %o, %a;", [f(-3.0), 0, 0, 0], f(0.125)),
            ("ex2.approx.ftz.f32 %o, %a;", [f(-130.0), 0, 0, 0], 0),
            ("lg2.approx.f32 %o, %a;", [f(0.125), 0, 0, 0], f(-3.0)),
            ("lg2.approx.f32 %o, %a;", [0, 0, 0, 0], f(f32::NEG_INFINITY)),
            ("sin.approx.f32 %o, %a;", [f(1.0), 0, 0, 0], f(1f64.sin() as f32)),
            ("cos.approx.f32 %o, %a;", [f(1.0), 0, 0, 0], f(1f64.cos() as f32)),
            ("tanh.approx.f32 %o, %a;", [f(0.5), 0, 0, 0], f(0.5f64.tanh() as f32)),
        ],
    );
}

#[test]
fn flushing() {
    let subnormal = 0x0000_0003;
    table(
        32,
        &[
            ("add.f32 %o, %a, %b;", [subnormal, 0, 0, 0], subnormal),
            ("add.ftz.f32 %o, %a, %b;", [subnormal, 0, 0, 0], 0),
            ("mul.ftz.f32 %o, %a, %b;", [f(f32::MIN_POSITIVE), f(-0.5), 0, 0], 0x8000_0000),
            ("neg.ftz.f32 %o, %a;", [subnormal, 0, 0, 0], 0x8000_0000),
            ("fma.rn.ftz.f32 %o, %a, %b, %c;", [subnormal, f(1e30), f(1.0), 0], f(1.0)),
        ],
    );
}

#[test]
fn signs_and_extremes() {
    table(
        32,
        &[
            ("min.f32 %o, %a, %b;", [NAN, f(1.0), 0, 0], f(1.0)),
            ("max.f32 %o, %a, %b;", [f(1.0), NAN, 0, 0], f(1.0)),
            ("max.f32 %o, %a, %b;", [NAN, NAN, 0, 0], CANONICAL),
            ("max.NaN.f32 %o, %a, %b;", [f(1.0), NAN, 0, 0], CANONICAL),
            ("min.f32 %o, %a, %b;", [0, 0x8000_0000, 0, 0], 0x8000_0000),
            ("max.f32 %o, %a, %b;", [0x8000_0000, 0, 0, 0], 0),
            ("abs.f32 %o, %a;", [f(-2.0), 0, 0, 0], f(2.0)),
            ("neg.f32 %o, %a;", [0, 0, 0, 0], 0x8000_0000),
            ("copysign.f32 %o, %a, %b;", [f(-1.0), f(2.0), 0, 0], f(-2.0)),
        ],
    );
    for (test, of) in [
        ("finite", f(1.0)),
        ("infinite", f(f32::INFINITY)),
        ("number", f(1.0)),
        ("notanumber", NAN),
        ("normal", f(1.0)),
        ("subnormal", 1),
    ] {
        let code = format!(
            "testp.{test}.f32 %p0, %a; testp.{test}.f32 %p1, %b; selp.u64 %o, 1, 0, %p0; @%p1 mov.u64 %o, 9;"
        );
        let not = if matches!(test, "finite" | "number" | "normal") { NAN } else { f(2.0) };
        assert_eq!(eval(&code, [of, not, 0, 0]), 1, "{test}");
    }
}

#[test]
fn halves() {
    table(
        16,
        &[
            ("add.f16 %o, %a, %b;", [0x3C00, 0x3C00, 0, 0], 0x4000),
            ("mul.f16 %o, %a, %b;", [0x7BFF, 0x4000, 0, 0], 0x7C00),
            ("sub.rn.f16 %o, %a, %b;", [0x3C00, 0x3C00, 0, 0], 0),
            // 1 + 2^-11 + 2^-24: rounded twice it would be 1.
            ("fma.rn.f16 %o, %a, %b, %c;", [0x1000, 0x3C01, 0x3C00, 0], 0x3C01),
            ("fma.rn.relu.f16 %o, %a, %b, %c;", [0x3C00, 0x3C00, 0xC000, 0], 0),
            ("add.sat.f16 %o, %a, %b;", [0x3C00, 0x3C00, 0, 0], 0x3C00),
            ("neg.f16 %o, %a;", [0x3C00, 0, 0, 0], 0xBC00),
            ("max.f16 %o, %a, %b;", [0x7E00, 0x3C00, 0, 0], 0x3C00),
            ("fma.rn.bf16 %o, %a, %b, %c;", [0x3F80, 0x3F80, 0x3F80, 0], 0x4000),
            ("max.bf16 %o, %a, %b;", [0xBF80, 0x3F80, 0, 0], 0x3F80),
        ],
    );
    table(
        32,
        &[
            ("add.f16x2 %o, %a, %b;", [0x3C00_4000, 0x3C00_C000, 0, 0], 0x4000_0000),
            (
                "fma.rn.bf16x2 %o, %a, %b, %c;",
                [0x4000_3F80, 0x4000_3F80, 0x3F80_3F80, 0],
                0x40A0_4000,
            ),
        ],
    );
}
