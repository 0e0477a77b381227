//! Buttons of a Slack receiver: the app's token, and who may press them.

use super::secrets;
use crate::config::Inputs;
use crate::config::collections::Many;
use crate::config::desk::{At, Desk, Place, quote};
use crate::config::raw;
use crate::config::special::Source;
use crate::domain::notification::Buttons;

pub(super) fn buttons(
    app_token: Option<At<Source>>,
    allow: Option<At<raw::Allow>>,
    inputs: &dyn Inputs,
    desk: &mut Desk<'_>,
) -> Option<Buttons> {
    let place = allow.as_ref().map(|a| a.place);
    let (users, user_groups) = allow.map_or_else(Default::default, |a| people(a, desk));
    let Some(source) = app_token else {
        if let Some(place) = place {
            desk.warning(
                place,
                "there are no buttons without \"app_token\"",
                "add it, or remove this key",
            );
        }
        return None;
    };
    let app_token = secrets::fetch(&source.value, inputs).inspect_err(|reason| {
        desk.warning(
            source.place,
            reason.clone(),
            "messages have no buttons until it is there",
        );
    });
    if let Ok(token) = &app_token
        && !token.expose().starts_with("xapp-")
    {
        desk.warning(
            source.place,
            "does not look like the token of an app",
            "in the Slack app: Basic Information, App-Level Tokens, scope connections:write (xapp-…)",
        );
    }
    Some(Buttons {
        app_token,
        users,
        user_groups,
    })
}

fn people(allow: At<raw::Allow>, desk: &mut Desk<'_>) -> (Vec<String>, Vec<String>) {
    let At { value: raw, place } = allow;
    let any =
        |many: &Option<At<Many<String>>>| many.as_ref().is_some_and(|m| !m.value.0.is_empty());
    let unreadable = raw.present.has("users") && raw.users.is_none()
        || raw.present.has("user_groups") && raw.user_groups.is_none();
    // An empty list would let in everybody, which is the contrary of what it says.
    if !any(&raw.users) && !any(&raw.user_groups) && !unreadable {
        desk.error(
            place,
            "names nobody, so nobody could press a button",
            "name \"users\" or \"user_groups\", or remove it to let in everybody in the channel",
        );
    }
    let users = ids(
        raw.users,
        &["U", "W"],
        "no member ID",
        "names change, IDs stay: in Slack, the profile, Copy member ID (U0123456789)",
        desk,
    );
    let groups = ids(
        raw.user_groups,
        &["S"],
        "no ID of a user group",
        "in Slack: People, User groups, the group, Copy group ID (S0123456789)",
        desk,
    );
    (users, groups)
}

fn ids(
    raw: Option<At<Many<String>>>,
    begins: &[&str],
    what: &str,
    mend: &str,
    desk: &mut Desk<'_>,
) -> Vec<String> {
    let all: Vec<At<String>> = raw.map(|many| many.value.0).unwrap_or_default();
    all.into_iter()
        .filter_map(|id| {
            let valid = is_id(&id.value, begins);
            if !valid {
                refuse(&id.value, id.place, what, mend, desk);
            }
            valid.then_some(id.value)
        })
        .collect()
}

fn is_id(text: &str, begins: &[&str]) -> bool {
    text.len() >= 5
        && begins.iter().any(|b| text.starts_with(b))
        && text
            .chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
}

fn refuse(text: &str, place: Place, what: &str, mend: &str, desk: &mut Desk<'_>) {
    desk.error(place, format!("{} is {what}", quote(text)), mend);
}
