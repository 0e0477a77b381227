//! One body for one URL and `ETag`: what came before is held against what comes now.
//!
//! A cache that keeps a damaged or an old copy answers with a good status, and with the `ETag` of the right one. The two
//! bodies side by side show it. Which of them is right no answer says: the commoner is taken for it, and of two that came
//! as often the later is told.

use std::collections::VecDeque;

use super::classify::clean;
use super::expect::cut_hash;
use super::pop;
use crate::domain::observation::{Answer, Observation};
use crate::domain::verdict::{Evidence, Kind, Maker, Strength, Verdict};

/// Bodies kept of one probe, the latest; each release has another.
const KEPT_MAX: usize = 32;
/// Characters of the sentence, which has a stranger's words in it.
const SAID_CHARS_MAX: usize = 300;

/// What passing answers of a probe held.
#[derive(Debug, Default)]
pub struct Bodies(VecDeque<Known>);

#[derive(Debug)]
struct Known {
    etag: Option<String>,
    sha256: String,
    bytes: usize,
    count: u32,
    /// Who sent it first, as a phrase.
    from: String,
}

impl Bodies {
    /// Takes in an answer that passed; one with a rarer body for the same `ETag` is unexpected from then on.
    pub fn hold(&mut self, observation: &Observation, verdict: &mut Verdict) {
        let Some(answer) = &observation.answer else {
            return;
        };
        if !verdict.passed() || answer.body.truncated || answer.body.sha256.is_empty() {
            return;
        }
        let etag = answer.header("etag").map(str::to_owned);
        let same = |known: &&mut Known| known.etag == etag && known.sha256 == answer.body.sha256;
        let count = if let Some(known) = self.0.iter_mut().find(same) {
            known.count = known.count.saturating_add(1);
            known.count
        } else {
            self.keep(answer, etag.clone());
            1
        };
        let others = self.0.iter();
        let others =
            others.filter(|known| known.etag == etag && known.sha256 != answer.body.sha256);
        if let Some(usual) = others.max_by_key(|known| known.count)
            && usual.count >= count
        {
            *verdict = other(answer, usual, etag.as_deref());
        }
    }

    fn keep(&mut self, answer: &Answer, etag: Option<String>) {
        while self.0.len() >= KEPT_MAX {
            self.0.pop_front();
        }
        self.0.push_back(Known {
            etag,
            sha256: answer.body.sha256.clone(),
            bytes: answer.body.bytes.len(),
            count: 1,
            from: pop::from(answer),
        });
    }
}

fn other(answer: &Answer, usual: &Known, etag: Option<&str>) -> Verdict {
    let mut verdict = Verdict::new(Kind::Unexpected, Maker::Unknown);
    let under = match etag {
        Some(etag) => format!("the same ETag {etag:.60}"),
        None => "the same URL".to_owned(),
    };
    let (got, bytes) = (&answer.body.sha256, answer.body.bytes.len());
    let said = format!(
        "two bodies under {under}: this one has {bytes} bytes, SHA-256 {}…{}; {} times it had {} bytes, {}…{}",
        cut_hash(got),
        pop::from(answer),
        usual.count,
        usual.bytes,
        cut_hash(&usual.sha256),
        usual.from
    );
    let said = clean(&said, SAID_CHARS_MAX);
    verdict.evidence.push(Evidence::new(Strength::Proof, said));
    let cache = "a cache on the way keeps a damaged or an old copy, not the application: it must be purged there";
    verdict.evidence.push(Evidence::new(Strength::Weak, cache));
    verdict.pop = pop::of(answer);
    verdict
}
