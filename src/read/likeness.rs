//! What the passing answers of a probe have in common, and how a failing one compares with them.
//!
//! One answer alone rarely shows who made it. But the application writes headers and cookies of its own, and a
//! refusal that has none of them was probably made before it; one that has them all was made by it, or came
//! through it. What a front adds to every answer, and what browsers' protection asks for, says nothing. The
//! comparison is evidence beside what the answer itself shows, and never outweighs a proof.

use std::collections::BTreeSet;

use super::moment;
use super::signatures::markers;
use super::signatures::page::{Page, has, starts};
use crate::domain::observation::{Answer, Observation};
use crate::domain::verdict::{Evidence, Kind, Maker, Rule, Strength, Verdict, WhoActs};

/// Passing answers after which what they share is believed.
const SEEN_MIN: u32 = 3;
/// Marks that an answer must have before it is called the application's by them.
const MARKS_MIN: usize = 2;
/// Marks kept of one answer.
const MARKS_MAX: usize = 24;
/// Marks that a sentence names.
const NAMED_MAX: usize = 3;
/// Bytes of a value or name that is kept.
const VALUE_BYTES_MAX: usize = 60;

/// Headers that any front, server or browser rule adds, whoever made the answer.
const COMMON: &[&str] = &[
    "accept-ranges",
    "age",
    "allow",
    "alt-svc",
    "cache-control",
    "connection",
    "date",
    "etag",
    "expect-ct",
    "expires",
    "keep-alive",
    "last-modified",
    "link",
    "location",
    "nel",
    "origin-agent-cluster",
    "p3p",
    "permissions-policy",
    "pragma",
    "priority",
    "referrer-policy",
    "report-to",
    "reporting-endpoints",
    "retry-after",
    "server",
    "server-timing",
    "set-cookie",
    "strict-transport-security",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "x-cdn",
    "x-content-type-options",
    "x-dns-prefetch-control",
    "x-download-options",
    "x-frame-options",
    "x-iinfo",
    "x-permitted-cross-domain-policies",
    "x-served-by",
    "x-timer",
    "x-ua-compatible",
    "x-varnish",
    "x-xss-protection",
];

/// The same for families of headers: of fronts, of caches, of counters, of rules for browsers.
const COMMON_STARTS: &[&str] = &[
    "access-control-",
    "akamai-",
    "cdn-",
    "cf-",
    "content-",
    "cross-origin-",
    "eo-",
    "fastly-",
    "ratelimit",
    "x-accel-",
    "x-akamai-",
    "x-amz-cf-",
    "x-azure-ref",
    "x-cache",
    "x-datadome",
    "x-edge-",
    "x-fastly-",
    "x-msedge-",
    "x-rate-limit",
    "x-ratelimit",
    "x-sucuri-",
    "x-vercel-",
];

/// Cookies of fronts and balancers.
const FRONT_COOKIES: &[&str] = &[
    "__cf",
    "cf_",
    "_abck",
    "ak_",
    "aws-waf-",
    "awsalb",
    "bm_",
    "datadome",
    "incap_ses_",
    "nlbi_",
    "rbz",
    "ts0",
    "visid_incap_",
    "x-mapping-",
    "_px",
];

/// What the passing answers of one probe share.
#[derive(Debug, Clone, Default)]
pub struct Usual {
    /// Passing answers in a row that had all of it.
    seen: u32,
    /// In words of their own: `header x-app`, `cookie sid`.
    marks: BTreeSet<String>,
    server: Option<String>,
    /// The type without its parameters.
    form: Option<String>,
    /// Machines of the front that the answer passed.
    hops: usize,
}

