//! Tables for spreadsheets and scripts: RFC 4180, in which no text is taken for a formula.

/// What tells a spreadsheet that a file is UTF-8.
pub const MARK: &str = "\u{feff}";

/// A table with its header, lines ended as the RFC has them.
#[must_use]
pub fn table<Row: AsRef<[String]>>(header: &[&str], rows: impl IntoIterator<Item = Row>) -> String {
    let mut text = String::new();
    line(&mut text, header.iter().copied());
    for row in rows {
        line(&mut text, row.as_ref().iter().map(String::as_str));
    }
    text
}

fn line<'a>(text: &mut String, fields: impl Iterator<Item = &'a str>) {
    for (place, field) in fields.enumerate() {
        if place > 0 {
            text.push(',');
        }
        put(text, field);
    }
    text.push_str("\r\n");
}

/// Spreadsheets run a field that begins like a formula (OWASP, "CSV Injection"); one with a quote before it is a text.
fn put(text: &mut String, field: &str) {
    let is_number = field.parse::<f64>().is_ok_and(f64::is_finite);
    let formula = !is_number && field.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if !formula && !field.contains([',', '"', '\r', '\n']) {
        return text.push_str(field);
    }
    text.push('"');
    if formula {
        text.push('\'');
    }
    text.push_str(&field.replace('"', "\"\""));
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_texts_and_nothing_else() {
        for (field, written) in [
            ("plain", "plain"),
            ("", ""),
            ("-1.5", "-1.5"),
            ("a,b", "\"a,b\""),
            ("say \"no\"", "\"say \"\"no\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("=1+1", "\"'=1+1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("-cmd|' /C calc'!A0", "\"'-cmd|' /C calc'!A0\""),
            ("\tx", "\"'\tx\""),
            ("ümlaut", "ümlaut"),
        ] {
            let mut text = String::new();
            put(&mut text, field);
            assert_eq!(text, written);
        }
        let rows = [["1".to_owned(), "=x".to_owned()]];
        assert_eq!(table(&["a", "b"], rows), "a,b\r\n1,\"'=x\"\r\n");
    }
}
