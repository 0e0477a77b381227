//! A client that somebody tries in the pages: its round runs beside the loop, and asks each host with the loop's leave.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::accounts;
use super::round::{self, LeaveAsk, Manners};
use crate::dashboard::trying::Order;
use crate::machine::Leave;

/// Hosts that may wait for leave.
const WAITING_MAX: usize = 64;

/// Who waits for leave to ask a host.
pub(super) struct Trials {
    pub(super) asks: mpsc::Receiver<LeaveAsk>,
    /// Whoever tries something.
    pub(super) orders: mpsc::Sender<Order>,
    waiting: HashMap<u64, oneshot::Sender<Leave>>,
    last: u64,
}

impl Trials {
    pub(super) fn start() -> Self {
        let (ask, asks) = mpsc::channel(WAITING_MAX);
        let (orders, mut ordered) = mpsc::channel::<Order>(1);
        tokio::spawn(async move {
            while let Some(order) = ordered.recv().await {
                make(order, ask.clone()).await;
            }
        });
        Self {
            asks,
            orders,
            waiting: HashMap::new(),
            last: 0,
        }
    }

    /// The number under which leave is asked for.
    pub(super) fn waits(&mut self, answer: oneshot::Sender<Leave>) -> u64 {
        self.last += 1;
        self.waiting.insert(self.last, answer);
        self.last
    }

    pub(super) fn answer(&mut self, number: u64, leave: Leave) {
        if let Some(answer) = self.waiting.remove(&number) {
            // Whoever asked may have left.
            let _ = answer.send(leave);
        }
    }
}

async fn make(order: Order, asks: mpsc::Sender<LeaveAsk>) {
    let (plan, cells) = (order.plan, order.cells);
    let claimed = {
        let (plan, cells) = (Arc::clone(&plan), cells.clone());
        tokio::task::spawn_blocking(move || accounts::claim(&plan, &cells)).await
    };
    let round = match claimed {
        Ok(Ok(())) => {
            let asked = |_: &_| order.asked.send_modify(|asked| *asked += 1);
            round::round(plan, cells, Manners::Loop(asks), asked).await
        }
        Ok(Err(why)) => Err(why),
        Err(_) => Err("counting what it asks was broken off".to_owned()),
    };
    // The page may be gone with the plan that served it.
    let _ = order.answer.send(round);
}
