//! Signing in and out: with a secret that a command left in the store, or with a password.
//!
//! Whoever guesses waits longer and longer, and nobody is locked out: a stranger must not be able to keep people away.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use http::header::{RETRY_AFTER, SET_COOKIE};
use http::{HeaderValue, StatusCode};
use maud::html;

use super::acts::{Form, form, refused, write};
use super::frame::{self, Content, Place};
use super::live::Topic;
use super::parts::visible;
use super::people::{COOKIE_NAME, digest, kept_as, peer, person, secret};
use super::{Page, Pages, Scene, failed, html as answer, scene};
use crate::clock;
use crate::domain::password::{PASSWORD_MAX, is_right};
use crate::domain::secret::Secret;

/// So many wrong passwords within [`WINDOW`] cost no wait.
const FREE_OF_NAME: u32 = 5;
const FREE_OF_ADDRESS: u32 = 20;
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// The wait doubles with each further one, up to this.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Characters of a name.
const NAME_MAX: usize = 200;
/// Names and addresses that are remembered.
const KNOWN_MAX: usize = 10_000;
/// Of a name that nobody has: a wrong name must cost the time of a wrong password.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5LWF0LWFsbC4$p1u6kEWqaYw2DTxqgDAKXOIJr5mzuMgYAfEyMEPbOv0";

/// Wrong passwords of late.
#[derive(Debug, Default)]
pub(super) struct SignIns {
    of_names: HashMap<String, Wrong>,
    of_addresses: HashMap<IpAddr, Wrong>,
}

#[derive(Debug, Clone, Copy)]
struct Wrong {
    times: u32,
    first: Instant,
    last: Instant,
}

impl SignIns {
    /// How long somebody has to wait before another try.
    fn wait(&self, name: &str, address: Option<IpAddr>, now: Instant) -> Duration {
        let of_name = self.of_names.get(name).map(|wrong| (wrong, FREE_OF_NAME));
        let of_address = address.and_then(|address| self.of_addresses.get(&address));
        let of_address = of_address.map(|wrong| (wrong, FREE_OF_ADDRESS));
        let waits = of_name.into_iter().chain(of_address);
        waits
            .map(|(wrong, free)| wrong.wait(free, now))
            .max()
            .unwrap_or_default()
    }

    fn failed(&mut self, name: &str, address: Option<IpAddr>, now: Instant) {
        note(&mut self.of_names, name.to_owned(), now);
        if let Some(address) = address {
            note(&mut self.of_addresses, address, now);
        }
    }

    fn succeeded(&mut self, name: &str) {
        self.of_names.remove(name);
    }
}

impl Wrong {
    fn wait(self, free: u32, now: Instant) -> Duration {
        if now.duration_since(self.first) >= WINDOW {
            return Duration::ZERO;
        }
        let Some(over) = self.times.checked_sub(free) else {
            return Duration::ZERO;
        };
        let wait = Duration::from_secs(1 << over.min(6)).min(WAIT_MAX);
        (self.last + wait).saturating_duration_since(now)
    }
}

fn note<K: Eq + std::hash::Hash>(known: &mut HashMap<K, Wrong>, key: K, now: Instant) {
    if known.len() >= KNOWN_MAX {
        known.retain(|_, wrong| now.duration_since(wrong.first) < WINDOW);
    }
    if known.len() >= KNOWN_MAX && !known.contains_key(&key) {
        return;
    }
    let fresh = Wrong {
        times: 0,
        first: now,
        last: now,
    };
    let wrong = known.entry(key).or_insert(fresh);
    if now.duration_since(wrong.first) >= WINDOW {
        *wrong = fresh;
    }
    wrong.times = wrong.times.saturating_add(1);
    wrong.last = now;
}

/// Where people sign in.
pub(super) async fn page(State(pages): State<Pages>) -> Page {
    let scene = scene(&pages).await?;
    let by_password = !pages.web().users.is_empty();
    let main = html! {
        h1 { "Sign in" }
        @match person() {
            Some(person) => {
                p { "You are " strong { (visible(&person.name)) } @if !person.may_act { ", and may look" } "." }
                @if person.signed_in { form method="post" action=(scene.to("/sign-out")) { button { "Sign out" } } }
            }
            None => {
                @if by_password {
                    form method="post" action=(scene.to("/sign-in")) {
                        p { label { "Name " input name="name" autocomplete="username" required maxlength="200"; } }
                        p { label { "Password " input type="password" name="password" autocomplete="current-password" required maxlength=(PASSWORD_MAX); } }
                        button { "Sign in" }
                    }
                    h2 { "With a secret of the host" }
                }
                p {
                    @if pages.web().role(None).is_some() { "Looking needs no sign-in. " }
                    "To act, run " code { "edgewatch web sign-in" } " on the host of the daemon, and open the address that it prints, or paste the secret here."
                }
                form method="post" action=(scene.to("/sign-in")) {
                    p { label { "Secret " input type="password" name="secret" autocomplete="one-time-code" required; } }
                    button { "Sign in" }
                }
            }
        }
    };
    let content = Content {
        title: "Sign in",
        place: Place::Nowhere,
        topic: Topic::Incidents,
        main,
    };
    // Who may see no other page is shown none of what the frame says.
    let page = if pages.web().role(None).is_some() || person().is_some() {
        frame::page(&scene, &content)
    } else {
        frame::sealed(&scene, &content, None)
    };
    Ok(answer(StatusCode::OK, page))
}

