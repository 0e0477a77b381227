//! Recognises who made an answer, and why, from what one answer shows.
//!
//! [`table`] is the knowledge: one row a sign, by vendor. This file is the machine that reads it. The
//! rows are tried in the order of their [`Tier`]: an explicit header of the edge, then the vendor's own
//! envelope, then structure that only its page has, then the mere shape of an answer. Shapes count only
//! when nothing shows that the origin answered ([`origin`]). That a product is in front of the site is
//! never a verdict: it is on every answer. Prose is never a sign alone: articles, tickets and logs quote it.

pub(crate) mod gateway;
pub(crate) mod generic;
pub(crate) mod markers;
pub(crate) mod origin;
pub(crate) mod page;
mod readers;
mod table;
mod tongues;

mod cloudflare;

use std::sync::LazyLock;

use self::markers::marker;
use self::page::{Form, Page, has, starts};
use crate::domain::verdict::{Evidence, Kind, Rule, Strength, WhoActs};

/// How much a row's kind of sign outweighs others, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tier {
    /// A header that the edge sets on refusals alone.
    Header,
    /// The vendor's error as JSON, Markdown or plain text.
    Envelope,
    /// Ids, names and layouts that only this page has.
    Structure,
    /// The mere look of an answer, when nothing speaks for the origin.
    Shape,
}

/// Where the software stands that made the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Edge,
    /// A proxy, filter or portal on our side of the internet.
    OurSide,
    /// A plug-in or module inside the origin's web server.
    InOrigin,
    /// A security layer of the partner that gives no name.
    Unnamed,
}

