//! A verdict for people and for scripts.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use serde_json::{Value, json};

use crate::domain::verdict::{Kind, Rule, Verdict, WhoActs, vendor_name};

/// The verdict in the words of the tables, one key a fact; keys are stable.
#[must_use]
pub fn json(verdict: &Verdict) -> Value {
    json!({
        "kind": verdict.kind,
        "maker": verdict.maker,
        "vendor": verdict.vendor,
        "fronted_by": verdict.fronted_by,
        "rule": verdict.rule,
        "code": verdict.code,
        "reference_id": verdict.reference_id,
        "who_acts": verdict.who_acts,
        "pop": verdict.pop,
        "retry_after_s": verdict.retry_after.map(|d| d.as_secs()),
        "evidence": verdict.evidence,
    })
}

/// The verdict in sentences; `colour` only where a terminal shows it.
#[must_use]
pub fn text(verdict: &Verdict, status: u16, colour: bool) -> String {
    let mut text = String::new();
    let style = if colour {
        style_of(verdict.kind)
    } else {
        Style::new()
    };
    let _ = writeln!(
        text,
        "{style}{}{style:#}: HTTP {status}, {}",
        verdict.kind,
        meaning(verdict)
    );
    if !matches!(verdict.rule, Rule::None) {
        let _ = writeln!(
            text,
            "  rule          {}",
            if verdict.rule == Rule::Unknown {
                "can't be told from one response"
            } else {
                verdict.rule.as_str()
            }
        );
    }
    if let Some(code) = &verdict.code {
        let _ = writeln!(
            text,
            "  code          {code} (the vendor's own, not the partner's)"
        );
    }
    if let Some(id) = &verdict.reference_id {
        let _ = writeln!(text, "  reference id  {id}");
    }
    if let Some(pop) = &verdict.pop {
        let _ = writeln!(text, "  answered at   {pop}");
    }
    let who = match verdict.who_acts {
        WhoActs::SiteOwner => Some("the owner of the site"),
        WhoActs::Visitor => Some("we, the visitor"),
        WhoActs::VisitorOrSiteOwner => Some("we, or the owner of the site"),
        WhoActs::NobodyWait => Some("nobody: wait"),
        WhoActs::None => None,
    };
    if let Some(who) = who {
        let _ = writeln!(text, "  who can act   {who}");
    }
    if let Some(wait) = verdict.retry_after {
        let _ = writeln!(text, "  retry after   {} s", wait.as_secs());
    }
    if !verdict.evidence.is_empty() {
        let _ = writeln!(text, "  evidence, strongest first:");
        for sign in &verdict.evidence {
            let _ = writeln!(text, "    {:<9} {}", sign.strength.as_str(), sign.text);
        }
    }
    text
}

/// What the verdict's kind and maker mean, in a few words.
fn meaning(verdict: &Verdict) -> String {
    let vendor = vendor_name(&verdict.vendor).unwrap_or_else(|| "an unnamed edge".to_owned());
    match verdict.kind {
        Kind::Pass => "an ordinary answer".to_owned(),
        Kind::EdgeBlock => {
            format!("refused by {vendor} before it reached the partner's application")
        }
        Kind::EdgeChallenge => format!("{vendor} asks for proof that a person is there"),
        Kind::RateLimited => "too many requests".to_owned(),
        Kind::EdgeError => format!("{vendor} could not get an answer from the partner's servers"),
        Kind::OriginDenied => "refused by the partner's application".to_owned(),
        Kind::OriginError => "the partner's application answered with an error".to_owned(),
        Kind::SoftBlock => "a login, consent or denial page in place of the content".to_owned(),
        Kind::Unexpected => "answered, but not as expected".to_owned(),
        Kind::DnsError => "the name could not be resolved".to_owned(),
        Kind::ConnectError => "no connection".to_owned(),
        Kind::TlsError => "no TLS session".to_owned(),
        Kind::Timeout => "no answer in time".to_owned(),
        Kind::LocalError => "a fault on our side".to_owned(),
    }
}

/// Green, red, yellow or magenta, as in the matrix.
#[must_use]
pub fn style_of(kind: Kind) -> Style {
    let colour = match kind {
        Kind::Pass => AnsiColor::Green,
        kind if kind.is_network() => AnsiColor::Magenta,
        kind if kind.is_refusal() => AnsiColor::Red,
        _ => AnsiColor::Yellow,
    };
    Style::new().bold().fg_color(Some(colour.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::verdict::{Evidence, Maker, Strength};

    #[test]
    fn a_block_in_words_and_json() {
        let mut verdict = Verdict::new(Kind::EdgeBlock, Maker::Edge);
        verdict.vendor = "cloudflare".into();
        verdict.rule = Rule::UserAgent;
        verdict.code = Some("1010".into());
        verdict.reference_id = Some("5da5cc3358641e89".into());
        verdict.who_acts = WhoActs::VisitorOrSiteOwner;
        verdict.evidence.push(Evidence {
            strength: Strength::Proof,
            text: "body `error code: 1010`".into(),
        });
        assert_eq!(
            text(&verdict, 403, false),
            "edge_block: HTTP 403, refused by Cloudflare before it reached the partner's application\n\
             \x20 rule          user_agent\n\
             \x20 code          1010 (the vendor's own, not the partner's)\n\
             \x20 reference id  5da5cc3358641e89\n\
             \x20 who can act   we, or the owner of the site\n\
             \x20 evidence, strongest first:\n\
             \x20   proof     body `error code: 1010`\n"
        );
        assert_eq!(json(&verdict)["reference_id"], "5da5cc3358641e89");
        assert!(text(&verdict, 403, true).contains("\u{1b}["));
    }
}