pub(super) async fn enter(State(pages): State<Pages>, body: String) -> Page {
    let (scene, asked) = (scene(&pages).await?, form(&body));
    let Ok(fresh) = secret() else {
        let why = "The system gives no randomness.";
        let status = StatusCode::SERVICE_UNAVAILABLE;
        return Ok(refused(&scene, status, "Not signed in", why));
    };
    let session = digest(&fresh);
    if asked.contains_key("password") {
        let who = match by_password(&pages, &scene, &asked).await {
            Ok(who) => who,
            Err(refused) => return Ok(refused),
        };
        let begun = write(&pages, move |hand| {
            hand.begin_session(&session, &who, clock::now())
        });
        return match begun.await {
            Ok(()) => Ok(inside(&scene, &fresh)),
            Err(failure) => Ok(failed(&scene, &failure)),
        };
    }
    let given = digest(asked.get("secret").map_or("", |secret| secret.trim()));
    let taken = write(&pages, move |hand| {
        hand.sign_in(&given, &session, clock::now())
    });
    match taken.await {
        Ok(Some(_)) => Ok(inside(&scene, &fresh)),
        Ok(None) => {
            let why = "This secret is not known: each is good for five minutes, and once. Run `edgewatch web sign-in` again.";
            Ok(refused(&scene, StatusCode::FORBIDDEN, "Not signed in", why))
        }
        Err(failure) => Ok(failed(&scene, &failure)),
    }
}

/// As whom the session is kept, if name and password are right.
async fn by_password(pages: &Pages, scene: &Scene, asked: &Form) -> Result<String, Response> {
    let field = |key: &str| asked.get(key).cloned().unwrap_or_default();
    // What no name of the file is as long as is remembered as one.
    let name: String = field("name").trim().chars().take(NAME_MAX).collect();
    let password = field("password");
    let address = peer();
    let sign_ins = || {
        let sign_ins = &pages.0.sign_ins;
        sign_ins.lock().unwrap_or_else(PoisonError::into_inner)
    };
    let wait = sign_ins().wait(&name, address, Instant::now());
    if !wait.is_zero() {
        let seconds = wait.as_secs() + 1;
        let why = format!("Too many wrong passwords; try again in {seconds} s.");
        let status = StatusCode::TOO_MANY_REQUESTS;
        let mut answer = refused(scene, status, "Not signed in", &why);
        answer
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(seconds));
        return Err(answer);
    }
    let known = pages.web().users.iter().find(|user| user.name == name);
    let hash = known.and_then(|user| user.hash.clone().ok());
    let kept = hash.as_ref().map(|hash| kept_as(&name, hash.expose()));
    let hash = hash.unwrap_or_else(|| Secret::new(NOBODY));
    let right = {
        // Nothing closes it.
        let _turn = pages.0.passwords.acquire().await;
        let looked = tokio::task::spawn_blocking(move || {
            password.len() <= PASSWORD_MAX && is_right(&password, &hash)
        });
        looked.await.unwrap_or_default()
    };
    if let Some(kept) = kept.filter(|_| right) {
        sign_ins().succeeded(&name);
        return Ok(kept);
    }
    sign_ins().failed(&name, address, Instant::now());
    let why = "Name and password don't belong together.";
    Err(refused(scene, StatusCode::FORBIDDEN, "Not signed in", why))
}

/// To the pages, with the session.
fn inside(scene: &Scene, fresh: &str) -> Response {
    let mut done = Redirect::to(&scene.to("/")).into_response();
    let cookie =
        format!("{COOKIE_NAME}={fresh}; Secure; HttpOnly; SameSite=Lax; Path=/; Max-Age=2592000");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        done.headers_mut().insert(SET_COOKIE, cookie);
    }
    done
}

pub(super) async fn leave(State(pages): State<Pages>) -> Page {
    let scene = scene(&pages).await?;
    if let Some(person) = person().filter(|person| person.signed_in) {
        let ended = write(&pages, move |hand| hand.sign_out(&person.session)).await;
        if let Err(failure) = ended {
            return Ok(failed(&scene, &failure));
        }
    }
    let mut done = Redirect::to(&scene.to("/")).into_response();
    let gone = format!("{COOKIE_NAME}=; Secure; HttpOnly; SameSite=Lax; Path=/; Max-Age=0");
    if let Ok(gone) = HeaderValue::from_str(&gone) {
        done.headers_mut().insert(SET_COOKIE, gone);
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_guesses_waits_longer_and_longer_and_is_not_locked_out() {
        let (mut it, start) = (SignIns::default(), Instant::now());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let address = "192.0.2.7".parse().ok();
        for n in 0..FREE_OF_NAME {
            assert_eq!(it.wait("ann", address, at(0)), Duration::ZERO, "{n}");
            it.failed("ann", address, at(0));
        }
        let waits =
            |it: &SignIns, name: &str, second: u64| it.wait(name, address, at(second)).as_secs();
        assert_eq!(waits(&it, "ann", 0), 1);
        assert_eq!(waits(&it, "ann", 1), 0);
        assert_eq!(waits(&it, "ben", 0), 0, "another name");
        for _ in 0..20 {
            it.failed("ann", address, at(10));
        }
        assert_eq!(waits(&it, "ann", 10), 60);
        assert_eq!(waits(&it, "ann", 70), 0, "never for ever");
        assert!(waits(&it, "ben", 10) > 0, "the address guesses");
        assert_eq!(
            it.wait("ben", "192.0.2.8".parse().ok(), at(10)),
            Duration::ZERO
        );
        it.succeeded("ann");
        assert_eq!(it.wait("ann", None, at(10)), Duration::ZERO);
        assert_eq!(waits(&it, "ben", 901), 0, "it is long ago");
    }

    #[test]
    fn a_name_that_nobody_has_costs_a_password() {
        assert!(crate::domain::password::is_hash(NOBODY));
        assert!(!is_right("password", &Secret::new(NOBODY)));
    }
}
