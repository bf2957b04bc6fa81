//! Buffers with something in them.

use vgg_tensor::{Backend, Content, Result, Shape};

/// A buffer of numbers between −`scale` and `scale` that are always the same.
pub(super) fn filled<B: Backend>(
    backend: &mut B,
    content: Content,
    scale: f32,
) -> Result<B::Buffer> {
    let mut buffer = backend.alloc(content)?;
    let numbers: Vec<f32> =
        (0..content.len()).map(|i| scale * ((i * 7919 % 997) as f32 / 498.0 - 1.0)).collect();
    let content = match content {
        // Which number is where does not matter, and flat maps need no transposing.
        Content::Maps(shape) => Content::Maps(Shape::flat(shape.n, shape.features())),
        other => other,
    };
    backend.upload(content, &numbers, &mut buffer)?;
    Ok(buffer)
}

/// As [`filled`], for activations and gradients: between −1 and 1.
pub(super) fn maps<B: Backend>(backend: &mut B, shape: Shape) -> Result<B::Buffer> {
    filled(backend, Content::Maps(shape), 1.0)
}
