//! Everything together: incidents, faults of the channels, crashes and mutes, in any order.
//!
//! Each case is a plan of steps, drawn by chance. The world breaks and heals at times of the past and the
//! real rules judge it; what they decide goes through the real store and the real workers to a Slack and two
//! Teams that fail as drawn. In the end the world is well, nothing fails any more, and all that waits is
//! told. Then `accounts` compares what was due, what the store says and what the channels have.

mod accounts;
mod stage;
mod steps;

use proptest::prelude::*;

use super::samples;
use stage::Stage;
pub(crate) use stage::{Wanted, judged};
use steps::Case;

/// A case holds hours of incidents and some seconds of delivery at most; shrinking it plays it anew.
fn config(cases: u32) -> ProptestConfig {
    let asked = std::env::var_os("PROPTEST_CASES").map(|_| ProptestConfig::default().cases);
    ProptestConfig {
        max_shrink_iters: 300,
        max_shrink_time: 60_000,
        ..samples::cases(asked.unwrap_or(cases))
    }
}

/// What is wrong in the end.
fn play(case: &Case) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut stage = Box::pin(Stage::new(case)).await;
        for (number, step) in (1..).zip(&case.steps) {
            stage.play(number, step).await;
        }
        Box::pin(stage.end()).await
    })
}

fn holds(case: &Case) -> Result<(), TestCaseError> {
    let wrong = play(case);
    prop_assert!(wrong.is_empty(), "\n{}\n\n{case}", wrong.join("\n"));
    Ok(())
}

proptest! {
    #![proptest_config(config(20))]

    #[test]
    fn all_is_told_once_and_in_order(case in steps::case(100..101)) {
        holds(&case)?;
    }

    #[test]
    fn and_so_it_is_in_a_storm(case in steps::case(1..3)) {
        holds(&case)?;
    }
}
