//! The attempts that are under way: each is a task of its own, and none that fails takes another with it.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::{Id, JoinSet};

use super::signing::Signer;
use crate::courier::Courier;
use crate::delivery::{Carried, DeliveryId, Lease, Reply, Timings, Token};
use crate::endpoint::Endpoint;
use crate::time::Time;

pub(super) struct Flights {
    courier: Courier,
    signer: Signer,
    tasks: JoinSet<Landed>,
    /// What the tasks carry, for when one of them panics.
    listed: HashMap<Id, (DeliveryId, Token)>,
}

/// An attempt that has ended.
pub(super) type Landed = (DeliveryId, Token, Carried);

impl Flights {
    pub(super) fn new(courier: Courier) -> std::io::Result<Self> {
        Ok(Flights { courier, signer: Signer::start()?, tasks: JoinSet::new(), listed: HashMap::new() })
    }

    /// Makes the attempt that a lease pays for, from now on.
    pub(super) fn begin(&mut self, lease: Lease, endpoint: Option<Arc<Endpoint>>, now: Time) {
        let (delivery, token) = (lease.delivery, lease.token);
        let (courier, signer) = (self.courier.clone(), self.signer.clone());
        let task = self.tasks.spawn(async move {
            let rendered = match endpoint {
                Some(endpoint) => signer.render(endpoint, lease.event, now).await,
                None => Err("its endpoint is gone".to_owned()),
            };
            match rendered {
                Ok(request) => (delivery, token, courier.carry(&request, now).await),
                Err(reason) => (delivery, token, unsent(now, reason)),
            }
        });
        self.listed.insert(task.id(), (delivery, token));
    }

    /// The next that ends; `None` if none is under way.
    pub(super) async fn next(&mut self, now: impl Fn() -> Time) -> Option<Landed> {
        Some(match self.tasks.join_next_with_id().await? {
            Ok((id, landed)) => {
                self.listed.remove(&id);
                landed
            }
            // A body or an answer that makes the courier panic must not take the daemon with it.
            Err(error) => {
                let (delivery, token) = self.listed.remove(&error.id()).expect("every task is listed");
                let reason = "the attempt panicked; this is a fault of postrider".to_owned();
                (delivery, token, unsent(now(), reason))
            }
        })
    }
}

/// An attempt that never went out.
pub(super) fn unsent(at: Time, reason: String) -> Carried {
    Carried {
        started_at: at,
        finished_at: at,
        timings: Timings::default(),
        remote: None,
        resent: false,
        reply: Reply::Blocked { reason },
    }
}
