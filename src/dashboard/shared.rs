//! What a link shows to somebody without the pages, for some days: one incident, or one page that stays as it is made for
//! its readers anyway.
//!
//! Whoever has the link sees that and nothing else: no bar, no other page, nothing to press. Opening it changes nothing,
//! because previews of messengers open every link. For the partner it is the letter as it stands now: what is for us
//! alone is left out of it.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::header::{CACHE_CONTROL, REFERRER_POLICY};
use http::{HeaderName, HeaderValue, StatusCode};
use maud::{Markup, html};

use super::frame::{self, Content, Place};
use super::live::Topic;
use super::parts::{time, visible};
use super::people::digest;
use super::{
    Failure, Page, Pages, Scene, failed_bare, html as answer, incident, scene, status_page, wall,
};
use crate::domain::cell::Way;
use crate::dossier;
use crate::report::dossier::Dossier;
use crate::report::pack;
use crate::store::{Audience, Link, Opens};

pub(super) async fn page(State(pages): State<Pages>, Path(token): Path<String>) -> Page {
    let mut scene = scene(&pages).await?;
    // A reader who is signed in sees what the others see.
    scene.who = None;
    let scene = Arc::new(scene);
    Ok(sealed(match opened(&pages, &scene, &token).await {
        Ok(page) => answer(StatusCode::OK, page),
        Err(failure) => failed_bare(&scene, &failure),
    }))
}

async fn opened(pages: &Pages, scene: &Arc<Scene>, token: &str) -> Result<Markup, Failure> {
    let missing = || {
        let why = "This link is not good, or no longer: ask whoever gave it to you for another.";
        Failure::Missing(why.to_owned())
    };
    let (sha256, now) = (digest(token), scene.now);
    let read = pages.read(move |reader| reader.shared(&sha256, now));
    let link = read.await?.ok_or_else(missing)?;
    let content = match link.opens {
        Opens::Incident { number, audience } => {
            let seen = Arc::clone(scene);
            let read = pages.read(move |reader| {
                let dossier = dossier::gather(&seen.look.plan, reader, number, seen.now)?;
                Ok(dossier.map(|dossier| shown(&seen, &link, audience, &dossier)))
            });
            return read.await?.ok_or_else(missing);
        }
        Opens::Wall => wall::content(scene),
        Opens::StatusPage => {
            let (title, main) = status_page::by_itself(pages, scene).await?;
            let content = Content {
                title: &title,
                place: Place::Nowhere,
                topic: Topic::Board,
                main,
            };
            return Ok(frame::sealed(scene, &content, Some(status_page::AGAIN_S)));
        }
        // It is for scripts, as a header.
        Opens::Api => return Err(missing()),
    };
    Ok(frame::sealed(scene, &content, Some(status_page::AGAIN_S)))
}

/// Nobody keeps it, finds it by searching, or learns the link from where a reader goes next.
fn sealed(mut page: Response) -> Response {
    let headers = page.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let robots = HeaderName::from_static("x-robots-tag");
    headers.insert(robots, HeaderValue::from_static("noindex"));
    page
}

fn shown(scene: &Scene, link: &Link, audience: Audience, dossier: &Dossier<'_>) -> Markup {
    let until = time(link.ends_at, scene.zone(), scene.now);
    let number = dossier.incident.number;
    let main = html! {
        p.below { "You see this by a link that is good until " (until) "." }
        @match audience {
            Audience::Us => { (incident::seen(scene, dossier)) }
            Audience::Partner => {
                h1 { "For " (visible(scene.look.plan.partner_called(&dossier.incident.probes))) ": INC-" (number) }
                pre { (visible(&for_the_partner(dossier))) }
            }
        }
    };
    let content = Content {
        title: &format!("INC-{number}"),
        place: Place::Nowhere,
        topic: Topic::Incidents,
        main,
    };
    frame::sealed(scene, &content, None)
}

/// The letter without what is for us: lines that say so, our local addresses and proxies.
fn for_the_partner(dossier: &Dossier<'_>) -> String {
    let mut seen = dossier.clone();
    let incident = &mut seen.incident;
    let runs = [&mut incident.failing, &mut incident.passing];
    for run in runs.into_iter().flatten() {
        run.local = None;
    }
    let locals = dossier
        .plan
        .egresses
        .iter()
        .filter_map(|egress| match egress.way {
            // Where there is nothing between, it is what the partner sees.
            Way::Address(local) if egress.public != Some(local) => Some(local.to_string()),
            _ => None,
        });
    let letter = without_ours(&pack::text(&seen));
    locals.fold(letter, |letter, local| {
        letter.replace(&local, "our address")
    })
}

fn without_ours(letter: &str) -> String {
    let ours = |line: &&str| line.trim_start().starts_with('|') || line.contains("--interface ");
    let lines = letter.lines().filter(|line| !ours(line));
    lines.fold(String::new(), |text, line| {
        let ends = [", local address ", ", through our proxy "];
        let ends = ends.iter().filter_map(|end| line.find(end));
        let end = ends.min().unwrap_or(line.len());
        text + &line[..end] + "\n"
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::tests::scene_of;
    use crate::report::fixture::{at, march};

    #[test]
    fn a_link_shows_its_incident_and_leads_nowhere() {
        let night = march();
        let scene = scene_of(&night.plan, &[], vec![night.incident.clone()]);
        let link = |audience| Link {
            number: 1,
            opens: Opens::Incident {
                number: 1,
                audience,
            },
            made_by: "ann".to_owned(),
            made_at: at("02:00:00"),
            ends_at: at("03:00:00"),
            ended_by: None,
        };
        for audience in [Audience::Us, Audience::Partner] {
            let page = shown(&scene, &link(audience), audience, &night.dossier()).into_string();
            for part in [
                "<nav",
                "<form",
                "<button",
                "<script",
                "data-live",
                "href=\"/incidents",
                "href=\"/runs",
                "href=\"/cells",
                "href=\"/quiet",
            ] {
                assert!(!page.contains(part), "{audience:?}: {part}: {page}");
            }
            assert!(page.contains("INC-1"), "{page}");
        }
        let letter = [
            "Dear GMC,",
            "| add your address",
            "  | and ours",
            "  sent from  de1: 203.0.113.15 (public address), local address 10.20.1.15",
            "  --interface 10.20.1.15 \\",
            "Ray ID 1",
        ];
        let expected = "Dear GMC,\n  sent from  de1: 203.0.113.15 (public address)\nRay ID 1\n";
        assert_eq!(without_ours(&letter.join("\n")), expected);
        let partner = Audience::Partner;
        let partner = shown(&scene, &link(partner), partner, &night.dossier()).into_string();
        let local = night.incident.failing.as_ref();
        let local = local
            .and_then(|run| run.local.clone())
            .expect("a local address");
        let local = local.split(':').next().unwrap_or_default();
        assert!(!partner.contains(local), "our own address: {partner}");
    }
}
