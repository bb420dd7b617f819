//! kill -9 in the middle of what takes longer than a commit: bringing an older store up, deleting old events, replaying, ending
//! what a removed endpoint is owed, a backup, a batch. The same again completes it, and nothing is half done, lost or twice.

mod work;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::campaign::{Campaign, Figures};
use crate::harness::{Home, PATIENCE};
use work::{Backup, Batch, Migration, Prune, Removal, Replay};

/// Something long that can be begun again.
trait Work {
    fn name(&self) -> &'static str;
    /// What the next call of `begin` works on.
    fn home(&self) -> &Home;
    /// The process that does it, or goes on with it.
    fn begin(&self) -> Command;
    /// Whether it is done; otherwise it is begun again. Fails if anything is half, lost or twice.
    fn is_done(&self) -> bool;
}

pub fn run(campaign: &Campaign) -> Figures {
    let mut figures = Figures { lost: Some(0), duplicated: Some(0), ..Figures::default() };
    let mut dice = campaign.dice(1);
    let kills = campaign.pick(4, 40);
    let kinds: [fn() -> Box<dyn Work>; 6] =
        [Migration::make, Prune::make, Replay::make, Removal::make, Backup::make, Batch::make];
    for make in kinds {
        let (mut hit, mut cycles) = (0, 0);
        let lasts = whole(make().as_ref());
        let name = make().name();
        while hit < kills {
            // A store of its own again whenever the last one is done.
            let work = make();
            loop {
                cycles += 1;
                let mid = killed_after(work.as_ref(), Duration::from_micros(dice.below(lasts.as_micros() as u64 + 1)));
                hit += u64::from(mid);
                work.home().check_integrity();
                if work.is_done() {
                    break;
                }
                if hit >= kills {
                    finish(work.as_ref());
                    break;
                }
            }
            assert!(cycles < 200 + 20 * kills, "{name}: {hit} of {cycles} kills hit anything");
        }
        figures.cycles += hit;
        figures.note(format!("{name} {hit} of {cycles}"));
    }
    figures
}

/// How long it takes if nobody kills it.
fn whole(work: &dyn Work) -> Duration {
    let begun = Instant::now();
    let mut child = start(work);
    while !work.is_done() {
        assert!(begun.elapsed() < PATIENCE, "{} is never done", work.name());
        std::thread::sleep(Duration::from_millis(1));
    }
    let lasts = begun.elapsed();
    let _ = child.kill();
    child.wait().unwrap();
    lasts
}

/// Begins it once more, and lets it end.
fn finish(work: &dyn Work) {
    let mut child = start(work);
    let begun = Instant::now();
    while !work.is_done() {
        assert!(begun.elapsed() < PATIENCE, "{} is never completed", work.name());
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    child.wait().unwrap();
    work.home().check_integrity();
}

/// Whether it was in the middle of it.
fn killed_after(work: &dyn Work, after: Duration) -> bool {
    let mut child = start(work);
    std::thread::sleep(after);
    let runs = child.try_wait().unwrap().is_none();
    let _ = child.kill();
    child.wait().unwrap();
    runs
}

fn start(work: &dyn Work) -> Child {
    let mut command = work.begin();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}
