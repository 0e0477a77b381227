//! Recognises a gate in place of the content: a login, consent or denial page with a good status.
//!
//! A page that has a login form may be exactly what was asked for, so a form alone is no gate: it must
//! say that something was withheld, or be the page of an identity provider that one only meets by being
//! sent there. An expectation that fails tells the rest (`classify`).

use std::sync::LazyLock;

use regex::Regex;

use super::signatures::page::{Form, Page, has, pattern, starts};
use crate::domain::verdict::Rule;

/// Text of a gate is short; longer pages have content.
const TEXT_BYTES_MAX: usize = 700;

/// What kind of gate, and the sign of it.
pub(crate) fn gate(page: &Page<'_>) -> Option<(Rule, String)> {
    match page.status() {
        300..=399 => redirected(page.header("location")?),
        200..=299 => match page.form {
            Form::Html => in_page(page),
            Form::Json => in_json(page),
            _ => None,
        },
        _ => None,
    }
}

/// A redirect to a login or consent page.
pub(crate) fn redirected(location: &str) -> Option<(Rule, String)> {
    let location = location.trim();
    let shown: String = location
        .split(['?', '#'])
        .next()?
        .chars()
        .take(100)
        .collect();
    if is_consent(location) {
        return Some((
            Rule::Consent,
            format!("redirected to a consent page, {shown}"),
        ));
    }
    is_login(location).then(|| (Rule::Login, format!("redirected to a login page, {shown}")))
}

/// Whether an address, absolute or relative, is that of a login page.
pub(crate) fn is_login(location: &str) -> bool {
    static PATH: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"(?ix)(^|/)(log-?_?in|sign-?_?in|logon|log_on|sso|saml2?|adfs|cas|idp|oauth2?|openid(-connect)?|oidc|authorize|authenticate|users/sign_in|session/new|sessions/new|auth|account/login|servicelogin|wp-login)
            (/|\.[a-z]{2,5}|$)",
        )
    });
    static HOST: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"(?ix)^(login|logon|signin|sign-in|sso|auth|accounts?|idp|identity|id|adfs|sts)\. | \.(okta|oktapreview|auth0|onelogin|cloudflareaccess|b2clogin|pingidentity)\.com$",
        )
    });
    let (host, path) = split(location);
    // Paths of the application itself may begin with these words; what it is sent to decides.
    host.is_some_and(|host| HOST.is_match(host)) || PATH.is_match(path)
}

fn is_consent(location: &str) -> bool {
    let (host, path) = split(location);
    host.is_some_and(|host| starts(host, "consent.") || starts(host, "cookieconsent."))
        || starts(path, "/consent")
        || starts(path, "/cookie-consent")
        || starts(path, "/gdpr-consent")
}

/// Host and path of an absolute or relative address, without query.
fn split(location: &str) -> (Option<&str>, &str) {
    let location = location.split(['?', '#']).next().unwrap_or_default();
    let after_scheme = location
        .split_once("://")
        .map(|(_, rest)| rest)
        .or_else(|| location.strip_prefix("//"));
    match after_scheme {
        Some(rest) => {
            let end = rest.find('/').unwrap_or(rest.len());
            let (host, path) = rest.split_at(end);
            let host = host.split(':').next().unwrap_or(host);
            (Some(host), path)
        }
        None => (None, location),
    }
}

