//! A verdict for people and for scripts.

use std::fmt::Write as _;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use serde_json::{Value, json};

use crate::domain::verdict::{Kind, Maker, Rule, Strength, Verdict, WhoActs, vendor_name};

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
    if verdict.kind != Kind::Pass {
        let _ = writeln!(text, "  made by       {}", made_by(verdict));
    }
    if !matches!(verdict.rule, Rule::None) {
        let _ = writeln!(
            text,
            "  rule          {}",
            match about(verdict.rule) {
                Some(about) => format!("{}: {about}", verdict.rule.as_str()),
                None => "can't be told from one response".to_owned(),
            }
        );
    }
    if let Some(code) = &verdict.code {
        let _ = writeln!(text, "  code          {code} ({})", whose_code(verdict));
    }
    if let Some(id) = &verdict.reference_id {
        let _ = writeln!(text, "  reference id  {id} ({})", whose_id(verdict));
    }
    if let Some(pop) = &verdict.pop {
        let _ = writeln!(text, "  answered at   {pop}");
    }
    if let Some(who) = who_acts(verdict) {
        let _ = writeln!(text, "  who can act   {who}");
    }
    if let Some(wait) = verdict.retry_after {
        let _ = writeln!(text, "  retry after   {}", span(wait));
    }
    if let Some(tell) = would_tell(verdict) {
        let _ = writeln!(text, "  would tell    {tell}");
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
    let vendor = match (vendor_name(&verdict.vendor), verdict.maker) {
        (Some(name), _) => name,
        (None, Maker::Unknown) => "a security layer that gives no name".to_owned(),
        (None, _) => "an unnamed edge".to_owned(),
    };
    let behind = || match (vendor_name(&verdict.vendor), verdict.maker) {
        (Some(name), Maker::Unknown) => format!("by {name}, in front of the partner's application"),
        (_, Maker::Origin) => "by the partner's application".to_owned(),
        _ => "we can't tell by whom".to_owned(),
    };
    match verdict.kind {
        Kind::Pass => "an ordinary answer".to_owned(),
        Kind::Warning => "the right answer, but not as well as it should be".to_owned(),
        Kind::EdgeBlock | Kind::EdgeChallenge if verdict.maker == Maker::OurSide => {
            let whose = vendor_name(&verdict.vendor)
                .map_or_else(|| "a filter".to_owned(), |name| format!("{name}, a filter"));
            format!(
                "refused on our own side, by {whose} of our network: it did not reach the partner"
            )
        }
        Kind::EdgeBlock if verdict.maker == Maker::Origin => {
            format!("refused by {vendor}, which runs inside the partner's own server")
        }
        Kind::EdgeBlock => {
            format!("refused by {vendor} before it reached the partner's application")
        }
        Kind::EdgeChallenge if verdict.maker == Maker::Unknown => {
            "a bot check that gives no name asks for proof that a person is there".to_owned()
        }
        Kind::EdgeChallenge => format!("{vendor} asks for proof that a person is there"),
        Kind::RateLimited => match verdict.maker {
            Maker::Edge => format!("too many requests, says {vendor}"),
            _ => match behind().strip_prefix("by ") {
                Some(who) => format!("too many requests, says {}", who.trim_start_matches("by ")),
                None => format!("too many requests, {}", behind()),
            },
        },
        Kind::EdgeError => edge_error(verdict, &vendor),
        Kind::OriginDenied => match behind().as_str() {
            open if !open.starts_with("by ") => format!("refused, {open}"),
            by => format!("refused {by}"),
        },
        Kind::OriginError => match behind().as_str() {
            open if !open.starts_with("by ") => format!("answered with an error, {open}"),
            by => format!("answered with an error {by}"),
        },
        Kind::SoftBlock => "a login, consent or denial page in place of the content".to_owned(),
        Kind::Unexpected => "answered, but not as expected".to_owned(),
        Kind::DnsError => "the name could not be resolved".to_owned(),
        Kind::ConnectError => "no connection".to_owned(),
        Kind::TlsError => "no TLS session".to_owned(),
        Kind::Timeout => "no answer in time".to_owned(),
        Kind::LocalError => "a fault on our side".to_owned(),
    }
}

