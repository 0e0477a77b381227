//! Tells a SOAP fault from other failures: a fault is the application speaking, whatever the status.
//!
//! SOAP 1.1 sends faults with 500 (<https://www.w3.org/TR/2000/NOTE-SOAP-20000508/> section 6.2), 1.2 with
//! 400 or 500, and some stacks with 200. A refused account comes as a fault too, so that a status of 500
//! may mean "access denied".

use std::sync::LazyLock;

use regex::Regex;

use super::content;
use super::signatures::origin;
use super::signatures::page::{Form, Page, pattern};
use crate::domain::verdict::Rule;
use crate::lang::xpath;

/// A fault, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// `faultcode`, or the innermost `Code/Value` of SOAP 1.2, without prefix.
    pub(crate) code: String,
    /// `faultstring` or `Reason/Text`; may be empty.
    pub(crate) text: String,
    /// Code or text say that the caller is refused.
    pub(crate) denied: bool,
    /// What the refusal is about, if code, text or detail say so.
    pub(crate) rule: Rule,
}

/// Longest detail text that is looked at.
const DETAIL_CHARS_MAX: usize = 500;

/// The fault in the body, if it is one.
pub(crate) fn fault(page: &Page<'_>) -> Option<Fault> {
    if !matches!(page.form, Form::Xml | Form::Html)
        || !(page.has("faultcode") || page.has("fault>") || page.has("fault "))
    {
        return None;
    }
    let text = content::text(page.answer);
    match xpath::parse(&text) {
        Ok(document) => parsed(&document),
        // Cut off, or not well formed: the words are read where they stand.
        Err(_) => scanned(&text),
    }
}

fn parsed(document: &roxmltree::Document<'_>) -> Option<Fault> {
    let child = |node: roxmltree::Node<'_, '_>, name: &str| {
        let found = node
            .children()
            .find(|n| n.is_element() && n.tag_name().name() == name)?;
        Some(found.id())
    };
    let envelope = document.root_element();
    if envelope.tag_name().name() != "Envelope" {
        return None;
    }
    let get = |id| document.get_node(id);
    let body = get(child(envelope, "Body")?)?;
    let fault = get(child(body, "Fault")?)?;
    let text_of = |path: &[&str]| {
        let mut node = fault;
        for name in path {
            node = get(child(node, name)?)?;
        }
        Some(all_text(node))
    };
    let code = text_of(&["faultcode"])
        .or_else(|| text_of(&["Code", "Subcode", "Subcode", "Value"]))
        .or_else(|| text_of(&["Code", "Subcode", "Value"]))
        .or_else(|| text_of(&["Code", "Value"]))
        .unwrap_or_default();
    let text = text_of(&["faultstring"])
        .or_else(|| text_of(&["Reason", "Text"]))
        .unwrap_or_default();
    let detail = text_of(&["detail"])
        .or_else(|| text_of(&["Detail"]))
        .unwrap_or_default();
    Some(judged(&code, &text, &detail))
}

fn all_text(node: roxmltree::Node<'_, '_>) -> String {
    let mut text = String::new();
    for part in node.descendants().filter(roxmltree::Node::is_text) {
        if text.chars().count() > DETAIL_CHARS_MAX {
            break;
        }
        text.push_str(part.text().unwrap_or_default());
        text.push(' ');
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(DETAIL_CHARS_MAX).collect()
}

fn scanned(text: &str) -> Option<Fault> {
    static IN_BODY: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"(?s)<(?:[\w.-]+:)?Envelope[\s>].{0,4000}<(?:[\w.-]+:)?Body[^>]{0,400}>\s*<(?:[\w.-]+:)?Fault[\s>]",
        )
    });
    static CODE: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"<(?:[\w.-]+:)?(?:faultcode|Value)[^>]{0,200}>([^<]{1,200})<"));
    static TEXT: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"<(?:[\w.-]+:)?(?:faultstring|Text)[^>]{0,200}>([^<]{1,500})"));
    if !IN_BODY.is_match(text) {
        return None;
    }
    let first = |pattern: &Regex| {
        let found = pattern.captures(text).and_then(|c| c.get(1));
        found.map_or("", |m| m.as_str().trim())
    };
    Some(judged(first(&CODE), first(&TEXT), ""))
}