impl Usual {
    /// Takes in an answer that passed; others teach nothing.
    pub fn learn(&mut self, observation: &Observation, verdict: &Verdict) {
        let made_before = matches!(verdict.maker, Maker::Edge | Maker::OurSide);
        let Some(answer) = &observation.answer else {
            return;
        };
        let page = Page::new(answer);
        if verdict.kind != Kind::Pass
            || made_before
            || observation.failure.is_some()
            || answer.status >= 400
            || moment::copy(&page).is_some()
        {
            return;
        }
        let marks = marks(answer);
        let shared: BTreeSet<String> = self.marks.intersection(&marks).cloned().collect();
        if self.seen == 0 || shared.is_empty() {
            *self = Self {
                seen: 1,
                marks,
                server: server(answer),
                form: form(answer),
                hops: hops(answer),
            };
            return;
        }
        let same = shared.len() == self.marks.len();
        self.seen = if same { self.seen.saturating_add(1) } else { 1 };
        self.marks = shared;
        self.server = self
            .server
            .take()
            .filter(|known| server(answer).as_ref() == Some(known));
        self.form = self
            .form
            .take()
            .filter(|known| form(answer).as_ref() == Some(known));
        self.hops = self.hops.min(hops(answer));
    }

    /// Adds to a failing verdict what the comparison tells.
    pub fn weigh(&self, observation: &Observation, verdict: &mut Verdict) {
        let (Some(answer), None) = (&observation.answer, &observation.failure) else {
            return;
        };
        let ours = verdict.maker == Maker::OurSide;
        if self.seen < SEEN_MIN || verdict.kind == Kind::Pass || ours || answer.status < 300 {
            return;
        }
        self.weigh_hops(answer, verdict);
        let marks = marks(answer);
        let (there, missing): (Vec<&String>, Vec<&String>) =
            self.marks.iter().partition(|mark| marks.contains(*mark));
        let other_server = self
            .server
            .as_ref()
            .filter(|_| server(answer) != self.server);
        let behind = matches!(
            verdict.kind,
            Kind::OriginDenied | Kind::OriginError | Kind::RateLimited | Kind::SoftBlock
        );
        if there.is_empty() && !missing.is_empty() {
            let mut signs: Vec<String> = missing
                .iter()
                .take(NAMED_MAX)
                .map(|mark| format!("no {mark}"))
                .collect();
            if let Some(known) = other_server {
                let got = server(answer).unwrap_or_else(|| "none".to_owned());
                signs.push(format!("server {got} in place of {known}"));
            }
            let what = format!("unlike this probe's passing answers: {}", signs.join(", "));
            let unknown = verdict.maker == Maker::Unknown;
            let said = if unknown && behind {
                format!("{what}; what answered probably stands before the application")
            } else {
                what
            };
            // Error pages of an application may lack what its answers have, so its own signs outweigh this.
            let strength = if verdict.maker == Maker::Origin {
                Strength::Weak
            } else {
                Strength::Strong
            };
            add(verdict, strength, said);
        } else if missing.is_empty()
            && there.len() >= MARKS_MIN
            && other_server.is_none()
            && form(answer) == self.form
            && behind
            && verdict.maker == Maker::Unknown
            && matches!(verdict.vendor.as_ref(), "none" | "unknown")
        {
            verdict.maker = Maker::Origin;
            let named: Vec<&str> = there
                .iter()
                .take(NAMED_MAX)
                .map(|mark| mark.as_str())
                .collect();
            let said = format!(
                "like this probe's passing answers: {}, the same type and server; so the application made it",
                named.join(", ")
            );
            add(verdict, Strength::Strong, said);
        }
    }

    /// Fastly asks a second machine before it asks the origin: a page that passed one never left that machine.
    fn weigh_hops(&self, answer: &Answer, verdict: &mut Verdict) {
        let got = hops(answer);
        let failed = matches!(verdict.kind, Kind::EdgeError | Kind::OriginError);
        if verdict.vendor != "fastly" || !failed || self.hops < 2 || got == 0 || got >= self.hops {
            return;
        }
        verdict.kind = Kind::EdgeError;
        verdict.maker = Maker::Edge;
        verdict.rule = Rule::Unknown;
        verdict.who_acts = WhoActs::NobodyWait;
        let said = format!(
            "good answers pass {} machines of Fastly, this one passed {got}: it never left there, so the fault is \
             Fastly's own and not the partner's servers'",
            self.hops
        );
        add(verdict, Strength::Strong, said);
    }
}

