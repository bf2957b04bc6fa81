//! Why a file's tensors are not a network's: what differs, and what is likely behind it.

use vgg_tensor::Content;

use super::body;
use super::contents::Faulty;
use super::convention::{Convention, KernelLayout, Names};
use super::source::Located;
use super::tensor_name::{canonical, layer_of};
use super::{WeightFile, is_conv_weight};
use crate::{ParamSpec, Vgg};

/// A tensor that has another shape than the parameter it is for.
pub(super) fn shape(
    vgg: &Vgg,
    spec: &ParamSpec,
    tensor: &Located,
    convention: &Convention,
) -> String {
    let (name, found, dims) = (&tensor.name, &tensor.dims, &spec.dims);
    let cause = cause_of_shape(vgg, spec, found, convention);
    format!("{name} is {found:?}, but {dims:?} in the network: {cause}")
}

/// What is said of a fully connected weight whose dimensions are those of its transpose.
pub(super) const TRANSPOSED: &str = "it seems to be transposed, inputs by outputs";

fn cause_of_shape(vgg: &Vgg, spec: &ParamSpec, found: &[usize], convention: &Convention) -> String {
    let other = match convention.kernels {
        KernelLayout::Oihw => KernelLayout::Hwio,
        KernelLayout::Hwio => KernelLayout::Oihw,
    };
    if (Convention { kernels: other, ..*convention }).layout(spec, found).is_some() {
        return format!("its kernels are ordered {other:?}, not {:?}", convention.kernels);
    }
    let weights = || vgg.params().iter().filter(|spec| !matches!(spec.content, Content::Vector(_)));
    let is_first = |mut of_kind: Box<dyn Iterator<Item = &ParamSpec> + '_>| {
        of_kind.next().is_some_and(|first| first.name == spec.name)
    };
    let expected = match spec.content {
        Content::ConvWeight { c_out, c_in, .. } => (c_out, c_in),
        Content::LinearWeight { out_features, c, h, w, .. } => (out_features, c * h * w),
        _ => (spec.dims[0], 1),
    };
    let found = match convention.outputs_and_inputs(spec, found) {
        Some(found) => found,
        None => (found.first().copied().unwrap_or(1), 1),
    };
    let last_layer = weights().next_back().and_then(|last| last.name.strip_suffix("weight"));
    let is_last = last_layer.is_some_and(|layer| spec.name.starts_with(layer));
    let is_linear = matches!(spec.content, Content::LinearWeight { .. });
    // How many classes the last layer tells apart may be of the file itself.
    if is_linear
        && found.0 == expected.1
        && (found.0 != expected.0 || is_last && found.1 != expected.1)
    {
        return TRANSPOSED.into();
    }
    if is_last && found.1 == expected.1 {
        return match (found.0, expected.0) {
            (1, network) => format!("the file's network has one output, this one {network}"),
            (file, network) => {
                format!("the file's network tells {file} classes apart, this one {network}")
            }
        };
    }
    if is_first(Box::new(weights())) && found.1 != expected.1 {
        let (file, network) = (found.1, expected.1);
        return format!("the file's network takes images of {file} channels, this one {network}");
    }
    if is_first(Box::new(weights().filter(|spec| !is_conv_weight(spec)))) && found.1 != expected.1 {
        if let Content::LinearWeight { c, h, w, .. } = spec.content
            && let Some(side) = (1..=64).find(|side| c * side * side == found.1)
        {
            return format!(
                "the file's network has last maps of {side}×{side}, this one of {h}×{w}: it takes \
                 images of another size, or pools them, as model.avg_pool = {side} does"
            );
        }
        return "the file's network has another input size or width".into();
    }
    if found.0 != expected.0 {
        let is_in_head = body::linear_layers(vgg).contains(&layer_of(&spec.name));
        let what = if is_in_head { "width of hidden layers" } else { "width" };
        return format!("the file's network has another {what}");
    }
    "the file is of another network".into()
}

