//! Two requests laid over each other: everything in which they differ, and any request between them.
//!
//! Nothing is made up: each part of a request between the two is one that one of them has, and a header's value is
//! never cut. Of bodies and queries parts are left out.

use super::head::{self, Heads, Kind as HeadKind};
use super::merge::{Merged, Text};
use super::pieces;
use super::search::{Change, Set};
use crate::domain::cell::{CellKey, Client, CredentialName, Egress, HeaderCase, HttpOffer};
use crate::domain::forbid;
use crate::domain::head::{Line, head, may_be_secret};
use crate::domain::plan::Plan;
use crate::domain::probe::{Part as Piece, Probe, Spelling, Template};

/// First of the characters that stand for credentials while a body is in pieces; Unicode keeps them for private use.
const STAND_IN: u32 = 0xE000;

/// A request with all that decides how it looks.
#[derive(Debug, Clone)]
pub struct Side {
    pub probe: Probe,
    pub client: Client,
    pub egress: Egress,
    pub credential: CredentialName,
}

impl Side {
    /// The request of a cell.
    ///
    /// # Errors
    /// The plan lacks one of its names.
    pub fn of(plan: &Plan, cell: &CellKey) -> Result<Self, String> {
        let lacks = |what: &str, name: &str| format!("there is no {what} {name:?} in the file");
        let probe = plan.probe(&cell.probe);
        let client = plan.client(&cell.client);
        let egress = plan.egress(&cell.egress);
        Ok(Self {
            probe: probe
                .ok_or_else(|| lacks("probe", cell.probe.as_str()))?
                .clone(),
            client: client
                .ok_or_else(|| lacks("client", cell.client.as_str()))?
                .clone(),
            egress: egress
                .ok_or_else(|| lacks("egress", cell.egress.as_str()))?
                .clone(),
            credential: cell.credential.clone(),
        })
    }

    /// The cell that it is run as.
    #[must_use]
    pub fn cell(&self) -> CellKey {
        CellKey {
            probe: self.probe.name.clone(),
            egress: self.egress.name.clone(),
            client: self.client.name.clone(),
            credential: self.credential.clone(),
        }
    }

    /// The head for people, without what may be secret; values of the request's own are said in brackets.
    #[must_use]
    pub fn head(&self) -> Vec<String> {
        let url = &self.probe.url;
        let mut lines = vec![format!(
            "{} {} ({})",
            self.probe.method,
            &url[url::Position::BeforePath..],
            http(self.client.http)
        )];
        let lines_of_head = head(&self.probe, &self.client);
        lines.extend(lines_of_head.iter().map(|line| {
            let value = match &line.value {
                Some(_) if may_be_secret(&line.name) => "(not shown)".to_owned(),
                Some(value) => value.masked(),
                None => "(of the request)".to_owned(),
            };
            format!("{}: {value}", line.name)
        }));
        lines
    }

    /// Bytes of the body, placeholders as they stand in the file.
    #[must_use]
    pub fn body_bytes(&self) -> usize {
        self.probe
            .body
            .as_ref()
            .map_or(0, |body| body.masked().len())
    }

    /// Why this request may not be made.
    #[must_use]
    pub fn forbidden(&self) -> Option<String> {
        let headers: Vec<(String, String)> = head(&self.probe, &self.client)
            .into_iter()
            .filter_map(|line| Some((line.name, line.value?.masked())))
            .collect();
        let body = self.probe.body.as_ref().map(Template::masked);
        let request = forbid::Request {
            method: self.probe.method.clone(),
            path: &self.probe.url[url::Position::BeforePath..],
            headers: &headers,
            body: body.as_deref().unwrap_or_default(),
        };
        let mut rules = self.probe.forbid.iter();
        rules.find_map(|rules| rules.broken_by(&request))
    }
}

/// The HTTP version that a client offers.
pub(super) fn http(offer: HttpOffer) -> &'static str {
    match offer {
        HttpOffer::Http1 => "HTTP/1.1",
        HttpOffer::Http2 => "HTTP/2",
        HttpOffer::Either => "HTTP/2 or 1.1",
    }
}

/// One thing in which two requests differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Egress,
    /// Which IP version is used.
    Family,
    Credential,
    Method,
    Path,
    Query(usize),
    Http,
    Tls,
    /// Who makes the request.
    Program,
    Head(usize),
    Body(usize),
}

