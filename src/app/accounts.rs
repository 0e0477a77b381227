//! What a person asks with an account counts as what the daemon asks, where the file has a limit or the partner set one.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use crate::clock;
use crate::domain::cell::{CellKey, CredentialName};
use crate::domain::incident::Incident;
use crate::domain::plan::Plan;
use crate::report::incidents::local;
use crate::store::Store;

/// Counts what is about to be asked with each account.
///
/// # Errors
/// A sentence: the day has no room for it, the account is locked, or it can't be counted. Nothing was counted then.
pub fn claim<'a>(plan: &Plan, cells: impl IntoIterator<Item = &'a CellKey>) -> Result<(), String> {
    let mut wanted: BTreeMap<&CredentialName, u32> = BTreeMap::new();
    for cell in cells
        .into_iter()
        .filter(|cell| !cell.credential.is_anonymous())
    {
        *wanted.entry(&cell.credential).or_default() += 1;
    }
    let path = &plan.store.path;
    if wanted.is_empty() || (plan.credential_a_day.is_none() && !path.exists()) {
        return Ok(());
    }
    let now = clock::now();
    let (mut spent, mut locks) = (Vec::new(), Vec::new());
    if path.exists() {
        let reader = Store::read_only(path).map_err(|e| e.to_string())?;
        let since = now
            .checked_sub(SignedDuration::from_hours(24))
            .unwrap_or(now);
        spent = reader.spent(since).map_err(|e| e.to_string())?;
        let open = reader.load_open().map_err(|e| e.to_string())?;
        let known = open.incidents.iter().filter_map(Incident::lock);
        locks.extend(known.map(|(name, until)| (name.clone(), until)));
    }
    if let Some((name, until)) = locks
        .iter()
        .find(|(name, until)| wanted.contains_key(name) && *until > now)
    {
        return Err(format!(
            "the account behind credential {name:?} is locked until {} by the partner's own word; asking with it may lock it for longer (--with names others)",
            local(*until, &plan.zone)
        ));
    }
    let Some(most) = plan.credential_a_day else {
        return Ok(());
    };
    for (name, more) in &wanted {
        let used = spent.iter().filter(|(known, _)| known == *name).count();
        if used + *more as usize > most as usize {
            return Err(format!(
                "credential {name:?} was used {used} times within 24 h, and this would ask {more} times more; the file allows {most} (politeness.per_credential.requests_per_day)"
            ));
        }
    }
    if !path.exists() {
        return Err(format!(
            "requests with a credential are counted (politeness.per_credential), and there is no store {} yet to count them in; start edgewatch once, or ask --with anonymous",
            path.display()
        ));
    }
    let mut hand = Store::hand(path).map_err(|e| e.to_string())?;
    for (name, requests) in wanted {
        hand.spent(name, requests).map_err(|e| e.to_string())?;
    }
    Ok(())
}
