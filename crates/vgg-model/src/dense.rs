//! Networks on whole images: every fully connected layer as a convolution.

use vgg_tensor::{Error, Result};

use crate::sequential::AVG_POOL;
use crate::{Layer, Params, Vgg, VggConfig};

impl Vgg {
    /// The same network, applied to all of an image of `h` × `w` pixels: the first fully connected
    /// layer becomes a convolution whose kernel is the maps it takes, the others become 1×1
    /// convolutions, and the class scores are averaged over all places (Simonyan & Zisserman 2014,
    /// section 3.2). At the network's own size it computes what the network does.
    ///
    /// Its parameters are the same numbers in other shapes: [`Params::for_network`].
    ///
    /// # Errors
    /// [`Error::Shape`] if the image is smaller than the network's own, or the first fully connected
    /// layer takes maps that are not square.
    ///
    /// ```
    /// use vgg_model::{Vgg, VggConfig};
    /// let dense = Vgg::new(&VggConfig::default())?.dense([384, 512])?;
    /// assert_eq!(dense.param_count(), 132_863_336);
    /// assert_eq!(dense.params()[16].dims, [4096, 512, 7, 7]);
    /// # Ok::<(), vgg_model::Error>(())
    /// ```
    pub fn dense(&self, size: [usize; 2]) -> Result<Vgg> {
        self.dense_to(self.layers().len(), size)?.averaged()
    }

    /// The same network, applied to all of an image of `h` × `w` pixels as by [`Vgg::dense`], without the
    /// average: what comes out are maps of `outputs` channels, a place for each window of the network's own
    /// size, [`Vgg::stride`] pixels apart. (Near a window's edges the convolutions see what is beside it,
    /// where the network itself sees zeros.)
    ///
    /// # Errors
    /// As [`Vgg::dense`].
    ///
    /// ```
    /// use vgg_model::{Vgg, VggConfig};
    /// let vgg = Vgg::new(&VggConfig::default())?;
    /// let output = vgg.places([288, 256])?.output();
    /// assert_eq!((output.c, output.h, output.w, vgg.stride()), (1000, 3, 2, 32));
    /// # Ok::<(), vgg_model::Error>(())
    /// ```
    pub fn places(&self, size: [usize; 2]) -> Result<Vgg> {
        self.dense_to(self.layers().len(), size)
    }

    /// Pixels of the input from a place of the last convolution's maps, pooled, to the next one.
    pub fn stride(&self) -> usize {
        let of = |(i, layer): (usize, &Layer)| match layer {
            Layer::Conv2d { stride, .. } | Layer::MaxPool2d { stride, .. } => *stride,
            Layer::AvgPool2d { name, h, .. } if name != AVG_POOL => self.layer_inputs()[i].h / h,
            _ => 1,
        };
        self.layers().iter().enumerate().map(of).product()
    }

    /// The network up to a layer with its ReLU, applied to all of an image and averaged over all
    /// places: the descriptors of the paper's appendix B are those of `fc7`.
    ///
    /// `layer` is a name in this network, as `classifier.3`, or the paper's: `conv3_1`, `fc7`.
    ///
    /// # Errors
    /// As [`Vgg::dense`], and if there is no such layer.
    ///
    /// ```
    /// use vgg_model::{Vgg, VggConfig};
    /// let features = Vgg::new(&VggConfig::default())?.features("fc7", [224, 224])?;
    /// assert_eq!(features.outputs(), 4096);
    /// # Ok::<(), vgg_model::Error>(())
    /// ```
    pub fn features(&self, layer: &str, size: [usize; 2]) -> Result<Vgg> {
        let names = self.paper_names();
        let is_it = |(own, paper): &(&Layer, String)| {
            own.name() == layer || paper == layer && !paper.is_empty()
        };
        let Some(last) = self.layers().iter().zip(names.clone()).position(|both| is_it(&both))
        else {
            let mut known: Vec<String> =
                names.into_iter().filter(|name| !name.is_empty()).collect();
            known.dedup();
            let message = format!("there is no layer {layer}; there are {}", known.join(", "));
            return Err(Error::Shape(message));
        };
        let after = self.layers()[last + 1..].iter();
        let parts = after.take_while(|layer| layer.is_of_sums()).count();
        self.dense_to(last + 1 + parts, size)?.averaged()
    }

