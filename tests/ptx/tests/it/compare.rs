//! Comparisons and selections.

use crate::harness::{eval, table};

const NAN: u64 = 0x7FC0_0000;
const ONE: u64 = 0x3F80_0000;
const TWO: u64 = 0x4000_0000;

/// `setp.<suffix> p, a, b` as 0 or 1.
fn setp(suffix: &str, a: u64, b: u64) -> bool {
    eval(&format!("setp.{suffix} %p0, %a, %b; selp.u64 %o, 1, 0, %p0;"), [a, b, 0, 0]) == 1
}

#[test]
fn integers_by_their_sign() {
    let neg = 0xFFFF_FFFF;
    for (suffix, a, b, expected) in [
        ("lt.s32", neg, 0, true),
        ("lt.u32", neg, 0, false),
        ("lo.u32", neg, 0, false),
        ("hs.u32", neg, 0, true),
        ("hi.u32", 1, 1, false),
        ("ls.u32", 1, 1, true),
        ("ge.s64", u64::MAX, 0, false),
        ("gt.u64", u64::MAX, 0, true),
        ("eq.b16", 0x1_0001, 1, true),
        ("ne.s32", 1 << 32, 0, false),
        ("le.s16", 0x8000, 0, true),
    ] {
        assert_eq!(setp(suffix, a, b), expected, "{suffix} {a:#x} {b:#x}");
    }
}

#[test]
fn floats_with_and_without_nan() {
    // Of (1, 2), (2, 2), (2, 1), and one NaN.
    for (compare, expected) in [
        ("eq", [false, true, false, false]),
        ("ne", [true, false, true, false]),
        ("lt", [true, false, false, false]),
        ("le", [true, true, false, false]),
        ("gt", [false, false, true, false]),
        ("ge", [false, true, true, false]),
        ("equ", [false, true, false, true]),
        ("neu", [true, false, true, true]),
        ("ltu", [true, false, false, true]),
        ("leu", [true, true, false, true]),
        ("gtu", [false, false, true, true]),
        ("geu", [false, true, true, true]),
        ("num", [true, true, true, false]),
        ("nan", [false, false, false, true]),
    ] {
        let suffix = format!("{compare}.f32");
        let got =
            [(ONE, TWO), (TWO, TWO), (TWO, ONE), (ONE, NAN)].map(|(a, b)| setp(&suffix, a, b));
        assert_eq!(got, expected, "{compare}");
        assert_eq!(setp(&suffix, NAN, ONE), expected[3], "{compare}");
    }
    assert!(setp("eq.f32", 0, 0x8000_0000));
    assert!(!setp("eq.f32", 0, 1));
    assert!(setp("eq.ftz.f32", 0, 1));
    assert!(setp("lt.f16", 0xBC00, 0x3C00));
    assert!(setp("gt.f64", 2f64.to_bits(), 1f64.to_bits()));
}

#[test]
fn combined_with_a_predicate() {
    for (op, f) in [
        ("and", (|a, b| a & b) as fn(bool, bool) -> bool),
        ("or", |a, b| a | b),
        ("xor", |a, b| a ^ b),
    ] {
        for (a, p) in [(0u64, 0u64), (0, 1), (1, 0), (1, 1)] {
            let code = format!(
                "setp.eq.u32 %p2, %b, 1; setp.eq.{op}.u32 %p0|%p1, %a, 1, %p2; setp.eq.{op}.u32 %p3, %a, 1, !%p2;\n\
                 selp.u64 %o, 1, 0, %p0; selp.u64 %x0, 2, 0, %p1; add.u64 %o, %o, %x0; selp.u64 %x0, 4, 0, %p3; add.u64 %o, %o, %x0;"
            );
            let (a_is, p_is) = (a == 1, p == 1);
            let expected = u64::from(f(a_is, p_is))
                + 2 * u64::from(f(!a_is, p_is))
                + 4 * u64::from(f(a_is, !p_is));
            assert_eq!(eval(&code, [a, p, 0, 0]), expected, "{op} {a} {p}");
        }
    }
}

#[test]
fn set_and_select() {
    table(
        32,
        &[
            ("set.lt.u32.s32 %o, %a, %b;", [0xFFFF_FFFF, 0, 0, 0], 0xFFFF_FFFF),
            ("set.lt.f32.s32 %o, %a, %b;", [0xFFFF_FFFF, 0, 0, 0], ONE),
            ("set.gt.u32.f32 %o, %a, %b;", [NAN, 0, 0, 0], 0),
            ("slct.b32.s32 %o, 5, 6, %a;", [0, 0, 0, 0], 5),
            ("slct.b32.s32 %o, 5, 6, %a;", [0xFFFF_FFFF, 0, 0, 0], 6),
            ("slct.b32.f32 %o, 5, 6, %a;", [0x8000_0000, 0, 0, 0], 5),
            ("slct.b32.f32 %o, 5, 6, %a;", [NAN, 0, 0, 0], 6),
        ],
    );
}
