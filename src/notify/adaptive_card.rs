//! The envelope and the markup of Adaptive Cards, as Teams takes them.

use serde_json::{Value, json};

/// A card in the envelope that the workflow takes; the toast shows `summary` where it shows anything but "Card".
pub(super) fn envelope(summary: &str, card: &Value) -> Value {
    json!({
        "type": "message",
        "summary": summary,
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": card,
        }],
    })
}

/// A card of version 1.4 around its body; `fallback` shows where cards do not.
pub(super) fn frame(fallback: &str, body: &[Value]) -> Value {
    json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": fallback,
        "msteams": { "width": "Full" },
        "body": body,
    })
}

/// Writes what Teams' Markdown would read as markup so that it shows:
/// <https://learn.microsoft.com/en-us/microsoftteams/platform/task-modules-and-cards/cards/cards-format> (2026-11-22).
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let digits = text.chars().take_while(char::is_ascii_digit).count();
    for (index, character) in text.chars().enumerate() {
        let everywhere = is_markup(character);
        let at_start = index == 0 && matches!(character, '#' | '-' | '+' | '>');
        let numbered = digits > 0 && index == digits && character == '.';
        if everywhere || at_start || numbered {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// What Teams reads as markup wherever it stands.
pub(super) fn is_markup(character: char) -> bool {
    matches!(character, '\\' | '*' | '_' | '[' | ']' | '`' | '<' | '~')
}
