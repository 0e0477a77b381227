//! Scores the classifier against saved answers: our own cases, and the shared corpus when it is there.
//!
//! A case is a directory with `case.yaml` (what the answer is) and `response.http` (the answer). Gates:
//! every case of our own and every `core` case is right; nothing that the origin or nobody refused is
//! called an edge block; kind and vendor are right in at least 99 of 100 captured cases.

#![allow(clippy::unwrap_used)] // A case that can't be read should stop the test.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use edgewatch::domain::verdict::{Kind, Maker, Verdict};
use edgewatch::read::classify::classify_answer;
use edgewatch::read::saved;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
struct Label {
    kind: String,
    vendor: String,
    rule: String,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    reference_id: Option<String>,
    fronted_by: String,
    who_acts: String,
    /// Who made it, where that matters: the corpus' `vendor: none` means refused behind the edge, by whomever.
    #[serde(default)]
    maker: Option<String>,
    /// Other labels that are as right.
    #[serde(default)]
    ambiguous: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    headers: Option<String>,
    #[serde(default)]
    body: Option<String>,
}

struct Case {
    name: String,
    label: Label,
    verdict: Verdict,
}

impl Case {
    fn ambiguous(&self, word: &str) -> bool {
        self.label
            .ambiguous
            .as_deref()
            .is_some_and(|words| words.contains(word))
    }

    fn kind_right(&self) -> bool {
        let kind = self.verdict.kind.as_str();
        kind == self.label.kind || self.ambiguous(kind)
    }

    /// "unknown" is never wrong; an ambiguous kind takes its vendor along. Of what was refused behind the edge
    /// the proxy or gateway that did may be named.
    fn vendor_right(&self) -> bool {
        self.verdict.vendor == self.label.vendor
            || self.verdict.vendor == "unknown"
            || (self.label.vendor == "none"
                && self.verdict.maker == Maker::Unknown
                && self.kind_right())
            || (self.verdict.kind.as_str() != self.label.kind && self.kind_right())
    }

    fn rule_right(&self) -> bool {
        let rule = self.verdict.rule.as_str();
        rule == self.label.rule
            || rule == "unknown"
            || self.ambiguous(rule)
            || self.ambiguous("rule unknown")
            || (self.verdict.kind.as_str() != self.label.kind && self.kind_right())
    }

    fn reference_right(&self) -> bool {
        self.label.reference_id.is_none() || self.verdict.reference_id == self.label.reference_id
    }

    fn maker_right(&self) -> bool {
        let maker = self.label.maker.as_deref();
        maker.is_none_or(|maker| maker == self.verdict.maker.as_str())
    }

    fn code_right(&self) -> bool {
        self.label.code.is_none() || self.verdict.code == self.label.code
    }

    fn is_captured(&self) -> bool {
        self.label.headers.as_deref() == Some("captured")
            || self.label.body.as_deref() == Some("captured")
    }

    /// Nothing that an edge refused.
    fn is_negative(&self) -> bool {
        ["pass", "origin_denied", "origin_error"].contains(&self.label.kind.as_str())
    }
}

