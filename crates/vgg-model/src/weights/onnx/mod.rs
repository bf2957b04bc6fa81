//! The weights of ONNX models, named by what the graph does with them.
//!
//! Exporters keep torchvision's names or make up their own, transpose weights or not, and move them to
//! a file beside the model. So the graph is followed from its input to its output, which a VGG is a chain
//! of few kinds of operators for, and each weight gets the name that torchvision has for its place.

mod chain;
mod graph;
mod wire;

use std::collections::HashMap;

use serde::de::DeserializeOwned;
use vgg_tensor::Result;

use self::chain::Chain;
use self::graph::Graph;
use super::contents::{Contents, Said};
use super::source::Source;

/// What a model has.
///
/// # Errors
/// [`vgg_tensor::Error::Format`] if it is damaged, or its graph is not that of a VGG.
pub(super) fn contents(source: &mut Source) -> Result<Contents> {
    let graph = Graph::read(source)?;
    if graph.metadata.contains_key("boxes") {
        let reason = "an ONNX model that locates, of which classifiers alone are read: take the run or the \
                      checkpoint that it was exported from";
        return Err(source.error(reason));
    }
    let chain = Chain::follow(&graph).map_err(|reason| source.error(reason))?;
    let Chain { tensors, side, avg_pool, max_pools, .. } = chain;
    let said = said(&graph.metadata);
    let pools = Some(max_pools);
    Ok(Contents { tensors, side, avg_pool, pools, said, ..Contents::default() })
}

/// What [`onnx::Model`](crate::onnx::Model) notes of images and classes.
fn said(metadata: &HashMap<String, String>) -> Option<Said> {
    fn of<T: DeserializeOwned>(metadata: &HashMap<String, String>, key: &str) -> Option<T> {
        metadata.get(key).and_then(|json| serde_json::from_str(json).ok())
    }
    Some(Said {
        mean: of(metadata, "mean")?,
        std: of(metadata, "std")?,
        short_side: of(metadata, "short_side"),
        classes: of(metadata, "classes").unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests;