/// Puts a sign behind those that are as strong.
fn add(verdict: &mut Verdict, strength: Strength, text: String) {
    let at = verdict
        .evidence
        .iter()
        .position(|sign| sign.strength > strength)
        .unwrap_or(verdict.evidence.len());
    verdict.evidence.insert(at, Evidence::new(strength, text));
}

/// What only something behind the front writes.
fn marks(answer: &Answer) -> BTreeSet<String> {
    let mut marks = BTreeSet::new();
    for (name, value) in &answer.headers {
        if marks.len() >= MARKS_MAX {
            break;
        }
        if name == "set-cookie" {
            let cookie = value.split('=').next().unwrap_or_default().trim();
            if !FRONT_COOKIES.iter().any(|front| starts(cookie, front)) {
                marks.extend(short(cookie).map(|cookie| format!("cookie {cookie}")));
            }
        } else if !COMMON.contains(&name.as_str())
            && !COMMON_STARTS.iter().any(|family| starts(name, family))
        {
            marks.extend(short(name).map(|name| format!("header {name}")));
        }
    }
    marks
}

/// The server's name without version, where it isn't the front's.
fn server(answer: &Answer) -> Option<String> {
    let server = answer.header("server")?.trim();
    let name = server.split(['/', ' ']).next().unwrap_or_default();
    if markers::is_edges(server) {
        return None;
    }
    short(name).map(str::to_owned)
}

fn form(answer: &Answer) -> Option<String> {
    let form = answer.header("content-type")?.split(';').next()?.trim();
    short(form).map(str::to_ascii_lowercase)
}

/// Machines of Fastly that an answer passed, by `x-served-by`.
fn hops(answer: &Answer) -> usize {
    answer
        .header_all("x-served-by")
        .flat_map(|by| by.split(','))
        .filter(|by| has(by, "cache-"))
        .count()
}

