//! Text for a narrow terminal: lines are broken between words, and what goes on stands below what it belongs to.
//!
//! A terminal breaks a long line in the middle of a word and begins the rest at the edge, where it looks like another
//! line. Where there is room nothing is touched, and a word that is longer than a line stands alone: an address that
//! is cut can't be used.

/// The narrowest that still reads; below it lines are broken as if it were this wide.
const COLUMNS_MIN: usize = 24;

/// Breaks the lines that are wider than the terminal.
#[must_use]
pub fn fold(text: &str, columns: usize) -> String {
    let columns = columns.max(COLUMNS_MIN);
    let mut folded = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (line, end) = match line.strip_suffix('\n') {
            Some(line) => (line, "\n"),
            None => (line, ""),
        };
        if width(line) <= columns {
            folded.push_str(line);
        } else {
            fold_line(line, columns, &mut folded);
        }
        folded.push_str(end);
    }
    folded
}

fn fold_line(line: &str, columns: usize, folded: &mut String) {
    let indent = " ".repeat(hanging(line, columns));
    let lead = line.len() - line.trim_start_matches(' ').len();
    folded.push_str(&line[..lead]);
    let mut taken = lead;
    let mut gap = 0;
    let mut begins = true;
    for word in line[lead..].split(' ') {
        if word.is_empty() {
            gap += 1;
            continue;
        }
        let wide = width(word);
        if !begins && taken + gap + wide > columns {
            folded.push('\n');
            folded.push_str(&indent);
            taken = indent.len();
        } else if !begins {
            folded.extend(std::iter::repeat_n(' ', gap));
            taken += gap;
        }
        folded.push_str(word);
        taken += wide;
        gap = 1;
        begins = false;
    }
}

/// Where the rest of a line begins: below the value that stands after a name, if that leaves room, else a bit to the right.
fn hanging(line: &str, columns: usize) -> usize {
    let lead = line.len() - line.trim_start_matches(' ').len();
    let value = line[lead..].find("  ").map(|at| {
        let rest = line[lead + at..].trim_start_matches(' ');
        width(&line[..line.len() - rest.len()])
    });
    value
        .filter(|at| *at <= columns / 3)
        .unwrap_or(lead.min(columns / 3) + 2)
}

/// Columns that a text takes; what sets colours takes none.
fn width(text: &str) -> usize {
    let mut wide = 0;
    let mut signs = text.chars();
    while let Some(sign) = signs.next() {
        if sign == '\u{1b}' {
            // Up to the letter that ends it.
            let _ = signs.by_ref().skip(1).find(char::is_ascii_alphabetic);
        } else {
            wide += 1;
        }
    }
    wide
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(columns: usize, text: &str, expected: &str) {
        assert_eq!(fold(text, columns), expected);
    }

    #[test]
    fn lines_are_broken_between_words() {
        check(40, "short\n\n  also short\n", "short\n\n  also short\n");
        check(
            40,
            "INC-12 OPEN  GMC refuses client `legacy` at Cloudflare\n",
            "INC-12 OPEN  GMC refuses client `legacy`\n             at Cloudflare\n",
        );
        check(
            40,
            "  because    new-reval passes from the same addresses with the same account\n",
            "  because    new-reval passes from the\n             same addresses with the\n             same account\n",
        );
        check(
            40,
            "GMC refuses client `legacy-reval` (Java) at Cloudflare",
            "GMC refuses client `legacy-reval` (Java)\n  at Cloudflare",
        );
        check(
            24,
            "see https://partner.example/a/long/path now",
            "see\n  https://partner.example/a/long/path\n  now",
        );
    }

    #[test]
    fn colours_take_no_room() {
        let text = "\u{1b}[1m\u{1b}[31mOPEN\u{1b}[0m  a text of thirty-four columns here\n";
        check(40, text, text);
    }

    proptest::proptest! {
        #[test]
        fn no_word_is_lost_or_cut(text in "([a-z]{1,12}[ \n]{1,3}){0,30}", columns in 24usize..80) {
            let folded = fold(&text, columns);
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            proptest::prop_assert_eq!(words(&folded), words(&text));
            proptest::prop_assert!(folded.lines().all(|line| width(line.trim_end()) <= columns), "{}", folded);
        }
    }
}
