//! Running a few lines of PTX.

use vgg_ptx::{DeviceMemory, LaunchError, Module};

/// A module of one kernel `t` that takes the address `%out` and four 64-bit values `%a` to `%d`.
pub(crate) fn module(variables: &str, code: &str) -> String {
    format!(
        ".version 8.0\n.target sm_75\n.address_size 64\n{variables}\n\
         .visible .entry t(.param .u64 out, .param .u64 a, .param .u64 b, .param .u64 c, .param .u64 d) {{\n\
         .reg .b64 %out, %a, %b, %c, %d, %o, %x<8>; .reg .b32 %r<8>; .reg .pred %p<4>; .reg .b16 %h<4>;\n\
         ld.param.u64 %out, [out]; ld.param.u64 %a, [a]; ld.param.u64 %b, [b]; ld.param.u64 %c, [c]; ld.param.u64 %d, [d];\n\
         {code}\n}}\n"
    )
}

/// Line of the first line of `code` in [`module`] with one line of variables.
pub(crate) const CODE_LINE: u32 = 8;

pub(crate) fn params(values: &[u64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// One thread executes `code`, which leaves its result in `%o`.
pub(crate) fn eval(code: &str, args: [u64; 4]) -> u64 {
    let text = module("", &format!("{code}\nst.global.u64 [%out], %o; ret;"));
    let module = Module::parse(&text).unwrap_or_else(|error| panic!("{code}: {error}"));
    let mut memory = DeviceMemory::new();
    let out = memory.alloc(8);
    let [a, b, c, d] = args;
    let kernel = module.kernel("t").unwrap();
    kernel.launch([1; 3], [1; 3], 0, &params(&[out, a, b, c, d]), &mut memory, 0).unwrap();
    u64::from_le_bytes(memory.download(out, 8).unwrap().try_into().unwrap())
}

/// Instructions with operands and the low bits of the result.
pub(crate) fn table(bits: u32, rows: &[(&str, [u64; 4], u64)]) {
    let mask = u64::MAX >> (64 - bits);
    for &(code, args, expected) in rows {
        let got = eval(code, args) & mask;
        let expected = expected & mask;
        assert_eq!(got, expected, "{code} of {args:x?}: {got:#x} instead of {expected:#x}");
    }
}

/// Each thread writes a 32-bit word to `out[tid]`; code finds that address in `%out`.
pub(crate) fn per_thread(
    variables: &str,
    code: &str,
    threads: u32,
    seed: u64,
) -> Result<Vec<u32>, LaunchError> {
    let prologue = "mov.u32 %r0, %tid.x; mul.wide.u32 %x0, %r0, 4; add.u64 %out, %out, %x0;";
    let text = module(variables, &format!("{prologue} {code}\nret;"));
    let module = Module::parse(&text).unwrap_or_else(|error| panic!("{code}: {error}"));
    let mut memory = DeviceMemory::new();
    let out = memory.upload(&vec![0; threads as usize * 4]);
    let kernel = module.kernel("t").unwrap();
    kernel.launch([1; 3], [threads, 1, 1], 0, &params(&[out, 0, 0, 0, 0]), &mut memory, seed)?;
    Ok(words(&memory.download(out, threads as usize * 4).unwrap()))
}

pub(crate) fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect()
}

pub(crate) fn floats(bytes: &[u8]) -> Vec<f32> {
    words(bytes).into_iter().map(f32::from_bits).collect()
}

pub(crate) fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}