/// A name that is fit to be shown.
fn short(text: &str) -> Option<&str> {
    let fit = !text.is_empty()
        && text.len() <= VALUE_BYTES_MAX
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    fit.then_some(text)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::observation::FailureKind;
    use crate::read::classify::classify_answer;
    use crate::read::signatures::page::tests::answer;

    const APPLICATION: &[(&str, &str)] = &[
        ("server", "cloudflare"),
        ("cf-ray", "8fcb3f8a0cc56750-LHR"),
        ("strict-transport-security", "max-age=1"),
        ("content-type", "application/json"),
        ("x-app-version", "1.2"),
        ("x-region", "eu"),
        ("set-cookie", "sid=1; path=/"),
        ("set-cookie", "__cf_bm=1"),
    ];

    fn run(answer: Answer) -> Observation {
        let mut run = crate::read::classify::tests::seen(Some(answer), None);
        run.took = Duration::from_millis(80);
        run
    }

    fn taught(passing: &[(&str, &str)]) -> Usual {
        let mut usual = Usual::default();
        for _ in 0..SEEN_MIN {
            let good = answer(200, passing, "{}");
            let verdict = classify_answer(&good);
            usual.learn(&run(good), &verdict);
        }
        usual
    }

    fn judged(usual: &Usual, answer: Answer) -> Verdict {
        let mut verdict = classify_answer(&answer);
        usual.weigh(&run(answer), &mut verdict);
        verdict
    }

    fn says(verdict: &Verdict, part: &str) -> bool {
        verdict.evidence.iter().any(|sign| sign.text.contains(part))
    }

    #[test]
    fn a_refusal_without_the_applications_marks_is_not_its_own() {
        let usual = taught(APPLICATION);
        let bare = answer(403, &[("server", "cloudflare"), ("cf-ray", "1-LHR")], "no");
        let verdict = judged(&usual, bare);
        assert_eq!(verdict.maker, Maker::Unknown);
        assert!(
            says(
                &verdict,
                "unlike this probe's passing answers: no cookie sid, no header x-app-version, no header x-region; what answered probably stands before"
            ),
            "{verdict:?}"
        );
    }

    #[test]
    fn a_refusal_with_all_marks_is_the_applications() {
        let usual = taught(APPLICATION);
        let own = judged(&usual, answer(403, APPLICATION, "{\"error\":1}"));
        assert_eq!(own.maker, Maker::Origin);
        assert!(
            says(&own, "like this probe's passing answers: cookie sid"),
            "{own:?}"
        );
        // Another type is another maker's page; some marks only are no proof of either.
        let page: Vec<_> = APPLICATION
            .iter()
            .map(|(name, value)| {
                (
                    *name,
                    if *name == "content-type" {
                        "text/html"
                    } else {
                        *value
                    },
                )
            })
            .collect();
        assert_eq!(
            judged(&usual, answer(403, &page, "<p>no")).maker,
            Maker::Unknown
        );
        let some = judged(&usual, answer(403, &APPLICATION[..5], "{}"));
        assert_eq!(some.maker, Maker::Unknown);
        assert!(!says(&some, "passing answers"), "{some:?}");
    }

    #[test]
    fn what_every_front_adds_says_nothing() {
        let usual = taught(&APPLICATION[..4]);
        let verdict = judged(&usual, answer(403, &APPLICATION[..4], "{}"));
        assert_eq!(verdict.maker, Maker::Unknown);
        assert!(!says(&verdict, "passing answers"), "{verdict:?}");
    }

    #[test]
    fn a_proof_is_never_outweighed() {
        let usual = taught(APPLICATION);
        let fault = "<s:Envelope xmlns:s='http://schemas.xmlsoap.org/soap/envelope/'><s:Body><s:Fault><faultcode>s:Server</faultcode><faultstring>no</faultstring></s:Fault></s:Body></s:Envelope>";
        let verdict = judged(&usual, answer(500, &[("content-type", "text/xml")], fault));
        assert_eq!(verdict.maker, Maker::Origin);
        assert_eq!(verdict.evidence[0].strength, Strength::Proof);
    }

    #[test]
    fn few_answers_and_what_changes_teach_nothing() {
        let mut usual = Usual::default();
        let good = answer(200, APPLICATION, "{}");
        usual.learn(&run(good.clone()), &classify_answer(&good));
        let refused = || answer(403, &[], "no");
        assert!(!says(&judged(&usual, refused()), "passing answers"));
        // A deployment takes a header away: what is left must be seen some times again.
        let mut usual = taught(APPLICATION);
        let after = answer(200, &APPLICATION[..5], "{}");
        usual.learn(&run(after.clone()), &classify_answer(&after));
        assert!(!says(&judged(&usual, refused()), "passing answers"));
        for _ in 0..2 {
            usual.learn(&run(after.clone()), &classify_answer(&after));
        }
        assert!(says(&judged(&usual, refused()), "no header x-app-version;"));
        // A run that broke off shows nothing.
        let mut broken = run(refused());
        broken.failure = Some(crate::domain::observation::Failure {
            phase: crate::domain::observation::Phase::Transfer,
            kind: FailureKind::Reset,
            message: String::new(),
        });
        let mut verdict = classify_answer(&refused());
        usual.weigh(&broken, &mut verdict);
        assert!(!says(&verdict, "passing answers"));
    }

    #[test]
    fn a_page_of_fastly_that_passed_one_machine_is_fastlys_own() {
        let usual = taught(&[("x-served-by", "cache-fra-1, cache-lhr-2"), ("x-app", "1")]);
        let page = "<html><head><title>503 Backend is unhealthy</title></head><body><h1>Error 503 Backend is unhealthy</h1><p>Backend is unhealthy</p><h3>Guru Mediation:</h3><p>Details: cache-lhr-2 1700 1</p><hr><p>Varnish cache server</p></body></html>";
        let one = [
            ("content-type", "text/html"),
            ("x-served-by", "cache-lhr-2"),
        ];
        let verdict = judged(&usual, answer(503, &one, page));
        assert!(
            says(&verdict, "this one passed 1: it never left there"),
            "{verdict:?}"
        );
        assert_eq!(verdict.own_fault(), Some("fastly"));
        let two = [
            ("content-type", "text/html"),
            ("x-served-by", "cache-fra-1, cache-lhr-2"),
        ];
        assert!(!says(
            &judged(&usual, answer(503, &two, page)),
            "never left"
        ));
    }
}
