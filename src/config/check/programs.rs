//! Programs that make the requests of a client: whether they are there, and what can't be said beside them.

use crate::config::Inputs;
use crate::config::collections::{Form, Pairs};
use crate::config::desk::{Desk, Place, quote};
use crate::config::raw;
use crate::config::special::BuiltIn;
use crate::domain::cell::{Keep, Program, Speaks};

/// Programs that imitate the hello of a browser: what edgewatch never sends.
const IMITATORS: [&str; 5] = [
    "curl_cffi",
    "curl-impersonate",
    "curl_chrome",
    "wreq",
    "utls",
];

/// The name of a program that imitates browsers, where a word of a command holds one.
#[must_use]
pub fn imitator(word: &str) -> Option<&'static str> {
    IMITATORS.into_iter().find(|name| word.contains(name))
}

/// The program of a client; reports one that can't be run, and what does not go with one.
pub(super) fn program(
    raw: &mut raw::Client,
    inputs: &dyn Inputs,
    desk: &mut Desk<'_>,
) -> Option<Program> {
    let worker = raw.worker.take();
    let Some(command) = raw.command.take() else {
        if let Some(worker) = worker {
            let hint = "remove it, or name the program as \"command\"";
            desk.error(
                worker.place,
                "is of a program, and there is none here",
                hint,
            );
        }
        return None;
    };
    let decides = |place: Place, desk: &mut Desk<'_>| {
        let hint = "remove it: the program decides how it writes headers and speaks TLS";
        desk.error(place, "has no say over a program", hint);
    };
    if let Some(case) = raw.header_case.take() {
        decides(case.place, desk);
    }
    if let Some(tls) = raw.tls.take() {
        decides(tls.place, desk);
    }
    if let Some(trust) = raw.trust.take() {
        let hint = "remove it: the program has roots of its own, and judges by them";
        desk.error(trust.place, "has no say over a program", hint);
    }
    if let Some(control) = raw.control.as_ref().filter(|control| control.value.0) {
        desk.warning(
            control.place,
            "a control that depends on a second program",
            "when that can't be run, nothing tells \"they refuse our client\" from \"they refuse us\"; let an own client be the control",
        );
    }
    let (speaks, place, mut words) = match command.value {
        Form::Short(built_in) => match built_in.0 {
            BuiltIn::Curl => (Speaks::Curl, command.place, vec!["curl".to_owned()]),
        },
        Form::Full(list) => {
            let mut words = Vec::with_capacity(list.0.len());
            for word in list.0 {
                if word.value.contains("{{") {
                    desk.error(
                        word.place,
                        "placeholders are not filled in a command",
                        "the program gets the whole request on its standard input",
                    );
                }
                if let Some(name) = imitator(&word.value) {
                    desk.warning(
                        word.place,
                        format!("{} imitates browsers", quote(name)),
                        "run what your services run: edges refuse imitations for good reasons, and their pass says nothing of your services",
                    );
                }
                words.push(word.value);
            }
            (Speaks::Lines, command.place, words)
        }
    };
    let Some(name) = words.first_mut() else {
        desk.error(
            place,
            "names no program",
            "write the program and its arguments, like [/usr/bin/java, -cp, worker.jar, Worker]",
        );
        return None;
    };
    match inputs.program(name) {
        Ok(found) => *name = found,
        Err(why) => desk.error(
            place,
            format!("{} can't be run: {why}", quote(name)),
            "name the program by its whole path",
        ),
    }
    if let Some(worker) = worker.as_ref().filter(|_| speaks == Speaks::Curl) {
        let hint = "remove it: curl ends with each request, and is cheap to start";
        desk.error(worker.place, "can't be kept", hint);
    }
    if speaks == Speaks::Curl {
        words.extend(Speaks::CURL.map(str::to_owned));
    }
    if !inputs.holds_programs() {
        desk.warning(
            place,
            "this kernel can't keep a program to its egress",
            "one that goes round it is noticed, and its answer is not believed; Linux 6.7 with Landlock would keep it",
        );
    }
    let mut worker = worker.map(|worker| worker.value);
    let env = worker.as_mut().and_then(|worker| worker.env.take());
    Some(Program {
        command: words,
        speaks,
        variables: env.map_or_else(Vec::new, |env| variables(env.value, desk)),
        http: raw.http.as_ref().map(|http| http.value.0),
        keep: worker.and_then(keep),
    })
}

/// The variables of a program, without those that it must not have.
fn variables(raw: Pairs<String>, desk: &mut Desk<'_>) -> Vec<(String, String)> {
    let mut read = Vec::with_capacity(raw.0.len());
    for (name, value) in raw.0 {
        let text = name.value.to_ascii_uppercase();
        let any = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
        let valid = !text.is_empty()
            && !text.starts_with(|c: char| c.is_ascii_digit())
            && text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_');
        if !valid || value.value.contains('\0') {
            desk.error(
                name.place,
                format!("{} can't be a variable", quote(&name.value)),
                "use letters, digits and \"_\", no digit first",
            );
        } else if any(&["PASSWORD", "PASSWD", "SECRET", "TOKEN", "API_KEY"]) {
            desk.error(
                name.place,
                format!("{} looks like a secret", quote(&name.value)),
                "put it under \"credentials\": the program gets what the request needs on its standard input",
            );
        } else if any(&["_PROXY", "SSLKEYLOGFILE"]) {
            desk.error(
                name.place,
                format!("{} would lead the request elsewhere", quote(&name.value)),
                "remove it: the program goes through the port that it is told",
            );
        } else {
            read.push((name.value, value.value));
        }
    }
    read
}

fn keep(raw: raw::Worker) -> Option<Keep> {
    let wanted = raw.keep.is_none_or(|keep| keep.value.0);
    let usual = Keep::default();
    wanted.then(|| Keep {
        idle: raw.idle.map_or(usual.idle, |idle| idle.value.0),
        runs: raw.runs.map_or(usual.runs, |runs| runs.value.0 as u32),
    })
}
