//! What an event tells: values with tags, as TensorBoard's `summary.proto` has them.

use vgg_tensor::protobuf::Message;

// Numbers of fields and types in TensorBoard's schemas.
const VALUE: u64 = 1;
mod value {
    pub(super) const TAG: u64 = 1;
    pub(super) const SIMPLE_VALUE: u64 = 2;
    pub(super) const IMAGE: u64 = 4;
    pub(super) const TENSOR: u64 = 8;
    pub(super) const METADATA: u64 = 9;
}
mod image {
    pub(super) const HEIGHT: u64 = 1;
    pub(super) const WIDTH: u64 = 2;
    pub(super) const COLORS: u64 = 3;
    pub(super) const ENCODED: u64 = 4;
    pub(super) const RGBA: i64 = 4;
}
mod metadata {
    pub(super) const PLUGIN_DATA: u64 = 1;
    pub(super) const DATA_CLASS: u64 = 4;
    pub(super) const TENSOR: i64 = 2;
}
mod plugin_data {
    pub(super) const NAME: u64 = 1;
    pub(super) const CONTENT: u64 = 2;
}
mod tensor {
    pub(super) const DTYPE: u64 = 1;
    pub(super) const SHAPE: u64 = 2;
    pub(super) const STRING_VAL: u64 = 8;
    pub(super) const FLOAT: i64 = 1;
    pub(super) const STRING: i64 = 7;
}

/// Values of one step.
#[derive(Debug, Default)]
pub(super) struct Summary(Message);

impl Summary {
    /// With a number, of which TensorBoard keeps 32 bits.
    pub(super) fn scalar(self, tag: &str, number: f64) -> Self {
        let value = Message::default().text(value::TAG, tag);
        self.with(value.float(value::SIMPLE_VALUE, number as f32))
    }

    /// With an image, a file in PNG.
    pub(super) fn png(self, tag: &str, png: &[u8]) -> Self {
        // A signature, and the length and name of the first chunk, come before its size.
        let number = |at: usize| {
            let bytes = png.get(at..at + 4).and_then(<[u8]>::first_chunk);
            bytes.map_or(0, |bytes| i64::from(u32::from_be_bytes(*bytes)))
        };
        let image = Message::default()
            .int(image::HEIGHT, number(20))
            .int(image::WIDTH, number(16))
            .int(image::COLORS, image::RGBA)
            .raw(image::ENCODED, png);
        self.with(Message::default().text(value::TAG, tag).message(value::IMAGE, image))
    }

    /// With a text in Markdown.
    pub(super) fn text(self, tag: &str, markdown: &str) -> Self {
        let text = tensor(tensor::STRING, 1).text(tensor::STRING_VAL, markdown);
        self.of_plugin(tag, "text", &Message::default(), text)
    }

    /// With what the plugin of hyperparameters is told: all of it is metadata.
    pub(super) fn hparams(self, tag: &str, content: &Message) -> Self {
        self.of_plugin(tag, "hparams", content, tensor(tensor::FLOAT, 0))
    }

    fn of_plugin(self, tag: &str, name: &str, content: &Message, tensor: Message) -> Self {
        let plugin = Message::default()
            .text(plugin_data::NAME, name)
            .raw(plugin_data::CONTENT, content.bytes());
        let metadata = Message::default()
            .message(metadata::PLUGIN_DATA, plugin)
            .int(metadata::DATA_CLASS, metadata::TENSOR);
        let value = Message::default()
            .text(value::TAG, tag)
            .message(value::METADATA, metadata)
            .message(value::TENSOR, tensor);
        self.with(value)
    }

    fn with(self, value: Message) -> Self {
        Self(self.0.message(VALUE, value))
    }

    /// As a message.
    pub(super) fn into_message(self) -> Message {
        self.0
    }
}

/// The beginning of a tensor of so many numbers or texts.
fn tensor(dtype: i64, len: i64) -> Message {
    let shape = Message::default().message(2, Message::default().int(1, len));
    Message::default().int(tensor::DTYPE, dtype).message(tensor::SHAPE, shape)
}