    /// The same network, averaged over all places in the end.
    fn averaged(self) -> Result<Vgg> {
        let mut layers = self.layers().to_vec();
        layers.push(Layer::AvgPool2d { name: "average".into(), h: 1, w: 1 });
        Vgg::from_layers(self.config().clone(), layers)
    }

    /// The first `count` layers, densely.
    fn dense_to(&self, count: usize, [h, w]: [usize; 2]) -> Result<Vgg> {
        let [channels, own_h, own_w] = self.config().input;
        if h < own_h || w < own_w {
            let message = format!("{h}×{w} is smaller than the network's images, {own_h}×{own_w}");
            return Err(Error::Shape(message));
        }
        let config = VggConfig { input: [channels, h, w], ..self.config().clone() };
        let mut layers = Vec::new();
        let mut flattened = false;
        for (i, layer) in self.layers()[..count].iter().enumerate() {
            match layer {
                // It is there to give the first fully connected layer its one size: smaller maps are
                // enlarged to it.
                Layer::AvgPool2d { name, h, w } if name == AVG_POOL => {
                    let x = Vgg::from_layers(config.clone(), layers.clone())?.output();
                    if x.h < *h || x.w < *w {
                        let (name, h, w) = (name.clone(), x.h.max(*h), x.w.max(*w));
                        layers.push(Layer::AvgPool2d { name, h, w });
                    }
                }
                // Others have windows of one size, however many.
                Layer::AvgPool2d { name, h, w } => {
                    let x = Vgg::from_layers(config.clone(), layers.clone())?.output();
                    let own = self.layer_inputs()[i];
                    let [down, across] = [own.h / h, own.w / w];
                    if x.h % down != 0 || x.w % across != 0 {
                        let multiple = self.stride();
                        return Err(Error::Shape(format!(
                            "the average pools of {} take images whose sides are multiples of {multiple}",
                            config.arch
                        )));
                    }
                    let (name, h, w) = (name.clone(), x.h / down, x.w / across);
                    layers.push(Layer::AvgPool2d { name, h, w });
                }
                Layer::Linear { name, out_features, relu } => {
                    let kernel = if flattened { 1 } else { self.side(i)? };
                    flattened = true;
                    layers.push(Layer::Conv2d {
                        name: name.clone(),
                        c_out: *out_features,
                        kernel,
                        stride: 1,
                        padding: 0,
                        relu: *relu,
                    });
                }
                other => layers.push(other.clone()),
            }
        }
        Vgg::from_layers(config, layers)
    }

    /// The side of the maps that a layer takes.
    fn side(&self, i: usize) -> Result<usize> {
        let x = self.layer_inputs()[i];
        if x.h != x.w {
            let message =
                format!("it takes maps of {}×{}, where a dense network's are square", x.h, x.w);
            return Err(Error::Shape(message).in_layer(self.layers()[i].name()));
        }
        Ok(x.h)
    }

    /// What the paper's authors call each layer; empty for those without a name.
    fn paper_names(&self) -> Vec<String> {
        let (mut block, mut conv, mut linear) = (1, 0, 5);
        let name = |layer: &Layer| match layer {
            Layer::Conv2d { .. } => {
                conv += 1;
                format!("conv{block}_{conv}")
            }
            Layer::MaxPool2d { .. } => {
                block += 1;
                conv = 0;
                format!("pool{}", block - 1)
            }
            Layer::Linear { .. } => {
                linear += 1;
                format!("fc{linear}")
            }
            _ => String::new(),
        };
        self.layers().iter().map(name).collect()
    }
}

