//! Shuffled batches, made ready before they are needed.

use std::fmt;
use std::io;
use std::iter::StepBy;
use std::num::NonZero;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rayon::ThreadPool;
use rayon::prelude::*;
use vgg_tensor::{Draw, Error, Result, room_for};

use crate::order::{class_balanced, shuffled};
use crate::threads::pool;
use crate::transform::Chance;
use crate::{Batch, Images, Mixup, Moment, Transform};

/// The random stream that shuffles: no other use of a run's seed may have this number.
const SHUFFLE_STREAM: u32 = 0x3000;

/// The random stream that draws images class by class.
const BALANCED_STREAM: u32 = 0x3002;

/// Threads that fill batches, in turn. Where the images of one are transformed on several threads, those
/// that find none left go on with the next one's, so that nobody waits for the last image of a batch.
const FILLERS: usize = 2;

/// How many batches exist of each thread that fills them: one that is ready, or with the caller, and
/// one being filled …
const PER_FILLER: usize = 2;
/// … and of one alone: that with the caller, one that is ready and one being filled.
const ALONE: usize = 3;

/// Cuts images into batches, in an order that depends on nothing but the seed and the epoch.
#[derive(Clone, Debug)]
pub struct Loader {
    images: Arc<Images>,
    transform: Arc<Transform>,
    batch_size: usize,
    /// Decides the order and what else is random; without it the order is the stored one.
    seed: Option<u64>,
    /// Whether the images of a shuffled epoch are drawn class by class.
    balanced: bool,
    mixup: Option<Mixup>,
    /// Whether images that cannot be read are passed over.
    passes_over: bool,
    /// Transforms images, unless they are copied as they are.
    pool: Option<Arc<ThreadPool>>,
}

impl Loader {
    /// Batches of `batch_size` images in stored order, transformed on `threads` threads (0: one a
    /// processor).
    ///
    /// # Errors
    /// When `batch_size` is 0, or the images have another size or other channels than those that
    /// `transform` is of.
    pub fn new(
        images: Images,
        transform: Transform,
        batch_size: usize,
        threads: usize,
    ) -> Result<Self> {
        if batch_size == 0 {
            return Err(Error::Shape("the batch size must be at least 1".into()));
        }
        let copied = transform.is_copy() && images.are_stored_as(transform.shape());
        let pool = match copied {
            true => None,
            false => Some(Arc::new(pool(threads)?)),
        };
        Ok(Loader {
            images: Arc::new(images),
            transform: Arc::new(transform),
            batch_size,
            seed: None,
            balanced: false,
            mixup: None,
            passes_over: false,
            pool,
        })
    }

    /// The same, shuffled anew every epoch by `seed`, which decides what else is random, too.
    #[must_use]
    pub fn shuffled(self, seed: u64) -> Self {
        Loader { seed: Some(seed), ..self }
    }

    /// The same, where an epoch that is shuffled has as many images as before, drawn with replacement:
    /// each class as often as any other, and each image of a class. It depends on nothing but the seed
    /// and the epoch, too.
    #[must_use]
    pub fn balanced(self) -> Self {
        Loader { balanced: true, ..self }
    }

    /// The same, with the images of each batch mixed.
    #[must_use]
    pub fn mixed(self, mixup: Mixup) -> Self {
        Loader { mixup: Some(mixup), ..self }
    }

    /// The same, where a file that cannot be read, or is no image, does not end an epoch:
    /// [`Batch::unreadable`] tells of it.
    #[must_use]
    pub fn passing_over(self) -> Self {
        Loader { passes_over: true, ..self }
    }

    /// The images.
    pub fn images(&self) -> &Images {
        &self.images
    }

    /// The number of batches in an epoch. The last one is smaller when the images do not divide
    /// evenly.
    pub fn batches_per_epoch(&self) -> usize {
        self.images.len().div_ceil(self.batch_size)
    }

