//! Ranks that are threads: what they exchange, and what becomes of one that fails.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use vgg_tensor::Result;
use vgg_tensor::ranks::{
    Peers, Room, ShardSums, Shards, Tree, broadcast, gather, gather_messages, sum,
};

/// What each rank's thread gives.
fn on_ranks<T: Send>(ranks: usize, work: impl Fn(Arc<dyn Peers>) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = vgg_comm::local(ranks)
            .into_iter()
            .map(|peers| scope.spawn(move || work(peers)))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// Numbers whose sum depends on the order of additions.
fn numbers(seed: usize, len: usize) -> Vec<f32> {
    let number = |i: usize| {
        let bits = (i * 8191 + seed * 131).wrapping_mul(0x9E37_79B9) >> 7;
        match bits % 17 {
            0 => -0.0,
            1 => f32::from_bits(bits as u32 & 0xFFFF), // subnormal
            _ => (bits % 2001) as f32 / 7.0 - 140.0,
        }
    };
    (0..len).map(number).collect()
}

/// The sum over the first leaves by its definition.
fn naive(node: Range<usize>, leaves: &[Vec<f32>]) -> Option<Vec<f32>> {
    if node.len() == 1 {
        return leaves.get(node.start).cloned();
    }
    let middle = node.start + node.len() / 2;
    match (naive(node.start..middle, leaves), naive(middle..node.end, leaves)) {
        (Some(left), Some(right)) => Some(left.iter().zip(right).map(|(x, y)| x + y).collect()),
        (one, other) => one.or(other),
    }
}

/// Of each rank, the sums of several things of these lengths.
fn sums(count: usize, present: usize, ranks: usize, lens: &[usize]) -> Vec<Vec<Vec<f32>>> {
    let leaf = |leaf: usize| lens.iter().map(|len| numbers(leaf, *len)).collect::<Vec<_>>();
    on_ranks(ranks, |peers| {
        let shards = Shards::new(count, peers.rank(), ranks).unwrap();
        let mut stack: Vec<Vec<Vec<f32>>> = Vec::new();
        for (shard, additions) in Tree::new(count, present).additions(shards.own()) {
            stack.push(leaf(shard));
            for _ in 0..additions {
                let right = stack.pop().unwrap();
                for (left, right) in stack.last_mut().unwrap().iter_mut().zip(right) {
                    left.iter_mut().zip(right).for_each(|(x, y)| *x += y);
                }
            }
        }
        let mut sums = stack.into_iter();
        let empty = || lens.iter().map(|len| vec![f32::NAN; *len]).collect();
        let (mut first, others) = (sums.next().unwrap_or_else(empty), Vec::from_iter(sums));
        let things = first.iter_mut().enumerate().map(|(i, first)| ShardSums {
            first,
            others: others.iter().map(|sum| &sum[i][..]).collect(),
        });
        let (things, mut room) = (&mut things.collect::<Vec<_>>(), Room::default());
        sum(&*peers, shards, present, things, &mut room).unwrap();
        first
    })
}

fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|x| x.to_bits()).collect()
}