impl Params {
    /// Those of a network made of this one, as by [`Vgg::dense`]: the same numbers by their names, in
    /// its shapes.
    ///
    /// # Errors
    /// [`Error::Shape`] if a parameter is missing or has another number of numbers.
    pub fn for_network(&self, vgg: &Vgg) -> Result<Params> {
        let tensors = vgg.tensors().filter_map(|spec| {
            let tensor = self.get(&spec.name)?;
            let shaped = tensor.try_clone().and_then(|tensor| tensor.reshaped(spec.dims.clone()));
            Some(shaped.map(|tensor| (spec.name.clone(), tensor)))
        });
        Params::new(vgg, tensors.collect::<Result<Vec<_>>>()?)
    }
}

#[cfg(test)]
mod tests {
    use vgg_tensor::Shape;
    use vgg_testkit::Reference;

    use super::*;
    use crate::{Arch, Init, Input, Session, WeightInit};

    fn network(avg_pool: Option<usize>) -> (Vgg, Params) {
        network_of(VggConfig { avg_pool, ..VggConfig::default() })
    }

    fn network_of(config: VggConfig) -> (Vgg, Params) {
        let config =
            VggConfig { width: 0.05, input: [1, 64, 64], classes: 7, fc_width: 12, ..config };
        let vgg = Vgg::new(&config).unwrap();
        let init = Init { weights: WeightInit::KaimingNormal, ..Init::default() };
        let params = Params::init(&vgg, &init, 5).unwrap();
        (vgg, params)
    }

    fn logits(vgg: &Vgg, params: &Params, [h, w]: [usize; 2]) -> Vec<f32> {
        let pixels: Vec<u8> = (0..2 * h * w).map(|i| (i * 37 % 251) as u8).collect();
        let params = params.for_network(vgg).unwrap();
        let input = Input::unnormalized(1, h, w);
        let mut session = Session::new(Reference::<f32>::new(), vgg, &input, params, 2).unwrap();
        session.logits(&pixels).unwrap()
    }

    fn assert_near(a: &[f32], b: &[f32]) {
        assert_eq!(a.len(), b.len());
        let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-5 * b.abs().max(1.0);
        assert!(a.iter().zip(b).all(near), "{a:?} instead of {b:?}");
    }

    #[test]
    fn at_its_own_size_a_dense_network_is_the_network() {
        let normed = VggConfig { batch_norm: true, ..VggConfig::default() };
        let networks = [network(None), network(Some(2)), network(Some(7)), network_of(normed)];
        for (vgg, params) in networks {
            let dense = vgg.dense([64, 64]).unwrap();
            let expected = logits(&vgg, &params, [64, 64]);
            assert_near(&logits(&dense, &params, [64, 64]), &expected);
            assert_eq!(dense.param_count(), vgg.param_count());
        }
    }

    #[test]
    fn the_scores_of_a_dense_network_are_the_means_over_its_places() {
        let (vgg, params) = network(None);
        let (places, dense) = (vgg.places([128, 96]).unwrap(), vgg.dense([128, 96]).unwrap());
        assert_eq!((places.output(), vgg.stride()), (Shape::new(1, 7, 3, 2), 32));
        let of_places = logits(&places, &params, [128, 96]);
        assert_eq!(of_places.len(), 2 * 7 * 6);
        let mean = |places: &[f32]| places.iter().sum::<f32>() / 6.0;
        let means: Vec<f32> = of_places.chunks(6).map(mean).collect();
        assert_near(&means, &logits(&dense, &params, [128, 96]));
    }

