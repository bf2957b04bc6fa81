//! What the parser refuses, with its line.

use vgg_ptx::{Module, ParseError};

use crate::harness::{CODE_LINE, module};

fn error(code: &str) -> ParseError {
    Module::parse(&module("", &format!("\n{code}\nret;"))).unwrap_err()
}

#[test]
fn errors_have_line_and_reason() {
    for (code, message) in [
        ("frob.u32 %r1, %r2;", "unsupported instruction `frob.u32`"),
        ("add.cc.u32 %r1, %r2, %r3;", "unsupported modifier `.cc` in `add.cc.u32`"),
        ("add.u32 %r1, %r2;", "`add` takes 2 operands behind the result, found 1"),
        ("add.u32 %r1, %r2, %r99;", "unknown register `%r99`"),
        ("add.u32 %r1, %r2, 1.5;", "expected a number, found \"1.5\""),
        ("add.u32 1, %r2, %r3;", "`add.u32` wants a register as its next operand"),
        ("ld.global.v4.f32 %r1, [%a];", "4 registers wanted, found 1"),
        (
            "ld.global.u32 %r1, %a;",
            "`ld.global.u32` wants an address in brackets as its next operand",
        ),
        ("add.rz.f64 %x1, %x2, %x3;", "Add of f64 is supported with .rn only"),
        ("popc.f32 %r1, %r2;", "Popc does not exist for F32"),
        ("mov.u32 %r1, %r2, %r3;", "too many operands for `mov.u32`"),
        ("setp.frob.u32 %p1, %r2, %r3;", "`setp.frob.u32` has no known comparison"),
        ("mov.b64 %x1, {%x2};", "B64 has no 1 parts"),
        ("set.eq.f16.f32 %r1, %r2, %r3;", "set gives u32, s32 or f32, not F16"),
        (
            "mma.sync.aligned.m16n8k32.row.col.f32.bf16.bf16.f32 {%r1}, {%r1}, {%r1}, {%r1};",
            "unsupported instruction `mma.sync.aligned.m16n8k32.row.col.f32.bf16.bf16.f32`",
        ),
        (
            "mma.sync.aligned.m16n8k8.row.row.f32.bf16.bf16.f32 {%r1}, {%r1}, {%r1}, {%r1};",
            "unsupported instruction `mma.sync.aligned.m16n8k8.row.row.f32.bf16.bf16.f32`",
        ),
        (
            "mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 {%r1}, {%r1}, {%r1}, {%r1};",
            "2 registers wanted, found 1",
        ),
        ("bra NOWHERE;", "unknown label `NOWHERE`"),
        ("call nobody;", "unknown function `nobody`"),
        ("@%q bra X;", "unknown predicate `%q`"),
        ("mov.u32 %r1 %r2;", "expected `,`, found `%r2`"),
        (".shared .b8 s[;", "expected a number, found `;`"),
        (".local .f80 s;", "unknown type `.f80`"),
    ] {
        assert_eq!(
            error(code),
            ParseError { line: CODE_LINE + 1, message: message.into() },
            "{code}"
        );
    }
}

#[test]
fn modules() {
    let refused = |text: &str| Module::parse(text).unwrap_err().to_string();
    assert_eq!(refused(".address_size 32"), "PTX line 1: only 64-bit addresses are supported");
    assert_eq!(refused("\nfrob"), "PTX line 2: expected a declaration, found `frob`");
    assert_eq!(refused(".entry k() {\n ret;"), "PTX line 2: expected `}`, found the end");
    assert_eq!(refused(".global .b8 g[2] = {1, 2,\n 3};"), "PTX line 2: more values than elements");
    let declared = ".extern .func f();\n.entry k() {\n call f; ret; }";
    assert_eq!(refused(declared), "PTX line 3: call of `f`, which has no body here");
    assert_eq!(refused(".entry k() { X: X: ret; }"), "PTX line 1: label `X` is defined twice");
}

#[test]
fn kernels_and_their_parameters() {
    let text = ".visible .entry a(.param .u8 x, .param .u64 .ptr .global .align 16 y, .param .align 4 .b8 z[12])\n\
                .maxntid 128, 1, 1 { .pragma \"nounroll\"; .loc 1 2 3\n ret; }\n.weak .entry b() { exit; }";
    let module = Module::parse(text).unwrap();
    assert_eq!(module.kernels().collect::<Vec<_>>(), ["a", "b"]);
    let kernel = module.kernel("a").unwrap();
    assert_eq!(kernel.params().collect::<Vec<_>>(), [(0, 1), (8, 8), (16, 12)]);
    assert_eq!(kernel.param_bytes(), 28);
    assert!(module.kernel("c").is_none());
}
