//! Which point of presence of a CDN answered, as its headers say.
//!
//! Cloudflare ends `CF-Ray` with it, Amazon's CDN names it in `X-Amz-Cf-Pop`, Fastly in `X-Served-By`
//! (`cache-lhr7320-LHR`). A refusal may hang on where a request lands, which is not ours to choose.

use crate::domain::observation::Answer;

/// The machine of an edge that answered (`cache-lhr7320-LHR`), where its vendor shows it.
///
/// Fastly names each cache on the way in `X-Served-By`, the one nearest to us last; others name theirs in headers of
/// their own. It is drawn for each connection.
#[must_use]
pub fn machine(answer: &Answer) -> Option<&str> {
    let fastly = answer.header("x-served-by").and_then(|caches| {
        let nearest = caches.rsplit(',').next()?.trim();
        nearest.starts_with("cache-").then_some(nearest)
    });
    let named = fastly
        .or_else(|| answer.header("x-hw"))
        .or_else(|| answer.header("x-cache-node"))?
        .trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    ((3..=64).contains(&named.len()) && named.chars().all(plain)).then_some(named)
}

/// ", from machine `cache-lhr7320-LHR`", or its place; empty where neither is shown.
pub(super) fn from(answer: &Answer) -> String {
    match (machine(answer), of(answer)) {
        (Some(machine), _) => format!(", from the edge's machine `{machine}`"),
        (None, Some(place)) => format!(", from the edge's place {place}"),
        (None, None) => String::new(),
    }
}

/// The point of presence (`LHR`, `LHR50`), upper case; `None` when the answer doesn't tell.
#[must_use]
pub fn of(answer: &Answer) -> Option<String> {
    let after_dash = |value: &str| value.rsplit_once('-').map(|(_, pop)| pop.to_owned());
    let name = answer
        .header("cf-ray")
        .and_then(after_dash)
        .or_else(|| {
            let pop = answer.header("x-amz-cf-pop")?;
            Some(pop.split('-').next().unwrap_or(pop).to_owned())
        })
        .or_else(|| {
            // The last cache is the one nearest to us.
            let caches = answer.header("x-served-by")?;
            let nearest = caches.rsplit(',').next()?.trim();
            nearest.starts_with("cache-").then(|| after_dash(nearest))?
        })?;
    let plain = (3..=8).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric());
    plain.then(|| name.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::observation::{Body, HttpVersion};

    #[test]
    fn the_headers_of_three_vendors_tell() {
        for (name, value, expected) in [
            ("cf-ray", "84f1c2d3e4f5a6b7-LHR", Some("LHR")),
            ("cf-ray", "84f1c2d3e4f5a6b7", None),
            ("x-amz-cf-pop", "LHR50-C1", Some("LHR50")),
            (
                "x-served-by",
                "cache-iad-kiad7000123-IAD, cache-lhr7320-LHR",
                Some("LHR"),
            ),
            ("x-served-by", "web-3-node", None),
            ("cf-ray", "1-<script>", None),
        ] {
            let answer = Answer {
                http: HttpVersion::H1_1,
                status: 200,
                headers: vec![(name.to_owned(), value.to_owned())],
                body: Body::default(),
            };
            assert_eq!(of(&answer).as_deref(), expected, "{name}: {value}");
        }
    }
}
