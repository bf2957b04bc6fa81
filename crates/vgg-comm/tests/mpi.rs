//! Ranks that a launcher of MPI starts: what they exchange, and what becomes of one that fails.
#![cfg(unix)]
#![expect(clippy::print_stdout, reason = "its processes tell it by their output")]

mod launchers;

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use launchers::{Mpi, found};
use vgg_comm::Patience;
use vgg_tensor::ranks::{Peers, Room, ShardSums, Shards, Tree, gather_messages, sum};

/// What a rank is to do; set for the processes that a launcher starts.
const ROLE: &str = "VGG_TEST_ROLE";

impl Mpi {
    /// So many processes of this test, in a role.
    fn command_of(&self, ranks: usize, role: &str) -> Command {
        let mut command = self.command(ranks);
        command.arg(std::env::current_exe().unwrap());
        command.args(["--exact", "a_rank", "--nocapture"]).env(ROLE, role);
        command
    }

    fn run(&self, ranks: usize, role: &str) -> (Output, Duration) {
        let start = Instant::now();
        let output = self.command_of(ranks, role).output().unwrap();
        (output, start.elapsed())
    }
}

fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}

/// How long any rank is waited for.
struct Limit(Duration);

impl Patience for Limit {
    fn took(&self, _: Duration) {}

    fn waits(&self, _: usize, time: Duration) -> bool {
        time < self.0
    }
}

/// Not a test, but what each process does that a launcher starts.
#[test]
fn a_rank() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let limit = Duration::from_secs(if role == "hangs" { 2 } else { 60 });
    let peers = match vgg_comm::mpi(Arc::new(Limit(limit))) {
        Ok(peers) => peers.expect("a launcher started it"),
        Err(error) => {
            println!("refused: {error}");
            std::process::exit(4);
        }
    };
    let (rank, ranks) = (peers.rank(), peers.ranks());
    exchange_all(&*peers);
    match role.as_str() {
        "exchanges" => println!("rank {rank} of {ranks} is done: {}", peers.describe()),
        "ends" if rank == 1 => std::process::exit(3),
        "panics" if rank == 1 => panic!("as it should"),
        "leaves" if rank == 1 => {
            peers.leave("cannot read an image");
            println!("{}", gather_messages(&*peers, b"").unwrap_err());
            std::process::exit(1);
        }
        "hangs" if rank == 1 => sleep(Duration::from_secs(60)),
        _ => {
            let error = gather_messages(&*peers, b"who is there?").unwrap_err();
            println!("rank {rank} says: {error}");
            std::process::exit(1);
        }
    }
}

