//! The committed PTX of the CUDA kernels, run by the interpreter.

use vgg_ptx::{DeviceMemory, Module};

#[test]
fn every_module_has_its_kernels() {
    for module in vgg_kernels::MODULES {
        let parsed = Module::parse(module.ptx).unwrap_or_else(|e| panic!("{}: {e}", module.name));
        for kernel in module.kernels {
            assert!(parsed.kernel(kernel).is_some(), "{kernel} of {}", module.name);
        }
    }
}

#[test]
fn sgd_is_the_host_s_arithmetic() {
    const SETTINGS: [f32; 3] = [0.05, 0.9, 5e-4];
    let module = vgg_kernels::MODULES.iter().find(|module| module.name == "sgd").unwrap();
    let module = Module::parse(module.ptx).unwrap();
    let kernel = module.kernel("sgd_f32").unwrap();
    let numbers = |len: usize, seed: usize| -> Vec<f32> {
        (0..len).map(|i| ((i * seed) % 101) as f32 / 37.0 - 1.3).collect()
    };
    // Whole vectors and rests, one block and several.
    for (len, blocks) in [(1, 1), (7, 1), (1024, 1), (5003, 2)] {
        for (with_velocity, nesterov) in [(false, false), (true, false), (true, true)] {
            let [w, dw, v] = [7, 11, 13].map(|seed| numbers(len, seed));
            let mut memory = DeviceMemory::new();
            let [w_at, dw_at, v_at] =
                [&w, &dw, &v].map(|numbers| memory.upload(bytemuck::cast_slice(numbers)));
            let v_at = if with_velocity { v_at } else { 0 };
            let mut params = Vec::new();
            for word in [w_at, dw_at, v_at, len as u64] {
                params.extend(word.to_le_bytes());
            }
            params.extend(SETTINGS.iter().flat_map(|x| x.to_le_bytes()));
            params.extend(u32::from(nesterov).to_le_bytes());
            let block = [vgg_kernels::BLOCK, 1, 1];
            kernel.launch([blocks, 1, 1], block, 0, &params, &mut memory, 1).unwrap();

            let [lr, momentum, decay] = SETTINGS;
            let (mut expected_w, mut expected_v) = (w, v);
            for ((w, dw), v) in expected_w.iter_mut().zip(dw).zip(&mut expected_v) {
                let mut g = decay.mul_add(*w, dw);
                if with_velocity {
                    *v = momentum.mul_add(*v, g);
                    g = if nesterov { momentum.mul_add(*v, g) } else { *v };
                }
                *w = (-lr).mul_add(g, *w);
            }
            let read = |at: u64| -> Vec<f32> {
                let bytes = memory.download(at, 4 * len).unwrap();
                bytes.chunks_exact(4).map(bytemuck::pod_read_unaligned).collect()
            };
            assert_eq!(read(w_at), expected_w, "{len} numbers, nesterov {nesterov}");
            if with_velocity {
                assert_eq!(read(v_at), expected_v, "{len} numbers, nesterov {nesterov}");
            }
        }
    }
}
