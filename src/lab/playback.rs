//! Plays a log of `run --record` back: the machine hears it all again, and must answer as it did.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use jiff::Timestamp;

use crate::config::{self, Remembered};
use crate::domain::plan::Plan;
use crate::machine::Machine;
use crate::machine::log::{self, FORM, Line, Source};

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Played {
    lives: u64,
    events: u64,
    checks: u64,
}

/// How the first line of a life begins.
const BEGIN: &str = r#"{"begin":"#;

/// Why a log did not play back to its end.
#[derive(Debug, PartialEq, Eq)]
enum Stop {
    /// Another answer, or another state; a sentence that says where.
    Differs(String),
    Unreadable(String),
}

/// What the references of a recorded plan led to.
/// Plays the file and says how it went: 0 equal, 1 differs, 2 unreadable.
pub(super) fn run(path: &Path) -> ExitCode {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) => {
            eprintln!("edgewatch replay: {}: {error}", path.display());
            return ExitCode::from(2);
        }
    };
    match play(BufReader::new(file).lines()) {
        Ok(played) => {
            println!(
                "as recorded: {} events of {} lives of the daemon, the state compared {} times",
                played.events, played.lives, played.checks
            );
            ExitCode::SUCCESS
        }
        Err(Stop::Differs(what)) => {
            println!("differs: {what}");
            ExitCode::from(1)
        }
        Err(Stop::Unreadable(what)) => {
            eprintln!("edgewatch replay: {}: {what}", path.display());
            ExitCode::from(2)
        }
    }
}

fn play(lines: impl Iterator<Item = std::io::Result<String>>) -> Result<Played, Stop> {
    let mut machine: Option<Machine> = None;
    let mut played = Played::default();
    let mut lines = (1_u64..).zip(lines).peekable();
    while let Some((number, line)) = lines.next() {
        let unreadable = |what: String| Stop::Unreadable(format!("line {number}: {what}"));
        let line = line.map_err(|e| unreadable(e.to_string()))?;
        let line = match serde_json::from_str(&line) {
            Ok(line) => line,
            // A daemon that was killed ends in the middle of a line.
            Err(_) if played.lives > 0 && ends_here(lines.peek()) => continue,
            Err(error) => return Err(unreadable(error.to_string())),
        };
        match (line, &mut machine) {
            (
                Line::Begin {
                    form,
                    version,
                    now,
                    plan,
                    known,
                },
                machine,
            ) => {
                if form != FORM {
                    let ours = env!("CARGO_PKG_VERSION");
                    return Err(unreadable(format!(
                        "a log of form {form}, written by edgewatch {version}; this is edgewatch {ours}, which reads form {FORM}"
                    )));
                }
                let plan = read(&plan).map_err(unreadable)?;
                *machine = Some(Machine::new(Arc::new(plan), *known, now));
                played.lives += 1;
            }
            (
                Line::Step {
                    now,
                    event,
                    effects,
                },
                Some(machine),
            ) => {
                let event = event.event(read).map_err(unreadable)?;
                let answer = machine.step(event, now);
                played.events += 1;
                let found = log::digest(&answer.as_slice());
                if found != effects {
                    return Err(Stop::Differs(differs(number, now, &played, &answer)));
                }
            }
            (Line::State { after, digest }, Some(machine)) => {
                played.checks += 1;
                let found = machine.digest();
                if found != digest {
                    return Err(Stop::Differs(format!(
                        "line {number}: after {after} events the state is {found} and was {digest}"
                    )));
                }
            }
            (_, None) => return Err(unreadable("the log has no beginning".to_owned())),
        }
    }
    if played.lives == 0 {
        return Err(Stop::Unreadable("holds no log".to_owned()));
    }
    Ok(played)
}

/// Whether a life ends before this line.
fn ends_here(next: Option<&(u64, std::io::Result<String>)>) -> bool {
    let line = next.and_then(|(_, line)| line.as_ref().ok());
    next.is_none() || line.is_some_and(|line| line.starts_with(BEGIN))
}

fn differs(
    line: u64,
    now: Timestamp,
    played: &Played,
    answer: &[crate::machine::Effect],
) -> String {
    let answer: Vec<String> = answer.iter().map(|effect| format!("{effect:?}")).collect();
    format!(
        "line {line}, event {} at {now}: the machine answered otherwise then; now it is [{}]",
        played.events,
        answer.join(", ")
    )
}

fn read(source: &Source) -> Result<Plan, String> {
    let inputs = Remembered {
        env: &source.env,
        variables: &source.variables,
        files: &source.files,
    };
    config::read(&source.text, "the log", &inputs)
        .map(|checked| checked.plan)
        .map_err(|findings| findings.to_string())
}
