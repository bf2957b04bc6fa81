//! Processes that launchers of MPI start train one network together.
#![cfg(target_os = "linux")]

#[path = "../../../vgg-comm/tests/launchers/mod.rs"]
pub(super) mod launchers;

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use launchers::{Mpi, found};

use super::ranks::{ADAMW, DAMAGE, MOMENTUM, SHARDS, UNSEEN, assert_same_runs, place_with_damage};
use super::resume::{ENDLESS, finish_and_compare, wait_for_step};
use super::{Done, Workplace};

impl Workplace {
    /// So many processes of the program, in this folder.
    pub(super) fn launch(&self, mpi: &Mpi, ranks: usize, arguments: &str) -> Command {
        let (mut command, program) = (mpi.command(ranks), self.command(arguments));
        command.arg(program.get_program()).args(program.get_args()).current_dir(self.path(""));
        for (name, value) in program.get_envs().filter(|(name, _)| *name != "VGG_MPI") {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }

    fn launched(&self, mpi: &Mpi, ranks: usize, arguments: &str) -> Done {
        Done::of(self.launch(mpi, ranks, arguments).output().unwrap())
    }

    /// A run under way, whose output is in a file.
    fn launch_to_file(&self, mpi: &Mpi, ranks: usize, arguments: &str) -> Child {
        let file = fs::File::create(self.path("told.txt")).unwrap();
        let mut command = self.launch(mpi, ranks, arguments);
        command.stdout(Stdio::null()).stderr(file).spawn().unwrap()
    }

    /// Sends a signal to the process that is a rank here.
    fn signal_rank(&self, rank: usize, signal: &str) {
        let here = fs::canonicalize(self.path("")).unwrap();
        let is_rank = |process: &std::path::Path| {
            let is_here = fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == here);
            let exe = fs::read_link(process.join("exe")).unwrap_or_default();
            let variables = fs::read(process.join("environ")).unwrap_or_default();
            let names = ["OMPI_COMM_WORLD_RANK", "PMI_RANK"].map(|name| format!("{name}={rank}"));
            let mut variables = variables.split(|byte| *byte == 0);
            is_here
                && exe.ends_with("vgg-train")
                && variables.any(|variable| names.iter().any(|name| name.as_bytes() == variable))
        };
        let mut processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
        let process = processes.find(|process| is_rank(process)).expect("the rank is running");
        let id = process.file_name().unwrap();
        assert!(Command::new("kill").arg(signal).arg(id).status().unwrap().success());
    }
}

#[test]
fn processes_of_every_mpi_come_to_what_one_comes_to() {
    for (mpi, number) in found().iter().zip(0..) {
        for settings in [MOMENTUM, ADAMW] {
            let place = Workplace::new();
            let settings = format!("{SHARDS} {settings} --set device.threads=1");
            place.ok(&format!("tiny.toml -q {settings}"));
            let ranks = if number == 0 { 4 } else { 2 };
            let done = place.launched(mpi, ranks, &format!("tiny.toml {settings}"));
            assert_eq!(done.code, Some(0), "{mpi:?}: {}", done.stderr);
            assert_eq!(done.stdout.lines().count(), 1, "one run: {}", done.stdout);
            let told = done.stderr.matches("Ranks").count();
            assert_eq!(told, 1, "one of them tells: {}", done.stderr);
            assert_same_runs(&place, "tiny-1", "tiny-2");
            assert!(place.read("runs/tiny-2/log.rank1.txt").contains("rank 1 of"));
            assert!(!place.path("runs/tiny-3").exists(), "it is one run");
        }
    }
}

#[test]
fn a_killed_process_ends_all_and_the_run_goes_on_with_others() {
    for mpi in found() {
        let place = Workplace::new();
        let often = "--set checkpoint.every_minutes=1e-9";
        let settings = format!("{SHARDS} {MOMENTUM}");
        let start = format!("tiny.toml -q {often} {settings} {ENDLESS}");
        let killed = |ranks, arguments: &str, rank, step| {
            let mut child = place.launch_to_file(&mpi, ranks, arguments);
            wait_for_step(&place, &mut child, step);
            place.signal_rank(rank, "-KILL");
            let killed = Instant::now();
            assert!(!child.wait().unwrap().success());
            assert!(killed.elapsed() < Duration::from_secs(15));
        };
        killed(2, &start, 1, 3);
        killed(3, "resume runs/tiny-1 -q", 0, 7);
        finish_and_compare(&place, &settings);
    }
}

/// All stop before the same step, whichever rank sees the signal.
#[test]
fn a_signal_to_one_process_stops_all_with_the_state_saved() {
    for mpi in found() {
        let place = Workplace::new();
        let settings = format!("{SHARDS} {ADAMW}");
        let start = format!("tiny.toml -q {settings} {ENDLESS}");
        let mut child = place.launch_to_file(&mpi, 2, &start);
        wait_for_step(&place, &mut child, 3);
        place.signal_rank(1, "-TERM");
        let code = child.wait().unwrap().code();
        assert_eq!(code, Some(75), "{mpi:?}: {}", place.read("told.txt"));
        finish_and_compare(&place, &settings);
    }
}

/// It is the launcher that notices a process that ends; one that hangs nobody does but the others.
#[test]
fn a_process_that_hangs_is_named() {
    for mpi in found().iter().take(1) {
        let place = Workplace::new();
        let start = format!("tiny.toml -q {SHARDS} {ENDLESS}");
        let mut child = place.launch_to_file(mpi, 3, &start);
        wait_for_step(&place, &mut child, 3);
        place.signal_rank(1, "-STOP");
        assert!(!child.wait().unwrap().success());
        let told = place.read("told.txt");
        assert!(told.contains("caused by: rank 1: no answer for 10 s"), "{told}");
        let help = "help: `vgg-train resume runs/tiny-1` goes on from the last checkpoint";
        assert!(told.contains(help), "{told}");
    }
}

/// An image that one rank cannot read ends all, with that rank's words.
#[test]
fn a_process_that_fails_ends_all() {
    for mpi in found().iter().take(2) {
        let place = place_with_damage();
        let done = place.launched(mpi, 4, &format!("folder.toml -q {UNSEEN}"));
        assert_ne!(done.code, Some(0));
        assert!(done.stderr.contains(DAMAGE), "{}", done.stderr);
        assert!(done.stderr.contains("error: rank "), "{}", done.stderr);
        assert!(done.stderr.contains("` goes on from the last checkpoint"), "{}", done.stderr);
    }
}

#[test]
fn what_processes_cannot_share_is_refused_by_one_of_them() {
    for mpi in found().iter().take(2) {
        let place = Workplace::new();
        for (arguments, told) in [
            ("tiny.toml --ranks 2", "error: --ranks makes ranks of one process"),
            ("tiny.toml", "error: too many ranks"),
            ("none.toml", "error: there is no config none.toml"),
            ("tiny.toml --rank", "error: unexpected argument"),
            ("finetune images", "error: finetune trains in one process"),
        ] {
            let done = place.launched(mpi, 2, arguments);
            assert_eq!(done.code, Some(2), "{}", done.stderr);
            assert!(done.stderr.contains(told), "{}", done.stderr);
            assert_eq!(done.stderr.matches("error:").count(), 1, "{}", done.stderr);
        }
        assert!(!place.path("runs").exists(), "nothing is left of what was refused");

        // There is nothing to do for a run that is done.
        place.ok("tiny.toml -q");
        let done = place.launched(mpi, 2, "resume runs/tiny-1");
        assert_eq!((done.code, done.stdout.lines().count()), (Some(0), 1), "{}", done.stderr);
    }
}
