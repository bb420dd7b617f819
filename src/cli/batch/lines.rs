//! The lines of a batch: read on a thread of its own, some at a time, in bounded memory however long the file is.
//! A line without an id gets one that follows from its place and from all bytes of its file: the same file again names the
//! same events, and no other file does.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::api::line;
use crate::cli::{Exit, Failure, is_stdin, shown};
use crate::operations::Submission;
use crate::operations::answer::Problem;
use crate::signature::hex;

/// The most lines of one commit, and about the most bytes of them.
const TOGETHER: usize = 500;
const BYTES_TOGETHER: usize = 4 * 1024 * 1024;
/// So many commits' worth of lines is read ahead.
const AHEAD: usize = 2;
/// How long a wish to stop may go unheard while nothing comes.
const PACE: Duration = Duration::from_millis(50);

/// One line of a batch.
#[derive(Debug)]
pub struct Line {
    /// From 1.
    pub number: u64,
    /// Without its end; `None` if it has more bytes than any line may have.
    text: Option<Vec<u8>>,
    most: usize,
    /// SHA-256 of the whole file, if a line without an id gets one.
    file: Option<[u8; 32]>,
}

impl Line {
    /// It counts, but says nothing.
    pub fn is_empty(&self) -> bool {
        self.text.as_ref().is_some_and(|text| text.trim_ascii().is_empty())
    }

    /// The envelope as it is handed in. What is no JSON object stays as it is, for whoever refuses it.
    pub fn envelope(&self) -> Result<Cow<'_, [u8]>, Problem> {
        let Some(text) = &self.text else { return Err(line::too_large(self.most)) };
        let named = self.file.and_then(|file| named(text, &file, self.number));
        Ok(named.map_or(Cow::Borrowed(text), Cow::Owned))
    }

    /// The event that it holds.
    pub fn submission(&self) -> Result<Submission, Problem> {
        line::submission(&self.envelope()?)
    }
}

/// The members of a JSON object in their order, each value byte for byte.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut all = Vec::new();
                while let Some(member) = map.next_entry()? {
                    all.push(member);
                }
                Ok(Members(all))
            }
        }
        deserializer.deserialize_map(Each)
    }
}

/// The same envelope with an id; `None` if it has one, or is no envelope.
fn named(text: &[u8], file: &[u8; 32], number: u64) -> Option<Vec<u8>> {
    let Members(members) = serde_json::from_slice(text).ok()?;
    let is_id = |name: &str| name == "id";
    if members.iter().any(|(name, value)| is_id(name) && value.get() != "null") {
        return None;
    }
    let mut whole = format!("{{\"id\":\"{}\"", derived_id(file, number)).into_bytes();
    for (name, value) in members.iter().filter(|(name, _)| !is_id(name)) {
        whole.push(b',');
        serde_json::to_writer(&mut whole, name).expect("a text is JSON");
        whole.push(b':');
        whole.extend_from_slice(value.get().as_bytes());
    }
    whole.push(b'}');
    Some(whole)
}

/// `line_` and 40 hex digits of SHA-256 over the file's own and the number of the line.
fn derived_id(file: &[u8; 32], number: u64) -> String {
    let mut hash = Sha256::new();
    hash.update(file);
    hash.update(number.to_be_bytes());
    format!("line_{}", &hex(hash.finalize().as_slice())[..40])
}

/// The lines of a file or of stdin, some at a time.
pub struct Lines {
    pieces: Receiver<Result<Vec<Line>, Failure>>,
    stop: Arc<AtomicBool>,
}

/// What is to be read, and how.
pub struct Reading {
    /// The most bytes of a line.
    pub most: usize,
    /// Whether a line without an id gets one: then it is a file, which is read twice.
    pub named: bool,
    /// Once it is set, no more lines are given.
    pub stop: Arc<AtomicBool>,
    /// How many bytes were read so far.
    pub read: Arc<AtomicU64>,
}