fn load(directory: &Path) -> Vec<Case> {
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if !path.join("case.yaml").exists() {
            continue;
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(path.join("case.yaml")).unwrap();
        let label: Label =
            serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let bytes = std::fs::read(path.join("response.http")).unwrap();
        let answer = saved::parse(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        cases.push(Case {
            name,
            label,
            verdict: classify_answer(&answer),
        });
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

/// Prints how many of `cases` are right in each respect, and lists the misses.
fn score(cases: &[Case]) -> String {
    let mut table = String::new();
    let mut row = |name: &str, counted: &dyn Fn(&Case) -> bool, right: &dyn Fn(&Case) -> bool| {
        let of: Vec<&Case> = cases.iter().filter(|case| counted(case)).collect();
        let hits = of.iter().filter(|case| right(case)).count();
        writeln!(table, "{name:22} {hits:4} of {:4}", of.len()).unwrap();
    };
    row("kind", &|_| true, &Case::kind_right);
    row("vendor", &|_| true, &Case::vendor_right);
    row("rule", &|_| true, &Case::rule_right);
    row(
        "reference id",
        &|c| c.label.reference_id.is_some(),
        &Case::reference_right,
    );
    row("code", &|c| c.label.code.is_some(), &Case::code_right);
    row("fronted by", &|_| true, &|c| {
        c.verdict.fronted_by == c.label.fronted_by
    });
    row("who acts", &|_| true, &|c| {
        c.verdict.who_acts.as_str() == c.label.who_acts
    });
    for case in cases {
        let label = &case.label;
        let mut wrong = Vec::new();
        let mut note = |right: bool, what: &str, got: &str, wanted: &str| {
            if !right {
                wrong.push(format!("{what} {got}, labelled {wanted}"));
            }
        };
        let v = &case.verdict;
        let none = "-".to_owned();
        note(case.kind_right(), "kind", v.kind.as_str(), &label.kind);
        note(case.vendor_right(), "vendor", &v.vendor, &label.vendor);
        note(
            case.maker_right(),
            "maker",
            v.maker.as_str(),
            label.maker.as_ref().unwrap_or(&none),
        );
        note(case.rule_right(), "rule", v.rule.as_str(), &label.rule);
        note(
            case.reference_right(),
            "reference",
            v.reference_id.as_ref().unwrap_or(&none),
            label.reference_id.as_ref().unwrap_or(&none),
        );
        note(
            case.code_right(),
            "code",
            v.code.as_ref().unwrap_or(&none),
            label.code.as_ref().unwrap_or(&none),
        );
        note(
            v.fronted_by == label.fronted_by,
            "front",
            &v.fronted_by,
            &label.fronted_by,
        );
        note(
            v.who_acts.as_str() == label.who_acts,
            "who",
            v.who_acts.as_str(),
            &label.who_acts,
        );
        if !wrong.is_empty() {
            writeln!(table, "  {}: {}", case.name, wrong.join("; ")).unwrap();
            if !case.kind_right() || !case.vendor_right() {
                for evidence in &v.evidence {
                    writeln!(table, "      {} {}", evidence.strength, evidence.text).unwrap();
                }
            }
        }
    }
    table
}

fn names<'a>(cases: impl Iterator<Item = &'a Case>) -> Vec<&'a str> {
    cases.map(|case| case.name.as_str()).collect()
}

fn root(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}

#[test]
fn own_cases() {
    let cases = load(&root("tests/corpus"));
    assert!(!cases.is_empty());
    let wrong = names(cases.iter().filter(|case| {
        !(case.kind_right()
            && case.vendor_right()
            && case.maker_right()
            && case.rule_right()
            && case.reference_right())
    }));
    assert!(wrong.is_empty(), "{wrong:?}\n{}", score(&cases));
}

#[test]
fn shared_corpus() {
    let directory = root("../shared/corpus");
    if !directory.exists() {
        println!("skipped: {} is not there", directory.display());
        return;
    }
    let cases = load(&directory);
    let table = score(&cases);
    println!("{table}");
    let core = names(cases.iter().filter(|case| {
        case.label.tags.iter().any(|tag| tag == "core")
            && !(case.kind_right() && case.vendor_right())
    }));
    assert!(core.is_empty(), "core cases are wrong: {core:?}\n{table}");
    let blamed = names(cases.iter().filter(|case| {
        case.is_negative()
            && matches!(
                case.verdict.kind,
                Kind::EdgeBlock | Kind::EdgeChallenge | Kind::EdgeError
            )
    }));
    assert!(
        blamed.is_empty(),
        "an edge is blamed for {blamed:?}\n{table}"
    );
    let captured: Vec<&Case> = cases.iter().filter(|case| case.is_captured()).collect();
    let right = captured
        .iter()
        .filter(|case| case.kind_right() && case.vendor_right())
        .count();
    assert!(
        right * 100 >= captured.len() * 99,
        "{right} of {} captured cases are right\n{table}",
        captured.len()
    );
}
