//! Is this a message Slack would take? The limits are Slack's, not ours.
//!
//! Numbers: <https://docs.slack.dev/reference/block-kit/blocks> and
//! <https://docs.slack.dev/reference/block-kit/composition-objects/text-object> (read 2026-11-22).

use serde_json::Value;

/// Every reason to refuse the message; empty when it is good.
pub(crate) fn problems(message: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let attachments = list(message, "attachments");
    if attachments.len() > 100 {
        found.push("too_many_attachments".into());
    }
    if let Some(text) = message.get("text") {
        markup(text, "/text", 40_000, &mut found);
    }
    let mut size = 0;
    for (path, blocks) in std::iter::once(("/blocks".to_owned(), list(message, "blocks"))).chain(
        attachments
            .iter()
            .enumerate()
            .map(|(i, a)| (format!("/attachments/{i}/blocks"), list(a, "blocks"))),
    ) {
        if blocks.len() > 50 {
            found.push(format!("{path}: more than 50 blocks"));
        }
        size += blocks.iter().map(|b| length(&b.to_string())).sum::<usize>();
        for (index, block) in blocks.iter().enumerate() {
            check_block(block, &format!("{path}/{index}"), &mut found);
        }
    }
    if size > 13_200 {
        found.push(format!("msg_blocks_too_long: {size}"));
    }
    if message["text"].as_str().unwrap_or_default().is_empty() && size == 0 {
        found.push("no_text".into());
    }
    found
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

/// Slack counts as JavaScript does.
fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

fn check_block(block: &Value, path: &str, found: &mut Vec<String>) {
    match block["type"].as_str() {
        Some("section") => {
            let fields = list(block, "fields");
            if block.get("text").is_none() && fields.is_empty() {
                found.push(format!("{path}: a section needs text or fields"));
            }
            if let Some(text) = block.get("text") {
                text_object(text, &format!("{path}/text"), 3_000, found);
            }
            if fields.len() > 10 {
                found.push(format!("{path}: more than 10 fields"));
            }
            for (index, field) in fields.iter().enumerate() {
                text_object(field, &format!("{path}/fields/{index}"), 2_000, found);
            }
        }
        Some("header") => {
            if block["text"]["type"] != "plain_text" {
                found.push(format!("{path}: a header is plain_text"));
            }
            text_object(&block["text"], &format!("{path}/text"), 150, found);
        }
        Some("context") => {
            let elements = list(block, "elements");
            if elements.is_empty() || elements.len() > 10 {
                found.push(format!("{path}: 1 to 10 elements"));
            }
            for (index, element) in elements.iter().enumerate() {
                text_object(element, &format!("{path}/elements/{index}"), 3_000, found);
            }
        }
        Some("rich_text") => {
            for (index, element) in list(block, "elements").iter().enumerate() {
                rich_text(element, &format!("{path}/elements/{index}"), found);
            }
        }
        Some("actions") => {
            let elements = list(block, "elements");
            if elements.is_empty() || elements.len() > 25 {
                found.push(format!("{path}: 1 to 25 elements"));
            }
            for (index, element) in elements.iter().enumerate() {
                button(element, &format!("{path}/elements/{index}"), found);
            }
        }
        Some("divider") => {}
        other => found.push(format!("{path}: unsupported type {other:?}")),
    }
}

/// <https://docs.slack.dev/reference/block-kit/block-elements/button-element> (read 2026-11-22).
fn button(element: &Value, path: &str, found: &mut Vec<String>) {
    let plain = |text: &Value, what: &str, max: usize, found: &mut Vec<String>| {
        if text["type"] != "plain_text" {
            found.push(format!("{path}: {what} is plain_text"));
        }
        text_object(text, &format!("{path}/{what}"), max, found);
    };
    if element["type"] != "button" {
        found.push(format!("{path}: unsupported type {}", element["type"]));
    }
    plain(&element["text"], "text", 75, found);
    for (key, max) in [("action_id", 255), ("value", 2_000)] {
        let text = element[key].as_str().unwrap_or_default();
        if text.is_empty() || length(text) > max {
            found.push(format!("{path}: {key} of 1 to {max} characters"));
        }
    }
    if let Some(confirm) = element.get("confirm") {
        plain(&confirm["title"], "confirm/title", 100, found);
        plain(&confirm["confirm"], "confirm/confirm", 30, found);
        plain(&confirm["deny"], "confirm/deny", 30, found);
        text_object(
            &confirm["text"],
            &format!("{path}/confirm/text"),
            300,
            found,
        );
    }
}

fn rich_text(element: &Value, path: &str, found: &mut Vec<String>) {
    if element["type"] == "rich_text_section" {
        for part in list(element, "elements") {
            let text = part["text"].as_str().unwrap_or_default();
            let url = part["url"].as_str();
            let link = part["type"] == "link" && url.is_some_and(|url| url.starts_with("http"));
            if !(link || part["type"] == "text") || text.is_empty() || length(text) > 3_000 {
                found.push(format!("{path}: a text, or a link with a text"));
            }
            if text.chars().any(hidden) {
                found.push(format!("{path}: a hidden character"));
            }
        }
        return;
    }
    if element["type"] != "rich_text_preformatted" {
        found.push(format!(
            "{path}: page text belongs into rich_text_preformatted"
        ));
    }
    let texts = list(element, "elements");
    if texts.is_empty() {
        found.push(format!("{path}: no elements"));
    }
    for text in texts {
        let words = text["text"].as_str().unwrap_or_default();
        if text["type"] != "text" || words.is_empty() || length(words) > 3_000 {
            found.push(format!("{path}: text of 1 to 3000 characters"));
        }
        if words.chars().any(hidden) {
            found.push(format!("{path}: hidden characters"));
        }
    }
}

fn text_object(text: &Value, path: &str, max: usize, found: &mut Vec<String>) {
    match text["type"].as_str() {
        Some("mrkdwn") if text["verbatim"] != true => {
            found.push(format!("{path}: without verbatim, bare names become links"));
        }
        Some("mrkdwn" | "plain_text") => {}
        other => found.push(format!("{path}: text type {other:?}")),
    }
    let words = text["text"].as_str().unwrap_or_default();
    if words.is_empty() {
        found.push(format!("{path}: empty text"));
    }
    markup(&text["text"], path, max, found);
}

fn hidden(character: char) -> bool {
    (character.is_control() && character != '\n')
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Control characters of Slack stand only in entities, and in the one mention that the operator configured.
fn markup(text: &Value, path: &str, max: usize, found: &mut Vec<String>) {
    let Some(words) = text.as_str() else {
        found.push(format!("{path}: no text"));
        return;
    };
    if length(words) > max {
        found.push(format!("{path}: more than {max} characters"));
    }
    if words.chars().any(hidden) {
        found.push(format!("{path}: hidden characters"));
    }
    let own = words.strip_prefix(super::fakes::MENTION).unwrap_or(words);
    if own.contains(['<', '>']) {
        found.push(format!("{path}: a raw < or >"));
    }
    let bare = ["&amp;", "&lt;", "&gt;"]
        .iter()
        .fold(own.to_owned(), |text, entity| text.replace(entity, ""));
    if bare.contains('&') {
        found.push(format!("{path}: a raw &"));
    }
}

#[test]
fn refuses_what_slack_refuses() {
    use serde_json::json;
    let mrkdwn = |text: String| json!({ "type": "mrkdwn", "text": text, "verbatim": true });
    let section =
        |text: Value| json!({ "blocks": [{ "type": "section", "text": text }], "text": "x" });
    for (name, message, good) in [
        ("a section", section(mrkdwn("ok".into())), true),
        ("empty text", section(mrkdwn(String::new())), false),
        ("too long", section(mrkdwn("x".repeat(3_001))), false),
        ("a raw token", section(mrkdwn("<!channel>".into())), false),
        ("a raw ampersand", section(mrkdwn("a & b".into())), false),
        ("no text at all", json!({}), false),
        (
            "51 blocks",
            json!({ "text": "x", "blocks": vec![json!({ "type": "divider" }); 51] }),
            false,
        ),
        (
            "unknown block",
            json!({ "text": "x", "blocks": [{ "type": "blink" }] }),
            false,
        ),
        (
            "eleven fields",
            json!({ "text": "x", "blocks": [{ "type": "section", "fields": vec![mrkdwn("f".into()); 11] }] }),
            false,
        ),
        (
            "all together",
            json!({ "text": "x", "blocks": vec![json!({ "type": "section", "text": mrkdwn("x".repeat(2_900)) }); 5] }),
            false,
        ),
        (
            "no verbatim",
            section(json!({ "type": "mrkdwn", "text": "x" })),
            false,
        ),
    ] {
        assert_eq!(
            problems(&message).is_empty(),
            good,
            "{name}: {:?}",
            problems(&message)
        );
    }
}
