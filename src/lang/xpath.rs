//! A small, bounded subset of `XPath` 1.0, for assertions on SOAP and other XML.
//!
//! What there is: `/a/b`, `//b`, `.`, `..`, `@x`, `*`, `p:name`, `text()`, `node()`, the axes `child`, `descendant`,
//! `descendant-or-self`, `self`, `parent`, `ancestor` and `attribute` in full, predicates, `|`, `= != < <= > >=`, `and`,
//! `or`, and the functions that `grammar` lists. Arithmetic, variables and the other axes are left out.
//!
//! Names are as in `XPath` 1.0: a prefix must be declared, and a name without one matches elements in no namespace
//! alone. People expect otherwise of `xmlns="…"`, so [`XPath::hint`] says when that is why nothing matched.
//!
//! The partner's answer is not trusted: DTDs are refused, and with them entity bombs; nodes, depth,
//! attributes and the work of one evaluation are bounded; nothing recurses over the document.

mod evaluate;
mod grammar;

use std::cell::Cell;

use evaluate::Evaluation;
use grammar::Expression;

/// Nodes visited and strings compared for one answer; a document at the bound of its size takes some 300,000.
pub const WORK_MAX: u64 = 1_000_000;
/// Longest expression, in bytes.
pub const EXPRESSION_BYTES_MAX: usize = 1024;
/// Most elements, attributes excluded, texts included.
const NODES_MAX: u32 = 100_000;
/// Deepest nesting of elements.
const DEPTH_MAX: usize = 1_000;
/// Most attributes of one element; finding doubles among them takes time by the square.
const ATTRIBUTES_MAX: usize = 256;
/// Most declarations of namespaces in a document; each is inherited by what is inside.
const NAMESPACES_MAX: usize = 5_000;
/// Steps that reading may take for namespaces and attributes; an ordinary document of 1 MiB takes some 100,000.
const READING_MAX: u64 = 5_000_000;

/// A checked expression.
#[derive(Debug, Clone)]
pub struct XPath {
    text: String,
    expression: Expression,
    /// An element name without prefix occurs.
    bare_names: bool,
}

impl XPath {
    /// Reads an expression; `namespaces` are the prefixes that the file declares, with their URIs.
    ///
    /// # Errors
    /// A sentence that says what is wrong and where.
    pub fn new(text: &str, namespaces: &[(String, String)]) -> Result<Self, String> {
        if text.len() > EXPRESSION_BYTES_MAX {
            return Err(format!(
                "the expression has {} bytes, at most {EXPRESSION_BYTES_MAX} are allowed",
                text.len()
            ));
        }
        let (expression, bare_names) = grammar::parse(text, namespaces)?;
        Ok(Self {
            text: text.to_owned(),
            expression,
            bare_names,
        })
    }

    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the expression holds of `xml`: a node is selected, or a comparison or function is true.
    ///
    /// # Errors
    /// Why `xml` can't be read (not XML, a DTD, too many nodes, too deep), or too much work.
    pub fn holds(&self, xml: &str) -> Result<bool, String> {
        self.holds_of(&parse(xml)?, &Cell::new(WORK_MAX))
    }

    /// The same for a document that is already read with [`parse`]; the work is taken from `work`.
    ///
    /// # Errors
    /// Too much work.
    pub fn holds_of(
        &self,
        document: &roxmltree::Document<'_>,
        work: &Cell<u64>,
    ) -> Result<bool, String> {
        Evaluation::new(document, work).truth(&self.expression)
    }

    /// Why an expression that looks right may match nothing in this document.
    #[must_use]
    pub fn hint(&self, document: &roxmltree::Document<'_>) -> Option<String> {
        let root = document.root_element();
        let namespace = root
            .descendants()
            .filter(roxmltree::Node::is_element)
            .take(64)
            .find_map(|node| node.tag_name().namespace())?;
        self.bare_names.then(|| {
            let namespace: String = namespace.chars().take(80).collect();
            format!(
                "elements here are in a namespace such as {namespace:?}, which a name without prefix does not match; write *[local-name()='…']"
            )
        })
    }
}

/// Reads XML within the bounds.
///
/// # Errors
/// Not XML, a DTD, or beyond a bound.
pub fn parse(xml: &str) -> Result<roxmltree::Document<'_>, String> {
    let xml = xml.trim_start_matches(|c: char| c == '\u{feff}' || c.is_ascii_whitespace());
    if !xml.starts_with('<') {
        return Err("the body is not XML".to_owned());
    }
    within_bounds(xml)?;
    let options = roxmltree::ParsingOptions {
        allow_dtd: false,
        nodes_limit: NODES_MAX,
        ..roxmltree::ParsingOptions::default()
    };
    roxmltree::Document::parse_with_options(xml, options).map_err(|error| match error {
        roxmltree::Error::DtdDetected => REFUSED_DTD.to_owned(),
        roxmltree::Error::NodesLimitReached => too_many_nodes(),
        error => format!("the body is not well-formed XML ({error})"),
    })
}

