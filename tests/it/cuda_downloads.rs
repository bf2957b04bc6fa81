//! Downloads from CUDA: they are of their moment, and large ones are made beside other work.

use vgg_cuda::{Config, Cuda, Landing};
use vgg_tensor::spec::WeightType;
use vgg_tensor::{Backend, Content, Download as _, Result};

use crate::simulated::{has_cuda, has_gpu, make};

/// Half a megabyte: large.
const WEIGHT: Content =
    Content::LinearWeight { out_features: 64, c: 2048, h: 1, w: 1, weight_type: WeightType::F32 };

const BIAS: Content = Content::Vector(64);

/// Starts a download of a buffer of `number`s, changes and frees the buffer, and waits for that.
fn download(cuda: &mut Cuda, content: Content, number: f32) -> Result<Landing> {
    let mut buffer = cuda.alloc(content)?;
    cuda.upload(content, &vec![number; content.len()], &mut buffer)?;
    let arriving = cuda.start_download(content, &buffer)?;
    cuda.upload(content, &vec![-1.0; content.len()], &mut buffer)?;
    drop(buffer);
    let last = cuda.alloc(BIAS)?;
    cuda.download(BIAS, &last, &mut [0.0; BIAS.len()])?;
    Ok(arriving)
}

/// So many downloads. For each, whether it was done when the work that was ordered after it was.
fn downloads(cuda: &mut Cuda, content: Content, n: usize) -> Result<Vec<bool>> {
    let mut done = Vec::new();
    let mut kept = Vec::new();
    for i in 0..n {
        let arriving = download(cuda, content, i as f32)?;
        done.push(arriving.is_done());
        // Some are wanted at once, some later, some not at all.
        match i % 3 {
            0 => assert_eq!(arriving.wait()?, vec![i as f32; content.len()]),
            1 => kept.push((i, arriving)),
            _ => {}
        }
    }
    for (i, arriving) in kept {
        assert_eq!(arriving.wait()?, vec![i as f32; content.len()]);
    }
    Ok(done)
}

fn is_simulated(cuda: &Cuda) -> bool {
    cuda.describe().contains("Simulated")
}

#[test]
fn large_downloads_are_of_their_moment_and_beside_what_follows() -> Result<()> {
    let test =
        concat!(module_path!(), "::large_downloads_are_of_their_moment_and_beside_what_follows");
    if has_cuda(test) {
        let mut cuda = make(Config::default());
        let done = downloads(&mut cuda, WEIGHT, 24)?;
        // Which is faster on a real one is left open.
        if is_simulated(&cuda) {
            assert!(done.contains(&false), "what follows waits for downloads");
        }
    }
    Ok(())
}

#[test]
fn small_downloads_are_done_before_what_follows() -> Result<()> {
    if has_cuda(concat!(module_path!(), "::small_downloads_are_done_before_what_follows")) {
        assert_eq!(downloads(&mut make(Config::default()), BIAS, 12)?, [true; 12]);
    }
    Ok(())
}

/// What a copy within the device would take stays for others.
#[test]
fn downloads_take_no_memory_where_it_is_scarce() -> Result<()> {
    let test = concat!(module_path!(), "::downloads_take_no_memory_where_it_is_scarce");
    if has_gpu(test, &[("VGG_SIMULATED_MEMORY", "40000000")]) {
        let mut cuda = make(Config::default());
        if is_simulated(&cuda) {
            // Room for the buffer, a copy, and not quite as much again.
            let free = cuda.free_memory().expect("a device has memory of its own") as usize;
            let _taken = cuda.alloc(Content::Bytes(free - 4 * WEIGHT.len() * 5 / 2))?;
            assert_eq!(downloads(&mut cuda, WEIGHT, 12)?, [true; 12]);
        }
    }
    Ok(())
}
