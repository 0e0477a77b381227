//! `edgewatch classify FILE`: explains a saved response, with its evidence.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::cli::Format;
use crate::cli::exit;
use crate::read::classify;
use crate::read::saved;
use crate::report::verdict;

/// At most this much of a saved response is read: ten times what a probe keeps by default.
const SAVED_BYTES_MAX: u64 = 2_621_440;

/// Explain a saved response: who made it, why, and by which evidence
///
/// Takes a raw HTTP response or what `curl -si URL` printed. Exit code 0 for an ordinary answer, 1 for a
/// block, challenge, refusal or error, 2 when the input is no HTTP response.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The file; `-` reads standard input.
    file: PathBuf,
    /// How the verdict is written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let bytes = match read(&arguments.file) {
        Ok(bytes) => bytes,
        Err(error) => {
            return super::complain(&format!("can't read {}: {error}", arguments.file.display()));
        }
    };
    let answer = match saved::parse(&bytes) {
        Ok(answer) => answer,
        Err(error) => return super::complain(&format!("{}: {error}", arguments.file.display())),
    };
    let verdict = classify::classify_answer(&answer);
    match arguments.format {
        Format::Json => super::print(&format!("{:#}\n", verdict::json(&verdict))),
        Format::Text => super::print(&verdict::text(&verdict, answer.status, super::colour())),
    }
    if verdict.passed() {
        exit::OK
    } else {
        exit::problem()
    }
}

fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        std::io::stdin()
            .lock()
            .take(SAVED_BYTES_MAX)
            .read_to_end(&mut bytes)?;
    } else {
        std::fs::File::open(file)?
            .take(SAVED_BYTES_MAX)
            .read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}
