//! What edgewatch's own limits and choices leave open, with the key that lifts them.
//!
//! A body of which only the start was kept and a coding that can't be undone look like a wrong answer of the
//! partner, so each says whose choice it is and what would tell more.

use super::expect::Facts;
use crate::domain::condition::Condition;
use crate::domain::observation::{Answer, FailureKind};
use crate::domain::probe::Probe;
use crate::domain::verdict::{Evidence, Maker, Strength, Verdict, WhoActs};

/// Adds to an answer that is not as asked what of it may be our own doing.
pub(super) fn say(verdict: &mut Verdict, probe: &Probe, facts: &Facts<'_>, answer: &Answer) {
    let conditions = &probe.expect.conditions.0;
    let (content, others): (Vec<&Condition>, Vec<&Condition>) = conditions
        .iter()
        .partition(|condition| is_content(condition));
    if let Some(said) = cut(answer).filter(|_| !content.is_empty()) {
        verdict.evidence.push(Evidence::new(Strength::Proof, said));
        // Whether the rest is as asked nobody has seen.
        let good = (200..300).contains(&answer.status)
            || conditions.iter().any(|c| matches!(c, Condition::Status(_)));
        if good && others.iter().all(|other| facts.failure(other).is_none()) {
            verdict.maker = Maker::OurSide;
            verdict.who_acts = WhoActs::Visitor;
            verdict.code = Some(FailureKind::Limit.as_str().to_owned());
        }
    }
    if let Some(said) = coded(answer).filter(|_| !content.is_empty()) {
        verdict.maker = Maker::Unknown;
        verdict.evidence.push(Evidence::new(Strength::Strong, said));
    }
    if facts.is_over() {
        // What takes too much to read may be anything, and nobody's doing.
        verdict.maker = Maker::Unknown;
        verdict.code = Some(FailureKind::Limit.as_str().to_owned());
    }
}

/// Whether a condition is about the content.
pub(super) fn is_content(condition: &Condition) -> bool {
    matches!(
        condition,
        Condition::Body(_) | Condition::Json { .. } | Condition::Xml(_) | Condition::Sha256(_)
    )
}

/// That only the start of the body was kept, when it was: what was not found may stand behind it.
fn cut(answer: &Answer) -> Option<String> {
    answer.body.truncated.then(|| {
        format!(
            "our limit: only the first {} of the body were kept, and what was looked for may stand behind them; a \
             higher `body_limit:` of the probe would tell",
            size(answer.body.bytes.len())
        )
    })
}

/// That the content coding could not be undone.
fn coded(answer: &Answer) -> Option<String> {
    let error = answer.body.decode_error.as_deref()?;
    Some(format!(
        "the body could not be decoded ({error}), so it was looked at as it came; without an `Accept-Encoding` \
         header of ours it may come plain"
    ))
}

fn size(bytes: usize) -> String {
    if bytes >= 1024 {
        format!("{} KiB", bytes / 1024)
    } else {
        format!("{bytes} bytes")
    }
}