    /// Bytes of host memory that an epoch takes: its batches, its order, and images that are being
    /// decoded. What the images themselves take is [`Images::bytes`].
    pub fn bytes(&self) -> u64 {
        let pixels = self.transform.views() * self.transform.shape().iter().product::<usize>();
        let mix = if self.mixup.is_some() { size_of::<(u32, f32)>() } else { 0 };
        let of_a_batch = self.batch_size * (pixels + size_of::<u32>() + mix);
        let order = self.images.len() * size_of::<u32>();
        // A decoder has its output and, of a photograph, as much again on its way there.
        let decoded = match &self.pool {
            Some(pool) => 2 * pool.current_num_threads() as u64 * self.images.decoded_bytes(),
            None => 0,
        };
        (self.buffers() * self.fillers() * of_a_batch + order) as u64 + decoded
    }

    /// Threads that fill batches.
    fn fillers(&self) -> usize {
        let transforming = self.pool.as_ref().map_or(0, |pool| pool.current_num_threads());
        if transforming > 1 { FILLERS } else { 1 }
    }

    /// Batches of each of them.
    fn buffers(&self) -> usize {
        if self.fillers() == 1 { ALONE } else { PER_FILLER }
    }

    /// Starts `epoch` at batch number `first_batch`.
    ///
    /// The batches are the same as if the epoch had been started at 0 and the first ones passed
    /// over, so that an interrupted epoch can be taken up where it was.
    pub fn epoch(&self, epoch: u64, first_batch: usize) -> Epoch {
        let indices = first_batch..self.batches_per_epoch();
        Epoch::start(indices, self.fill(epoch), [self.fillers(), self.buffers()])
    }

    /// What fills the batches of an epoch.
    fn fill(&self, epoch: u64) -> Fill {
        let Self { images, transform, batch_size, seed, balanced, mixup, passes_over, pool } =
            self.clone();
        let draw = |seed, stream| Draw { seed, stream, step: epoch };
        let order: Vec<u32> = match seed {
            Some(seed) if balanced => class_balanced(images.labels(), draw(seed, BALANCED_STREAM)),
            Some(seed) => shuffled(images.len(), draw(seed, SHUFFLE_STREAM)),
            None => (0..images.len() as u32).collect(),
        };
        let moment = Moment { seed: seed.unwrap_or_default(), epoch };
        let image_len = transform.views() * transform.shape().iter().product::<usize>();
        Arc::new(move |index, batch| {
            let start = index * batch_size;
            let chosen = &order[start..images.len().min(start + batch_size)];
            batch.labels.extend(chosen.iter().map(|&i| images.labels()[i as usize]));
            let len = chosen.len() * image_len;
            if batch.pixels.capacity() < len {
                batch.pixels = room_for(len)?;
            }
            match &pool {
                None => {
                    let pixels = chosen.iter().filter_map(|&i| images.stored_pixels(i as usize));
                    pixels.for_each(|pixels| batch.pixels.extend_from_slice(pixels));
                }
                Some(pool) => {
                    batch.pixels.resize(len, 0);
                    let places = batch.pixels.par_chunks_exact_mut(image_len).zip(chosen);
                    let apply = |(place, (out, &i)): (usize, (&mut [u8], &u32))| {
                        // An image that is drawn again must not look the same.
                        let number = if balanced { start + place } else { i as usize };
                        let chance = Chance::new(moment, number);
                        let applied = transform.apply_by_chance(&images, i as usize, chance, out);
                        applied.err().map(|error| (place, error))
                    };
                    let failed: Vec<_> =
                        pool.install(|| places.enumerate().filter_map(apply).collect());
                    for (place, error) in failed {
                        if !passes_over || !error.is_of_a_file() {
                            return Err(error);
                        }
                        batch.unreadable.push((place, error.to_string()));
                    }
                }
            }
            if let Some(mixup) = &mixup {
                mixup.apply(moment, index, batch);
            }
            Ok(())
        })
    }
}

/// One pass over the data: threads fill batches ahead of the caller.
///
/// The batches go round: the caller's goes back to where it came from when the next one is asked for,
/// so that an epoch allocates only the first few. Dropping an `Epoch` early ends its threads. Where no
/// thread can be started, each batch is filled when it is asked for.
#[derive(Debug)]
pub struct Epoch {
    source: Source,
    current: Batch,
    waited: Duration,
}

/// Puts a batch of the number into one that is empty.
type Fill = Arc<dyn Fn(usize, &mut Batch) -> Result<()> + Send + Sync>;