/// One thing that an answer shows.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sign {
    /// The header is there.
    Header(&'static str),
    NoHeader(&'static str),
    /// A value of the header equals this, any case.
    Is(&'static str, &'static str),
    /// A value of the header starts with this, any case.
    Starts(&'static str, &'static str),
    /// A value of the header contains this, any case.
    Has(&'static str, &'static str),
    /// A cookie is set whose name begins with this.
    Cookie(&'static str),
    Status(&'static [u16]),
    /// The title equals this, any case.
    Title(&'static str),
    /// The title contains this, any case.
    TitleHas(&'static str),
    /// The body holds this, any case.
    Body(&'static str),
    AnyBody(&'static [&'static str]),
    NotBody(&'static str),
    /// The text that a reader sees holds one of these, any case of ASCII letters. Dearer than a body
    /// marker: it stands after a sign that few pages have.
    Says(&'static [&'static str]),
    /// The whole body, trimmed, is this, any case.
    Whole(&'static [&'static str]),
    /// The body is no longer than this.
    Bytes(usize),
    /// A test that no other sign can express; the text says what it tests.
    Test(&'static str, fn(&Page<'_>) -> bool),
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signature {
    pub(crate) vendor: &'static str,
    pub(crate) tier: Tier,
    pub(crate) strength: Strength,
    /// Inclusive; most rows ask for an error status, because pages with 200 quote.
    pub(crate) statuses: (u16, u16),
    /// Body markers count only in these forms; empty: the row looks at no body.
    pub(crate) forms: &'static [Form],
    pub(crate) signs: &'static [Sign],
    pub(crate) kind: Kind,
    pub(crate) rule: Rule,
    pub(crate) who: WhoActs,
    pub(crate) code: Option<&'static str>,
    pub(crate) place: Place,
    /// Its page with a good status may say more than a few words.
    pub(crate) wordy: bool,
    /// Reads code, reference and what follows from them; `false`: not this page after all.
    pub(crate) read: Option<fn(&Page<'_>, &mut Found) -> bool>,
    /// What it is, for a person.
    pub(crate) says: &'static str,
}

/// What a row found.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) vendor: &'static str,
    pub(crate) tier: Tier,
    pub(crate) strength: Strength,
    pub(crate) kind: Kind,
    pub(crate) rule: Rule,
    pub(crate) who: WhoActs,
    pub(crate) place: Place,
    pub(crate) code: Option<String>,
    pub(crate) reference_id: Option<String>,
    /// What the page itself says about the reason, if it was read.
    pub(crate) note: Option<String>,
    /// What it is and the signs that were seen.
    pub(crate) evidence: Vec<Evidence>,
}

/// Text on a block or challenge page with a good status; the longest seen has some 300 bytes.
const BRIEF_BYTES_MAX: usize = 600;
/// The same on a page that has the vendor's own title; the longest seen has some 1,200 bytes.
const TITLED_BYTES_MAX: usize = 2500;

const MARKUP: &[Form] = &[Form::Html, Form::Xml];

/// A row about an explicit header, whatever the status.
const fn header(vendor: &'static str, says: &'static str, signs: &'static [Sign]) -> Signature {
    Signature {
        vendor,
        tier: Tier::Header,
        strength: Strength::Proof,
        statuses: (100, 999),
        forms: &[],
        signs,
        kind: Kind::EdgeBlock,
        rule: Rule::Unknown,
        who: WhoActs::SiteOwner,
        code: None,
        place: Place::Edge,
        wordy: false,
        read: None,
        says,
    }
}

/// A row about an error in JSON.
const fn json(vendor: &'static str, says: &'static str, signs: &'static [Sign]) -> Signature {
    Signature {
        tier: Tier::Envelope,
        statuses: (400, 999),
        forms: &[Form::Json],
        ..header(vendor, says, signs)
    }
}

/// A row about an error as plain text or Markdown.
const fn plain(vendor: &'static str, says: &'static str, signs: &'static [Sign]) -> Signature {
    Signature {
        forms: &[Form::Text, Form::Html],
        ..json(vendor, says, signs)
    }
}

/// A row about the structure of an error page.
const fn page(vendor: &'static str, says: &'static str, signs: &'static [Sign]) -> Signature {
    Signature {
        tier: Tier::Structure,
        forms: MARKUP,
        ..json(vendor, says, signs)
    }
}

/// A row about the look of an error, whatever its body.
const fn shape(vendor: &'static str, says: &'static str, signs: &'static [Sign]) -> Signature {
    Signature {
        tier: Tier::Shape,
        strength: Strength::Weak,
        forms: &[],
        ..json(vendor, says, signs)
    }
}

/// A row about the block page of a maker that is known by few captures or by its documentation alone.
///
/// Its words give the rule and the id; a good status is believed of a page that says nothing else.
const fn named(vendor: &'static str, says: &'static str, signs: &'static [Sign]) -> Signature {
    Signature {
        forms: &[Form::Html, Form::Xml, Form::Text, Form::Json],
        ..page(vendor, says, signs)
    }
    .block(Rule::Unknown)
    .any_status()
    .read(readers::named)
}

/// A row about the page of a filter on our side of the internet.
const fn filter(vendor: &'static str, says: &'static str, signs: &'static [Sign]) -> Signature {
    Signature {
        forms: &[Form::Html, Form::Xml, Form::Text],
        ..page(vendor, says, signs)
    }
    .ours()
    .any_status()
}

/// A row about a maker's name as `Server`, on an answer that refuses and shows nothing of an origin.
const fn by_server(vendor: &'static str, says: &'static str, signs: &'static [Sign]) -> Signature {
    shape(vendor, says, signs)
        .block(Rule::Unknown)
        .statuses(400, 499)
        .read(readers::refused_by_server)
}

impl Signature {
    const fn block(self, rule: Rule) -> Self {
        Self {
            kind: Kind::EdgeBlock,
            rule,
            ..self
        }
    }

    const fn challenge(self) -> Self {
        Self {
            kind: Kind::EdgeChallenge,
            rule: Rule::BotChallenge,
            ..self
        }
    }

    const fn limited(self) -> Self {
        Self {
            kind: Kind::RateLimited,
            rule: Rule::RateLimit,
            who: WhoActs::NobodyWait,
            ..self
        }
    }

    const fn error(self, rule: Rule) -> Self {
        Self {
            kind: Kind::EdgeError,
            rule,
            ..self
        }
    }

    const fn login(self) -> Self {
        Self {
            kind: Kind::SoftBlock,
            rule: Rule::Login,
            ..self
        }
    }

    /// On our side of the internet, and so ours to mend.
    const fn ours(self) -> Self {
        Self {
            kind: Kind::EdgeBlock,
            rule: Rule::ClientSideProxy,
            who: WhoActs::Visitor,
            place: Place::OurSide,
            ..self
        }
    }

    const fn in_origin(self) -> Self {
        Self {
            place: Place::InOrigin,
            ..self
        }
    }

    const fn who(self, who: WhoActs) -> Self {
        Self { who, ..self }
    }

    const fn code(self, code: &'static str) -> Self {
        Self {
            code: Some(code),
            ..self
        }
    }

    const fn statuses(self, from: u16, to: u16) -> Self {
        Self {
            statuses: (from, to),
            ..self
        }
    }

    const fn any_status(self) -> Self {
        self.statuses(100, 999)
    }

    const fn strong(self) -> Self {
        Self {
            strength: Strength::Strong,
            ..self
        }
    }

    const fn weak(self) -> Self {
        Self {
            strength: Strength::Weak,
            ..self
        }
    }

    /// By structure, although the body may be anything.
    const fn of_structure(self) -> Self {
        Self {
            tier: Tier::Structure,
            ..self
        }
    }

    const fn wordy(self) -> Self {
        Self {
            wordy: true,
            ..self
        }
    }

    const fn read(self, read: fn(&Page<'_>, &mut Found) -> bool) -> Self {
        Self {
            read: Some(read),
            ..self
        }
    }

    /// What this row finds in the page, if all its signs are there.
    fn find(&self, page: &Page<'_>) -> Option<Found> {
        let status = page.status();
        let (from, to) = self.statuses;
        if status < from || status > to {
            return None;
        }
        if !self.forms.is_empty() && !self.forms.contains(&page.form) {
            return None;
        }
        if !self.signs.iter().all(|sign| sign.shows(page)) {
            return None;
        }
        if status < 400 && self.tier == Tier::Structure && !self.is_the_page(page) {
            return None;
        }
        let mut found = Found {
            vendor: self.vendor,
            tier: self.tier,
            strength: self.strength,
            kind: self.kind,
            rule: self.rule,
            who: self.who,
            place: self.place,
            code: self.code.map(str::to_owned),
            reference_id: None,
            note: None,
            evidence: Vec::new(),
        };
        if let Some(read) = self.read
            && !read(page, &mut found)
        {
            return None;
        }
        found.evidence.push(Evidence {
            strength: found.strength,
            text: self.words(page),
        });
        if let Some(note) = found.note.take() {
            found.evidence.push(Evidence {
                strength: Strength::Strong,
                text: note,
            });
        }
        Some(found)
    }

    /// Whether a page with a good status is the vendor's own, and not one that quotes it.
    ///
    /// The own page is short, or has the title that the row asks for; articles and tickets say more. Data says
    /// by its own members that it refuses.
    fn is_the_page(&self, page: &Page<'_>) -> bool {
        let titled = self
            .signs
            .iter()
            .any(|sign| matches!(sign, Sign::Title(_) | Sign::TitleHas(_)));
        if self.wordy || self.forms.is_empty() {
            return true;
        }
        let bytes_max = if titled {
            TITLED_BYTES_MAX
        } else {
            BRIEF_BYTES_MAX
        };
        let brief = page.visible().len() <= bytes_max && !page.has("<article");
        // Data and plain text quote more freely than pages do: they must say that they refuse.
        brief
            && match page.form {
                Form::Json => generic::refuses_in_json(page),
                Form::Text => generic::refuses(page.visible()),
                _ => true,
            }
    }

    /// What the row says and the signs by which, for a person.
    fn words(&self, page: &Page<'_>) -> String {
        let signs: Vec<String> = self
            .signs
            .iter()
            .filter_map(|sign| sign.words(page))
            .collect();
        if signs.is_empty() {
            self.says.to_owned()
        } else {
            format!("{}: {}", self.says, signs.join(", "))
        }
    }
}

impl Sign {
    fn shows(&self, page: &Page<'_>) -> bool {
        let values = |name: &'static str| page.answer.header_all(name);
        match *self {
            Self::Header(name) => page.header(name).is_some(),
            Self::NoHeader(name) => page.header(name).is_none(),
            Self::Is(name, value) => values(name).any(|v| v.trim().eq_ignore_ascii_case(value)),
            Self::Starts(name, prefix) => values(name).any(|v| starts(v.trim_start(), prefix)),
            Self::Has(name, part) => values(name).any(|v| has(v, part)),
            Self::Cookie(prefix) => page.sets_cookie(prefix),
            Self::Status(statuses) => statuses.contains(&page.status()),
            Self::Title(title) => page.title().is_some_and(|t| t.eq_ignore_ascii_case(title)),
            Self::TitleHas(part) => page.title().is_some_and(|t| has(t, part)),
            Self::Body(literal) => page.has(literal),
            Self::AnyBody(literals) => literals.iter().any(|literal| page.has(literal)),
            Self::NotBody(literal) => !page.has(literal),
            Self::Says(texts) => texts.iter().any(|text| has(page.visible(), text)),
            Self::Whole(texts) => {
                let body = page.body().trim_ascii();
                texts
                    .iter()
                    .any(|text| body.eq_ignore_ascii_case(text.as_bytes()))
            }
            Self::Bytes(most) => page.body().len() <= most,
            Self::Test(_, test) => test(page),
        }
    }

    /// The sign as a person can check it; what is absent or a bound is not told.
    fn words(&self, page: &Page<'_>) -> Option<String> {
        Some(match *self {
            Self::Header(name) | Self::Is(name, _) | Self::Starts(name, _) | Self::Has(name, _) => {
                format!("header {name}: {}", short(page.header(name)?))
            }
            Self::NoHeader(name) => format!("no header {name}"),
            Self::Cookie(prefix) => format!("cookie {prefix}…"),
            Self::Status(_) => format!("status {}", page.status()),
            Self::Title(_) | Self::TitleHas(_) => format!("title \"{}\"", short(page.title()?)),
            Self::Body(literal) => holds(literal),
            Self::AnyBody(literals) => holds(literals.iter().find(|literal| page.has(literal))?),
            Self::Says(texts) => {
                let said = texts.iter().find(|text| has(page.visible(), text))?;
                format!("it says \"{said}\"")
            }
            Self::Whole(_) => format!("the whole body is \"{}\"", short(page.visible())),
            Self::Test(says, _) => says.to_owned(),
            Self::NotBody(_) | Self::Bytes(_) => return None,
        })
    }

    fn literals(&self) -> &[&'static str] {
        match self {
            Self::Body(literal) | Self::NotBody(literal) => std::slice::from_ref(literal),
            Self::AnyBody(literals) => literals,
            _ => &[],
        }
    }
}

/// That the body holds a marker, without the markup around it, as a person can search for it.
fn holds(literal: &str) -> String {
    const MARKUP: [char; 5] = ['<', '>', '"', '\'', '='];
    const NAMES: [&str; 13] = [
        "a", "b", "center", "class", "content", "h1", "h2", "hr", "id", "name", "src", "strong",
        "title",
    ];
    if !literal.contains(MARKUP) {
        return format!("body has \"{literal}\"");
    }
    let words = literal.split(MARKUP).map(str::trim);
    let telling: Vec<&str> = words
        .filter(|word| !word.is_empty() && !NAMES.contains(word))
        .collect();
    format!("in its markup \"{}\"", telling.join(" "))
}

/// The first 80 characters of a value.
fn short(text: &str) -> String {
    let mut short: String = text.chars().take(80).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// The rows by tier, each with the body markers it can't do without.
static BY_TIER: LazyLock<Vec<(Vec<u16>, &'static Signature)>> = LazyLock::new(|| {
    let mut rows: Vec<&'static Signature> = table::VENDORS.iter().copied().flatten().collect();
    rows.sort_by_key(|row| row.tier);
    rows.into_iter()
        .map(|row| {
            let needed = row.signs.iter().filter_map(|sign| match sign {
                Sign::Body(literal) => marker(literal),
                _ => None,
            });
            (needed.collect(), row)
        })
        .collect()
});

/// Signs beyond the first that are told as evidence.
const FURTHER_EVIDENCE_MAX: usize = 4;

/// The strongest thing that the table knows about this answer, with what else supports it.
pub(crate) fn recognise(page: &Page<'_>) -> Option<Found> {
    let mut best: Option<Found> = None;
    for (needed, row) in BY_TIER.iter() {
        if best.is_some() && row.tier == Tier::Shape {
            break;
        }
        if !needed.iter().all(|marker| page.holds(*marker)) {
            continue;
        }
        let Some(found) = row.find(page) else {
            continue;
        };
        match &mut best {
            None if found.tier == Tier::Shape && origin::answered(page).is_some() => {}
            None => best = Some(found),
            Some(best) => support(best, found),
        }
    }
    best
}

/// Adds what a further row says to the verdict of the first, when both mean the same maker.
fn support(best: &mut Found, further: Found) {
    if best.vendor != further.vendor || best.kind != further.kind {
        return;
    }
    if best.rule == Rule::Unknown {
        best.rule = further.rule;
    }
    best.code = best.code.take().or(further.code);
    best.reference_id = best.reference_id.take().or(further.reference_id);
    if best.evidence.len() < FURTHER_EVIDENCE_MAX {
        best.evidence.extend(further.evidence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_can_match() {
        for row in table::VENDORS.iter().copied().flatten() {
            assert!(!row.signs.is_empty(), "{}: {}", row.vendor, row.says);
            for literal in row.signs.iter().flat_map(Sign::literals) {
                assert!(literal.len() >= 4, "{literal:?} is too short to mean much");
                assert!(
                    !row.forms.is_empty(),
                    "{}: a body marker needs a form",
                    row.says
                );
            }
            for sign in row.signs {
                if let Sign::Header(name)
                | Sign::NoHeader(name)
                | Sign::Is(name, _)
                | Sign::Starts(name, _)
                | Sign::Has(name, _) = sign
                {
                    assert_eq!(
                        **name,
                        name.to_ascii_lowercase(),
                        "header names are lower case"
                    );
                }
            }
        }
    }

    #[test]
    fn presence_is_no_sign() {
        use crate::read::signatures::page::tests::answer;
        let everyday = [
            ("server", "cloudflare"),
            ("cf-ray", "8fcb3f8a0cc56750-LHR"),
            ("via", "1.1 abc.cloudfront.net (CloudFront)"),
            ("x-cache", "Error from cloudfront"),
            ("x-cdn", "Imperva"),
            ("x-datadome", "protected"),
            ("x-served-by", "cache-lhr1-LHR"),
            ("x-vercel-id", "lhr1::1"),
            ("x-sucuri-id", "15005"),
            ("set-cookie", "_abck=1"),
        ];
        for status in [200, 204, 302, 401, 403, 404, 405, 429, 500, 503] {
            for header in everyday {
                let answer = answer(
                    status,
                    &[header, ("content-type", "application/json")],
                    "{}",
                );
                let found = recognise(&Page::new(&answer));
                assert!(found.is_none(), "{status} {header:?}: {found:?}");
            }
        }
    }
}
