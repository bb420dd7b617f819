//! The fault campaign: postrider's real binary under every fault that its promises speak of, a row for each kind.
//! `./tests/campaign` runs the long one, `./tests/run` the quick one; both end with the table of figures that stands in the
//! README. A row that does not hold fails the campaign; one that this machine cannot run is told and counted as skipped.

mod addresses;
mod ailing;
mod campaign;
#[allow(dead_code, reason = "shared with the tests in tests/it, which use the rest")]
#[path = "../it/api/client.rs"]
mod client;
mod clock;
mod crash;
mod damage;
mod disk;
mod escapes;
mod fuzz;
mod handles;
#[allow(dead_code, reason = "shared with the tests in tests/it, which use the rest")]
#[path = "../it/process/harness.rs"]
mod harness;
mod healthy;
mod held;
mod herd;
mod isolation;
mod load;
mod midwork;
mod mounts;
mod mutations;
mod power;
mod preload;
mod raw;
#[allow(dead_code, reason = "shared with the tests in tests/it, which use the rest")]
#[path = "../it/receivers.rs"]
mod receivers;
mod secrets;
mod tls;
mod writes;

use std::process::ExitCode;

use campaign::{Row, conduct};

/// In the order of the README's table.
const ROWS: &[Row] = &[
    Row {
        name: "crash",
        shown: "kill -9 at random moments under load: nothing acknowledged is lost, ready again in < 2 s",
        run: crash::run,
    },
    Row {
        name: "midwork",
        shown: "kill -9 during migration, deletion, replay, removal, backup and batch: the same again completes it",
        run: midwork::run,
    },
    Row {
        name: "power",
        shown: "power cuts, on a file system of its own: nothing acknowledged is lost; without syncs it is, so this can tell",
        run: power::run,
    },
    Row {
        name: "writes",
        shown: "the n-th write or sync of the store fails, for every n: nothing is falsely acknowledged, the rest goes on",
        run: writes::run,
    },
    Row {
        name: "disk",
        shown: "a disk that is full, limited or read-only: intake refuses in words, all goes on by itself when there is room",
        run: disk::run,
    },
    Row {
        name: "damage",
        shown: "damaged stores: every verb works or refuses in words, and no body is sent that was not accepted",
        run: damage::run,
    },
    Row {
        name: "held",
        shown: "the store held for seconds, claimed by ten daemons, deleted or replaced: nothing acknowledged vanishes",
        run: held::run,
    },
    Row {
        name: "clock",
        shown: "the clock set by an hour to ten years, the process stopped: nothing early, lost, or sent in a burst",
        run: clock::run,
    },
    Row {
        name: "receivers",
        shown: "receivers that attack or ail: each attempt ends in its time, memory stays, the others do not notice",
        run: ailing::run,
    },
    Row {
        name: "tls",
        shown: "certificates, protocols and handshakes of every fault: only valid receivers get a request, errors say why",
        run: tls::run,
    },
    Row {
        name: "addresses",
        shown: "inner addresses in every spelling, unfriendly name servers, proxies: no connection to a canary",
        run: addresses::run,
    },
    Row {
        name: "isolation",
        shown: "100 endpoints, 10 of them dead with a backlog: the healthy keep their rate, and p99 twice theirs or below 100 ms",
        run: isolation::run,
    },
    Row {
        name: "herd",
        shown: "an endpoint comes back to 10,000 pending: paced, within its concurrency, no retry early, none twice",
        run: herd::run,
    },
    Row {
        name: "handles",
        shown: "64 file handles, little memory, a million owed at start: nothing lost, ready in < 5 s, < 300 MB",
        run: handles::run,
    },
    Row {
        name: "secrets",
        shown: "every kind of secret in use: none in logs, answers, metrics, spans, arguments, core, store or backup",
        run: secrets::run,
    },
    Row {
        name: "escapes",
        shown: "controls, line ends, bidi and forged lines in every input: refused or escaped wherever shown",
        run: escapes::run,
    },
    Row {
        name: "fuzz",
        shown: "mutated URLs, settings, headers, signatures, payloads and requests: no panic, and no rule is passed by",
        run: fuzz::run,
    },
    Row {
        name: "mutations",
        shown: "the source broken where a promise is kept, one way at a time: the tests go red",
        run: mutations::run,
    },
];

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|argument| argument == addresses::INSIDE) {
        return addresses::inside();
    }
    conduct(ROWS, std::env::args().skip(1))
}
