//! What an operator can do after an attempt that was not accepted. Advice is about the usual cause, and says so where
//! there are others; it never asks for anything that would lose a delivery.

use crate::delivery::{Attempt, DeliveryId, Outcome, Stage};
use crate::endpoint::{Endpoint, EndpointState, ProfileName};
use crate::event::EventId;
use crate::operations::look::redacted;
use crate::plain::plain;
use crate::provider::{self, EXPRESS_BODY_LIMIT, Terms};

/// `size` is that of the body in bytes. `None` where there is nothing to be said.
pub fn after(last: &Attempt, endpoint: &Endpoint, terms: &Terms, size: u64) -> Option<String> {
    match &last.outcome {
        Outcome::Accepted { .. } => None,
        Outcome::Rejected { status } => Some(rejected(*status, last, endpoint, terms, size)),
        Outcome::TimedOut { stage } => Some(timed_out(*stage, terms)),
        Outcome::Unreachable { stage, error } => Some(unreachable(*stage, error, endpoint)),
        Outcome::Blocked { reason } => Some(blocked(reason, endpoint)),
        Outcome::Unknown => Some(format!(
            "The receiver should recognise what it has had by {}, as the same notification may come twice.",
            match endpoint.profile {
                ProfileName::Ensuro => "its content",
                ProfileName::Octamile => "trnsctnId and status",
                ProfileName::Standard => "webhook-id",
            }
        )),
    }
}

/// How a delivery that ended undelivered can be sent again.
pub fn again(endpoint: &Endpoint, delivery: DeliveryId, event: &EventId) -> String {
    let body = format!("`postrider show {event} --raw` prints its body");
    match (&endpoint.state, &endpoint.name, endpoint.profile) {
        (EndpointState::Active | EndpointState::Paused { .. }, ..) => {
            format!("`postrider retry {delivery}` begins its schedule anew.")
        }
        (EndpointState::Disabled { .. }, Some(name), _) => format!(
            "`postrider endpoint resume {name}` makes its endpoint active again, and then `postrider retry {delivery}` \
             begins its schedule anew."
        ),
        (EndpointState::Disabled { .. } | EndpointState::Removed { .. }, _, ProfileName::Octamile) => format!(
            "Octamile notifies of a status once, so the same notification is refused if it is enqueued again; {body}, \
             to hand it over by other means."
        ),
        (
            EndpointState::Disabled { .. } | EndpointState::Removed { .. },
            _,
            ProfileName::Ensuro | ProfileName::Standard,
        ) => format!("To send it again, enqueue it under a new id; {body}."),
    }
}

/// What to do about a URL that is wrong.
fn other_url(endpoint: &Endpoint) -> String {
    match &endpoint.name {
        Some(name) => format!("If the URL is wrong, `postrider endpoint edit {name} --url URL` corrects it."),
        None => "If the URL is wrong, enqueue the event under a new id with the right one.".to_owned(),
    }
}

fn rejected(status: u16, last: &Attempt, endpoint: &Endpoint, terms: &Terms, size: u64) -> String {
    match status {
        300..=399 => match &last.location {
            Some(to) => {
                let where_to = plain(&redacted(to));
                match &endpoint.name {
                    Some(name) => format!(
                        "If {where_to} is where the receiver is now, `postrider endpoint edit {name} --url URL` follows \
                         it there."
                    ),
                    None => format!("If {where_to} is where the receiver is now, enqueue the event with that URL."),
                }
            }
            None => format!("The receiver may have moved. {}", other_url(endpoint)),
        },
        200..=299 => {
            format!("The receiver must answer {}, or --success of its endpoint must allow {status}.", terms.success)
        }
        400 | 422 => "The receiver did not like the body or how it was signed; its answer (`postrider show`) may say \
                      which, and so may its log."
            .to_owned(),
        401 | 403 => refused_sender(endpoint.profile),
        404 => format!("The URL's path is probably wrong, or the receiver's route is gone. {}", other_url(endpoint)),
        405 => format!("What stands at this URL takes no POST, so the path is probably wrong. {}", other_url(endpoint)),
        410 => match terms.gone_disables {
            true => "The endpoint gets nothing more, unless the receiver did not mean that.".to_owned(),
            false => {
                "The receiver says that it is gone for good; if so, remove the endpoint, which ends what it is owed."
                    .to_owned()
            }
        },
        413 => too_large(size),
        415 => "The receiver does not take this content type (`postrider show` names it).".to_owned(),
        408 | 425 | 429 => {
            "The receiver takes no more for now; if it is often so, give the endpoint a --rate.".to_owned()
        }
        502..=504 => {
            "A proxy before the receiver answers, and the receiver behind it does not: it is down, starting or \
                      overloaded."
                .to_owned()
        }
        500..=599 => {
            "The receiver failed: its own log at that time says why, and its answer (`postrider show`) may.".to_owned()
        }
        _ => "The receiver's answer (`postrider show`) and its log may say why.".to_owned(),
    }
}