/// Where batches come from.
enum Source {
    /// Threads that fill batches in turn.
    Threads {
        fillers: Vec<Filler>,
        /// Whose turn it is.
        turn: usize,
    },
    Caller {
        indices: Range<usize>,
        fill: Fill,
    },
}

/// A thread that fills batches.
struct Filler {
    filled: Receiver<Result<Batch>>,
    empty: Sender<Batch>,
    thread: JoinHandle<()>,
}

/// What a filler is to do: the numbers of its batches, and how.
type Task = (StepBy<Range<usize>>, Fill);

impl Epoch {
    fn start(indices: Range<usize>, fill: Fill, fillers_and_buffers: [usize; 2]) -> Self {
        let source = Source::start(indices, fill, fillers_and_buffers);
        Epoch { source, current: Batch::default(), waited: Duration::ZERO }
    }

    /// The next batch, or `None` at the end of the epoch.
    ///
    /// # Errors
    /// When an image cannot be read or is damaged, or memory does not suffice; the epoch ends there.
    pub fn next_batch(&mut self) -> Result<Option<&Batch>> {
        let used = std::mem::take(&mut self.current);
        match self.source.next(used, &mut self.waited)? {
            Some(batch) => {
                self.current = batch;
                Ok(Some(&self.current))
            }
            None => Ok(None),
        }
    }

    /// How long the caller has waited for batches that were not ready.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

impl Source {
    fn start(indices: Range<usize>, fill: Fill, [fillers, buffers]: [usize; 2]) -> Self {
        // How many there will be decides who fills which: tasks come once that is known.
        let mut started = vec![];
        for _ in 0..fillers {
            match Filler::start() {
                Ok(filler) => started.push(filler),
                Err(error) if started.is_empty() => {
                    log::warn!("batches are not made ahead: no thread can be started: {error}");
                    return Self::Caller { indices, fill };
                }
                Err(error) => log::warn!("fewer threads fill batches: {error}"),
            }
        }
        let count = started.len();
        let first = |(at, (filler, give)): (usize, (Filler, Sender<Task>))| {
            let own = (indices.start + at..indices.end).step_by(count);
            // The receivers are waiting.
            let _ = give.send((own, fill.clone()));
            // One is with the caller, and will go to the last.
            for _ in usize::from(at + 1 == count)..buffers {
                let _ = filler.empty.send(Batch::default());
            }
            filler
        };
        Self::Threads { fillers: started.into_iter().enumerate().map(first).collect(), turn: 0 }
    }

    /// The next batch, in place of one that is used.
    fn next(&mut self, mut used: Batch, waited: &mut Duration) -> Result<Option<Batch>> {
        let start = Instant::now();
        match self {
            Self::Caller { indices, fill } => {
                let Some(index) = indices.next() else { return Ok(None) };
                let done = refill(fill, index, &mut used);
                *waited += start.elapsed();
                if done.is_err() {
                    *indices = 0..0;
                }
                done.map(|()| Some(used))
            }
            Self::Threads { fillers, turn } => {
                let Some(count) = NonZero::new(fillers.len()) else { return Ok(None) };
                // Whose batch it was; at first, whose it will be. Who has finished needs none.
                let _ = fillers[turn.checked_sub(1).unwrap_or(count.get() - 1)].empty.send(used);
                let filler = &fillers[*turn];
                *turn = (*turn + 1) % count;
                let received = match filler.filled.try_recv() {
                    Err(TryRecvError::Empty) => {
                        let received = filler.filled.recv().ok();
                        *waited += start.elapsed();
                        received
                    }
                    ready => ready.ok(),
                };
                match received {
                    Some(Ok(batch)) => Ok(Some(batch)),
                    Some(Err(error)) => {
                        // What others say then is of no interest.
                        let _ = self.join();
                        Err(error)
                    }
                    None => self.join().map(|()| None),
                }
            }
        }
    }