    /// Five pools make 4×3 maps of 128×96 pixels, over which a kernel of 2×2 has 3×2 places: their
    /// scores are those of the maps that the plain head would have been given there.
    #[test]
    fn scores_are_averages_over_places() {
        let (vgg, params) = network(None);
        let dense = vgg.dense([128, 96]).unwrap();
        let scores = logits(&dense, &params, [128, 96]);
        // The same maps, through a network that stops before the head.
        let maps = Vgg::from_layers(
            VggConfig { input: [1, 128, 96], ..vgg.config().clone() },
            dense
                .layers()
                .iter()
                .take_while(|l| l.name().starts_with("features"))
                .cloned()
                .collect(),
        );
        let maps = logits(&maps.unwrap(), &params, [128, 96]);
        let c = maps.len() / (2 * 4 * 3);
        let head = |window: &[f32]| {
            let mut x = window.to_vec();
            for (layer, relu) in
                [("classifier.0", true), ("classifier.3", true), ("classifier.6", false)]
            {
                let weight = params.get(&format!("{layer}.weight")).unwrap();
                let bias = params.get(&format!("{layer}.bias")).unwrap();
                x = weight
                    .data()
                    .chunks(x.len())
                    .zip(bias.data())
                    .map(|(row, bias)| row.iter().zip(&x).map(|(w, x)| w * x).sum::<f32>() + bias)
                    .map(|sum| if relu { sum.max(0.0) } else { sum })
                    .collect();
            }
            x
        };
        for image in 0..2 {
            let mut expected = [0.0; 7];
            for (top, left) in (0..3).flat_map(|top| (0..2).map(move |left| (top, left))) {
                let mut window = Vec::new();
                for (channel, i, j) in (0..c * 4).map(|i| (i / 4, i / 2 % 2, i % 2)) {
                    let row = ((image * c + channel) * 4 + top + i) * 3;
                    window.push(maps[row + left + j]);
                }
                for (sum, score) in expected.iter_mut().zip(head(&window)) {
                    *sum += score / 6.0;
                }
            }
            assert_near(&scores[7 * image..][..7], &expected);
        }
    }

    #[test]
    fn features_stop_at_a_layer() {
        let (vgg, params) = network(None);
        let features = vgg.features("fc7", [64, 64]).unwrap();
        assert_eq!(features.outputs(), 12);
        assert_eq!(
            features.layers().len(),
            vgg.features("classifier.3", [64, 64]).unwrap().layers().len()
        );
        let numbers = logits(&features, &params, [64, 64]);
        assert!(numbers.iter().all(|x| *x >= 0.0) && numbers.iter().any(|x| *x > 0.0));
        let early = vgg.features("conv3_1", [96, 80]).unwrap();
        assert_eq!(early.outputs(), 13);
        assert_eq!(early.params().last().unwrap().name, "features.6.bias");
        // A convolution comes with its normalisation and ReLU.
        let (normed, params) = network_of(VggConfig { batch_norm: true, ..VggConfig::default() });
        let early = normed.features("conv2_1", [64, 64]).unwrap();
        assert!(logits(&early, &params, [64, 64]).iter().all(|x| *x >= 0.0));
        let message = vgg.features("fc9", [64, 64]).unwrap_err().to_string();
        assert!(message.starts_with("there is no layer fc9; there are conv1_1, pool1, conv2_1"));
    }

    #[test]
    fn what_is_not_dense_is_refused() {
        let (vgg, params) = network(None);
        let message = vgg.dense([64, 63]).unwrap_err().to_string();
        assert_eq!(message, "64×63 is smaller than the network's images, 64×64");
        let oblong = VggConfig { input: [1, 64, 96], ..vgg.config().clone() };
        let message = Vgg::new(&oblong).unwrap().dense([64, 96]).unwrap_err().to_string();
        assert_eq!(
            message,
            "classifier.0: it takes maps of 2×3, where a dense network's are square"
        );
        let wide = VggConfig { fc_width: 13, ..vgg.config().clone() };
        assert!(params.for_network(&Vgg::new(&wide).unwrap()).is_err());
        // A baseline has a dense form, too.
        let alexnet =
            VggConfig { arch: Arch::AlexNet, input: [1, 224, 224], ..vgg.config().clone() };
        assert!(Vgg::new(&alexnet).unwrap().dense([256, 256]).is_ok());
    }
}
