//! Grad-CAM of every network, and of one with batch normalisations.
//!
//! Parameters and pixels are those of `nets.rs`.

use vgg_cpu::{Config, Cpu, Isa};
use vgg_model::{Arch, Heatmap, Params, Role, Session, Vgg, VggConfig};
use vgg_tensor::{Backend, Result, Tensor};
use vgg_testkit::Golden;

use super::golden;
use super::nets::{LAYERS, Net, largest_error, nets, params};

/// A narrow `vgg11_bn`, whose running statistics are not those of new ones.
fn normed() -> Net {
    let [vgg11, ..] = nets();
    let config = VggConfig { batch_norm: true, input: [1, 64, 96], ..vgg11.config };
    Net { prefix: "vgg11-bn.".into(), config, images: 2, ..vgg11 }
}

/// With the generator's running statistics.
fn with_statistics(vgg: &Vgg, params: &Params) -> Result<Params> {
    let tensors = params.iter().map(|(name, tensor)| {
        let Some(spec) = vgg.state().iter().find(|spec| spec.name == name) else {
            return Ok((name.to_owned(), tensor.clone()));
        };
        let number = |c: usize| match spec.role {
            Role::RunningMean => ((c % 5) as f32 - 2.0) / 16.0,
            _ => 1.0 + (c % 3) as f32 / 8.0,
        };
        let numbers = (0..spec.content.len()).map(number).collect();
        Ok((name.to_owned(), Tensor::new(&*spec.dims, numbers)?))
    });
    Params::new(vgg, tensors.collect::<Result<Vec<_>>>()?)
}

/// The maps of a network's images, each of the class that the generator chose.
fn heatmaps<B: Backend>(net: &Net, backend: B, golden: &Golden) -> Result<Vec<Heatmap>> {
    let vgg = Vgg::new(&net.config)?;
    let params = with_statistics(&vgg, &params(&net.prefix, &vgg, golden)?)?;
    let classes = golden.bytes(&format!("{}classes", net.prefix));
    let classes: Vec<u32> = classes.iter().map(|class| u32::from(*class)).collect();
    let mut session = Session::new(backend, &vgg, &net.input(), params, net.images)?;
    session.grad_cam(&net.pixels(), &classes)
}

#[expect(clippy::print_stdout, reason = "how near it is, for whoever asks with --nocapture")]
pub(super) fn check_all<B: Backend>(make: impl Fn() -> B, error: f64) -> Result<()> {
    let golden = golden("grad_cam");
    for net in nets().into_iter().chain([normed()]) {
        let name = format!("{}maps", net.prefix);
        let maps = heatmaps(&net, make(), &golden)?;
        let dims = [maps.len(), maps[0].height, maps[0].width];
        assert_eq!(dims, golden.dims(&name), "{name}");
        let values: Vec<f32> = maps.into_iter().flat_map(|map| map.values).collect();
        let off = largest_error(&values, golden.numbers(&name));
        assert!(off <= LAYERS * error, "{name} are off by {off:e}");
        println!("{name} are off by {off:.1e}");
    }
    Ok(())
}

#[test]
fn heatmaps_do_not_depend_on_the_number_of_threads() -> Result<()> {
    let golden = golden("grad_cam");
    let of_some_arch = |net: &Net| [Arch::Vgg11, Arch::AlexNet].contains(&net.config.arch);
    for net in nets().into_iter().filter(of_some_arch) {
        for isa in Isa::available() {
            let on = |threads| {
                let cpu = Cpu::new(Config {
                    threads: Some(threads),
                    isa: Some(isa),
                    ..Config::default()
                })?;
                heatmaps(&net, cpu, &golden)
            };
            let one = on(1)?;
            for threads in [2, 3, 7] {
                assert_eq!(on(threads)?, one, "{} on {isa} and {threads} threads", net.prefix);
            }
        }
    }
    Ok(())
}