impl Lines {
    /// Begins to read; answers also how many bytes there are, if that is known.
    pub fn open(path: &Path, reading: Reading) -> Result<(Lines, Option<u64>), Failure> {
        let place = shown(path);
        let unreadable = move |error: io::Error| {
            let exit = if error.kind() == io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Io };
            Failure::new(exit, format!("{place} cannot be read: {error}"))
        };
        let digest = match reading.named {
            true => Some(digest(path).map_err(&unreadable)?),
            false => None,
        };
        let (reader, size): (Box<dyn Read + Send>, Option<u64>) = match is_stdin(path) {
            true => (Box::new(io::stdin()), None),
            false => {
                let file = std::fs::File::open(path).map_err(&unreadable)?;
                let size = file.metadata().ok().filter(|found| found.is_file()).map(|found| found.len());
                (Box::new(file), size)
            }
        };
        let (sender, pieces) = sync_channel(AHEAD);
        let stop = reading.stop.clone();
        let read = move || {
            let read = read_all(reader, &reading, digest, &sender);
            // Nobody wants more of it: then nobody wants to know of this either.
            let _ = read.or_else(|error| sender.send(Err(unreadable(error))));
        };
        let started = std::thread::Builder::new().name("lines".into()).spawn(read);
        started.map_err(|error| Failure::new(Exit::Io, format!("a thread cannot start: {error}")))?;
        Ok((Lines { pieces, stop }, size))
    }

    /// The next lines; `None` after the last, or once it was asked to stop.
    pub fn piece(&mut self) -> Result<Option<Vec<Line>>, Failure> {
        while !self.stop.load(Ordering::Relaxed) {
            match self.pieces.recv_timeout(PACE) {
                Ok(piece) => return piece.map(Some),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        Ok(None)
    }
}

/// SHA-256 of a whole file.
fn digest(path: &Path) -> io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let mut reader = BufReader::with_capacity(256 * 1024, std::fs::File::open(path)?);
    loop {
        let part = reader.fill_buf()?;
        if part.is_empty() {
            return Ok(hash.finalize().into());
        }
        hash.update(part);
        let length = part.len();
        reader.consume(length);
    }
}

/// Ends with the lines, or when nobody takes them any more.
fn read_all(
    reader: Box<dyn Read + Send>,
    reading: &Reading,
    digest: Option<[u8; 32]>,
    pieces: &SyncSender<Result<Vec<Line>, Failure>>,
) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(256 * 1024, reader);
    let (mut piece, mut bytes, mut number) = (Vec::new(), 0, 0);
    while let Some((text, length)) = one_line(&mut reader, reading.most)? {
        number += 1;
        bytes += text.as_ref().map_or(0, Vec::len);
        reading.read.fetch_add(length, Ordering::Relaxed);
        piece.push(Line { number, text, most: reading.most, file: digest });
        // Nothing waits for what is not there yet.
        let is_whole = piece.len() >= TOGETHER || bytes >= BYTES_TOGETHER || !reader.buffer().contains(&b'\n');
        if is_whole {
            bytes = 0;
            if pieces.send(Ok(std::mem::take(&mut piece))).is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// A line without its end, or `None` if it is too long; and how many bytes were read for it.
type Found = (Option<Vec<u8>>, u64);

fn one_line(reader: &mut impl BufRead, most: usize) -> io::Result<Option<Found>> {
    let mut text = Vec::new();
    let mut length = reader.by_ref().take(most as u64 + 2).read_until(b'\n', &mut text)? as u64;
    if length == 0 {
        return Ok(None);
    }
    if text.pop_if(|last| *last == b'\n').is_some() || text.len() <= most {
        text.pop_if(|last| *last == b'\r');
        return Ok(Some((Some(text).filter(|text| text.len() <= most), length)));
    }
    // The rest of it is passed over.
    loop {
        let buffer = reader.fill_buf()?;
        let (passed, ended) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        reader.consume(passed);
        length += passed as u64;
        if ended {
            return Ok(Some((None, length)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8], most: usize) -> Vec<Option<Vec<u8>>> {
        let mut reader = BufReader::with_capacity(3, text);
        std::iter::from_fn(|| one_line(&mut reader, most).unwrap()).map(|(line, _)| line).collect()
    }

    #[test]
    fn lines_end_where_they_end_and_long_ones_are_passed_over() {
        let some = |text: &str| Some(text.as_bytes().to_vec());
        assert_eq!(
            all(b"a\r\nbb\n\nlong one\nabcd\nlast", 4),
            [some("a"), some("bb"), some(""), None, some("abcd"), some("last")]
        );
        assert_eq!(all(b"long one", 4), [None]);
        assert_eq!(all(b"", 4), []);
    }

    #[test]
    fn an_id_follows_from_the_place_and_the_bytes_and_changes_no_body() {
        let line = br#"{"type":"a.b","body": { "x" : 1.0, "y":[ ] } }"#;
        let file = [7; 32];
        let text = String::from_utf8(named(line, &file, 7).unwrap()).unwrap();
        let id = derived_id(&file, 7);
        assert_eq!(text, format!("{{\"id\":\"{id}\",\"type\":\"a.b\",\"body\":{{ \"x\" : 1.0, \"y\":[ ] }}}}"));
        assert_eq!(id.len(), 45);
        assert_ne!(derived_id(&file, 8), id);
        assert_ne!(derived_id(&[8; 32], 7), id);
        assert!(named(br#"{"id":null,"body":1}"#, &file, 1).unwrap().ends_with(b",\"body\":1}"));
        for kept in [r#"{"id":"a","body":1}"#, "[1]", "{", ""] {
            assert_eq!(named(kept.as_bytes(), &file, 1), None, "{kept}");
        }
    }
}