fn check_sums(count: usize, present: usize, ranks: usize, lens: &[usize]) {
    let leaves = |len| Vec::from_iter((0..present).map(|leaf| numbers(leaf, len)));
    let expected: Vec<Vec<f32>> =
        lens.iter().map(|len| naive(0..count, &leaves(*len)).unwrap()).collect();
    for sums in sums(count, present, ranks, lens) {
        for (sum, expected) in sums.iter().zip(&expected) {
            assert!(
                bits(sum) == bits(expected),
                "{count} shards, {present} present, {ranks} ranks"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn sums_are_the_trees_on_every_rank(
        (count, present, ranks) in (1..17usize).prop_flat_map(|v| (Just(v), 1..v + 1, 1..v + 1)),
        lens in prop::collection::vec(0..20usize, 1..5),
    ) {
        check_sums(count, present, ranks.min(6), &lens);
    }
}

/// The middle one of the ranks has three sums: of shards 5, 6 and 7, 8 and 9.
#[test]
fn a_rank_may_have_several_sums() {
    check_sums(16, 16, 3, &[5, 1]);
}

#[test]
fn sums_of_many_numbers_are_the_same() {
    check_sums(4, 4, 3, &[3, 1_500_000, 7, 1_200_001]);
}

#[test]
fn every_rank_gets_what_each_shard_has() {
    for (count, present, ranks) in [(4, 4, 1), (4, 4, 2), (4, 3, 3), (4, 1, 4), (7, 7, 3)] {
        let shard = |k: usize| [numbers(k, 3), numbers(k + 50, 2)];
        let gathered = on_ranks(ranks, |peers| {
            let shards = Shards::new(count, peers.rank(), ranks).unwrap();
            let own: Vec<usize> = shards.own().filter(|k| *k < present).collect();
            let mut all: Vec<[Vec<f32>; 2]> =
                (0..present).map(|_| [vec![f32::NAN; 3], vec![f32::NAN; 2]]).collect();
            own.iter().for_each(|k| all[*k] = shard(*k));
            let (mut mine, mut others) = (Vec::new(), Vec::new());
            for (k, vectors) in all.iter_mut().enumerate() {
                match own.contains(&k) {
                    true => mine.extend(vectors.iter().map(|x| &x[..])),
                    false => others.extend(vectors.iter_mut().map(|x| &mut x[..])),
                }
            }
            gather(&*peers, shards, present, &mine, &mut others).unwrap();
            all
        });
        for all in gathered {
            assert_eq!(all, (0..present).map(shard).collect::<Vec<_>>());
        }
    }
}

/// More numbers than are under way at once, and none.
#[test]
fn every_rank_gets_what_the_first_one_has() {
    for len in [0, 3, 1 << 20, (2 << 20) + 1] {
        let of = |rank: usize| numbers(rank, len);
        let had = on_ranks(3, |peers| {
            let mut numbers = of(peers.rank());
            broadcast(&*peers, &mut numbers).unwrap();
            peers.finish().unwrap();
            bits(&numbers)
        });
        assert!(had.iter().all(|had| *had == bits(&of(0))), "{len} numbers");
    }
}

#[test]
fn messages_of_any_length_arrive() {
    let said = on_ranks(3, |peers| gather_messages(&*peers, &vec![7; peers.rank()]).unwrap());
    assert_eq!(said, vec![vec![vec![], vec![7], vec![7, 7]]; 3]);
}

fn all_gather(peers: &dyn Peers) -> Result<()> {
    let ranks = peers.ranks();
    peers.all_gather(&[1], &vec![1; ranks], &mut vec![0; ranks])
}

/// Whoever waits for a rank that fails, or for one that waits for it, ends with its words.
#[test]
fn one_rank_that_fails_ends_all_with_its_words() {
    let told = on_ranks(4, |peers| {
        all_gather(&*peers).unwrap();
        if peers.rank() == 2 {
            peers.leave("no space left on device");
        }
        all_gather(&*peers).unwrap_err().to_string()
    });
    assert_eq!(told, ["rank 2: no space left on device"; 4]);
}

#[test]
fn one_rank_that_panics_or_returns_ends_all() {
    for (panics, words) in [(true, "rank 1: its thread panicked"), (false, "rank 1: it has ended")]
    {
        let told = on_ranks(3, |peers| {
            if peers.rank() != 1 {
                return all_gather(&*peers).unwrap_err().to_string();
            }
            let ended = catch_unwind(AssertUnwindSafe(move || {
                let _peers = peers;
                assert!(!panics, "of the rank");
            }));
            assert_eq!(ended.is_err(), panics);
            String::new()
        });
        assert_eq!(told, [words, "", words]);
    }
}

/// A part that one rank expects longer than the other sends is a bug, and ends all.
#[test]
#[should_panic = "as many bytes as another one has room for"]
fn lengths_are_the_same_on_all_ranks() {
    let ranks = vgg_comm::local(2);
    thread::scope(|scope| {
        let second = &ranks[1];
        scope.spawn(move || second.all_gather(&[1, 2], &[1, 2], &mut [0; 3]));
        let first = &ranks[0];
        first.all_gather(&[1], &[1, 1], &mut [0; 2]).unwrap();
    });
}

/// As where numbers are on their way between GPUs.
#[test]
fn who_has_left_is_not_waited_for_elsewhere_either() {
    let ranks = vgg_comm::local(2);
    let day = Duration::from_secs(86_400);
    assert!(ranks[0].waits(day).is_ok());
    ranks[1].leave("it has had enough");
    let error = ranks[0].waits(Duration::ZERO).unwrap_err().to_string();
    assert!(error.contains("it has had enough"), "{error}");
}
