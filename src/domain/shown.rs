//! What of a stranger's text may be shown: to a terminal, in mail, chat and Markdown, everywhere alike.

/// Characters of an id or a code.
const ID_CHARS_MAX: usize = 128;
/// Words of one, after single blanks.
const ID_WORDS_MAX: usize = 4;

/// Whether a character shows nothing of itself, and hides, joins or turns what stands beside it.
///
/// Marks of direction (Unicode TR 9), joiners, fillers, tags and selectors (TR 36 and 39). The selectors that make an
/// emoji of a sign are left: people write them.
#[must_use]
pub fn is_hidden(character: char) -> bool {
    matches!(character,
        '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Whether a character may move the cursor, hide or turn: what is shown as one line has none of them.
#[must_use]
pub fn is_unsafe(character: char) -> bool {
    character.is_control() || is_hidden(character)
}

/// An id or a code, when it has the form of one: letters, digits and `._:#/+=-`, up to four words.
///
/// Whatever else a page calls its reference is text, with which a stranger could write into our messages.
#[must_use]
pub fn id(text: &str) -> Option<String> {
    let text = text.trim();
    let of_id = |c: char| c.is_ascii_alphanumeric() || "._:#/+=-".contains(c);
    let mut words = text.split(' ');
    let fits = text.len() <= ID_CHARS_MAX
        && text.split(' ').count() <= ID_WORDS_MAX
        && words.all(|word| !word.is_empty() && word.chars().all(of_id));
    fits.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_the_form_of_one() {
        for good in [
            "8a1b2c3d4e5f6789-LHR",
            "18.ae5f1002.1717000000.1a2b3c4d",
            "0.4d2e/1717+a==",
            "Ref A: 1B2C Ref",
            "1010",
            " 1020 ",
        ] {
            assert_eq!(id(good).as_deref(), Some(good.trim()), "{good}");
        }
        let long = "a".repeat(129);
        for bad in [
            "",
            "\u{1b}]0;owned",
            "<!channel>",
            "[x](https://evil.example)",
            "a  b",
            "one two three four five",
            "a\nb",
            "caf\u{e9}",
            "a\u{e0041}",
            "a\u{202e}b",
            "`x`",
            "a&b",
            long.as_str(),
        ] {
            assert_eq!(id(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn what_hides_or_turns_is_known() {
        for hidden in [
            '\u{e0041}',
            '\u{202e}',
            '\u{200b}',
            '\u{2066}',
            '\u{ad}',
            '\u{3164}',
            '\u{e0101}',
        ] {
            assert!(is_hidden(hidden), "{hidden:?}");
        }
        for shown in ['a', 'é', 'ß', '…', '中', '\u{fe0f}', ' ', '\n'] {
            assert!(!is_hidden(shown), "{shown:?}");
        }
    }
}
