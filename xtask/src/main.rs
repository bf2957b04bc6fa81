//! Chores of the workspace, run as `cargo xtask COMMAND`.

mod bench;
mod build_kernels;
mod checkout;
mod child;
mod fetch_data;
mod gpu_check;
mod image_folder;
mod make_sample;
mod scattered_fashion;

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about, version)]
enum Command {
    Bench(bench::Args),
    #[command(hide = true)]
    BenchStep(bench::StepArgs),
    BuildKernels(build_kernels::Args),
    FetchData(fetch_data::Args),
    GpuCheck(gpu_check::Args),
    ImageFolder(image_folder::Args),
    MakeSample(make_sample::Args),
    ScatteredFashion(scattered_fashion::Args),
}

fn main() -> ExitCode {
    vgg_cuda::start_again_without_stubs();
    let (result, failure) = match Command::parse() {
        // The same code as `vgg-train`'s for missing or damaged data.
        Command::FetchData(args) => (fetch_data::run(args), 3),
        Command::Bench(args) => (bench::run(args), 1),
        Command::BenchStep(args) => (bench::run_step(args), 1),
        Command::BuildKernels(args) => (build_kernels::run(args), 1),
        Command::GpuCheck(args) => (gpu_check::run(args), 1),
        Command::ImageFolder(args) => (image_folder::run(args), 1),
        Command::MakeSample(args) => (make_sample::run(args), 1),
        Command::ScatteredFashion(args) => (scattered_fashion::run(args), 1),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&error);
            ExitCode::from(failure)
        }
    }
}

#[expect(clippy::print_stderr, reason = "this is where the program speaks")]
fn print_error(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}

/// A line on stderr in the manner of cargo's messages.
#[expect(clippy::print_stderr, reason = "this is where the program speaks")]
fn status(verb: &str, message: impl std::fmt::Display) {
    eprintln!("{verb:>12} {message}");
}
