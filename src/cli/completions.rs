//! `edgewatch completions` and `edgewatch man`: what shells and `man` know of the commands, from the same definitions.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, ValueEnum};
use clap_complete::Shell;

use super::exit;

/// Print the completions of a shell
///
/// bash: `edgewatch completions bash > /etc/bash_completion.d/edgewatch`; zsh: into a folder of `$fpath` as `_edgewatch`;
/// fish: `~/.config/fish/completions/edgewatch.fish`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    shell: Known,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Known {
    Bash,
    Zsh,
    Fish,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let shell = match arguments.shell {
        Known::Bash => Shell::Bash,
        Known::Zsh => Shell::Zsh,
        Known::Fish => Shell::Fish,
    };
    let mut text = Vec::new();
    let mut command = super::Arguments::command();
    clap_complete::generate(shell, &mut command, "edgewatch", &mut text);
    super::print(&String::from_utf8_lossy(&text));
    exit::OK
}

/// Print the manual page, or write those of all commands to a folder
///
/// `edgewatch man | man -l -` shows it. Exit code 0 when it is written, 2 when it can't be.
#[derive(Debug, clap::Args)]
pub(super) struct ManArguments {
    /// Write edgewatch.1, edgewatch-check.1 and so on there
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
}

pub(super) fn run_man(arguments: &ManArguments) -> ExitCode {
    let command = super::Arguments::command();
    let Some(folder) = &arguments.to else {
        let mut text = Vec::new();
        return match clap_mangen::Man::new(command).render(&mut text) {
            Ok(()) => {
                super::print(&String::from_utf8_lossy(&text));
                exit::OK
            }
            Err(error) => super::complain(&error.to_string()),
        };
    };
    match clap_mangen::generate_to(command, folder) {
        Ok(()) => exit::OK,
        Err(error) => super::complain(&format!("can't write to {}: {error}", folder.display())),
    }
}
