//! Leases ahead of their turn. To ask the store takes as long as its disk; in that time a lane that is doing well ends more
//! attempts than it may have in flight, and would stand still. So it leases about as many more as ended while it waited for the
//! last answer, and they begin one after the other as others end.

use super::{Action, Engine, Flight, Service};
use crate::delivery::Lease;
use crate::endpoint::EndpointId;
use crate::time::Time;

/// The most that one lane has ahead.
pub(super) const MOST_AHEAD: u32 = 128;

/// A lease whose attempt has not begun.
#[derive(Debug)]
pub(super) struct Stocked {
    pub(super) lease: Lease,
    /// The last moment at which it may begin and still end within its lease.
    pub(super) usable_until: Time,
}

impl Engine {
    pub(super) fn leased(
        &mut self,
        now: Time,
        id: EndpointId,
        leases: Vec<Lease>,
        next_due: Option<Time>,
        actions: &mut Vec<Action>,
    ) {
        self.store_wait = None;
        self.lanes.get_mut(&id).expect("only known lanes ask").next_due = next_due;
        let asked = self.answered(id, leases.len() as u32, now);
        let lane = self.lanes.get_mut(&id).expect("only known lanes ask");
        for lease in leases {
            let bytes = lease.event.body.len() as u64;
            lane.carries(bytes);
            self.room.take(0, bytes, lane.proven);
            lane.stock.push_back(Stocked { lease, usable_until: asked.usable_until });
        }
        match self.draining {
            true => self.let_go(now, id, actions),
            false => self.launch(now, id, actions),
        }
        self.arrange(id);
    }

    /// Begins what a lane has in stock, as far as its window is open.
    pub(super) fn launch(&mut self, now: Time, id: EndpointId, actions: &mut Vec<Action>) {
        loop {
            let Some(lane) = self.lanes.get_mut(&id).filter(|lane| lane.in_flight < lane.opened) else { return };
            // A process that was stopped has leases of long ago: they may be somebody else's by now.
            if lane.service() != Service::Active || lane.stock.front().is_some_and(|first| now > first.usable_until) {
                return self.let_go(now, id, actions);
            }
            let Some(Stocked { lease, .. }) = lane.stock.pop_front() else { return };
            lane.in_flight += 1;
            let bytes = lease.event.body.len() as u64;
            let flight = Flight { lane: id, attempt: lease.attempt, earlier: lease.earlier, bytes };
            let other = self.flights.insert((lease.delivery, lease.token), flight);
            assert!(other.is_none(), "a token was drawn twice for {}", lease.delivery);
            actions.push(Action::Carry(lease));
        }
    }

    /// Gives back what a lane has in stock: it is due again at once.
    pub(super) fn let_go(&mut self, now: Time, id: EndpointId, actions: &mut Vec<Action>) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        for Stocked { lease, .. } in std::mem::take(&mut lane.stock) {
            let bytes = lease.event.body.len() as u64;
            lane.drops(bytes);
            lane.owes_at(now);
            self.room.give_back(1, bytes, lane.proven);
            actions.push(Action::Release { delivery: lease.delivery, token: lease.token });
        }
        self.arrange(id);
    }

    pub(super) fn let_all_go(&mut self, now: Time, actions: &mut Vec<Action>) {
        let ids: Vec<EndpointId> =
            self.lanes.iter().filter(|(_, lane)| !lane.stock.is_empty()).map(|it| *it.0).collect();
        for id in ids {
            self.let_go(now, id, actions);
        }
    }
}
