//! A terminal of our own, on which a program believes that a person is looking.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// What a child shows until it ends.
pub struct Screen {
    pub child: Child,
    reader: JoinHandle<Vec<u8>>,
    /// The child has ended, and what it left is all there is.
    ended: Arc<AtomicBool>,
}

/// Until nobody can write to it any more, or nothing comes though the child has ended: another may have its other end open.
fn read(mut master: File, ended: &AtomicBool) -> Vec<u8> {
    let (mut shown, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let was_ended = ended.load(Ordering::SeqCst);
        let ready = poll(&mut [PollFd::new(&master, PollFlags::IN)], Some(&GLANCE));
        match ready {
            Ok(0) if was_ended => return shown,
            Ok(0) | Err(_) => {}
            Ok(_) => match master.read(&mut buffer) {
                Ok(count @ 1..) => shown.extend_from_slice(&buffer[..count]),
                // On Linux the end is an error (EIO).
                Ok(0) | Err(_) => return shown,
            },
        }
    }
}

const GLANCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

impl Screen {
    /// Starts a command whose stdout and stderr are a terminal.
    pub fn start(command: &mut Command) -> Screen {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("a terminal of our own");
        let name = ptsname(&master, Vec::new()).expect("its name").into_string().expect("a path");
        let slave = OpenOptions::new().read(true).write(true).open(name).expect("its other end");
        command.env("TERM", "xterm-256color").env("COLUMNS", "120");
        let (out, err) = (slave.try_clone().unwrap(), slave);
        let child = command.stdout(Stdio::from(out)).stderr(Stdio::from(err)).spawn().expect("it starts");
        // The command holds the slave's handles until it is dropped or set anew; only the child may.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let ended = Arc::new(AtomicBool::new(false));
        let (master, told) = (File::from(master), ended.clone());
        let reader = std::thread::spawn(move || read(master, &told));
        Screen { child, reader, ended }
    }

    /// All that was shown, once the child has ended.
    pub fn end(mut self) -> Vec<u8> {
        self.child.wait().expect("it is ours");
        self.ended.store(true, Ordering::SeqCst);
        self.reader.join().expect("it only reads")
    }
}
