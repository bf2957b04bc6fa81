use proptest::prelude::*;

use super::epoch::Source;
use super::*;
use crate::{Batch, Dataset, Decoding};

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

pub(super) fn collect(mut epoch: Epoch) -> Vec<Batch> {
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

/// What ranks decode is, one after the other, what one would: also where the last batch is short, and
/// where images are mixed with the next rank's.
#[test]
fn the_union_of_ranks_is_the_batch() {
    let kinds: [fn(Loader) -> Loader; 4] = [
        |loader| loader,
        |loader| loader.mixed(Mixup::new(0.4).unwrap()),
        |loader| loader.cut_mixed(CutMix::new(1.0).unwrap()),
        |loader| loader.mixed(Mixup::new(0.4).unwrap()).cut_mixed(CutMix::new(1.0).unwrap()),
    ];
    for (n, batch_size) in [(23, 8), (21, 4), (5, 8), (9, 1)] {
        for (shards, ranks) in [(4, 1), (4, 2), (4, 3), (4, 4), (7, 3)] {
            for (kind, make) in kinds.iter().zip([loader, transforming].into_iter().cycle()) {
                let whole = collect(kind(make(n, batch_size, 3)).epoch(2, 0));
                let of_rank = |rank| {
                    let shards = Shards::new(shards, rank, ranks).unwrap();
                    collect(kind(make(n, batch_size, 3)).for_rank(shards).epoch(2, 0))
                };
                let parts: Vec<Vec<Batch>> = (0..ranks).map(of_rank).collect();
                for (index, whole) in whole.iter().enumerate() {
                    let pixels = parts.iter().flat_map(|of_rank| of_rank[index].pixels.clone());
                    assert_eq!(pixels.collect::<Vec<_>>(), whole.pixels, "{n} {shards} {ranks}");
                    for of_rank in &parts {
                        assert_eq!(of_rank.len(), parts[0].len());
                        assert_eq!(of_rank[index].labels, whole.labels);
                        assert_eq!(of_rank[index].mix, whole.mix);
                    }
                }
            }
        }
    }
}

/// Nobody reads the others' images.
#[test]
fn a_rank_decodes_its_own_images_alone() {
    assert_eq!(decoded(&(2..4), 8, false), [2, 3]);
    assert_eq!(decoded(&(2..4), 8, true), [2, 3, 4]);
    assert_eq!(decoded(&(6..8), 8, true), [6, 7, 0]);
    assert_eq!(decoded(&(0..8), 8, true), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(decoded(&(8..8), 8, true), [0; 0]);
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
fn who_waits_may_give_up_and_wait_again() {
    for threads in [[1, 3], [2, 2]] {
        let (go, gate) = std::sync::mpsc::channel();
        let gate = std::sync::Mutex::new(gate);
        let fill = move |index, batch: &mut Batch| {
            gate.lock().unwrap().recv().unwrap();
            batch.labels.push(index as u32);
            Ok(())
        };
        let mut epoch = Epoch::start(0..2, Arc::new(fill), threads);
        let short = std::time::Duration::from_micros(1);
        assert!(!epoch.wait(short) && !epoch.wait(short));
        let before = epoch.waited();
        assert!(before >= 2 * short);
        (0..2).for_each(|_| go.send(()).unwrap());
        for index in 0..2 {
            assert!(epoch.wait(std::time::Duration::MAX) && epoch.wait(short));
            assert_eq!(epoch.next_batch().unwrap().unwrap().labels, [index]);
        }
        assert!(epoch.wait(std::time::Duration::MAX), "the end is ready, too");
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
        epoch.source =
            Source::Caller { indices: 1..7, fill: loader.fill(2), empty: Batch::default() };
        let batches = collect(epoch);
        assert_eq!((batches.len(), batches), (6, collect(loader.epoch(2, 1))));
    }
}

#[test]
fn a_batch_has_mixup_or_cutmix() {
    let images = of(96, 2, 1, Transform::resized([1, 8, 8]));
    let (mixup, cutmix) = (Mixup::new(1.0).unwrap(), CutMix::new(1.0).unwrap());
    let [mixed, cut] = [images.clone().mixed(mixup), images.clone().cut_mixed(cutmix)]
        .map(|loader| collect(loader.epoch(2, 0)));
    let both = images.mixed(mixup).cut_mixed(cutmix);
    let batches = collect(both.epoch(2, 0));
    let of_cut = batches.iter().zip(&cut).filter(|(batch, cut)| batch == cut).count();
    let of_mixed = batches.iter().zip(&mixed).filter(|(batch, mixed)| batch == mixed).count();
    assert_eq!((batches.len(), of_cut + of_mixed), (48, 48));
    // Half of them, by four standard deviations of √48 / 2.
    assert!((10..=38).contains(&of_cut), "{of_cut}");
    assert_eq!(collect(both.epoch(2, 7)), batches[7..]);
    assert_ne!(collect(both.epoch(3, 0)), batches);
    assert_ne!(collect(both.shuffled(8).epoch(2, 0)), batches);
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