fn refused_sender(profile: ProfileName) -> String {
    match provider::profile(profile).schemes.is_empty() {
        true => "This profile is unsigned, so the receiver or a firewall before it wants something else: a header \
                 that the endpoint does not send (--header), or this machine's address on a list."
            .to_owned(),
        false => "The receiver does not believe the signature, or a firewall before it lets nobody in: compare both \
                  sides' secrets with `postrider sign` and `postrider verify`, and make sure that it checks the raw \
                  bytes of the body."
            .to_owned(),
    }
}

fn too_large(size: u64) -> String {
    let express = "express.json() refuses more than 100 kB unless it is given a larger limit, and nginx more than 1 \
                   MB (client_max_body_size)";
    match size > EXPRESS_BODY_LIMIT as u64 {
        true => format!("The body has {size} bytes and the receiver takes fewer: {express}."),
        false => format!("The body has only {size} bytes, so the receiver's limit is very low ({express})."),
    }
}

fn timed_out(stage: Stage, terms: &Terms) -> String {
    match stage {
        Stage::Dns => "This machine's name server does not answer: check /etc/resolv.conf and the network.".to_owned(),
        Stage::Connect => {
            "Nothing answers at that address: the host is down, or a firewall drops the packets.".to_owned()
        }
        Stage::Tls => {
            "Something listens there and does not speak TLS in time: a wrong port, a plain-HTTP server, or a proxy in \
                       between."
                .to_owned()
        }
        Stage::Answer => format!(
            "The receiver got the request and was too slow: it should answer first and work afterwards, within {}. It \
             may have done its work all the same. --timeout of an endpoint allows up to 30 s.",
            terms.timeout
        ),
    }
}

fn unreachable(stage: Stage, error: &str, endpoint: &Endpoint) -> String {
    let says = |text: &str| error.contains(text);
    match stage {
        _ if says("egress proxy") || says("egress_proxy") => {
            "Everything is sent through safety.egress_proxy: its log at that time says why.".to_owned()
        }
        Stage::Dns => format!("Check the host in {}, and this machine's name server.", plain(&redacted(&endpoint.url))),
        Stage::Connect if says("refused") => {
            "Nothing listens on that port: the receiver is not running, or the port is wrong.".to_owned()
        }
        Stage::Connect => "The host is down, a firewall drops the packets, or this machine has no route there \
                           (delivery.connect_timeout_ms limits the wait)."
            .to_owned(),
        Stage::Tls if says("issuer") => "If the receiver's certificate is of a private authority, name that in \
                                         safety.extra_roots_file; otherwise the receiver does not send its \
                                         intermediate certificates."
            .to_owned(),
        Stage::Tls if says("certificate") => "The receiver's operator must renew or correct the \
                            certificate."
            .to_owned(),
        Stage::Tls => "Check that the URL's port speaks TLS 1.2 or newer.".to_owned(),
        Stage::Answer => "The receiver, or a proxy before it, hung up: its log at that time says why. It may have \
                          done its work all the same."
            .to_owned(),
    }
}

fn blocked(reason: &str, endpoint: &Endpoint) -> String {
    let says = |text: &str| reason.contains(text);
    if says("allow_http") {
        "If plain HTTP is meant, set safety.allow_http = true and start the daemon again.".to_owned()
    } else if says("digest") {
        "The store is damaged: stop postrider, keep a copy of the file, and restore a backup.".to_owned()
    } else if says(" is in ") || says("allow") {
        "If this address is meant, name it in safety.allow_addresses and start the daemon again; otherwise the \
         receiver's name points where it must not."
            .to_owned()
    } else {
        other_url(endpoint)
    }
}
