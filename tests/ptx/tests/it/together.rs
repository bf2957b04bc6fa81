//! What threads do together: shuffles, votes, barriers, atomics; and control flow.

use crate::harness::{eval, module, params, per_thread, table};
use vgg_ptx::{DeviceMemory, Module};

const STORE: &str = "st.global.u32 [%out], %r7;";

fn warp(code: &str) -> Vec<u32> {
    let all: Vec<_> =
        (0..4).map(|seed| per_thread("", &format!("{code} {STORE}"), 32, seed).unwrap()).collect();
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{code} depends on the schedule");
    all[0].clone()
}

fn lanes(f: impl Fn(u32) -> u32) -> Vec<u32> {
    (0..32).map(f).collect()
}

#[test]
fn shuffles() {
    let shuffle =
        |mode: &str, b: u32, c: u32| warp(&format!("shfl.sync.{mode}.b32 %r7, %r0, {b}, {c}, -1;"));
    assert_eq!(shuffle("idx", 5, 31), lanes(|_| 5));
    assert_eq!(shuffle("up", 3, 0), lanes(|t| if t < 3 { t } else { t - 3 }));
    assert_eq!(shuffle("down", 3, 31), lanes(|t| if t > 28 { t } else { t + 3 }));
    assert_eq!(shuffle("bfly", 6, 31), lanes(|t| t ^ 6));
    // Segments of eight lanes: the mask in bits 8 to 12 is 0b11000.
    assert_eq!(shuffle("idx", 5, 0x181F), lanes(|t| t & 24 | 5));
    assert_eq!(shuffle("down", 3, 0x181F), lanes(|t| if t % 8 > 4 { t } else { t + 3 }));
    assert_eq!(shuffle("up", 3, 0x1800), lanes(|t| if t % 8 < 3 { t } else { t - 3 }));
    let inside = "shfl.sync.down.b32 %r1|%p0, %r0, 3, 31, -1; selp.u32 %r7, 1, 0, %p0;";
    assert_eq!(warp(inside), lanes(|t| u32::from(t <= 28)));
    // Two halves of a warp, each with a mask of its own, by different instructions.
    let halves = "setp.lt.u32 %p0, %r0, 16; @%p0 bra L; shfl.sync.bfly.b32 %r7, %r0, 1, 31, 0xFFFF0000; bra E;\n\
                  L: shfl.sync.bfly.b32 %r7, %r0, 2, 31, 0xFFFF; E:";
    assert_eq!(warp(halves), lanes(|t| t ^ if t < 16 { 2 } else { 1 }));
}

#[test]
fn votes() {
    let vote = |mode: &str, p: &str| {
        let store = if mode == "ballot" { "" } else { "selp.u32 %r7, 1, 0, %p1;" };
        let (d, ty) = if mode == "ballot" { ("%r7", "b32") } else { ("%p1", "pred") };
        warp(&format!("setp.lt.u32 %p0, %r0, 5; vote.sync.{mode}.{ty} {d}, {p}, -1; {store}"))[7]
    };
    assert_eq!(["all", "any", "uni", "ballot"].map(|mode| vote(mode, "%p0")), [0, 1, 0, 31]);
    assert_eq!(vote("ballot", "!%p0"), !31);
    assert_eq!(
        warp("setp.lt.u32 %p0, %r0, 99; vote.sync.all.pred %p1, %p0, -1; selp.u32 %r7, 1, 0, %p1;")
            [0],
        1
    );
    assert_eq!(warp("redux.sync.add.u32 %r7, %r0, -1;")[3], 496);
    assert_eq!(warp("redux.sync.max.s32 %r7, %r0, -1;")[3], 31);
    assert_eq!(warp("and.b32 %r1, %r0, 3; match.any.sync.b32 %r7, %r1, -1;")[1], 0x2222_2222);
    assert_eq!(
        warp("activemask.b32 %r1; mov.u32 %r2, %lanemask_eq; and.b32 %r7, %r1, %r2;"),
        lanes(|t| 1 << t)
    );
    // Threads that have exited need not come.
    let fewer = per_thread(
        "",
        &format!(
            "setp.ge.u32 %p0, %r0, 8; @%p0 exit; vote.sync.ballot.b32 %r7, %p0, -1; not.b32 %r7, %r7; {STORE}"
        ),
        32,
        0,
    );
    assert_eq!(
        fewer.unwrap()[..9],
        [u32::MAX, u32::MAX, u32::MAX, u32::MAX, u32::MAX, u32::MAX, u32::MAX, u32::MAX, 0]
    );
}

