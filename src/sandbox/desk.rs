//! The desk: one thread that holds the world and its journal, and does one thing after another.
//! What it accepts is on disk before it is answered and before anything is sent for it; what is due by the clock it does
//! by itself, in the order in which it was due.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::journal::Journal;
use super::octamile::{self, File};
use super::tell::{Happening, Tell};
use super::world::{Command, Done, Entry, Notification, Refusal, World};
use super::{ensuro, tell};
use crate::daemon::clock::wall;
use crate::time::Time;

/// The wall is looked at this often, for it may be set by hand.
const LOOK: Duration = Duration::from_millis(250);
/// After a failure of the journal what is due is tried again after this.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why something was not done.
#[derive(Debug)]
pub enum Undone {
    Refused(Refusal),
    /// The journal cannot be written: nothing has changed, and it may work later.
    Unkept(String),
    /// The sandbox ends.
    Closed,
}

type Question = Box<dyn FnOnce(&World, Time) + Send>;

enum Ask {
    Perform(Command, oneshot::Sender<Result<Done, Undone>>),
    Look(Question),
    Handed(String),
}

/// Asks the thread. Cheap to clone; the thread ends when the last of them is gone.
#[derive(Clone)]
pub struct Desk(Sender<Ask>);

impl Desk {
    /// Starts the thread. Notifications that are owed go to `out`, those of an earlier life first.
    pub fn start(
        world: World,
        journal: Journal,
        certificate: Option<File>,
        out: UnboundedSender<Notification>,
        tell: Tell,
    ) -> Result<Desk, String> {
        let (asks, inbox) = channel();
        for notification in world.owed() {
            let _ = out.send(notification.clone());
        }
        let clerk = Clerk { world, journal, certificate, out, tell };
        let thread = std::thread::Builder::new().name("desk".into()).spawn(move || clerk.work(&inbox));
        thread.map_err(|error| format!("a thread cannot start: {error}"))?;
        Ok(Desk(asks))
    }

    /// Does what is asked: `Ok` follows its way to the disk.
    pub async fn perform(&self, command: Command) -> Result<Done, Undone> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Ask::Perform(command, answer)).map_err(|_| Undone::Closed)?;
        answered.await.map_err(|_| Undone::Closed)?
    }

    /// Answers a question about the world as it is now.
    pub async fn look<T: Send + 'static>(
        &self,
        question: impl FnOnce(&World, Time) -> T + Send + 'static,
    ) -> Result<T, Undone> {
        let (answer, answered) = oneshot::channel();
        let ask = Box::new(move |world: &World, now| {
            let _ = answer.send(question(world, now));
        });
        self.0.send(Ask::Look(ask)).map_err(|_| Undone::Closed)?;
        answered.await.map_err(|_| Undone::Closed)
    }

    /// The daemon has this notification, or refused it for good.
    pub fn handed(&self, id: &str) {
        let _ = self.0.send(Ask::Handed(id.to_owned()));
    }
}

/// A seed for what is made up.
pub fn seed() -> Result<u64, String> {
    getrandom::u64().map_err(|error| format!("the machine gives no random numbers: {error}"))
}

struct Clerk {
    world: World,
    journal: Journal,
    certificate: Option<File>,
    out: UnboundedSender<Notification>,
    tell: Tell,
}

impl Clerk {
    fn work(mut self, inbox: &Receiver<Ask>) {
        loop {
            let wait = match self.catch_up() {
                Ok(()) => self.wait(),
                Err(what) => {
                    self.told(&Happening::Trouble { what });
                    PATIENCE
                }
            };
            match inbox.recv_timeout(wait) {
                Ok(ask) => self.answer(ask),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::Perform(command, answer) => {
                let done = self.perform(command, wall());
                let _ = answer.send(done);
            }
            Ask::Look(question) => question(&self.world, self.world.no_earlier(wall())),
            Ask::Handed(id) => {
                self.world.handed(&id);
                // Lost, it is handed over again by the next start, and the daemon knows it by its id.
                if let Err(what) = self.journal.handed(&id) {
                    self.told(&Happening::Trouble { what });
                }
            }
        }
    }

    /// Does what is due.
    fn catch_up(&mut self) -> Result<(), String> {
        while let Some((at, command)) = self.world.due()
            && at <= wall()
        {
            let came_about = in_words(&command, &self.world);
            self.perform(command, at).map_err(|undone| match undone {
                Undone::Unkept(what) => what,
                Undone::Refused(refusal) => refusal.text().to_owned(),
                Undone::Closed => "the sandbox ends".to_owned(),
            })?;
            if let Some(what) = came_about {
                self.told(&Happening::CameAbout { what });
            }
        }
        Ok(())
    }

    fn wait(&self) -> Duration {
        self.world.due().map_or(LOOK, |(at, _)| at.since(wall()).to_std().clamp(Duration::from_millis(1), LOOK))
    }

    fn perform(&mut self, command: Command, at: Time) -> Result<Done, Undone> {
        let command = self.completed(command);
        self.world.check(&command).map_err(Undone::Refused)?;
        let seed = seed().map_err(Undone::Unkept)?;
        let entry = Entry { at: self.world.no_earlier(at), seed, command };
        self.journal.accept(&entry).map_err(Undone::Unkept)?;
        let done = self.world.apply(&entry).expect("it was checked just now");
        if let Some(notification) = &done.notification {
            // Nobody takes it any more: the next start hands it over.
            let _ = self.out.send(notification.clone());
        }
        Ok(done)
    }

    /// An approval gets the certificate that was given at the start.
    fn completed(&self, command: Command) -> Command {
        match command {
            Command::Octamile(octamile::Command::Approve { id, certificate: None }) => {
                Command::Octamile(octamile::Command::Approve { id, certificate: self.certificate.clone() })
            }
            other => other,
        }
    }

    fn told(&self, happening: &tell::Happening) {
        (self.tell)(wall(), happening);
    }
}

/// What time does, where the notification that follows does not tell it already.
fn in_words(command: &Command, world: &World) -> Option<String> {
    match command {
        Command::Octamile(octamile::Command::Approve { id, .. }) => {
            Some(format!("{id} is approved, as nobody decided it"))
        }
        Command::Octamile(octamile::Command::Decline { id, .. }) => {
            Some(format!("{id} is declined, as nobody decided it"))
        }
        Command::Ensuro(ensuro::Command::Expire { ensuro_id }) => {
            let number = world.ensuro.policy(ensuro_id).map_or(0, |policy| policy.id);
            Some(format!("policy {number} ({ensuro_id}) is expired"))
        }
        Command::Ensuro(_) | Command::Octamile(_) | Command::Settings(_) | Command::Advance { .. } => None,
    }
}