fn in_page(page: &Page<'_>) -> Option<(Rule, String)> {
    static DENIAL: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"(?ix)^(error\s)?(\d{3}\s*[-–:|]?\s*)?(access\s(is\s)?denied|access\sforbidden|forbidden|permission\sdenied|unauthori[sz]ed(\saccess)?|not\sauthori[sz]ed|no\saccess|authori[sz]ation\srequired|zugriff\sverweigert|acc[eè]s\s(refus[eé]|interdit)|acceso\sdenegado)[.!]?(\s[-–|:]\s.{1,60})?$",
        )
    });
    static WITHHELD: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"(?ix)(you\s(need\sto|must|have\sto|are\srequired\sto)\s(first\s)?(be\s)?(sign(ed)?\s?-?in|log(ged)?\s?-?in|authenticate)
            | please\s(sign|log)\s?-?in\s(to\s(continue|access|view|proceed|see|use)|first|again)
            | (sign|log)\s?-?in\sto\s(continue|proceed|access\sthis)
            | you\sare\snot\s(currently\s)?(signed|logged)\sin
            | login\s(is\s)?required | authentication\srequired
            | session\s(has\s|is\s)?(expired|timed\sout))",
        )
    });
    static REFRESH: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r#"(?i)<meta[^>]{0,80}http-equiv=["']?refresh["']?[^>]{0,80}url=['"]?([^"'> ]{1,500})"#,
        )
    });
    let short = |most: usize| page.visible().len() <= most;
    let title = page.title().unwrap_or_default();
    if DENIAL.is_match(title) && short(TEXT_BYTES_MAX) {
        return Some((
            Rule::Auth,
            format!("a denial page with a good status, title \"{title}\""),
        ));
    }
    if (page.has("name=\"samlrequest\"") || page.has("name='samlrequest'")) && short(TEXT_BYTES_MAX)
    {
        return Some((
            Rule::Login,
            "a form that sends on to a SAML login".to_owned(),
        ));
    }
    if page.has("login.microsoftonline.com") && starts(title, "sign in to your account") {
        return Some((
            Rule::Login,
            format!("Microsoft's login page, title \"{title}\""),
        ));
    }
    if page.has("before you continue") && page.has("consent.") && short(4 * TEXT_BYTES_MAX) {
        return Some((
            Rule::Consent,
            "a consent page in place of the content".to_owned(),
        ));
    }
    if page.has("visitor system") && has(title, "visitor system") {
        return Some((Rule::Login, format!("a visitor gate, title \"{title}\"")));
    }
    let speaks_of_login = [
        "signed in",
        "sign in",
        "logged in",
        "log in",
        "login required",
        "session has expired",
        "session expired",
        "session has timed out",
        "authentication required",
    ]
    .iter()
    .any(|words| page.has(words));
    if speaks_of_login
        && short(TEXT_BYTES_MAX)
        && let Some(words) = WITHHELD.find(page.visible())
    {
        return Some((
            Rule::Login,
            format!("a short page that says \"{}\"", words.as_str()),
        ));
    }
    let refreshes = [
        "http-equiv=\"refresh\"",
        "http-equiv='refresh'",
        "http-equiv=refresh",
    ]
    .iter()
    .any(|words| page.has(words));
    if refreshes && short(TEXT_BYTES_MAX / 2) {
        let body = String::from_utf8_lossy(page.body());
        let target = REFRESH.captures(&body)?.get(1)?.as_str().to_owned();
        return redirected(&target);
    }
    None
}

/// GraphQL refuses inside a 200 (<https://www.apollographql.com/docs/apollo-server/data/errors>).
fn in_json(page: &Page<'_>) -> Option<(Rule, String)> {
    if !page.has("\"extensions\"") {
        return None;
    }
    let json = page.json()?;
    if json.get("data").is_some_and(|data| !data.is_null()) {
        return None;
    }
    let code = json
        .get("errors")?
        .as_array()?
        .iter()
        .take(20)
        .find_map(|error| {
            let code = error.get("extensions")?.get("code")?.as_str()?;
            [
                "FORBIDDEN",
                "UNAUTHENTICATED",
                "UNAUTHORIZED",
                "ACCESS_DENIED",
            ]
            .iter()
            .any(|refusal| code.eq_ignore_ascii_case(refusal))
            .then_some(code)
        })?;
    Some((Rule::Auth, format!("GraphQL error {code} in place of data")))
}

/// Whether the page asks for a password: a gate only when something else was expected.
pub(crate) fn asks_for_password(page: &Page<'_>) -> bool {
    page.form == Form::Html && (page.has("type=\"password\"") || page.has("type='password'"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::signatures::page::tests::answer;

    #[test]
    fn login_addresses() {
        let check = |location: &str, expected: bool| {
            assert_eq!(is_login(location), expected, "{location}");
        };
        check("/login?next=%2Fapp", true);
        check("https://www.example.com/users/sign_in", true);
        check("https://login.example.com/", true);
        check("https://example.okta.com/app/x", true);
        check("//sso.example.com:8443/x", true);
        check("/auth/realms/main", true);
        check("/Account/Login.aspx?ReturnUrl=%2f", true);
        check("/wp-login.php", true);
        check("https://www.example.com/", false);
        check("/authors/5", false);
        check("/blog/how-to-login-safely", false);
        check("/search?q=/login/", false);
        check("https://logistics.example.com/a", false);
    }

    #[test]
    fn gates() {
        let check = |name: &str, body: &str, expected: Option<Rule>| {
            let answer = answer(200, &[("content-type", "text/html")], body);
            assert_eq!(gate(&Page::new(&answer)).map(|g| g.0), expected, "{name}");
        };
        check(
            "denial",
            "<title>403 - Access Denied | Acme</title><p>No.",
            Some(Rule::Auth),
        );
        check(
            "withheld",
            "<title>Data</title><p>You must be logged in to view this page.",
            Some(Rule::Login),
        );
        check(
            "form alone",
            "<title>Sign in</title><input type=\"password\"> Log in",
            None,
        );
        check(
            "saml",
            "<form><input type=hidden name=\"SAMLRequest\"></form>",
            Some(Rule::Login),
        );
        check(
            "refresh",
            "<meta http-equiv=\"refresh\" content=\"0;url=/login\">",
            Some(Rule::Login),
        );
        check(
            "other refresh",
            "<meta http-equiv=\"refresh\" content=\"0;url=/home\">",
            None,
        );
        let comment = format!(
            "<title>Post</title><p>{}<p>You must be logged in to comment",
            "word ".repeat(300)
        );
        check("a blog's comment box", &comment, None);
        check(
            "an article",
            "<title>Why access is denied so often</title><p>x",
            None,
        );
    }
}
