//! A terminal of our own, on which a program believes that a person is looking.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// What a child shows until it ends.
pub struct Screen {
    pub child: Child,
    reader: JoinHandle<Vec<u8>>,
}

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
        let mut master = File::from(master);
        let reader = std::thread::spawn(move || {
            let (mut shown, mut buffer) = (Vec::new(), [0; 4096]);
            // The end is an error (EIO) on Linux.
            while let Ok(count @ 1..) = master.read(&mut buffer) {
                shown.extend_from_slice(&buffer[..count]);
            }
            shown
        });
        Screen { child, reader }
    }

    /// All that was shown, once the child has ended.
    pub fn end(mut self) -> Vec<u8> {
        self.child.wait().expect("it is ours");
        self.reader.join().expect("it only reads")
    }
}
