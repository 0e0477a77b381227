//! Pictures of matrices and what they mean.

use std::collections::BTreeMap;

use super::*;
use crate::domain::cell::CredentialName;
use crate::incident::matrix::Seen;
use crate::words::pattern::pattern;

/// A picture: one row an egress, one column a client; `x` fails, `.` passes, `?` did not run, ` ` is not configured.
fn matrix(kind: Kind, standing: &Standing, picture: &[&str]) -> Matrix {
    let mut spots = Vec::new();
    let mut standings = BTreeMap::new();
    for (row, line) in picture.iter().enumerate() {
        let egress: EgressName = format!("e{}", row + 1).as_str().into();
        standings.insert(egress.clone(), standing.clone());
        for (column, mark) in line.chars().enumerate() {
            let state = match mark {
                'x' => Seen::Failing { kind, mixed: false },
                '.' => Seen::Passing { passes: 1 },
                '?' => Seen::Unknown,
                _ => continue,
            };
            spots.push(Spot {
                cell: CellKey {
                    probe: "p".into(),
                    egress: egress.clone(),
                    client: format!("c{}", column + 1).as_str().into(),
                    credential: CredentialName::anonymous(),
                },
                control: false,
                state,
            });
        }
    }
    Matrix {
        spots,
        standing: standings,
        kind,
    }
}

fn fine() -> Standing {
    Standing::Fine(CellKey {
        probe: "internet".into(),
        egress: "e1".into(),
        client: "plain".into(),
        credential: CredentialName::anonymous(),
    })
}

fn said(diagnosis: &Diagnosis) -> String {
    let cause = match &diagnosis.cause {
        Cause::Level(level) => level.to_string(),
        Cause::Everything => "everything".to_owned(),
        other @ (Cause::Together(_) | Cause::AnyOf(_) | Cause::Pop(_) | Cause::OwnRate { .. }) => {
            format!("{other:?}")
        }
        Cause::OurNetwork { .. } => "our network".to_owned(),
        Cause::Unknown { among } => {
            let names: Vec<String> = among.iter().map(ToString::to_string).collect();
            format!("unknown[{}]", names.join(", "))
        }
    };
    format!("{cause} {:.2}", diagnosis.confidence)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "a table reads better without borrows"
)]
fn check(name: &str, kind: Kind, standing: Standing, picture: &[&str], expected: &str) {
    let matrix = matrix(kind, &standing, picture);
    let trigger = matrix.failing().next().unwrap().cell.clone();
    assert_eq!(said(&diagnose(&matrix, &trigger)), expected, "{name}");
}

#[test]
fn names_one_level_only_when_every_run_agrees() {
    let block = Kind::EdgeBlock;
    check(
        "one client, everywhere",
        block,
        fine(),
        &["x..", "x.."],
        "client c1 0.99",
    );
    check(
        "one address",
        block,
        fine(),
        &["xxx", "..."],
        "egress e1 0.99",
    );
    check(
        "only one cell of it ran",
        block,
        fine(),
        &["x.", "?."],
        "client c1 0.80",
    );
    check(
        "no twin",
        block,
        fine(),
        &["x?", "x.", "?."],
        "client c1 0.99",
    );
    check("a pair", block, fine(), &["x..", "..."], "unknown[] 0.00");
    check(
        "two addresses",
        block,
        fine(),
        &["xx", "xx", ".."],
        "unknown[] 0.00",
    );
    check(
        "diagonal",
        block,
        fine(),
        &["x?", "?."],
        "unknown[client c1, egress e1] 0.00",
    );
}