/// What a rule is about, for who meets its name for the first time; `None`: nobody knows.
fn about(rule: Rule) -> Option<&'static str> {
    Some(match rule {
        Rule::UserAgent => "it is about which program asks",
        Rule::Referer => "it is about the page we say we come from (Referer)",
        Rule::Origin => "it is about the site we say we act for (Origin)",
        Rule::ContentType => "it is about the type that we give the body",
        Rule::Header => "it is about a header that we send",
        Rule::Body => "it is about what the body holds, or its size",
        Rule::Ip => "it is about the address we come from",
        Rule::Asn => "it is about the network our address belongs to",
        Rule::Geo => "it is about the country our address is in",
        Rule::FirewallRule => {
            "something in the request looks like an attack, or a rule of the owner says so"
        }
        Rule::RateLimit => "it is about how often we ask",
        Rule::BotChallenge => "it takes us for a program and wants to see a person",
        Rule::AccessPolicy => "the owner lets in only whom a policy names",
        Rule::EdgeAuth => "the edge itself asks for credentials",
        Rule::HostMisconfig => "the edge has no settings for this host or path",
        Rule::OriginDns => "the edge can't find the address of the partner's servers",
        Rule::OriginDown => "the partner's servers don't answer the edge",
        Rule::OriginTls => "the edge finds no TLS session with the partner's servers",
        Rule::EdgeCompute => "a program of the owner's that runs at the edge",
        Rule::ClientSideProxy => "a filter or proxy between us and the internet",
        Rule::Auth => "it is about the credentials",
        Rule::Csrf => "the form lacks the token that its page hands out",
        Rule::Login => "it wants a log-in first",
        Rule::Consent => "it wants a consent first",
        Rule::Legal => "it names a law or a court",
        Rule::None | Rule::Unknown => return None,
    })
}

/// What an edge's own error says of whose fault it is; the rule tells what it reached.
fn edge_error(verdict: &Verdict, vendor: &str) -> String {
    match verdict.rule {
        Rule::EdgeCompute => format!("code that runs at {vendor}'s edge failed"),
        Rule::HostMisconfig => format!("{vendor} is not set up to serve this request"),
        Rule::OriginDown | Rule::OriginDns | Rule::OriginTls => {
            format!("{vendor} could not get an answer from the partner's servers")
        }
        _ if verdict.own_fault().is_some() => {
            format!("{vendor} itself failed, not the partner's servers")
        }
        _ => format!("{vendor} made an error page"),
    }
}

/// Seconds, and in a larger unit where that is easier to grasp.
fn span(wait: Duration) -> String {
    let seconds = wait.as_secs();
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7200 => format!("{seconds} s ({} min)", seconds / 60),
        _ => format!("{seconds} s ({} h)", seconds / 3600),
    }
}

/// Who made the answer and how sure that is; the evidence below shows by what.
fn made_by(verdict: &Verdict) -> String {
    let name = vendor_name(&verdict.vendor);
    let who = match (verdict.maker, name) {
        (Maker::Edge, Some(name)) => format!("{name}, in front of the partner"),
        (Maker::Edge, None) => "an edge in front of the partner".to_owned(),
        (Maker::OurSide, Some(name)) => format!("{name}, on our own side"),
        (Maker::OurSide, None) => "our own side".to_owned(),
        (Maker::Origin, Some(name)) => format!("{name}, inside the partner's own server"),
        (Maker::Origin, None) => "the partner's application or its server".to_owned(),
        (Maker::Unknown, Some(name)) => {
            format!("{name}, a gateway or proxy before the application")
        }
        (Maker::Unknown, None) if matches!(verdict.kind, Kind::EdgeBlock | Kind::EdgeChallenge) => {
            "a security layer before the application that gives no name".to_owned()
        }
        (Maker::Unknown, None) => {
            let told = verdict
                .evidence
                .first()
                .is_some_and(|sign| sign.strength <= Strength::Strong);
            return if told && verdict.kind != Kind::Pass {
                "not known: the signs below leave open whether it is the application or what stands before it"
            } else {
                "not known: the answer has no sign of an edge, a gateway or the application"
            }
            .to_owned();
        }
    };
    let sure = match verdict.evidence.first().map(|sign| sign.strength) {
        Some(Strength::Proof) => "certain: only it answers like this",
        Some(Strength::Strong) => "likely: a sign that others rarely show",
        _ => "a guess: no sign of its own, only what fits",
    };
    format!("{who}; {sure}")
}

/// A code of an edge is looked for in the partner's list in vain, and a SOAP fault's is the partner's own.
fn whose_code(verdict: &Verdict) -> String {
    match (vendor_name(&verdict.vendor), verdict.maker) {
        (Some(name), _) => format!("{name}'s own, not the partner's"),
        (None, Maker::Origin) => "the partner's own".to_owned(),
        (None, Maker::Edge | Maker::OurSide) => "the vendor's own, not the partner's".to_owned(),
        (None, Maker::Unknown) => "whose it is can't be told".to_owned(),
    }
}