#[test]
fn special_registers() {
    let text = module(
        "",
        "mov.u32 %r1, %tid.x; mov.u32 %r2, %tid.y; mov.u32 %r3, %ntid.x; mad.lo.u32 %r1, %r2, %r3, %r1;\n\
         mov.u32 %r2, %ctaid.y; mov.u32 %r3, %nctaid.x; mad.lo.u32 %r2, %r2, %r3, %ctaid.x; mad.lo.u32 %r4, %r2, 64, %r1;\n\
         mul.wide.u32 %x0, %r4, 4; add.u64 %out, %out, %x0; mov.u32 %r5, %warpid; mov.u32 %r6, %laneid;\n\
         mad.lo.u32 %r7, %r5, 32, %r6; st.global.u32 [%out], %r7; ret;",
    );
    let module = Module::parse(&text).unwrap();
    let mut memory = DeviceMemory::new();
    let out = memory.alloc(6 * 64 * 4);
    let kernel = module.kernel("t").unwrap();
    kernel.launch([3, 2, 1], [16, 4, 1], 0, &params(&[out, 0, 0, 0, 0]), &mut memory, 0).unwrap();
    let got = crate::harness::words(&memory.download(out, 6 * 64 * 4).unwrap());
    assert_eq!(got, (0..6 * 64).map(|i| i % 64).collect::<Vec<u32>>());
}

#[test]
fn barriers() {
    let reduce = |op: &str, d: &str| {
        let select = if d == "%p1" { "selp.u32 %r7, 1, 0, %p1;" } else { "" };
        let code = format!("setp.lt.u32 %p0, %r0, 5; bar.red.{op} {d}, 0, %p0; {select} {STORE}");
        per_thread("", &code, 64, 5).unwrap()[63]
    };
    assert_eq!(
        [reduce("popc.u32", "%r7"), reduce("and.pred", "%p1"), reduce("or.pred", "%p1")],
        [5, 0, 1]
    );
    // A producer warp arrives, a consumer warp waits.
    let shared = ".shared .align 4 .b8 s[128];";
    let code = "and.b32 %r1, %r0, 31; mul.wide.u32 %x1, %r1, 4; mov.u64 %x2, s; add.u64 %x1, %x1, %x2; setp.lt.u32 %p0, %r0, 32;\n\
                @%p0 bra P; bar.sync 1, 64; ld.shared.u32 %r7, [%x1]; st.global.u32 [%out], %r7; ret;\n\
                P: st.shared.u32 [%x1], %r0; bar.arrive 1, 64;";
    for seed in 0..4 {
        assert_eq!(per_thread(shared, code, 64, seed).unwrap()[32..], lanes(|t| t));
    }
}