/// Two requests, and every change that leads from the passing to the failing one.
#[derive(Debug, Clone)]
pub struct Mixed {
    pub(super) passing: Side,
    pub(super) failing: Side,
    pub(super) parts: Vec<Part>,
    pub(super) heads: Heads,
    pub(super) query: Merged,
    pub(super) body: Merged,
    stand_ins: Vec<(String, Spelling)>,
}

impl Mixed {
    /// Compares two requests to the same place.
    ///
    /// # Errors
    /// They go to different hosts or addresses, or do not differ.
    pub fn new(passing: Side, failing: Side) -> Result<Self, String> {
        let (one, other) = (&passing.probe, &failing.probe);
        if one.url.origin() != other.url.origin() || one.connect_to != other.connect_to {
            return Err(format!(
                "probes {:?} and {:?} ask different hosts, so a part of the request can't be told from the host; name two that ask the same",
                one.name, other.name
            ));
        }
        let mut stand_ins = Vec::new();
        let mut body = |probe: &Probe| {
            let flat = probe.body.as_ref().map(|body| flat(body, &mut stand_ins));
            pieces::read(&flat.unwrap_or_default())
        };
        let body = Merged::new(&body(one), &body(other));
        let query = |probe: &Probe| {
            let query = probe.url.query().unwrap_or_default();
            pieces::form(query).map_or_else(|| pieces::words(query), |form| vec![form])
        };
        let query = Merged::new(&query(one), &query(other));
        let heads = Heads::new(head(one, &passing.client), head(other, &failing.client));
        let mut parts = Vec::new();
        let (from, to) = (&passing.egress, &failing.egress);
        if from.way != to.way {
            parts.push(Part::Egress);
        } else if from.family != to.family {
            parts.push(Part::Family);
        }
        for (part, differs) in [
            (Part::Credential, passing.credential != failing.credential),
            (Part::Method, one.method != other.method),
            (Part::Path, one.url.path() != other.url.path()),
        ] {
            parts.extend(differs.then_some(part));
        }
        parts.extend((0..query.changes.len()).map(Part::Query));
        let (p, f) = (&passing.client, &failing.client);
        for (part, differs) in [
            (Part::Http, p.http != f.http),
            (Part::Tls, p.tls != f.tls),
            (Part::Program, p.program != f.program),
        ] {
            parts.extend(differs.then_some(part));
        }
        parts.extend((0..heads.changes.len()).map(Part::Head));
        parts.extend((0..body.changes.len()).map(Part::Body));
        if parts.is_empty() {
            return Err("the two requests do not differ in anything".to_owned());
        }
        Ok(Self {
            passing,
            failing,
            parts,
            heads,
            query,
            body,
            stand_ins,
        })
    }

    #[must_use]
    pub fn failing(&self) -> &Side {
        &self.failing
    }

    /// The changes as the search sees them.
    #[must_use]
    pub fn changes(&self) -> Vec<Change> {
        let base = |wanted: fn(&Part) -> bool| self.parts.iter().position(wanted).unwrap_or(0);
        let (query, body) = (
            base(|part| matches!(part, Part::Query(_))),
            base(|part| matches!(part, Part::Body(_))),
        );
        let each = self.parts.iter().map(|part| match part {
            Part::Query(at) => Change {
                needs: self.query.changes[*at].needs.map(|needs| needs + query),
                head_bytes: self.query.changes[*at].bytes,
                body_bytes: 0,
            },
            Part::Body(at) => Change {
                needs: self.body.changes[*at].needs.map(|needs| needs + body),
                head_bytes: 0,
                body_bytes: self.body.changes[*at].bytes,
            },
            Part::Head(at) => Change {
                head_bytes: self.head_bytes(&self.heads.changes[*at]),
                ..Change::default()
            },
            _ => Change::default(),
        });
        each.collect()
    }

    fn head_bytes(&self, change: &HeadKind) -> i64 {
        let (passing, failing) = (&self.heads.passing, &self.heads.failing);
        match change {
            HeadKind::Added(at) => head::bytes(&failing[*at]),
            HeadKind::Gone(at) => -head::bytes(&passing[*at]),
            HeadKind::Value(at, other) => {
                head::bytes(&failing[*at]) - head::bytes(&passing[*other])
            }
            HeadKind::Moved(_) | HeadKind::Spelling => 0,
        }
    }

