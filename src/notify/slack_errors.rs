//! What Slack's answers mean to us: one table of its codes, and what each kind of failure asks for.

use std::time::Duration;

use slack_morphism::errors::SlackClientError;

use super::error::{Class, SendError};
use super::http::{Again, Failure, Peer};
use super::slack_connector::{HTTP_503, NO_ERROR_CODE};

/// What is unclear is looked up before it is posted again.
const PEER: Peer = Peer {
    name: "Slack",
    again: Again::Recognised,
};

/// How long to wait when a workspace has no messages left for now.
const MESSAGE_LIMIT_WAIT: Duration = Duration::from_secs(600);

/// Codes of `chat.postMessage`, `chat.update` and `conversations.*`, and what they ask for:
/// <https://docs.slack.dev/reference/methods/chat.postMessage#errors> (2026-11-22). What is not here is ambiguous.
const CODES: &[(&str, Class)] = &[
    ("ratelimited", Class::SlowDown(None)),
    ("rate_limited", Class::SlowDown(None)),
    (
        "message_limit_exceeded",
        Class::SlowDown(Some(MESSAGE_LIMIT_WAIT)),
    ),
    ("service_unavailable", Class::Transient),
    ("team_added_to_org", Class::Transient),
    ("org_login_required", Class::Transient),
    ("invalid_blocks", Class::Payload),
    ("invalid_blocks_format", Class::Payload),
    ("msg_blocks_too_long", Class::Payload),
    ("msg_too_long", Class::Payload),
    ("no_text", Class::Payload),
    ("invalid_attachments", Class::Payload),
    ("too_many_attachments", Class::Payload),
    ("attachment_payload_limit_exceeded", Class::Payload),
    ("metadata_too_large", Class::Payload),
    ("metadata_must_be_sent_from_app", Class::Payload),
    ("invalid_metadata_format", Class::Payload),
    ("invalid_metadata_schema", Class::Payload),
    ("invalid_auth", Class::Setup),
    ("not_authed", Class::Setup),
    ("account_inactive", Class::Setup),
    ("token_revoked", Class::Setup),
    ("token_expired", Class::Setup),
    ("missing_scope", Class::Setup),
    ("not_allowed_token_type", Class::Setup),
    ("no_permission", Class::Setup),
    ("channel_not_found", Class::Setup),
    ("not_in_channel", Class::Setup),
    ("is_archived", Class::Setup),
    ("restricted_action", Class::Setup),
    ("restricted_action_read_only_channel", Class::Setup),
    ("restricted_action_thread_only_channel", Class::Setup),
    ("restricted_action_non_threadable_channel", Class::Setup),
    ("restricted_action_thread_locked", Class::Setup),
    ("ekm_access_denied", Class::Setup),
    ("access_denied", Class::Setup),
    ("accesslimited", Class::Setup),
    ("team_access_not_granted", Class::Setup),
    ("message_not_found", Class::Gone),
    ("cant_update_message", Class::Gone),
    ("edit_window_closed", Class::Gone),
    ("is_inactive", Class::Gone),
    ("thread_not_found", Class::Gone),
];

pub(super) fn classify(error: &SlackClientError) -> SendError {
    match error {
        SlackClientError::ApiError(error) => api(&error.code, error.errors.as_deref()),
        SlackClientError::RateLimitError(error) if error.code.as_deref() == Some(HTTP_503) => {
            SendError {
                retry_after: error.retry_after,
                ..http(503)
            }
        }
        SlackClientError::RateLimitError(error) => SendError::new(
            Class::SlowDown(error.retry_after),
            "Slack asked us to slow down (HTTP 429)",
        ),
        SlackClientError::HttpError(error) => http(error.status_code.as_u16()),
        SlackClientError::HttpProtocolError(error) => {
            let failure = error
                .cause
                .as_ref()
                .and_then(|cause| cause.downcast_ref::<Failure>());
            PEER.failed(failure.copied().unwrap_or(Failure::NoUrl))
        }
        SlackClientError::ProtocolError(_) => SendError::new(
            Class::Ambiguous,
            "Slack's answer can't be read (cut off, or a page of something in between)",
        ),
        _ => SendError::new(Class::Ambiguous, "Slack can't be asked"),
    }
}

/// A status that is not 200: Slack says what is wrong with a message in an answer of 200.
fn http(status: u16) -> SendError {
    match PEER.judge(status, None) {
        // It says nothing of the message, so the message may be there.
        Ok(()) => SendError::new(Class::Ambiguous, format!("Slack answered HTTP {status}")),
        Err(error) if error.class != Class::Payload => error,
        _ => SendError::new(Class::Setup, format!("Slack answered HTTP {status}")),
    }
}

/// Whether the set-up forbids to read the channel, which says nothing of whether we may post.
///
/// A token that is refused, a redirect or a sign-in page concern posting just as well.
pub(super) fn forbids_reading(error: &SlackClientError) -> bool {
    const CODES: &[&str] = &[
        "missing_scope",
        "not_in_channel",
        "channel_not_found",
        "no_permission",
        "access_denied",
        "not_allowed_token_type",
        "method_not_supported_for_channel_type",
        "unknown_method",
    ];
    match error {
        SlackClientError::ApiError(error) => CODES.contains(&error.code.as_str()),
        // A relay that lets only posts through.
        SlackClientError::HttpError(error) => {
            matches!(error.status_code.as_u16(), 403 | 404 | 405 | 501)
        }
        _ => false,
    }
}

fn api(code: &str, errors: Option<&[String]>) -> SendError {
    let class = CODES
        .iter()
        .find(|(known, _)| *known == code)
        .map_or(Class::Ambiguous, |(_, class)| *class);
    // A code is a word; anything else came from somewhere else and is not repeated.
    let word = code.len() <= 60 && code.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let mut text = match code {
        NO_ERROR_CODE => "Slack refused without saying why".to_owned(),
        _ if word => format!("Slack refused: {code}"),
        _ => "Slack refused with a code of another shape".to_owned(),
    };
    if class == Class::Payload
        && let Some(errors) = errors
    {
        // Pointers into our own layout, which holds no secrets.
        text = format!("{text} ({})", super::text::cut(&errors.join("; "), 300));
    }
    SendError::new(class, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_their_class() {
        for (code, class) in [
            ("ratelimited", Class::SlowDown(None)),
            ("invalid_blocks", Class::Payload),
            ("not_in_channel", Class::Setup),
            ("message_not_found", Class::Gone),
            ("fatal_error", Class::Ambiguous),
            ("internal_error", Class::Ambiguous),
            ("something_new", Class::Ambiguous),
            (NO_ERROR_CODE, Class::Ambiguous),
        ] {
            assert_eq!(api(code, None).class, class, "{code}");
        }
    }

    #[test]
    fn a_code_that_is_no_word_is_not_repeated() {
        let error = api("xoxb-123 was wrong", None);
        assert_eq!(error.text, "Slack refused with a code of another shape");
    }
}