    /// Ends all threads.
    fn join(&mut self) -> Result<()> {
        let Self::Threads { fillers, .. } = self else { return Ok(()) };
        // All see the closed channels before one is waited for.
        let threads: Vec<_> = fillers.drain(..).map(|filler| filler.thread).collect();
        let ends: Vec<_> = threads.into_iter().map(JoinHandle::join).collect();
        let Some(panic) = ends.into_iter().find_map(Result::err) else { return Ok(()) };
        let reason = panic
            .downcast::<String>()
            .map(|reason| *reason)
            .or_else(|panic| panic.downcast::<&str>().map(|reason| reason.to_string()))
            .unwrap_or_else(|_| "no message".into());
        Err(Error::Worker { task: "preparing batches", reason })
    }
}

impl Filler {
    /// One that waits for what it is to do.
    fn start() -> io::Result<(Self, Sender<Task>)> {
        let (to_caller, filled) = channel::<Result<Batch>>();
        let (empty, from_caller) = channel::<Batch>();
        let (give, taken) = channel::<Task>();
        let thread = thread::Builder::new().name("batches".into()).spawn(move || {
            let Ok((indices, fill)) = taken.recv() else { return };
            for index in indices {
                // An error on either side means that the caller has gone.
                let Ok(mut batch) = from_caller.recv() else { return };
                let filled = refill(&fill, index, &mut batch).map(|()| batch);
                let failed = filled.is_err();
                if to_caller.send(filled).is_err() || failed {
                    return;
                }
            }
        })?;
        Ok((Self { filled, empty, thread }, give))
    }
}

/// Fills a batch anew.
fn refill(fill: &Fill, index: usize, batch: &mut Batch) -> Result<()> {
    batch.pixels.clear();
    batch.labels.clear();
    batch.mix.clear();
    batch.unreadable.clear();
    fill(index, batch)
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Threads { .. } => "threads",
            Self::Caller { .. } => "the caller",
        })
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        // A filler sees the closed channel at the latest when it has filled the few buffers it still
        // has. The caller no longer asks for errors.
        let _ = self.join();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Dataset, Decoding};

    /// Image `i` is the byte `i`, its label `i mod 3`.
    fn loader(n: usize, batch_size: usize, seed: u64) -> Loader {
        of(n, batch_size, seed, Transform::same_size([1, 1, 1]))
    }

    /// The same with images that are transformed, on three threads.
    fn transforming(n: usize, batch_size: usize, seed: u64) -> Loader {
        of(n, batch_size, seed, Transform::resized([1, 1, 2]))
    }

    fn of(n: usize, batch_size: usize, seed: u64, transform: Transform) -> Loader {
        let classes = ["a", "b", "c"].map(String::from).to_vec();
        let labels = (0..n as u32).map(|i| i % 3).collect();
        let data = Dataset::new([1, 1, 1], (0..n as u8).collect(), labels, classes).unwrap();
        Loader::new(data.into(), transform, batch_size, 3).unwrap().shuffled(seed)
    }

    fn collect(mut epoch: Epoch) -> Vec<Batch> {
        let mut batches = Vec::new();
        while let Some(batch) = epoch.next_batch().unwrap() {
            batches.push(batch.clone());
        }
        batches
    }

    #[test]
    fn the_order_is_pinned() {
        // A change of the shuffle would make old runs impossible to resume.
        let order = shuffled(10, Draw { seed: 42, stream: SHUFFLE_STREAM, step: 1 });
        assert_eq!(order, [7, 8, 3, 6, 4, 9, 2, 1, 5, 0]);
    }

    #[test]
    fn every_place_is_equally_likely() {
        const LEN: usize = 8;
        const EPOCHS: u64 = 8000;
        let mut counts = [[0_u32; LEN]; LEN];
        for epoch in 0..EPOCHS {
            let order = shuffled(LEN, Draw { seed: 3, stream: SHUFFLE_STREAM, step: epoch });
            for (place, &i) in order.iter().enumerate() {
                counts[place][i as usize] += 1;
            }
        }
        // 1000 expected, with a standard deviation of 30: five of them allow for 64 cells.
        for count in counts.as_flattened() {
            assert!((850..=1150).contains(count), "{counts:?}");
        }
    }

    #[test]
    fn batch_size_zero_is_an_error() {
        let Loader { images, transform, .. } = loader(3, 1, 0);
        let loader = Loader::new((*images).clone(), (*transform).clone(), 0, 1);
        assert_eq!(loader.unwrap_err().to_string(), "the batch size must be at least 1");
    }

    #[test]
    fn an_empty_data_set_has_no_batches() {
        assert_eq!(collect(loader(0, 4, 0).epoch(0, 0)), []);
    }

    #[test]
    fn a_dropped_epoch_ends_its_thread() {
        for loader in [loader(200, 1, 5), transforming(200, 1, 5)] {
            for taken in [0, 1, 7] {
                let mut epoch = loader.epoch(0, 0);
                for _ in 0..taken {
                    assert!(epoch.next_batch().unwrap().is_some());
                }
                drop(epoch);
                // The threads held the only other reference.
                assert_eq!(Arc::strong_count(&loader.images), 1);
            }
        }
    }

    #[test]
    fn a_panic_of_a_thread_is_an_error() {
        for threads in [[1, 3], [2, 2]] {
            let fill = |index, batch: &mut Batch| {
                assert_ne!(index, 1, "no second batch");
                batch.labels.push(index as u32);
                Ok(())
            };
            let mut epoch = Epoch::start(0..5, Arc::new(fill), threads);
            assert_eq!(epoch.next_batch().unwrap().unwrap().labels, [0]);
            let message = epoch.next_batch().unwrap_err().to_string();
            assert!(message.starts_with("preparing batches: a thread panicked: "), "{message}");
            assert!(message.contains("no second batch"), "{message}");
            assert!(epoch.next_batch().unwrap().is_none());
        }
    }

    #[test]
    fn an_error_ends_the_epoch_where_it_is() {
        for threads in [[1, 3], [2, 2], [3, 2]] {
            let fill = |index, batch: &mut Batch| match index {
                3.. => Err(Error::Shape(index.to_string())),
                _ => {
                    batch.labels.push(index as u32);
                    Ok(())
                }
            };
            let mut epoch = Epoch::start(0..9, Arc::new(fill), threads);
            for index in 0..3 {
                assert_eq!(epoch.next_batch().unwrap().unwrap().labels, [index]);
            }
            assert_eq!(epoch.next_batch().unwrap_err().to_string(), "3");
            assert!(epoch.next_batch().unwrap().is_none());
        }
    }

    #[test]
    fn batches_are_the_same_without_a_thread() {
        for (loader, threads) in [(loader(50, 8, 3), 1), (transforming(50, 8, 3), FILLERS)] {
            let mut epoch = loader.epoch(2, 1);
            let Source::Threads { fillers, .. } = &epoch.source else { panic!("no threads") };
            let names = fillers.iter().map(|filler| filler.thread.thread().name());
            assert_eq!(names.collect::<Vec<_>>(), vec![Some("batches"); threads]);
            epoch.source = Source::Caller { indices: 1..7, fill: loader.fill(2) };
            let batches = collect(epoch);
            assert_eq!((batches.len(), batches), (6, collect(loader.epoch(2, 1))));
        }
    }

    #[test]
    fn unreadable_files_are_passed_over_if_they_may_be() {
        let dir = tempfile::tempdir().unwrap();
        let paths = ["a.png", "b.png", "c.png", "no.png"].map(|name| dir.path().join(name));
        for (level, path) in [70, 80, 90].into_iter().zip(&paths) {
            image::GrayImage::from_pixel(6, 5, image::Luma([level])).save(path).unwrap();
        }
        std::fs::write(&paths[1], "text").unwrap();
        let images = Images::from_files(&paths, Decoding::stored(1));
        let transform = Transform::resized([1, 2, 2]);
        let loader = Loader::new(images, transform, 3, 2).unwrap();
        let strict = loader.epoch(0, 0).next_batch().unwrap_err().to_string();
        assert!(
            strict.ends_with("b.png: this is not a JPEG, PNG, WebP, TIFF, BMP or GIF image"),
            "{strict}"
        );
        let batches = collect(loader.passing_over().epoch(0, 0));
        assert_eq!(batches[0].pixels, [[70; 4], [0; 4], [90; 4]].concat());
        assert_eq!(batches[0].unreadable, [(1, strict)]);
        assert_eq!(batches[1].unreadable.len(), 1);
        assert!(batches[1].unreadable[0].1.contains("no.png: No such file"));
    }

    #[test]
    fn buffers_are_used_again() {
        for (loader, most) in [(loader(100, 4, 1), ALONE), (transforming(100, 4, 1), 4)] {
            let mut epoch = loader.epoch(0, 0);
            let mut places = std::collections::HashSet::new();
            while let Some(batch) = epoch.next_batch().unwrap() {
                places.insert(batch.pixels.as_ptr());
            }
            assert!(places.len() <= most, "{} buffers", places.len());
            assert_eq!(loader.fillers() * loader.buffers(), most);
        }
    }

    /// Of 90 images 9 are of the second class, and each draw of one is mirrored or not for itself.
    #[test]
    fn a_balanced_epoch_depends_on_seed_and_epoch_alone() {
        let labels: Vec<u32> = (0..90).map(|i| u32::from(i % 10 == 0)).collect();
        let classes = ["a", "b"].map(String::from).to_vec();
        let pixels = (0..90).flat_map(|i| [i, 100 + i]).collect();
        let data = Images::from(Dataset::new([1, 1, 2], pixels, labels, classes).unwrap());
        let augment = crate::Augment { flip: true, ..Default::default() };
        let transform = Transform::same_size([1, 1, 2]).with(augment).unwrap();
        let of = |threads, seed, epoch, first| {
            let loader = Loader::new(data.clone(), transform.clone(), 16, threads).unwrap();
            collect(loader.shuffled(seed).balanced().epoch(epoch, first))
        };
        let whole = of(1, 5, 2, 0);
        assert_eq!(whole.iter().map(|batch| batch.labels.len()).sum::<usize>(), 90);
        assert_eq!(of(3, 5, 2, 0), whole);
        assert_eq!(of(2, 5, 2, 4), whole[4..]);
        assert!(of(1, 5, 3, 0) != whole && of(1, 6, 2, 0) != whole);
        let of_class = whole.iter().flat_map(|batch| &batch.labels).filter(|label| **label == 1);
        // 45 are expected, with a standard deviation of 5.
        assert!((30..=60).contains(&of_class.count()));
        let views = |image: u8| {
            let pairs = whole.iter().flat_map(|batch| batch.pixels.as_chunks::<2>().0);
            pairs
                .filter(|pair| **pair == [image, 100 + image] || **pair == [100 + image, image])
                .collect::<std::collections::HashSet<_>>()
                .len()
        };
        let mirrored: usize = (0..9).map(|i| views(10 * i)).sum();
        assert!(mirrored > 9, "an image that is drawn again looks the same: {mirrored}");
    }

    proptest! {
        #[test]
        fn an_epoch_is_every_image_once(n in 0..200_usize, batch_size in 1..50_usize, seed: u64) {
            let loader = loader(n, batch_size, seed);
            let batches = collect(loader.epoch(4, 0));
            prop_assert_eq!(batches.len(), loader.batches_per_epoch());
            let mut seen = Vec::new();
            for (i, batch) in batches.iter().enumerate() {
                prop_assert_eq!(batch.labels.len(), batch_size.min(n - i * batch_size));
                for (&pixel, &label) in batch.pixels.iter().zip(&batch.labels) {
                    prop_assert_eq!(label, u32::from(pixel) % 3);
                    seen.push(usize::from(pixel));
                }
            }
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..n).collect::<Vec<_>>());
        }

        #[test]
        fn a_resumed_epoch_has_the_same_batches(
            seed: u64,
            epoch: u64,
            first in 0..20_usize,
            balanced: bool,
        ) {
            let loader = loader(100, 7, seed);
            let loader = if balanced { loader.balanced() } else { loader };
            let whole = collect(loader.epoch(epoch, 0));
            let rest = collect(loader.epoch(epoch, first));
            prop_assert_eq!(&rest[..], whole.get(first..).unwrap_or_default());
        }

        #[test]
        fn seed_and_epoch_change_the_order(seed: u64, epoch in 0..u64::MAX) {
            let order = |seed, step| shuffled(100, Draw { seed, stream: SHUFFLE_STREAM, step });
            prop_assert_ne!(order(seed, epoch), order(seed, epoch + 1));
            prop_assert_ne!(order(seed, epoch), order(seed ^ 1, epoch));
        }
    }
}
