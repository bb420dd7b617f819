//! What is asked of a receiver as an HTTP server: whether it is there, and how it keeps its connections.

use super::{Ask, Case, EVERY, Section};

pub const BASICS: &[Case] = &[
    Case {
        id: "basics/reached",
        title: "takes a rightly made notification",
        profiles: EVERY,
        schemes: &[],
        ask: Ask::Reach,
        why: "A notification that is not taken is sent again and again, and in the end given up.",
        section: Section::Success,
        fix: "Look at what it answered and at the receiver's log.",
    },
    Case {
        id: "basics/https",
        title: "is reached over HTTPS",
        profiles: EVERY,
        schemes: &[],
        ask: Ask::Https,
        why: "Over plain HTTP anybody on the way can read and change notifications; the providers send to https:// only.",
        section: Section::Https,
        fix: "Put TLS before the receiver (Caddy, nginx, or what your platform has) and register its https:// URL.",
    },
];

pub const CONNECTION: &[Case] = &[
    Case {
        id: "connection/twenty-at-once",
        title: "answers 20 notifications that come at once",
        profiles: EVERY,
        schemes: &[],
        ask: Ask::Many(20),
        why: "Notifications come when things happen, and after an outage many come together.",
        section: Section::Practice,
        fix: "Let the server work on several requests: threads or processes (gunicorn -w 4 --threads 8, waitress), a \
              pool of database connections, no lock around the whole handler.",
    },
    Case {
        id: "connection/keep-alive",
        title: "answers again on a connection that is kept",
        profiles: EVERY,
        schemes: &[],
        ask: Ask::KeepAlive,
        why: "A new connection, with TLS, for each notification costs more than the notification; and a connection \
              that is closed without a word loses the one that was sent on it.",
        section: Section::KeepAlive,
        fix: "Serve HTTP/1.1 and read each body to its end; before closing a connection say Connection: close.",
    },
];

/// Told last, of all that was answered before.
pub const ANSWER: &[Case] = &[
    Case {
        id: "answer/in-time",
        title: "answers well within the time it has",
        profiles: EVERY,
        schemes: &[],
        ask: Ask::InTime,
        why: "An answer that comes too late counts as none: the notification is sent again though it was worked on.",
        section: Section::InTime,
        fix: "Store the notification, answer, and do the work afterwards: a queue, a thread or a task, not the handler.",
    },
    Case {
        id: "answer/size",
        title: "gives a short answer that ends",
        profiles: EVERY,
        schemes: &[],
        ask: Ask::AnswerSize,
        why: "Only the status counts. A large or endless body costs both sides a connection for each notification.",
        section: Section::Practice,
        fix: "Answer with the status and an empty body.",
    },
];
