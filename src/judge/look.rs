//! What the runs of one round say: the part of the engine that lies behind its confirmation, as a pure function.
//!
//! A person who asks for a round does not wait for spaced repeats: that what fails in it is no noise is taken for
//! granted, and said so. Everything else, evidence, witnesses and all, is what the engine goes by.

use std::sync::Arc;

use super::engine::{Engine, Options, Seen};
use super::episode::Episode;
use super::rules::RuleBook;
use super::universe::Universe;

/// The engine as it stands after these runs, oldest first, with its causes and what it would ask.
#[must_use]
pub fn look(universe: &Arc<Universe>, book: &Arc<RuleBook>, runs: &[Seen]) -> Engine {
    let options = Options {
        budget: 0,
        may_ask: false,
    };
    let mut engine = Engine::new(Arc::clone(universe), Arc::clone(book), options);
    let (Some(first), Some(last)) = (runs.first(), runs.last()) else {
        return engine;
    };
    for seen in runs {
        engine.record(seen);
    }
    let incident = engine.new_incident(first.at);
    engine.episode = Some(Episode::new(first.at, last.at, 0, 0));
    engine.open_question(last.at, first.at, Some(incident));
    engine.step(last.at);
    engine.effects.clear();
    engine
}
