//! Arguments to [`edgewatch::cli`], result to exit code; nothing else.

use std::process::ExitCode;

use clap::Parser;

#[derive(Debug, Parser)]
#[command(name = "edgewatch")]
enum Command {
    /// Plays scenarios through the diagnosis
    Replay(edgewatch::cli::replay::ReplayArgs),
}

fn main() -> ExitCode {
    match Command::parse() {
        Command::Replay(args) => edgewatch::cli::replay::run(&args),
    }
}
