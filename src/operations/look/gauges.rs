//! How much of everything there is, for whoever measures: the lanes that wait longest, and no more of them than a page has
//! room for.

use super::status::status;
use crate::endpoint::{Endpoint, EndpointState};
use crate::observe::metrics::{Endpoints, Gauges, Lane, MOST_LANES};
use crate::operations::Refused;
use crate::store::Store;
use crate::time::Time;

/// Everything but the sizes on disk.
pub fn gauges(store: &mut dyn Store, now: Time) -> Result<Gauges, Refused> {
    let status = status(store, now)?;
    let registered: Vec<Endpoint> = store.endpoints()?.into_iter().filter(|endpoint| endpoint.name.is_some()).collect();
    let mut due = store.lanes()?;
    due.sort_by_key(|lane| lane.due_at);
    due.truncate(MOST_LANES);
    let mut lanes = Vec::with_capacity(due.len());
    for lane in due {
        let endpoint =
            registered.iter().find(|endpoint| endpoint.id == lane.lane).and_then(|endpoint| endpoint.name.clone());
        let oldest_due_age = Some(now.since(lane.due_at)).filter(|_| lane.due_at <= now);
        lanes.push(Lane { endpoint, pending: store.owed(lane.lane)?.pending, oldest_due_age });
    }
    let counts = &status.counts;
    Ok(Gauges {
        deliveries_pending: counts.pending,
        deliveries_due: counts.due,
        oldest_due_age: counts.oldest_due.map(|at| now.since(at)),
        lanes_in_trouble: status.troubled.len() as u64,
        lanes,
        endpoints: by_state(&registered),
        store_size_bytes: None,
        store_free_disk_bytes: None,
    })
}

fn by_state(endpoints: &[Endpoint]) -> Endpoints {
    let mut found = Endpoints::default();
    for endpoint in endpoints {
        match endpoint.state {
            EndpointState::Active => found.active += 1,
            EndpointState::Paused { .. } => found.paused += 1,
            EndpointState::Disabled { .. } => found.disabled += 1,
            EndpointState::Removed { .. } => {}
        }
    }
    found
}