#[test]
fn atomics() {
    for (op, start, operands, old, new) in [
        ("add.u32", 5u64, "7", 5u32, 12u32),
        ("add.s32", 5, "-7", 5, 0xFFFF_FFFE),
        ("min.s32", 0xFFFF_FFFF, "0", 0xFFFF_FFFF, 0xFFFF_FFFF),
        ("min.u32", 0xFFFF_FFFF, "0", 0xFFFF_FFFF, 0),
        ("max.s32", 0xFFFF_FFFF, "0", 0xFFFF_FFFF, 0),
        ("and.b32", 6, "3", 6, 2),
        ("or.b32", 6, "3", 6, 7),
        ("xor.b32", 6, "3", 6, 5),
        ("exch.b32", 6, "3", 6, 3),
        ("cas.b32", 6, "6, 9", 6, 9),
        ("cas.b32", 6, "5, 9", 6, 6),
        ("inc.u32", 6, "6", 6, 0),
        ("inc.u32", 5, "6", 5, 6),
        ("dec.u32", 0, "6", 0, 6),
        ("dec.u32", 3, "6", 3, 2),
        ("add.f32", 0x3F80_0000, "0f40000000", 0x3F80_0000, 0x4040_0000),
        ("add.noftz.f16x2", 0x3C00_3C00, "0x3C004000", 0x3C00_3C00, 0x4000_4200),
    ] {
        let code = format!(
            "st.global.u32 [%out], %a; atom.global.{op} %r1, [%out], {operands}; ld.global.u32 %r2, [%out]; mov.b64 %o, {{%r1, %r2}};"
        );
        // The word at `%out` is the atomic's place before it takes the result.
        let got = eval(&code, [start, 0, 0, 0]);
        assert_eq!(
            got,
            u64::from(new) << 32 | u64::from(old),
            "{op} of {start:#x} with {operands}: {got:#x}"
        );
    }
    let counted =
        per_thread("", "sub.u64 %x1, %out, %x0; red.global.add.u32 [%x1], 1;", 96, 3).unwrap();
    assert_eq!(counted[0], 96);
}

#[test]
fn control_flow() {
    let sum = "mov.u64 %o, 0; L: add.u64 %o, %o, %a; sub.u64 %a, %a, 1; setp.ne.u64 %p0, %a, 0; @%p0 bra L;";
    table(64, &[(sum, [10, 0, 0, 0], 55)]);
    for (index, expected) in [(0, 100), (1, 101), (2, 100)] {
        let code = "mov.u64 %o, 0; T: .branchtargets X, Y, X; brx.idx %a, T; X: mov.u64 %o, 100; bra.uni E; Y: mov.u64 %o, 101; E:";
        assert_eq!(eval(code, [index, 0, 0, 0]), expected);
    }
    let factorial = ".func (.param .b64 r) f(.param .b64 n) { .reg .b64 %n, %m; .reg .pred %p;\n\
         ld.param.u64 %n, [n]; mov.u64 %m, 1; setp.le.u64 %p, %n, 1; @%p bra D;\n\
         { .param .b64 x; .param .b64 y; sub.u64 %m, %n, 1; st.param.b64 [x+0], %m; call.uni (y), f, (x); ld.param.b64 %m, [y+0]; }\n\
         mul.lo.u64 %m, %m, %n; D: st.param.b64 [r+0], %m; ret; }";
    let code = "{ .param .b64 x; .param .b64 y; st.param.b64 [x+0], %a; call (y), f, (x); ld.param.b64 %o, [y+0]; } st.global.u64 [%out], %o; ret;";
    let module = Module::parse(&module(factorial, code)).unwrap();
    let mut memory = DeviceMemory::new();
    let out = memory.alloc(8);
    module
        .kernel("t")
        .unwrap()
        .launch([1; 3], [1; 3], 0, &params(&[out, 10, 0, 0, 0]), &mut memory, 0)
        .unwrap();
    assert_eq!(memory.download(out, 8).unwrap(), 3_628_800u64.to_le_bytes());
}

#[test]
fn global_variables_keep_their_values() {
    let text = module(
        ".global .align 4 .u32 count = 5;",
        "atom.global.add.u32 %r1, [count], 1; st.global.u32 [%out], %r1; ret;",
    );
    let module = Module::parse(&text).unwrap();
    let mut memory = DeviceMemory::new();
    let out = memory.alloc(4);
    for expected in 5u32..8 {
        module
            .kernel("t")
            .unwrap()
            .launch([1; 3], [1; 3], 0, &params(&[out, 0, 0, 0, 0]), &mut memory, 0)
            .unwrap();
        assert_eq!(memory.download(out, 4).unwrap(), expected.to_le_bytes());
    }
}
