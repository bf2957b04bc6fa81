//! Products of small matrices by a warp, against the PTX manual's tables of who holds what.

use vgg_ptx::{DeviceMemory, Fault, LaunchError, Module};

use crate::harness::{floats, module, params, per_thread};

/// A form of `mma.sync`, with the row and column of each number that lane `4 · g + t` holds, as the
/// manual's formulas have them.
struct Form {
    name: &'static str,
    k: usize,
    /// Numbers of a lane: of `a`, of `b`.
    held: [usize; 2],
    bits: usize,
    encode: fn(f32) -> u32,
    a: fn(g: usize, t: usize, i: usize) -> (usize, usize),
    b: fn(g: usize, t: usize, i: usize) -> (usize, usize),
}

fn bf16(x: f32) -> u32 {
    x.to_bits() >> 16
}

/// Of whole numbers up to 1024.
fn f16(x: f32) -> u32 {
    if x == 0.0 {
        return 0;
    }
    let bits = x.to_bits();
    bits >> 16 & 0x8000 | ((bits >> 23 & 0xFF) - 112) << 10 | bits >> 13 & 0x3FF
}

/// What is behind the 10 bits of a tf32's fraction is of no effect.
fn tf32(x: f32) -> u32 {
    x.to_bits() | 0x1FFF
}

const A_K16: fn(usize, usize, usize) -> (usize, usize) = |g, t, i| {
    let row = if (0..2).contains(&i) || (4..6).contains(&i) { g } else { g + 8 };
    (row, if i < 4 { 2 * t + (i & 1) } else { 2 * t + (i & 1) + 8 })
};
const B_K16: fn(usize, usize, usize) -> (usize, usize) =
    |g, t, i| (if i < 2 { 2 * t + (i & 1) } else { 2 * t + (i & 1) + 8 }, g);
const A_K8: fn(usize, usize, usize) -> (usize, usize) =
    |g, t, i| (if i < 2 { g } else { g + 8 }, 2 * t + (i & 1));
const B_K8: fn(usize, usize, usize) -> (usize, usize) = |g, t, i| (2 * t + i, g);

const FORMS: [Form; 6] = [
    Form {
        name: "m16n8k16.row.col.f32.bf16.bf16.f32",
        k: 16,
        held: [8, 4],
        bits: 16,
        encode: bf16,
        a: A_K16,
        b: B_K16,
    },
    Form {
        name: "m16n8k16.row.col.f32.f16.f16.f32",
        k: 16,
        held: [8, 4],
        bits: 16,
        encode: f16,
        a: A_K16,
        b: B_K16,
    },
    Form {
        name: "m16n8k8.row.col.f32.bf16.bf16.f32",
        k: 8,
        held: [4, 2],
        bits: 16,
        encode: bf16,
        a: A_K8,
        b: B_K8,
    },
    Form {
        name: "m16n8k8.row.col.f32.f16.f16.f32",
        k: 8,
        held: [4, 2],
        bits: 16,
        encode: f16,
        a: A_K8,
        b: B_K8,
    },
    Form {
        name: "m16n8k8.row.col.f32.tf32.tf32.f32",
        k: 8,
        held: [4, 2],
        bits: 32,
        encode: tf32,
        a: |g, t, i| (if i % 2 == 0 { g } else { g + 8 }, if i < 2 { t } else { t + 4 }),
        b: |g, t, i| (if i == 0 { t } else { t + 4 }, g),
    },
    Form {
        name: "m16n8k4.row.col.f32.tf32.tf32.f32",
        k: 4,
        held: [2, 1],
        bits: 32,
        encode: tf32,
        a: |g, t, i| (if i == 0 { g } else { g + 8 }, t),
        b: |g, t, _| (t, g),
    },
];

/// Where lane `4 · g + t` holds number `i` of `c` and `d`.
fn c_place(lane: usize, i: usize) -> (usize, usize) {
    let (g, t) = (lane / 4, lane % 4);
    (if i < 2 { g } else { g + 8 }, 2 * t + (i & 1))
}

