//! What ranks exchange, by way of the host.

use std::sync::Arc;

use cudarc::driver::CudaStream;
use vgg_tensor::ranks::{
    Number, Peers, Room, ShardSums, Shards, gather, gather_rows as gather_rows_of, sum,
};
use vgg_tensor::{Content, Result, Shape, ShardSum, zeros};

use crate::Buffer;
use crate::error::During;
use crate::gpu::Gpu;
use crate::precision::Storage;

/// See [`vgg_tensor::Command::GatherShards`].
pub(super) fn gather_shards(
    gpu: &Gpu,
    peers: &dyn Peers,
    shards: Shards,
    present: usize,
    own: &[(Content, &Buffer)],
    others: Vec<(Content, &mut Buffer)>,
) -> Result<()> {
    let stream = &gpu.stream;
    let own = own.iter().map(|(content, x)| download(stream, x, content.len()));
    let own = own.collect::<Result<Vec<_>>>()?;
    gpu.synchronize()?;
    let own = own.iter().map(|bytes| numbers(bytes)).collect::<Result<Vec<_>>>()?;
    let own: Vec<&[f32]> = own.iter().map(|numbers| &numbers[..]).collect();
    let received = others.iter().map(|(content, _)| zeros(content.len()));
    let mut received = received.collect::<Result<Vec<Vec<f32>>>>()?;
    let mut places: Vec<&mut [f32]> = received.iter_mut().map(|numbers| &mut numbers[..]).collect();
    gather(peers, shards, present, &own, &mut places)?;
    let mut others = others.into_iter().zip(&received);
    others.try_for_each(|((_, y), numbers)| upload(stream, numbers, y))
}

/// See [`vgg_tensor::Command::GatherRows`].
pub(super) fn gather_rows(
    gpu: &Gpu,
    storage: Storage,
    peers: &dyn Peers,
    shards: Shards,
    batch: usize,
    maps: Vec<(Shape, &mut Buffer)>,
) -> Result<()> {
    let Some(n) = maps.first().map(|(shape, _)| shape.n) else { return Ok(()) };
    let stream = &gpu.stream;
    let own = shards.rows_of_rank(shards.rank(), batch, n);
    let mut tables = Vec::new();
    for (shape, y) in &maps {
        let row = storage.bytes() * shape.features();
        let mut table = zeros::<u8>(row * n)?;
        y.room(table.len());
        let rows = row * own.start..row * own.end;
        let from = y.memory.slice().slice(rows.clone());
        stream.memcpy_dtoh(&from, &mut table[rows]).during("download")?;
        tables.push(table);
    }
    gpu.synchronize()?;
    let mut places: Vec<&mut [u8]> = tables.iter_mut().map(|table| &mut table[..]).collect();
    gather_rows_of(peers, shards, batch, n, &mut places)?;
    for ((_, y), table) in maps.into_iter().zip(&tables) {
        let mut place = y.memory.slice_mut().slice_mut(..table.len());
        stream.memcpy_htod(table, &mut place).during("upload")?;
    }
    Ok(())
}

/// See [`vgg_tensor::Command::SumShards`]. One gradient after the other, so that the host has room for one.
pub(super) fn sum_shards(
    gpu: &Gpu,
    peers: &dyn Peers,
    shards: Shards,
    present: usize,
    sums: Vec<ShardSum<&Buffer, &mut Buffer>>,
) -> Result<()> {
    let (stream, room) = (&gpu.stream, &mut Room::default());
    for ShardSum { content, first, others } in sums {
        let len = content.len();
        let all = [&*first].into_iter().chain(others.iter().copied());
        let all = all.map(|x| download(stream, x, len)).collect::<Result<Vec<_>>>()?;
        gpu.synchronize()?;
        let mut all = all.iter().map(|bytes| numbers(bytes)).collect::<Result<Vec<_>>>()?;
        let (total, others) = all.split_first_mut().expect("there is a first one");
        let others = others.iter().map(|numbers| &numbers[..]).collect();
        sum(peers, shards, present, &mut [ShardSums { first: total, others }], room)?;
        upload(stream, total, first)?;
    }
    Ok(())
}

/// The first numbers of a buffer, which are there when the stream has been waited for.
fn download(stream: &Arc<CudaStream>, x: &Buffer, len: usize) -> Result<Vec<u8>> {
    let mut bytes = zeros::<u8>(f32::BYTES * len)?;
    x.f32(len);
    let from = x.memory.slice().slice(..bytes.len());
    stream.memcpy_dtoh(&from, &mut bytes).during("download")?;
    Ok(bytes)
}

fn numbers(bytes: &[u8]) -> Result<Vec<f32>> {
    let mut numbers = zeros(bytes.len() / f32::BYTES)?;
    f32::read(bytes, &mut numbers);
    Ok(numbers)
}

fn upload(stream: &Arc<CudaStream>, numbers: &[f32], y: &mut Buffer) -> Result<()> {
    y.f32(numbers.len());
    let mut bytes = zeros::<u8>(f32::BYTES * numbers.len())?;
    f32::write(numbers, &mut bytes);
    let mut place = y.memory.slice_mut().slice_mut(..bytes.len());
    stream.memcpy_htod(&bytes, &mut place).during("upload")
}