const REFUSED_DTD: &str = "the XML has a DTD, which is refused";

fn too_many_nodes() -> String {
    format!("our limit: the XML has more than {NODES_MAX} nodes")
}

/// A first look that only counts, so that hostile input is refused before it is read in full.
///
/// The library can't be stopped. An element that declares namespaces takes it time by the square of all that are
/// in force there, each name by their number, and attributes by their square, so that is added up before.
fn within_bounds(xml: &str) -> Result<(), String> {
    // How many declarations are in force in each element that is open.
    let mut open: Vec<u64> = Vec::new();
    let mut work = 0_u64;
    let mut elements = 0_u32;
    let mut namespaces = 0_usize;
    let mut rest = xml;
    while let Some(at) = rest.find('<') {
        rest = &rest[at..];
        let skip = |end: &str| rest.find(end).map(|found| found + end.len());
        let next = if rest.starts_with("<!--") {
            skip("-->")
        } else if rest.starts_with("<![CDATA[") {
            skip("]]>")
        } else if rest.starts_with("<?") {
            skip("?>")
        } else if rest.starts_with("<!") {
            return Err(REFUSED_DTD.to_owned());
        } else if rest.starts_with("</") {
            open.pop();
            skip(">")
        } else {
            let Some(tag) = start_tag(rest) else {
                return Ok(()); // Cut off: the parser says so better.
            };
            elements += 1;
            namespaces += tag.namespaces;
            let declared = tag.namespaces as u64;
            let in_force = open.last().copied().unwrap_or_default() + declared;
            let attributes = tag.attributes as u64;
            work += (1 + attributes) * in_force + attributes * attributes / 2;
            if declared > 0 {
                work += in_force * in_force;
            }
            if !tag.closed {
                open.push(in_force);
            }
            if work > READING_MAX {
                return Err(format!(
                    "our limit: the answer would take more than {READING_MAX} steps to read, for the namespaces and attributes of its XML"
                ));
            }
            if open.len() > DEPTH_MAX {
                return Err(format!(
                    "our limit: the XML is nested deeper than {DEPTH_MAX} levels"
                ));
            }
            if elements > NODES_MAX {
                return Err(too_many_nodes());
            }
            if tag.attributes > ATTRIBUTES_MAX || namespaces > NAMESPACES_MAX {
                return Err(format!(
                    "our limit: the XML has more than {ATTRIBUTES_MAX} attributes on an element or {NAMESPACES_MAX} namespace declarations"
                ));
            }
            Some(tag.bytes)
        };
        match next {
            Some(next) => rest = &rest[next..],
            None => return Ok(()),
        }
    }
    Ok(())
}

struct StartTag {
    bytes: usize,
    attributes: usize,
    namespaces: usize,
    closed: bool,
}

