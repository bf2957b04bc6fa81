//! Every backend against the reference.

use vgg_cpu::{Config, Cpu, Isa};
use vgg_cuda::Precision;
use vgg_testkit::conformance::check_same_bits;
use vgg_testkit::{Arithmetic, Reference, conformance};

use crate::simulated::cuda;

/// The CPU with its portable code (0), AVX2 or NEON (1) or AVX-512 (2), where this machine has it.
fn cpu_of(isa: usize, threads: usize, precision: vgg_cpu::Precision) -> Option<Cpu> {
    let isa = *Isa::available().get(isa)?;
    let config = Config { threads: Some(threads), isa: Some(isa), precision };
    Some(Cpu::new(config).expect("threads start"))
}

fn cpu(isa: usize, threads: usize) -> Option<Cpu> {
    cpu_of(isa, threads, vgg_cpu::Precision::F32)
}

/// Where the machine has no instructions for it, as those compute it.
fn cpu_bf16(isa: usize, threads: usize) -> Option<Cpu> {
    cpu_of(isa, threads, vgg_cpu::Precision::Bf16)
}

conformance!(reference_f32, |_| Some(Reference::<f32>::new()));

conformance!(cuda_f32, |test| cuda(Precision::F32, test));
conformance!(cuda_tf32, |test| cuda(Precision::Tf32, test), Arithmetic::Tf32);
conformance!(cuda_bf16, |test| cuda(Precision::Bf16, test), Arithmetic::Bf16);
conformance!(cuda_f16, |test| cuda(Precision::F16, test), Arithmetic::F16);

conformance!(cpu_portable_1, |_| cpu(0, 1));
conformance!(cpu_portable_3, |_| cpu(0, 3));
conformance!(cpu_simd_1, |_| cpu(1, 1));
conformance!(cpu_simd_2, |_| cpu(1, 2));
conformance!(cpu_simd_7, |_| cpu(1, 7));
conformance!(cpu_avx512_1, |_| cpu(2, 1));
conformance!(cpu_avx512_2, |_| cpu(2, 2));
conformance!(cpu_avx512_7, |_| cpu(2, 7));
conformance!(cpu_bf16_portable_2, |_| cpu_bf16(0, 2), Arithmetic::WinogradBf16);
conformance!(cpu_bf16_simd_1, |_| cpu_bf16(1, 1), Arithmetic::WinogradBf16);
conformance!(cpu_bf16_avx512_2, |_| cpu_bf16(2, 2), Arithmetic::WinogradBf16);

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    for isa in 0..Isa::available().len() {
        for threads in [2, 3, 7] {
            for cpu in [cpu, cpu_bf16] {
                if let (Some(mut one), Some(mut more)) = (cpu(isa, 1), cpu(isa, threads)) {
                    check_same_bits(&mut one, &mut more);
                }
            }
        }
    }
}