    /// Bytes of the passing request: of its head, without the request line, and of its body.
    #[must_use]
    pub(super) fn passing_bytes(&self) -> (i64, i64) {
        let head = self.heads.passing.iter().map(head::bytes).sum();
        (head, self.passing.body_bytes() as i64)
    }

    /// The passing request with these changes, which hold all that they need.
    #[must_use]
    pub fn request(&self, changes: &Set) -> Side {
        let of = |wanted: &dyn Fn(&Part) -> Option<usize>| -> Set {
            let parts = changes.iter().filter_map(|at| self.parts.get(*at));
            parts.filter_map(wanted).collect()
        };
        let is_made = |part: &Part| {
            let mut made = changes.iter().filter_map(|at| self.parts.get(*at));
            made.any(|other| other == part)
        };
        let (from, to) = (&self.passing, &self.failing);
        let side = |part: &Part| if is_made(part) { to } else { from };
        let mut request = to.clone();
        request.egress = side(&Part::Egress).egress.clone();
        if self.parts.contains(&Part::Family) {
            request.egress = side(&Part::Family).egress.clone();
        }
        request.credential = side(&Part::Credential).credential.clone();
        request.client.http = side(&Part::Http).client.http;
        request.client.tls = side(&Part::Tls).client.tls;
        let program = &side(&Part::Program).client.program;
        request.client.program.clone_from(program);
        request.client.header_case = HeaderCase::AsWritten;
        let probe = &mut request.probe;
        probe.method = side(&Part::Method).probe.method.clone();
        probe.url.set_path(side(&Part::Path).probe.url.path());
        let query = self.query.text(&of(&|part| match part {
            Part::Query(at) => Some(*at),
            _ => None,
        }));
        let no_query = from.probe.url.query().is_none() || to.probe.url.query().is_none();
        probe
            .url
            .set_query(Some(query.as_str()).filter(|query| !(query.is_empty() && no_query)));
        let body = self.body.text(&of(&|part| match part {
            Part::Body(at) => Some(*at),
            _ => None,
        }));
        let no_body = from.probe.body.is_none() || to.probe.body.is_none();
        probe.body = Some(body)
            .filter(|body| !(body.is_empty() && no_body))
            .map(|body| self.unflat(&body));
        let lines: Vec<Line> = self.heads.lines(&of(&|part| match part {
            Part::Head(at) => Some(*at),
            _ => None,
        }));
        head::put(&lines, &mut request.client, probe);
        request
    }

    fn unflat(&self, text: &str) -> Template {
        let mut parts: Vec<Piece> = Vec::new();
        for c in text.chars() {
            let stands_for = (c as u32)
                .checked_sub(STAND_IN)
                .and_then(|at| self.stand_ins.get(at as usize));
            match (stands_for, parts.last_mut()) {
                (Some((key, spelling)), _) => {
                    parts.push(Piece::Credential(key.clone(), *spelling));
                }
                (None, Some(Piece::Text(text))) => text.push(c),
                (None, _) => parts.push(Piece::Text(c.to_string())),
            }
        }
        Template { parts }
    }

    /// A change of the body or query; `None` for others.
    pub(super) fn text(&self, part: &Part) -> Option<&Text> {
        match part {
            Part::Query(at) => self.query.changes.get(*at),
            Part::Body(at) => self.body.changes.get(*at),
            _ => None,
        }
    }

    /// A text of the body as people read it, credentials by their name.
    pub(super) fn shown(&self, text: &str) -> String {
        self.unflat(text).masked()
    }
}

/// A body as one text, with a character in place of each credential.
fn flat(template: &Template, stand_ins: &mut Vec<(String, Spelling)>) -> String {
    let mut text = String::new();
    for part in &template.parts {
        match part {
            Piece::Text(own) => text.push_str(own),
            Piece::Credential(key, spelling) => {
                let known = stand_ins
                    .iter()
                    .position(|(k, s)| k == key && s == spelling);
                let at = known.unwrap_or_else(|| {
                    stand_ins.push((key.clone(), *spelling));
                    stand_ins.len() - 1
                });
                let stand_in = u32::try_from(at)
                    .ok()
                    .and_then(|at| STAND_IN.checked_add(at));
                text.extend(stand_in.and_then(char::from_u32));
            }
        }
    }
    text
}