/// Measures the start tag at the beginning of `text`; `None` when it does not end.
fn start_tag(text: &str) -> Option<StartTag> {
    let bytes = text.as_bytes();
    let mut tag = StartTag {
        bytes: 0,
        attributes: 0,
        namespaces: 0,
        closed: false,
    };
    let mut quote = None;
    for (at, byte) in bytes.iter().enumerate().skip(1) {
        match (quote, byte) {
            (Some(open), close) if open == *close => quote = None,
            (None, b'"' | b'\'') => {
                tag.attributes += 1;
                quote = Some(*byte);
            }
            (None, b'x') if bytes[at..].starts_with(b"xmlns") => tag.namespaces += 1,
            (None, b'>') => {
                tag.bytes = at + 1;
                tag.closed = bytes[at - 1] == b'/';
                return Some(tag);
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: &str = r#"<?xml version="1.0"?>
<order id="7" xmlns:g="urn:g">
  <line n="1"><sku>A1</sku><count>3</count></line>
  <line n="2"><sku>B2</sku><count>12</count></line>
  <g:note>  be   quick </g:note>
</order>"#;

    const SOAP: &str = r#"<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><R xmlns="urn:r"><ReturnCode>0</ReturnCode></R></s:Body></s:Envelope>"#;

    fn namespaces() -> Vec<(String, String)> {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        vec![
            pair("soap", "http://schemas.xmlsoap.org/soap/envelope/"),
            pair("r", "urn:r"),
            pair("x", "urn:g"),
        ]
    }

    #[test]
    fn holds() {
        let check = |expression: &str, xml: &str, expected: bool| {
            let path = XPath::new(expression, &namespaces()).unwrap();
            assert_eq!(path.holds(xml), Ok(expected), "{expression}");
        };
        for (expression, expected) in [
            ("/order", true),
            ("order/line", true),
            ("/line", false),
            ("//line", true),
            ("//sku='B2'", true),
            ("//sku='C3'", false),
            ("//sku!='A1'", true),
            ("not(//sku='C3')", true),
            ("/order/line[2]/sku='B2'", true),
            ("/order/line[3]", false),
            ("/order/line[last()]/@n='2'", true),
            ("/order/line[position()=1]/sku='A1'", true),
            ("//sku[1]='B2'", true),
            ("(//sku)[1]='B2'", false),
            ("(//sku)[2]='B2'", true),
            ("/order/@id=7", true),
            ("/order[@id='7']", true),
            ("/order[@id='8']", false),
            ("//line[sku='A1']/count=3", true),
            ("//line[sku='A1']/count>3", false),
            ("//count>=12 and //count<4", true),
            ("//count>12 or //count<3", false),
            ("count(//line)=2", true),
            ("count(//*)", true),
            ("count(//nothing)", false),
            ("string(//line[2]/sku)='B2'", true),
            ("string-length(//sku)=2", true),
            ("normalize-space(//x:note)='be quick'", true),
            ("//x:*", true),
            ("//*[local-name()='note']", true),
            ("//*[name()='g:note']", true),
            ("namespace-uri(//*[local-name()='note'])='urn:g'", true),
            (
                "contains(//x:note, 'quick') and starts-with(//sku, 'A')",
                true,
            ),
            ("//sku/text()='A1'", true),
            ("//sku/..[@n='2']", true),
            ("//count/parent::line/@n", true),
            ("//@n='2'", true),
            ("//line/attribute::*", true),
            ("descendant::sku", true),
            ("//sku/ancestor::order", true),
            ("//sku | //count", true),
            ("sum(//count)=15", true),
            ("true()", true),
            ("boolean(//nothing)", false),
            ("-1 < 0", true),
            ("number('x') = number('x')", false),
            ("'a'=\"a\"", true),
            ("//line[@n=1 and not(@m)]", true),
            ("concat(//sku, '-', /order/@id)='A1-7'", true),
            ("//line[count(*)=2][2]/@n='2'", true),
            (" / order / line [ 1 ] ", true),
        ] {
            check(expression, ORDER, expected);
        }
        for (expression, expected) in [
            ("//*[local-name()='ReturnCode']='0'", true),
            ("/soap:Envelope/soap:Body/r:R/r:ReturnCode='0'", true),
            ("//ReturnCode", false),
            ("//r:ReturnCode=1", false),
        ] {
            check(expression, SOAP, expected);
        }
    }

    #[test]
    fn says_why_a_bare_name_matches_nothing() {
        let path = XPath::new("//ReturnCode='0'", &[]).unwrap();
        let hint = path.hint(&parse(SOAP).unwrap()).unwrap();
        assert!(hint.contains("local-name()"), "{hint}");
        let plain = XPath::new("//sku", &[]).unwrap();
        assert_eq!(plain.hint(&parse("<a><b/></a>").unwrap()), None);
        let full = XPath::new("//*[local-name()='x']", &[]).unwrap();
        assert_eq!(full.hint(&parse(SOAP).unwrap()), None);
    }

    #[test]
    fn wrong_expressions() {
        let check = |expression: &str, expected: &str| {
            let error = XPath::new(expression, &[]).unwrap_err();
            assert_eq!(error, expected, "{expression}");
        };
        check("", "column 1: the expression is empty");
        check(
            "//",
            "column 3: expected a name, *, @name, text(), . or .., found the end",
        );
        check("//a[", "column 5: expected an expression, found the end");
        check("//a]", "column 4: unexpected \"]\"");
        check("//a[1", "column 6: expected \"]\", found the end");
        check(
            "//soap:Body",
            "column 3: the prefix \"soap\" is not declared; declare it, or write *[local-name()='Body']",
        );
        check("//a = 'x", "column 7: the text has no closing '");
        check("//a + 1", "column 5: arithmetic is not supported");
        check("//a * 2", "column 5: arithmetic is not supported");
        check("$x", "column 1: variables are not supported");
        check(
            "cont(//a)",
            "column 1: there is no function \"cont\"; did you mean \"count\"?",
        );
        check(
            "lower-case(//a)",
            "column 1: there is no function \"lower-case\"; there are boolean, concat, contains, count, last, local-name, name, namespace-uri, normalize-space, not, number, position, starts-with, string, string-length, sum, true, false",
        );
        check(
            "contains(//a)",
            "column 1: contains() takes 2 arguments, not 1",
        );
        check("count('a')", "column 7: count() takes nodes, such as //a");
        check(
            "following::a",
            "column 1: the axis \"following\" is not supported",
        );
        check(
            "//a[@x=='1']",
            "column 8: expected an expression, found \"=\"",
        );
        check(
            &format!("{}1{}", "(".repeat(60), ")".repeat(60)),
            "column 34: nested more than 32 levels deep",
        );
        let long = "a".repeat(2000);
        check(
            &long,
            "the expression has 2000 bytes, at most 1024 are allowed",
        );
    }

    #[test]
    fn hostile_documents() {
        let path = XPath::new("//*[local-name()='x']='0'", &[]).unwrap();
        let check = |name: &str, xml: &str, expected: &str| {
            let error = path.holds(xml).unwrap_err();
            assert!(error.contains(expected), "{name}: {error}");
        };
        check("not XML", "{\"a\":1}", "the body is not XML");
        check("empty", "", "the body is not XML");
        check("cut off", "<a><b>", "not well-formed");
        let deep = format!("{}{}", "<a>".repeat(200_000), "</a>".repeat(200_000));
        check("200,000 levels", &deep, "deeper than 1000 levels");
        check("200,000 open levels", &"<a>".repeat(200_000), "deeper than");
        check(
            "too many",
            &format!("<a>{}</a>", "<b/>".repeat(200_000)),
            "more than 100000 nodes",
        );
        let bomb = "<!DOCTYPE a [<!ENTITY x \"ha\"><!ENTITY y \"&x;&x;\">]><a>&y;</a>";
        check("entity bomb", bomb, "DTD");
        check(
            "external entity",
            "<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>",
            "DTD",
        );
        // Small, and within all other bounds: each element declares hundreds of namespaces in those outside.
        let declared = (0..200).fold(String::new(), |all, n| all + &format!(" xmlns:n{n}='u'"));
        let nested = format!(
            "{}{}",
            format!("<a{declared}>").repeat(24),
            "</a>".repeat(24)
        );
        check("namespaces", &nested, "more than 5000000 steps");
        let names = format!("<a{declared}>{}</a>", "<n199:b/>".repeat(30_000));
        check("names in namespaces", &names, "more than 5000000 steps");
        let attributes: String =
            (0..20_000).fold(String::new(), |all, n| all + &format!(" a{n}=''"));
        check("attributes", &format!("<a{attributes}/>"), "attributes");
    }

    #[test]
    fn work_is_bounded() {
        let wide = format!("<a>{}</a>", "<b>1</b>".repeat(20_000));
        for expression in [
            "//*[//b=//b]",
            "//b[count(//b) > 1]",
            "//b[../b[../b[../b='2']]]",
            "//node()//node()//node()//node()",
            "//b != //b and //b[string(/)='x']",
        ] {
            let path = XPath::new(expression, &[]).unwrap();
            match path.holds(&wide) {
                Ok(_) => {}
                Err(error) => assert!(error.contains("too much work"), "{error}"),
            }
        }
        let path = XPath::new("//b[count(//b[. = //b]) = 0]", &[]).unwrap();
        assert!(path.holds(&wide).is_err());
        let plain = XPath::new("count(//b)=20000 and //b=1 and not(//b=2)", &[]).unwrap();
        assert_eq!(plain.holds(&wide), Ok(true));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(expression in "\\PC{0,60}", xml in "\\PC{0,200}") {
            if let Ok(path) = XPath::new(&expression, &[]) {
                let _ = path.holds(&xml);
            }
        }

        #[test]
        fn never_panics_on_near_expressions(
            parts in proptest::collection::vec(
                proptest::sample::select(vec![
                    "/", "//", "a", "b", "*", "@", "[", "]", "(", ")", "'x'", "1", "=", "<", "and ", "or ",
                    "not(", "count(", "text()", ".", "..", "|", "-", "::", ":", " ", "last()",
                ]),
                0..14,
            )
        ) {
            if let Ok(path) = XPath::new(&parts.concat(), &[]) {
                let _ = path.holds("<a x='1'><b>x</b><b><a/>2</b></a>");
            }
        }
    }
}
