//! The entities of markup, as error pages use them.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

/// Undoes the entities that error pages use: named ones for markup, numbers for ASCII.
pub fn unescape(text: &str) -> Cow<'_, str> {
    static ENTITY: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"&(?:#(\d{1,5})|#[xX]([0-9a-fA-F]{1,4})|(amp|lt|gt|quot|apos|nbsp|bull));")
            .expect("a sound pattern")
    });
    ENTITY.replace_all(text, |found: &regex::Captures<'_>| {
        let number = match (found.get(1), found.get(2)) {
            (Some(decimal), _) => decimal.as_str().parse().ok(),
            (_, Some(hex)) => u32::from_str_radix(hex.as_str(), 16).ok(),
            _ => None,
        };
        match (number, found.get(3).map(|m| m.as_str())) {
            (Some(number), _) => char::from_u32(number).unwrap_or(' ').to_string(),
            (_, Some("amp")) => "&".to_owned(),
            (_, Some("lt")) => "<".to_owned(),
            (_, Some("gt")) => ">".to_owned(),
            (_, Some("quot")) => "\"".to_owned(),
            (_, Some("apos")) => "'".to_owned(),
            _ => " ".to_owned(),
        }
    })
}
