//! Each report, provoked once.

use vgg_ptx::{DeviceMemory, Fault, LaunchError, MemoryError, Module};

use crate::harness::{CODE_LINE, module, params, per_thread};

const SHARED: &str = ".shared .align 4 .b8 s[256];";

/// One thread; `%a` is an allocation of 16 bytes of which the first 8 are written.
fn one(variables: &str, code: &str) -> LaunchError {
    let text = module(variables, code);
    let module = Module::parse(&text).unwrap();
    let mut memory = DeviceMemory::new();
    let a = memory.alloc(16);
    vgg_ptx::Memory::write(&mut memory, a, &[1; 8]).unwrap();
    let kernel = module.kernel("t").unwrap();
    kernel.launch([1; 3], [1; 3], 0, &params(&[0, a, 0, 0, 0]), &mut memory, 0).unwrap_err()
}

#[test]
fn out_of_bounds_names_kernel_and_line() {
    let error = one("", "\n\nld.global.u32 %r1, [%a+16]; ret;");
    assert_eq!((error.kernel.as_str(), error.line, error.thread), ("t", CODE_LINE + 2, [0; 3]));
    assert!(matches!(
        error.fault,
        Fault::Global { access: "read", source: MemoryError::OutOfBounds { .. } }
    ));
    assert!(error.to_string().contains("0 bytes past the end of an allocation of 16"), "{error}");
    let error = one("", "st.global.v2.u64 [%a+-16], {%a, %a}; ret;");
    assert!(error.to_string().contains("16 bytes before an allocation of 16"), "{error}");
}

#[test]
fn out_of_bounds_elsewhere() {
    for (variables, code) in [
        (SHARED, "ld.shared.u32 %r1, [s+256];"),
        (".shared .align 4 .b8 s[8]; .shared .align 4 .b8 u[8];", "st.shared.u32 [s+8], %r1;"),
        (".const .align 4 .b8 s[8] = {1};", "ld.const.u32 %r1, [s+8];"),
        (".global .align 4 .b8 s[8] = {1};", "st.global.u32 [s+8], %r1;"),
        ("", ".local .align 4 .b8 s[8]; st.local.u32 [s+8], %r1;"),
        ("", "ld.param.u32 %r1, [a+64];"),
    ] {
        let error = one(variables, code);
        assert!(matches!(error.fault, Fault::OutOfBounds { bytes: 4, .. }), "{code}: {error}");
    }
}

#[test]
fn misaligned() {
    let error = one("", "ld.global.u32 %r1, [%a+2]; ret;");
    assert!(matches!(error.fault, Fault::Misaligned { access: "read", bytes: 4, .. }), "{error}");
    let error = one(SHARED, "st.shared.v2.u32 [s+4], {%r1, %r1}; ret;");
    assert!(
        matches!(error.fault, Fault::Misaligned { access: "write", space: "shared", bytes: 8, .. }),
        "{error}"
    );
}

#[test]
fn uninitialised() {
    let error = one("", "ld.global.u32 %r1, [%a+8]; ret;");
    assert!(error.to_string().contains("byte 8 of an allocation of 16"), "{error}");
    let error = one(SHARED, "ld.shared.u32 %r1, [s]; ret;");
    assert!(matches!(error.fault, Fault::Uninitialised { space: "shared", .. }), "{error}");
    let error = one("", ".local .align 4 .b8 l[8]; ld.local.u32 %r1, [l]; ret;");
    assert!(matches!(error.fault, Fault::Uninitialised { space: "local", .. }), "{error}");
    let error = one(SHARED, "atom.shared.add.u32 %r1, [s], 1; ret;");
    assert!(matches!(error.fault, Fault::Uninitialised { space: "shared", .. }), "{error}");
}

#[test]
fn shared_memory_of_one_block_is_not_that_of_the_next() {
    let text = module(
        SHARED,
        "mov.u32 %r0, %ctaid.x; atom.global.add.u32 %r1, [%a], 1;\n\
         setp.eq.u32 %p0, %r1, 0; @%p0 st.shared.u32 [s], %r0; @!%p0 ld.shared.u32 %r1, [s]; ret;",
    );
    let module = Module::parse(&text).unwrap();
    let mut memory = DeviceMemory::new();
    let a = memory.upload(&[0; 4]);
    let kernel = module.kernel("t").unwrap();
    let launched = kernel.launch([2, 1, 1], [1; 3], 0, &params(&[0, a, 0, 0, 0]), &mut memory, 0);
    assert!(matches!(launched.unwrap_err().fault, Fault::Uninitialised { space: "shared", .. }));
}

