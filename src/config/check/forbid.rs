//! The rules of `forbid` as the file has them.

use crate::config::collections::{Form, Many};
use crate::config::desk::At;
use crate::config::leaf::Word;
use crate::config::raw;
use crate::domain::forbid::{Forbidden, Pattern};

pub(super) fn forbidden(raw: Option<raw::Forbid>) -> Forbidden {
    let Some(raw) = raw else {
        return Forbidden::default();
    };
    let headers = raw.headers.map(|h| h.value.0).unwrap_or_default();
    let methods = raw.method.map(|m| m.value.0).unwrap_or_default();
    Forbidden {
        body: patterns(raw.body.map(|b| b.value)),
        methods: methods
            .into_iter()
            .map(|At { value: Word(m), .. }| m.into())
            .collect(),
        paths: patterns(raw.path.map(|p| p.value)),
        headers: headers
            .into_iter()
            .flat_map(|(name, many)| {
                patterns(Some(many.value))
                    .into_iter()
                    .map(move |pattern| (name.value.to_ascii_lowercase(), pattern))
            })
            .collect(),
    }
}

fn patterns(raw: Option<Many<Form<String, raw::RegexText>>>) -> Vec<Pattern> {
    raw.map(|many| many.0)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|at| match at.value {
            Form::Short(text) => Some(Pattern::text(text)),
            Form::Full(regex) => regex.regex.map(|r| Pattern::Regex(r.value.0)),
        })
        .collect()
}