/// A parameter that the file does not have.
pub(super) fn missing(file: &WeightFile, vgg: &Vgg, name: &str, convention: &Convention) -> String {
    let wanted = canonical(name);
    let is_it = |(found, _): &&Faulty| canonical(found).ends_with(&wanted);
    match file.contents.faulty.iter().find(is_it) {
        Some((_, reason)) => reason.clone(),
        None => format!("{name} is missing: {}", cause_of_names(file, vgg, convention)),
    }
}

/// A tensor that is no parameter of the network.
pub(super) fn extra(
    file: &WeightFile,
    vgg: &Vgg,
    tensor: &Located,
    convention: &Convention,
) -> String {
    let cause = cause_of_names(file, vgg, convention);
    format!("{} {:?} is not a parameter of the network: {cause}", tensor.name, tensor.dims)
}

/// A tensor beside the network's own that computes as its layers do.
pub(super) fn beside(tensor: &Located) -> String {
    format!(
        "{} {:?} is of a layer beside the network's own, such as a convolution, a normalisation or an \
         activation, and may be a part of it: if it is none, save the network's tensors alone",
        tensor.name, tensor.dims
    )
}

/// Why a file's weights are not in it as they are computed with, and what makes them so.
pub(super) fn made_of_others(file: &WeightFile) -> Option<&'static str> {
    let ends = |endings: &[&str]| {
        file.tensors().any(|(name, _)| endings.iter().any(|ending| name.ends_with(ending)))
    };
    let is_parametrized = || file.tensors().any(|(name, _)| name.contains("parametrizations."));
    if ends(&["weight_orig"]) {
        Some(
            "its weights are pruned or normalised as they are used: `prune.remove` in PyTorch makes them plain",
        )
    } else if ends(&["weight_g"]) {
        Some(
            "its weights have lengths and directions: `remove_weight_norm` in PyTorch makes them plain",
        )
    } else if is_parametrized() {
        Some("its weights are parametrised: `remove_parametrizations` in PyTorch makes them plain")
    } else {
        None
    }
}

fn cause_of_names(file: &WeightFile, vgg: &Vgg, convention: &Convention) -> String {
    if let Some(reason) = made_of_others(file) {
        return reason.into();
    }
    let has = |names| body::prefixes(file, vgg, names).is_ok_and(|there| !there.is_empty());
    if !has(convention.names)
        && let Some(names) = Names::ALL.into_iter().find(|names| has(*names))
    {
        return format!("the file has the names of {names:?}, not of {:?}", convention.names);
    }
    let is_statistic = |name: &str| name.ends_with(".running_mean");
    let in_file = file.tensors().any(|(name, _)| is_statistic(name));
    match (in_file, vgg.tensors().any(|spec| is_statistic(&spec.name))) {
        (true, false) => return "the file's network has batch normalisation, this one none".into(),
        (false, true) => {
            return "the file's network has no batch normalisation, this one has".into();
        }
        _ => {}
    }
    // A vector and its bias, as a normalisation has them.
    let vectors = || file.tensors().filter(|(_, dims)| dims.len() == 1);
    let mut scales =
        vectors().filter_map(|(name, dims)| Some((name.strip_suffix("weight")?, dims)));
    let has_bias = |(layer, dims): (&str, &[usize])| {
        vectors().any(|(name, other)| name.strip_suffix("bias") == Some(layer) && other == dims)
    };
    if !in_file && scales.any(has_bias) {
        return "the file's batch normalisations have no running_mean and running_var".into();
    }
    let is_conv = |dims: &[usize]| match (convention.kernels, dims) {
        (KernelLayout::Oihw, [.., h, w]) | (KernelLayout::Hwio, [h, w, ..]) => {
            dims.len() == 4 && h == w
        }
        _ => false,
    };
    // timm writes fully connected layers as convolutions, too.
    let convs = file.tensors().filter(|(name, dims)| is_conv(dims) && !name.contains("fc")).count();
    let expected = vgg.params().iter().filter(|spec| is_conv_weight(spec)).count();
    if convs != expected {
        return format!("the file has {convs} convolutions, the network {expected}");
    }
    let names: Vec<&str> = file.tensors().map(|(name, _)| name).take(4).collect();
    format!("the file has {} tensors: {} …", file.tensors().count(), names.join(", "))
}