#[test]
fn writes_to_constants_traps_and_endless_recursion() {
    let error = one(".const .align 4 .b8 s[8] = {1};", "st.const.u32 [s], %r1; ret;");
    assert_eq!(error.fault, Fault::ReadOnly { space: "const" });
    assert_eq!(one("", "trap;").fault, Fault::Trap);
    let error = one("", "T: .branchtargets X; brx.idx 1, T; X: ret;");
    assert_eq!(error.fault, Fault::BranchIndex { index: 1, targets: 1 });
    let error = one(SHARED, "st.shared.u32 [s+-4], 1;");
    assert!(matches!(error.fault, Fault::OutOfBounds { space: "shared", .. }), "{error}");
    let error = one(".func f() { call f; ret; }", "call f; ret;");
    assert_eq!(error.fault, Fault::CallDepth(1024));
}

#[test]
fn launches_that_do_not_fit() {
    let text = module("", "ret;").replace("d) {", "d) .maxntid 64, 1, 1 {");
    let module = Module::parse(&text).unwrap();
    let kernel = module.kernel("t").unwrap();
    let launch = |grid, block, shared, params: usize| {
        let mut memory = DeviceMemory::new();
        kernel
            .launch(grid, block, shared, &vec![0; params], &mut memory, 0)
            .map_err(|e| e.to_string())
    };
    assert_eq!(launch([1; 3], [64, 1, 1], 0, 40), Ok(()));
    for (got, expected) in [
        (launch([1; 3], [65, 1, 1], 0, 40), "allows 1 to 64"),
        (launch([0, 1, 1], [1; 3], 0, 40), "a grid of [0, 1, 1] blocks"),
        (launch([1; 3], [1; 3], 1 << 20, 40), "bytes of shared memory"),
        (launch([1; 3], [1; 3], 0, 36), "36 bytes of parameters, the kernel takes 40"),
    ] {
        assert!(got.as_ref().unwrap_err().contains(expected), "{got:?}");
    }
}

#[test]
fn barriers_that_some_threads_never_reach() {
    let exited = "setp.ge.u32 %p0, %r0, 32;\n@%p0 exit;\nbar.sync 0;";
    let error = per_thread("", exited, 64, 1).unwrap_err();
    assert_eq!(error.line, CODE_LINE + 2);
    let detail = "32 threads wait here, 32 have exited".to_owned();
    assert_eq!(error.fault, Fault::DivergentBarrier { barrier: 0, detail });

    let other = "setp.ge.u32 %p0, %r0, 32; @%p0 bra B;\nbar.sync 0; ret;\nB: bar.sync 1;";
    let error = per_thread("", other, 64, 1).unwrap_err();
    assert!(error.to_string().contains("others wait in lines"), "{error}");
}

#[test]
fn one_warp_at_two_aligned_barriers() {
    let code = "setp.ge.u32 %p0, %r0, 16; @%p0 bra B;\nbar.sync 0; ret;\nB: bar.sync 0;";
    let fault = per_thread("", code, 32, 1).unwrap_err().fault;
    assert!(matches!(fault, Fault::DivergentBarrier { barrier: 0, .. }), "{fault}");
    // Between warps, and with the unaligned barrier, that is allowed.
    per_thread("", &code.replace("16", "32"), 64, 1).unwrap();
    per_thread("", &code.replace("bar.sync", "barrier.sync"), 32, 1).unwrap();
}

#[test]
fn warp_instructions_without_their_participants() {
    let missing = "setp.ge.u32 %p0, %r0, 16; @%p0 bra B; bar.warp.sync -1; B: bar.sync 0;";
    let fault = per_thread("", missing, 32, 1).unwrap_err().fault;
    assert!(matches!(fault, Fault::DivergentWarp(_) | Fault::DivergentBarrier { .. }), "{fault}");
    let fault = per_thread("", "bar.warp.sync 1;", 32, 1).unwrap_err().fault;
    assert!(fault.to_string().contains("is not in its mask 0x00000001"), "{fault}");
    let absent = "shfl.sync.down.b32 %r1, %r0, 8, 31, -1;";
    let fault = per_thread("", absent, 16, 1).unwrap_err().fault;
    assert!(fault.to_string().contains("which does not take part"), "{fault}");
}