#[test]
fn everything_needs_everything() {
    let block = Kind::EdgeBlock;
    check("all ran", block, fine(), &["xx", "xx"], "everything 0.97");
    check(
        "two of three",
        block,
        fine(),
        &["xx", "xx", "??"],
        "everything 0.90",
    );
    check(
        "one address ran",
        block,
        fine(),
        &["xx", "??"],
        "unknown[egress e1] 0.00",
    );
    check(
        "one address is all there is",
        block,
        fine(),
        &["xx"],
        "unknown[egress e1] 0.00",
    );
    check(
        "one of each",
        block,
        fine(),
        &["x"],
        "unknown[client c1, egress e1] 0.00",
    );
    check(
        "the application fails",
        Kind::OriginError,
        fine(),
        &["x"],
        "everything 0.97",
    );
    check(
        "one address, timeouts",
        Kind::Timeout,
        fine(),
        &["xx"],
        "unknown[egress e1] 0.00",
    );
}

#[test]
fn never_blames_them_while_we_may_be_offline() {
    let timeout = Kind::Timeout;
    let down = Standing::Down { certain: true };
    check(
        "controls fail",
        timeout,
        down.clone(),
        &["xx", "xx"],
        "unknown[] 0.00",
    );
    check(
        "controls fail, blocks",
        Kind::EdgeBlock,
        down,
        &["xx", "xx"],
        "unknown[] 0.00",
    );
    check(
        "nothing else probed",
        timeout,
        Standing::Alone,
        &["xx", "xx"],
        "unknown[] 0.00",
    );
    check(
        "others pass",
        timeout,
        Standing::OthersPass,
        &["xx", "xx"],
        "everything 0.97",
    );
    check(
        "one egress, no control",
        timeout,
        Standing::Alone,
        &["xx", ".."],
        "egress e1 0.60",
    );
    check(
        "an answer came",
        Kind::OriginError,
        Standing::Alone,
        &["xx", "xx"],
        "everything 0.85",
    );
}

#[test]
fn says_what_it_is_not_and_what_would_tell() {
    let texts = |picture: &[&str]| {
        let matrix = matrix(Kind::EdgeBlock, &fine(), picture);
        let trigger = matrix.failing().next().unwrap().cell.clone();
        let diagnosis = diagnose(&matrix, &trigger);
        let mut lines: Vec<String> = diagnosis.ruled_out.into_iter().map(|r| r.because).collect();
        lines.extend(
            diagnosis
                .would_tell
                .map(|tell| format!("would tell: {tell}")),
        );
        lines
    };
    assert_eq!(
        texts(&["x.", "x."]),
        [
            "not your IPs: egress `e1` passes with client `c2`",
            "not your network: control `internet` passes from egress `e1`",
        ]
    );
    assert_eq!(
        texts(&["xx", "xx"]),
        [
            "not the client: client `c1` and client `c2` fail alike",
            "not your IPs: egress `e1` and egress `e2` fail alike",
            "not your network: control `internet` passes from egress `e1`",
        ]
    );
    assert_eq!(
        texts(&["xx"]).last().unwrap(),
        "would tell: a second egress in the configuration; with only one, it and “everybody” have the same cells"
    );
    assert_eq!(
        texts(&["x?", "?."]).last().unwrap(),
        "would tell: a run of client `c1` from egress `e2`"
    );
}

#[test]
fn says_what_failing_cells_have_in_common() {
    let common = |picture: &[&str]| {
        let matrix = matrix(Kind::EdgeBlock, &fine(), picture);
        let keys = |which: fn(&Spot) -> bool| -> Vec<CellKey> {
            let spots = matrix.spots.iter().filter(|spot| which(spot));
            spots.map(|spot| spot.cell.clone()).collect()
        };
        pattern(&keys(Spot::failing), &keys(Spot::passing)).unwrap_or_default()
    };
    assert_eq!(
        common(&["x.", ".."]),
        "only client `c1` and egress `e1` together fail"
    );
    assert_eq!(
        common(&["x.", "x.", "..", "x."].map(|row| if row == "x." { "xx" } else { row })),
        "all that ran with egress `e1`, egress `e2` or egress `e4` fails, and nothing else does"
    );
    assert_eq!(common(&["x.", ".x"]), "");
}
