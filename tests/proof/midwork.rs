//! kill -9 in the middle of what takes longer than a commit: bringing an older store up, deleting old events, replaying, ending
//! what a removed endpoint is owed, a backup, a batch. The same again completes it, and nothing is half done, lost or twice.

mod work;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use postrider::provider::dice::Dice;

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
    /// Otherwise it is one commit, and there is nothing between not begun and done.
    fn has_parts(&self) -> bool;
    /// How much of it the store has; it is begun again until all is done. Fails if anything is half, lost or twice.
    fn progress(&self) -> Progress;
    fn is_done(&self) -> bool {
        self.progress() == Progress::Done
    }
}

/// A work on a store of its own, unless this machine has not what it needs.
type Make = fn() -> Option<Box<dyn Work>>;

#[derive(Clone, Copy, PartialEq)]
enum Progress {
    Nothing,
    Parts,
    Done,
}

impl Progress {
    /// By what is left of `all`.
    fn of(left: u64, all: u64) -> Progress {
        match left {
            0 => Progress::Done,
            left if left == all => Progress::Nothing,
            _ => Progress::Parts,
        }
    }
}

pub fn run(campaign: &Campaign) -> Figures {
    let mut figures = Figures { lost: Some(0), duplicated: Some(0), ..Figures::default() };
    let mut dice = campaign.dice(1);
    let kills = campaign.pick(4, 40);
    let kinds: [Make; 6] = [Migration::make, Prune::make, Replay::make, Removal::make, Backup::make, Batch::make];
    if crate::clock::faketime().is_none() {
        figures.skip("deleting old events: without libfaketime it begins after a minute");
    }
    for make in kinds {
        killed(make, kills, &mut dice, &mut figures);
    }
    figures
}

/// Kills it so often, and goes on until it was seen in the middle.
fn killed(make: Make, kills: u64, dice: &mut Dice, figures: &mut Figures) {
    let Some(first) = make() else { return };
    let (name, has_parts) = (first.name(), first.has_parts());
    let lasts = whole(first.as_ref());
    let (mut hit, mut cycles, mut parts) = (0, 0, 0);
    let is_enough = |hit: u64, parts: u64| hit >= kills && (parts > 0 || !has_parts);
    while !is_enough(hit, parts) {
        // A store of its own again whenever the last one is done.
        let work = make().expect("it was possible before");
        loop {
            cycles += 1;
            let mid = killed_after(work.as_ref(), Duration::from_micros(dice.below(lasts.as_micros() as u64 + 1)));
            hit += u64::from(mid);
            work.home().check_integrity();
            match work.progress() {
                Progress::Done => break,
                Progress::Parts => parts += 1,
                Progress::Nothing => {}
            }
            if is_enough(hit, parts) {
                finish(work.as_ref());
                break;
            }
        }
        assert!(cycles < 200 + 20 * kills, "{name}: {hit} of {cycles} kills hit anything, {parts} left a part");
    }
    figures.cycles += cycles;
    let left = if has_parts { format!(", {parts} left a part") } else { String::new() };
    figures.note(format!("{name}: {hit} of {cycles} in the middle{left}"));
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
