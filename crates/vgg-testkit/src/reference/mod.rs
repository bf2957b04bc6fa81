//! Every command as naive loops over PyTorch's layout: the executable form of the commands'
//! documentation. Slow, obvious, and the yardstick for all other backends.

mod avg_pool2d;
pub(crate) mod batch_norm2d;
mod buffer;
mod carry_out;
mod conv2d;
mod decisions;
mod dropout;
mod euclidean_loss;
mod exchange;
mod linear;
mod lrn;
mod max_pool2d;
mod optimizer;
mod prepare_images;
mod sigmoid;
mod softmax_cross_entropy;
mod update;

use std::marker::PhantomData;
use std::sync::Arc;

use half::f16;
use vgg_tensor::ranks::Peers;
use vgg_tensor::spec::WeightType;
use vgg_tensor::{Backend, Command, Content, Executable, Program, Result, Scalars, Shared};

use crate::Real;
pub use buffer::Buffer;

/// The reference backend, computing in `T`: `f64` as the yardstick, `f32` to see what rounding
/// alone does to a naive implementation.
#[derive(Clone, Default)]
pub struct Reference<T> {
    peers: Option<Arc<dyn Peers>>,
    computes: PhantomData<T>,
}

impl<T: Real> Reference<T> {
    /// A reference backend. It has no state.
    pub fn new() -> Self {
        Self { peers: None, computes: PhantomData }
    }

    /// The same as one rank among others.
    #[must_use]
    pub fn with_peers(self, peers: Arc<dyn Peers>) -> Self {
        Self { peers: Some(peers), ..self }
    }

    /// Those that a program was made for.
    fn peers(&self) -> &dyn Peers {
        self.peers.as_deref().expect("a program of several ranks runs where there are peers")
    }
}

impl<T: Real> Backend for Reference<T> {
    type Buffer = Buffer<T>;
    type Download = Vec<f32>;
    type Executable = Executable<Buffer<T>>;

    fn describe(&self) -> String {
        format!("reference, naive loops in {}, one thread", T::NAME)
    }

    fn bytes(&self, content: Content) -> u64 {
        match content {
            Content::Bytes(len) => len as u64,
            _ => (buffer::NUMBER * content.len()) as u64,
        }
    }

    fn alloc(&mut self, content: Content) -> Result<Buffer<T>> {
        Ok(Buffer::zeros(content))
    }

    fn upload_rows(
        &mut self,
        content: Content,
        first: usize,
        src: &[f32],
        dst: &mut Buffer<T>,
    ) -> Result<()> {
        let half = matches!(content, Content::LinearWeight { weight_type: WeightType::F16, .. });
        let start = first * (content.len() / content.rows());
        let dst = &mut dst.numbers_mut(content.len())[start..start + src.len()];
        for (to, from) in dst.iter_mut().zip(src) {
            *to = T::from(if half { f16::from_f32(*from).to_f32() } else { *from });
        }
        Ok(())
    }

    fn upload_bytes(&mut self, src: &[u8], dst: &mut Buffer<T>) -> Result<()> {
        dst.bytes_mut(src.len()).copy_from_slice(src);
        Ok(())
    }

    fn download(&mut self, content: Content, src: &Buffer<T>, dst: &mut [f32]) -> Result<()> {
        assert_eq!(dst.len(), content.len(), "numbers to download");
        for (to, from) in dst.iter_mut().zip(src.numbers(content.len())) {
            let value: f64 = (*from).into();
            *to = value as f32;
        }
        Ok(())
    }

    fn start_download(&mut self, content: Content, src: &Buffer<T>) -> Result<Vec<f32>> {
        let mut numbers = vec![0.0; content.len()];
        self.download(content, src, &mut numbers)?;
        Ok(numbers)
    }

    fn compile(
        &mut self,
        program: &Program,
        buffers: Vec<Shared<Buffer<T>>>,
    ) -> Result<Self::Executable> {
        Executable::new(program, buffers)
    }

    fn run(&mut self, executable: &mut Self::Executable, scalars: Scalars) -> Result<()> {
        executable.run(|command| match command {
            Command::GatherShards { shards, present, own, others } => {
                exchange::gather(self.peers(), shards, present, &own, others)
            }
            Command::GatherRows { shards, batch, maps } => {
                maps.into_iter().try_for_each(|(shape, y)| {
                    exchange::gather_rows(self.peers(), shards, batch, shape, y)
                })
            }
            Command::SumShards { shards, present, sums } => sums
                .into_iter()
                .try_for_each(|sum| exchange::sum(self.peers(), shards, present, sum)),
            command => {
                Self::carry_out(command, scalars);
                Ok(())
            }
        })
    }
}
