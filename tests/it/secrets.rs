//! Every secret that the tests hand to a daemon or a sender, with one word in all of them.
//!
//! `tests/secrets.rs` looks for the word, in whatever form, in all that a run of the tests left behind: a new
//! secret needs nothing more than to have it too.

/// Stands in every secret, and in nothing else that is kept.
pub(crate) const MARKER: &str = "hunter22";

/// Slack: of the bot, of Socket Mode, and what opens one socket.
pub(crate) const SLACK_TOKEN: &str = "xoxb-hunter22-1234567890";
pub(crate) const SLACK_APP_TOKEN: &str = "xapp-1-hunter22-A012";
pub(crate) const SLACK_TICKET: &str = "hunter22-ticket";
/// Of a Teams workflow's URL, which is secret as a whole.
pub(crate) const TEAMS_SIGNATURE: &str = "hunter22-signature";
/// The path of a webhook, and what signs what goes there; within its base64 the word begins at a letter of its own.
pub(crate) const WEBHOOK_PATH: &str = "/hooks/hunter22-path";
pub(crate) const WEBHOOK_KEY: &str = "whsec_c2lnbmluZy1rZXktaHVudGVyMjItd2ViaG9vay0zMiE=";
/// `PagerDuty`'s are 32 letters and digits.
pub(crate) const ROUTING_KEY: &str = "hunter22routingkeyhunter22keykey";
pub(crate) const ALERTMANAGER_TOKEN: &str = "hunter22-bearer";
pub(crate) const ALERTMANAGER_PASSWORD: &str = "hunter22-alerts";
pub(crate) const MAIL_USER: &str = "mail-user-hunter22";
pub(crate) const MAIL_PASSWORD: &str = "mail-hunter22-password";
/// Of the account at the partner.
pub(crate) const PASSWORD: &str = "correct-hunter22-battery";
/// The path of the dead-man's switch.
pub(crate) const SWITCH_PATH: &str = "/ping/hunter22";

/// All of them.
pub(crate) const ALL: &[&str] = &[
    SLACK_TOKEN,
    SLACK_APP_TOKEN,
    SLACK_TICKET,
    TEAMS_SIGNATURE,
    WEBHOOK_PATH,
    WEBHOOK_KEY,
    ROUTING_KEY,
    ALERTMANAGER_TOKEN,
    ALERTMANAGER_PASSWORD,
    MAIL_USER,
    MAIL_PASSWORD,
    PASSWORD,
    SWITCH_PATH,
];
