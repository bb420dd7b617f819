//! Between the desk and the daemon: hands over what is owed, with ids that make a second handing over harmless, and tells
//! what the daemon records of it.

use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

use super::desk::Desk;
use super::tell::{Happening, Tell};
use super::world::{Notification, To};
use crate::daemon::Handle;
use crate::daemon::clock::wall;
use crate::daemon::handle::Unserved;
use crate::endpoint::ProfileName;
use crate::event::{EventId, EventType};
use crate::operations::look::outcomes::outcomes;
use crate::operations::{Refused, Submission, Target};

/// The daemon is asked again after this, when it had no time or its store failed.
const AGAIN: Duration = Duration::from_millis(300);
/// Outcomes that are read at once.
const PAGE: u32 = 200;

/// Hands over whatever comes, one after another.
pub async fn carry(handle: &Handle, mut inbox: UnboundedReceiver<Notification>, desk: &Desk, tell: &Tell) {
    while let Some(notification) = inbox.recv().await {
        let mut told = false;
        loop {
            match hand_over(handle, &notification).await {
                Ok(happening) => {
                    tell(wall(), &happening);
                    desk.handed(&notification.id);
                    break;
                }
                Err(Unserved::Closed) => return,
                Err(Unserved::Refused(Refused::Store(error))) => {
                    if !std::mem::replace(&mut told, true) {
                        tell(wall(), &Happening::Trouble { what: format!("{error}; it is tried again") });
                    }
                }
                Err(Unserved::Busy | Unserved::InProgress) => {}
                Err(Unserved::Refused(refused)) => {
                    let why = refused.to_string();
                    let (event, event_type) = (notification.id.clone(), notification.event_type);
                    tell(wall(), &Happening::NotSent { event, event_type, why });
                    desk.handed(&notification.id);
                    break;
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

async fn hand_over(handle: &Handle, notification: &Notification) -> Result<Happening, Unserved> {
    let target = match &notification.to {
        To::Ensuro => Target::Subscribers,
        To::WebHook(url) => Target::OneOff { url: url.clone(), profile: ProfileName::Octamile, keys: vec![] },
    };
    let asked = Submission {
        id: Some(EventId::parse(&notification.id).expect("sbx_ and hex digits are an id")),
        idempotency_key: None,
        event_type: Some(EventType::parse(notification.event_type).expect("a provider's type")),
        content_type: None,
        body: notification.body.clone().into(),
        target,
        trace: None,
    };
    let room = handle.room(notification.body.len())?;
    let accepted = handle.enqueue(asked, room).await?;
    Ok(Happening::Owed {
        event: notification.id.clone(),
        event_type: notification.event_type,
        deliveries: accepted.deliveries.into_iter().map(|owed| (owed.delivery.to_string(), owed.endpoint)).collect(),
    })
}

/// Tells every outcome after `after`, as it is recorded.
pub async fn follow(handle: &Handle, mut after: i64, tell: &Tell) {
    let mut moved = handle.outcomes();
    loop {
        match handle.look(move |store, _| outcomes(store, after, PAGE)).await {
            Ok(Ok(part)) => {
                let whole = part.lines.len() == PAGE as usize;
                after = part.next;
                for line in part.lines {
                    tell(wall(), &Happening::Outcome(line));
                }
                if whole {
                    continue;
                }
            }
            Ok(Err(_)) | Err(Unserved::Busy | Unserved::InProgress | Unserved::Refused(_)) => {
                tokio::time::sleep(AGAIN).await;
                continue;
            }
            Err(Unserved::Closed) => return,
        }
        if moved.changed().await.is_err() {
            return;
        }
    }
}

/// The number of the last outcome that there is.
pub async fn last_outcome(handle: &Handle) -> Result<i64, Unserved> {
    let ends = handle.look(|store, _| store.outcomes(i64::MAX, 1).map_err(Refused::from)).await??;
    Ok(ends.last)
}