/// `d` of `a: [16, k]`, `b: [k, 8]` and `c: [16, 8]`, all row by row.
fn multiply(form: &Form, a: &[f32], b: &[f32], c: &[f32], seed: u64) -> Vec<f32> {
    type Place = fn(usize, usize, usize) -> (usize, usize);
    let words = |held: usize, place: Place, of: &[f32], columns: usize| {
        let per_word = 32 / form.bits;
        let words = (0..32 * held / per_word).map(|word| {
            (0..per_word).fold(0, |bits, e| {
                let number = word * per_word + e;
                let lane = number / held;
                let (row, column) = place(lane / 4, lane % 4, number % held);
                bits | (form.encode)(of[row * columns + column]) << (form.bits * e)
            })
        });
        words.flat_map(u32::to_le_bytes).collect::<Vec<u8>>()
    };
    let registers = form.held.map(|held| held * form.bits / 32);
    let list = |name: &str, len: usize| {
        let names: Vec<String> = (0..len).map(|i| format!("%{name}{i}")).collect();
        format!("{{{}}}", names.join(", "))
    };
    let loads = |name: &str, from: &str, len: usize| {
        let load = |i| format!("ld.global.b32 %{name}{i}, [%{from}+{}];\n", 4 * i);
        let at = format!("mad.lo.u64 %{from}, %x0, {}, %{from};\n", 4 * len);
        at + &(0..len).map(load).collect::<String>()
    };
    let code = format!(
        ".reg .b32 %fa<4>, %fb<2>, %fc<4>;\nmov.u32 %r0, %tid.x; cvt.u64.u32 %x0, %r0;\n{}{}{}\
         mma.sync.aligned.{} {c}, {}, {}, {c};\n\
         mad.lo.u64 %out, %x0, 16, %out; st.global.v4.b32 [%out], {c}; ret;",
        loads("fa", "a", registers[0]),
        loads("fb", "b", registers[1]),
        loads("fc", "c", 4),
        form.name,
        list("fa", registers[0]),
        list("fb", registers[1]),
        c = list("fc", 4),
    );
    let module = Module::parse(&module("", &code)).unwrap_or_else(|e| panic!("{}: {e}", form.name));
    let mut memory = DeviceMemory::new();
    let c: Vec<u8> = (0..128)
        .flat_map(|i| {
            let (row, column) = c_place(i / 4, i % 4);
            c[8 * row + column].to_le_bytes()
        })
        .collect();
    let [a, b] = [words(form.held[0], form.a, a, form.k), words(form.held[1], form.b, b, 8)];
    let [a, b, c] = [a, b, c].map(|bytes| memory.upload(&bytes));
    let out = memory.alloc(512);
    let kernel = module.kernel("t").unwrap();
    kernel.launch([1; 3], [32, 1, 1], 0, &params(&[out, a, b, c, 0]), &mut memory, seed).unwrap();
    let mut d = vec![0.0; 128];
    for (i, number) in floats(&memory.download(out, 512).unwrap()).into_iter().enumerate() {
        let (row, column) = c_place(i / 4, i % 4);
        d[8 * row + column] = number;
    }
    d
}

/// Whole numbers, of no pattern.
fn numbers(len: usize, factor: usize) -> Vec<f32> {
    (1..=len).map(|i| (i * i * factor % 23) as f32 - 11.0).collect()
}

#[test]
fn products_are_those_of_a_loop() {
    for form in &FORMS {
        let (a, b, c) = (numbers(16 * form.k, 7), numbers(8 * form.k, 13), numbers(128, 5));
        let expected: Vec<f32> = (0..128)
            .map(|i| {
                let product = |k| a[i / 8 * form.k + k] * b[8 * k + i % 8];
                c[i] + (0..form.k).map(product).sum::<f32>()
            })
            .collect();
        for seed in 0..3 {
            assert_eq!(multiply(form, &a, &b, &c, seed), expected, "{}", form.name);
        }
    }
}

/// 2²⁴ and almost 2 more: the next number is 2 further.
#[test]
fn sums_are_cut_towards_zero() {
    let form = &FORMS[0];
    for (sign, expected) in [(1.0, 16_777_216.0), (-1.0, -16_777_216.0)] {
        let a: Vec<f32> = (0..256).map(|i| if i % 16 < 3 { sign * 0.5 } else { 0.0 }).collect();
        let d = multiply(form, &a, &[1.0; 128], &[sign * 16_777_216.0; 128], 0);
        assert_eq!(d, [expected; 128]);
    }
}

const PRODUCT: &str = "mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 \
                       {%r1, %r2, %r3, %r4}, {%r0, %r0}, {%r0}, {%r1, %r2, %r3, %r4};";

fn fault(code: &str, threads: u32) -> Fault {
    let LaunchError { fault, .. } = per_thread("", code, threads, 1).unwrap_err();
    fault
}

#[test]
fn a_warp_multiplies_as_a_whole() {
    per_thread("", PRODUCT, 64, 1).unwrap();
    // Other warps need not come.
    per_thread("", &format!("setp.ge.u32 %p0, %r0, 32; @%p0 exit; {PRODUCT}"), 64, 1).unwrap();
    let some = [
        fault(PRODUCT, 48),
        fault(&format!("setp.eq.u32 %p0, %r0, 7; @%p0 exit; {PRODUCT}"), 32),
        fault(&format!("setp.eq.u32 %p0, %r0, 7; @!%p0 {PRODUCT}"), 32),
        fault(&format!("setp.lt.u32 %p0, %r0, 7; @%p0 bra L; {PRODUCT} ret; L: {PRODUCT}"), 32),
        fault(&format!("setp.eq.u32 %p0, %r0, 7; @%p0 bar.warp.sync -1; {PRODUCT}"), 32),
    ];
    for fault in some {
        assert!(matches!(fault, Fault::DivergentWarp(_)), "{fault}");
    }
}