/// Bytes of all lengths, none and more than a buffer has among them, and a sum.
fn exchange_all(peers: &dyn Peers) {
    let (rank, ranks) = (peers.rank(), peers.ranks());
    let message = |rank: usize| format!("rank {rank}").repeat(rank * 1000);
    let expected: Vec<Vec<u8>> = (0..ranks).map(|rank| message(rank).into_bytes()).collect();
    assert_eq!(gather_messages(peers, message(rank).as_bytes()).unwrap(), expected);

    let len = |from: usize, to: usize| (from * 3 + to) % 4 * 700_001;
    let byte = |from: usize, to: usize, i: usize| (from * 7 + to * 31 + i % 251) as u8;
    let bytes = |from: usize, to: usize| -> Vec<u8> {
        let len = if from == to { 0 } else { len(from, to) };
        (0..len).map(|i| byte(from, to, i)).collect()
    };
    let mine: Vec<Vec<u8>> = (0..ranks).map(|to| bytes(rank, to)).collect();
    let expected: Vec<Vec<u8>> = (0..ranks).map(|from| bytes(from, rank)).collect();
    let mut all: Vec<Vec<u8>> = expected.iter().map(|bytes| vec![0; bytes.len()]).collect();
    // In pieces, which are cut otherwise where they are received.
    let send: Vec<Vec<&[u8]>> = mine.iter().map(|bytes| bytes.chunks(300_000).collect()).collect();
    let mut receive: Vec<Vec<&mut [u8]>> =
        all.iter_mut().map(|bytes| bytes.chunks_mut(1_000_000).collect()).collect();
    peers.exchange(&send, &mut receive).unwrap();
    assert!(all == expected, "what came to rank {rank}");

    // A rank has some of seven shards, each one number that the order of additions matters to.
    let leaf = |shard: usize| vec![0.1 + shard as f32 * 1e5; 1000];
    let (shards, tree) = (Shards::new(7, rank, ranks).unwrap(), Tree::new(7, 7));
    let add = |mut left: Vec<f32>, right: Vec<f32>| {
        left.iter_mut().zip(right).for_each(|(x, y)| *x += y);
        left
    };
    let whole = tree.sum(|node| (node.len() == 1).then(|| leaf(node.start)), add).unwrap();
    let mut own: Vec<Vec<f32>> = Vec::new();
    for (shard, additions) in tree.additions(shards.own()) {
        own.push(leaf(shard));
        for _ in 0..additions {
            let right = own.pop().unwrap();
            let left = own.pop().unwrap();
            own.push(add(left, right));
        }
    }
    let (first, others) = own.split_first_mut().unwrap();
    let others = others.iter().map(Vec::as_slice).collect();
    sum(peers, shards, 7, &mut [ShardSums { first, others }], &mut Room::default()).unwrap();
    assert_eq!(own[0], whole, "the sum at rank {rank}");
}

#[test]
fn ranks_of_every_mpi_exchange_bytes() {
    for mpi in found() {
        for ranks in [2, 3, 4] {
            let (output, _) = mpi.run(ranks, "exchanges");
            let text = text(&output);
            assert!(output.status.success(), "{mpi:?}, {ranks} ranks: {text}");
            for rank in 0..ranks {
                let done = format!("rank {rank} of {ranks} is done");
                assert!(text.contains(&done), "{mpi:?}: no `{done}` in {text}");
            }
            println!("{}", text.lines().find(|line| line.contains("is done")).unwrap());
        }
    }
}

#[test]
fn a_rank_that_fails_ends_all() {
    for mpi in found() {
        for role in ["ends", "panics", "leaves", "hangs"] {
            let (output, time) = mpi.run(3, role);
            let text = text(&output);
            assert!(!output.status.success(), "{mpi:?}, {role}: {text}");
            assert!(time < Duration::from_secs(15), "{mpi:?}, {role}: {time:?}");
            if role == "leaves" {
                assert!(text.contains("rank 1: cannot read an image"), "{mpi:?}: {text}");
            }
            if role == "hangs" {
                let expected = "rank 1: no answer for 2 s: it hangs, or its machine is cut off";
                assert!(text.contains(expected), "{mpi:?}: {text}");
            }
        }
    }
}

#[test]
fn a_library_that_is_not_the_launchers_is_refused() {
    let library = |names: [&str; 2]| {
        names
            .into_iter()
            .map(|name| Path::new("/usr/lib/x86_64-linux-gnu").join(name))
            .find(|file| file.exists())
    };
    for mpi in found() {
        let others = match mpi.is_open_mpi() {
            true => ["libmpich.so.12", "libmpi.so.12"],
            false => ["libmpi.so.40", "libmpi.so.40.30.4"],
        };
        if let Some(other) = library(others) {
            let other = Mpi { library: Some(other), ..mpi.clone() };
            let (output, _) = other.run(2, "exchanges");
            let text = text(&output);
            assert!(!output.status.success() && text.contains("another MPI's library"), "{text}");
        }
        let none = Mpi { library: Some("no/such/library.so".into()), ..mpi };
        let text = text(&none.run(2, "exchanges").0);
        assert!(text.contains("set VGG_MPI to its file"), "{text}");
    }
}

#[test]
fn a_process_alone_has_no_peers() {
    assert!(vgg_comm::mpi(Arc::new(Limit(Duration::ZERO))).unwrap().is_none());
}