/// Thread t writes word t, then reads that of thread t ^ `distance`.
fn neighbours(distance: u32, between: &str) -> Result<Vec<u32>, LaunchError> {
    let code = format!(
        "mov.u64 %x1, s; mul.wide.u32 %x2, %r0, 4; add.u64 %x2, %x1, %x2; st.shared.u32 [%x2], %r0;\n{between}\n\
         xor.b32 %r1, %r0, {distance}; mul.wide.u32 %x3, %r1, 4; add.u64 %x3, %x1, %x3;\n\
         ld.shared.u32 %r2, [%x3]; st.global.u32 [%out], %r2;"
    );
    let mut last = Ok(Vec::new());
    for seed in 0..8 {
        last = per_thread(SHARED, &code, 64, seed);
        last.as_ref().map_err(Clone::clone)?;
    }
    last
}

#[test]
fn shared_races() {
    let expected = |distance: u32| (0..64).map(|t| t ^ distance).collect::<Vec<u32>>();
    assert_eq!(neighbours(1, "bar.sync 0;").unwrap(), expected(1));
    assert_eq!(neighbours(32, "bar.sync 0;").unwrap(), expected(32));
    assert_eq!(neighbours(1, "bar.warp.sync -1;").unwrap(), expected(1));
    for (distance, between) in [
        (1, ""),
        (32, ""),
        (32, "bar.warp.sync -1;"),
        (1, "shfl.sync.idx.b32 %r3, %r0, 0, 31, -1;"),
    ] {
        let fault = neighbours(distance, between).unwrap_err().fault;
        let known =
            matches!(fault, Fault::Race { space: "shared", .. } | Fault::Uninitialised { .. });
        assert!(known, "{distance} {between}: {fault}");
    }
}

#[test]
fn a_write_after_a_read_is_a_race() {
    let init = "setp.eq.u32 %p0, %r0, 0; @%p0 st.shared.u32 [s], 1; bar.sync 0;";
    let code = format!(
        "{init} ld.shared.u32 %r1, [s];\nsetp.eq.u32 %p0, %r0, 63; @%p0 st.shared.u32 [s], 1;"
    );
    let error = per_thread(SHARED, &code, 64, 2).unwrap_err();
    assert!(matches!(error.fault, Fault::Race { space: "shared", .. }), "{error}");
}

#[test]
fn equal_values_and_atomics_do_not_race() {
    let init = "setp.eq.u32 %p0, %r0, 0; @%p0 st.shared.u32 [s], 0; bar.sync 0;";
    per_thread(SHARED, "st.shared.u32 [s], 7;", 64, 2).unwrap();
    let added = format!(
        "{init} atom.shared.add.u32 %r1, [s], 1; bar.sync 0; ld.shared.u32 %r2, [s]; st.global.u32 [%out], %r2;"
    );
    assert_eq!(per_thread(SHARED, &added, 64, 2).unwrap(), [64; 64]);
    let mixed = format!("{init} atom.shared.add.u32 %r1, [s], 1; ld.shared.u32 %r2, [s];");
    assert!(matches!(per_thread(SHARED, &mixed, 64, 2).unwrap_err().fault, Fault::Race { .. }));
}

#[test]
fn global_races() {
    let first = "mov.u32 %r1, %tid.x; mul.wide.u32 %x1, %r1, 4; sub.u64 %x2, %out, %x1;";
    let fault =
        per_thread("", &format!("{first} st.global.u32 [%x2], %r1;"), 64, 0).unwrap_err().fault;
    assert!(matches!(fault, Fault::Race { space: "global", scope: "same block", .. }), "{fault}");
    per_thread("", &format!("{first} st.global.u32 [%x2], 5;"), 64, 0).unwrap();
    per_thread("", &format!("{first} red.global.add.u32 [%x2], 5;"), 64, 0).unwrap();
    let turns = "setp.eq.u32 %p0, %r1, 0; @%p0 st.global.u32 [%x2], 1; bar.sync 0; @!%p0 st.global.u32 [%x2], 2;";
    per_thread("", &format!("{first} {turns}"), 64, 0).unwrap();

    let module =
        Module::parse(&module("", "mov.u32 %r0, %ctaid.x; st.global.u32 [%a], %r0; ret;")).unwrap();
    let mut memory = DeviceMemory::new();
    let a = memory.alloc(4);
    let kernel = module.kernel("t").unwrap();
    let fault = kernel
        .launch([2, 1, 1], [1; 3], 0, &params(&[0, a, 0, 0, 0]), &mut memory, 0)
        .unwrap_err()
        .fault;
    assert!(
        matches!(fault, Fault::Race { space: "global", scope: "another block", .. }),
        "{fault}"
    );
}