fn judged(code: &str, text: &str, detail: &str) -> Fault {
    static DENIED_CODE: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"(?i)authenticat|authori[sz]|access.?denied|forbidden|invalidsecurity|failedcheck|permission|invalidcredential|invalid_?login|invalid_?session",
        )
    });
    static DENIED_TEXT: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"(?ix)access\s(is\s|was\s)?denied | permission\sdenied | not\s(been\s)?authori[sz]ed | unauthori[sz]ed
            | not\spermitted | forbidden | policy\sfalsified | rejected\sby\spolicy | authentication\s(of\s(\w+\s){1,3})?(failed|failure|required|error|is\srequired) | authorization\s(failed|required)
            | (could\snot|cannot|unable\sto|failed\sto)\s(be\s)?authenticate | not\s(be\s)?authenticated
            | (invalid|incorrect|wrong|bad|unknown)\s(user\s?name|user|login|log-in|password|credentials?|account|security\stoken|api\s?key)
            | credentials\s(are\s|were\s)?(invalid|incorrect|not\s) | log-?\s?[io]n\s(failed|required|incorrect)
            | security\s(token|header).{0,60}(invalid|expired|missing|could\snot) | verifying\ssecurity\sfor\sthe\smessage
            | ip(\saddress)?\b.{0,60}\bnot\s(allowed|registered|white-?listed|allow-?listed|recogni[sz]ed|permitted) | account\s(is\s|has\sbeen\s)?(locked|disabled|blocked|suspended)
            | authentifi(zierung|cation)\s|autentica(ci[óo]n|[çc][ãa]o|zione)\s | zugriff\sverweigert|nicht\s(berechtigt|autorisiert) | acc[èe]s\s(refus[ée]|interdit)|non\sautoris[ée] | acceso\sdenegado|no\sautorizado | acesso\snegado|n[ãa]o\sautorizado | accesso\snegato|non\sautorizzato | toegang\sgeweigerd | dost[ęe]p\szabroniony|brak\suprawnie[ńn] | доступ\sзапрещ",
        )
    });
    static CREDENTIAL: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"(?i)authenti[cf]|autentica|credential|invalidsecurity|failedcheck|invalid_?(?:login|session)|log-?\s?[io]n\b|\busers?\b|\buser\s?name|password|\baccount|\bsecurity (?:token|header)|\bapi\s?key|verifying security",
        )
    });
    // The code's own class (Client, Server) says nothing; what follows it does.
    let name = code.rsplit(':').next().unwrap_or(code).trim();
    let denied =
        DENIED_CODE.is_match(name) || DENIED_TEXT.is_match(text) || DENIED_TEXT.is_match(detail);
    let told = || {
        [text, detail, name]
            .into_iter()
            .find_map(origin::told_reason)
    };
    let about_credentials = || {
        [name, text, detail]
            .into_iter()
            .any(|words| CREDENTIAL.is_match(words))
    };
    let rule = match () {
        () if !denied => Rule::None,
        () => told().unwrap_or(if about_credentials() {
            Rule::Auth
        } else {
            Rule::Unknown
        }),
    };
    Fault {
        code: name.chars().take(100).collect(),
        text: text.chars().take(200).collect(),
        denied,
        rule,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::signatures::page::tests::answer;

    fn soap(inside: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?><s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body>{inside}</s:Body></s:Envelope>"
        )
    }

    #[test]
    fn what_a_refusal_is_about() {
        let check = |code: &str, text: &str, expected: Rule| {
            assert_eq!(judged(code, text, "").rule, expected, "{code}: {text}");
        };
        check("s:Client", "Access is denied.", Rule::Unknown);
        check(
            "s:Client",
            "Rejected by policy. (from client)",
            Rule::Unknown,
        );
        check(
            "s:Client",
            "IP address 192.0.2.7 is not registered",
            Rule::Ip,
        );
        check(
            "s:Client",
            "Access denied: not available in your country",
            Rule::Geo,
        );
        check("s:Client", "unknown user", Rule::Auth);
        check("w:FailedAuthentication", "no", Rule::Auth);
        check("s:Client.Authentication", "x", Rule::Auth);
        check("s:Server", "Ledger down", Rule::None);
    }

    #[test]
    fn faults() {
        let check = |name: &str, body: &str, expected: Option<(&str, bool)>| {
            let answer = answer(500, &[("content-type", "text/xml")], body);
            let fault = fault(&Page::new(&answer));
            let seen = fault.as_ref().map(|f| (f.code.as_str(), f.denied));
            assert_eq!(seen, expected, "{name}");
        };
        check(
            "a failing server",
            &soap(
                "<s:Fault><faultcode>s:Server</faultcode><faultstring>Ledger down</faultstring></s:Fault>",
            ),
            Some(("Server", false)),
        );
        check(
            "a refused account",
            &soap(
                "<s:Fault><faultcode>s:Client.Authentication</faultcode><faultstring>x</faultstring></s:Fault>",
            ),
            Some(("Client.Authentication", true)),
        );
        check(
            "denied in words",
            &soap(
                "<s:Fault><faultcode>s:Client</faultcode><faultstring>Access is denied.</faultstring></s:Fault>",
            ),
            Some(("Client", true)),
        );
        check(
            "denied in the detail",
            &soap(
                "<s:Fault><faultcode>s:Client</faultcode><faultstring>error</faultstring><detail><e>IP address 192.0.2.1 is not registered</e></detail></s:Fault>",
            ),
            Some(("Client", true)),
        );
        check(
            "version 1.2",
            &soap(
                "<s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>w:FailedAuthentication</s:Value></s:Subcode></s:Code><s:Reason><s:Text>no</s:Text></s:Reason></s:Fault>",
            ),
            Some(("FailedAuthentication", true)),
        );
        check(
            "an author is no authorisation",
            &soap(
                "<s:Fault><faultcode>s:Server</faultcode><faultstring>author index missing</faultstring></s:Fault>",
            ),
            Some(("Server", false)),
        );
        check(
            "cut off",
            "<s:Envelope xmlns:s='x'><s:Body><s:Fault><faultcode>s:Client</faultcode><faultstring>Access denied for",
            Some(("Client", true)),
        );
        check(
            "no fault",
            &soap("<Answer default='fault '>1</Answer>"),
            None,
        );
        check(
            "a fault that is quoted",
            &soap("<Log>&lt;s:Fault></Log>"),
            None,
        );
        check(
            "a fault elsewhere",
            "<log><Fault><faultcode>s:Client</faultcode></Fault></log>",
            None,
        );
    }
}