/// Whose log finds the request by the id.
fn whose_id(verdict: &Verdict) -> String {
    let maker = vendor_name(&verdict.vendor);
    let front = vendor_name(&verdict.fronted_by);
    match (maker, front, verdict.maker) {
        (Some(name), _, _) => format!("{name}'s"),
        (None, Some(front), Maker::Origin) => format!("{front}'s, which relayed the answer"),
        (None, Some(front), Maker::Unknown) => format!("{front}'s or printed on the page"),
        (None, _, Maker::Origin) => "the partner's".to_owned(),
        (None, _, Maker::OurSide) => "our own filter's".to_owned(),
        (None, _, _) => "printed in the answer; it does not say whose it is".to_owned(),
    }
}

fn who_acts(verdict: &Verdict) -> Option<&'static str> {
    if verdict.own_fault().is_some() {
        return Some(
            "who runs the edge: wait, and look at its status page; the partner can't mend it",
        );
    }
    Some(match (verdict.who_acts, verdict.maker) {
        (WhoActs::Visitor, Maker::OurSide) => "we: whoever runs the filter or proxy of our network",
        (WhoActs::SiteOwner, _) => "the partner, as the owner of the site",
        (WhoActs::Visitor, _) => "we, the visitor",
        (WhoActs::VisitorOrSiteOwner, _) => "we, or the partner as the owner of the site",
        (WhoActs::NobodyWait, _) => "nobody: wait, and ask less often",
        (WhoActs::None, _) if verdict.kind == Kind::Pass => return None,
        (WhoActs::None, Maker::OurSide) => "we",
        (WhoActs::None, Maker::Origin) => "the partner",
        (WhoActs::None, _) => return None,
    })
}

/// The second look that would tell more than this one answer can.
fn would_tell(verdict: &Verdict) -> Option<&'static str> {
    use Kind as K;
    Some(match (verdict.kind, verdict.maker, verdict.rule) {
        (K::Pass | K::Warning, ..) => return None,
        (_, Maker::OurSide, _) => "the same request past that filter, from another way out",
        (K::OriginDenied, _, Rule::Auth | Rule::Login) => {
            "the same request with another credential, and with none"
        }
        (K::OriginDenied | K::OriginError, Maker::Unknown, _)
            if vendor_name(&verdict.vendor).is_some() =>
        {
            "the same request as another client, and from another address; whoever runs it finds the request in its log"
        }
        (K::OriginDenied | K::OriginError, Maker::Unknown, _) => {
            "an answer of the same address that passes, to compare with (the daemon keeps one), `origin:` in probes.yaml, or the partner's log of that second"
        }
        (K::RateLimited, ..) => "the same request after the wait, and at a lower rate",
        (K::EdgeChallenge, ..) => "the same request as another client, and from another address",
        (K::EdgeBlock, _, Rule::Unknown | Rule::FirewallRule) => {
            if verdict.reference_id.is_some() {
                "the same request as another client, and from another address; the owner finds the rule by the id"
            } else {
                "the same request as another client, and from another address"
            }
        }
        (K::EdgeBlock, _, Rule::Ip | Rule::Asn | Rule::Geo) => {
            "the same request from another address"
        }
        (K::EdgeBlock, _, Rule::UserAgent) => "the same request as another client",
        (_, _, Rule::Auth | Rule::Login) => "the same request with another credential",
        (K::EdgeError, ..) if verdict.own_fault().is_some() => {
            "the same request to another site behind the same edge: it fails too while the edge is at fault"
        }
        (K::EdgeError, ..) => {
            "the same request in some minutes; the owner sees whether the servers were asked"
        }
        _ => return None,
    })
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
    use crate::domain::verdict::Evidence;

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
             \x20 made by       Cloudflare, in front of the partner; certain: only it answers like this\n\
             \x20 rule          user_agent: it is about which program asks\n\
             \x20 code          1010 (Cloudflare's own, not the partner's)\n\
             \x20 reference id  5da5cc3358641e89 (Cloudflare's)\n\
             \x20 who can act   we, or the partner as the owner of the site\n\
             \x20 would tell    the same request as another client\n\
             \x20 evidence, strongest first:\n\
             \x20   proof     body `error code: 1010`\n"
        );
        assert_eq!(json(&verdict)["reference_id"], "5da5cc3358641e89");
        assert!(text(&verdict, 403, true).contains("\u{1b}["));
    }
}
