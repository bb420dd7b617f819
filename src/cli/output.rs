//! Writing to stdout and stderr: text and tables for people, JSON for programs.
//! Data goes to stdout and a write that fails is told, except to a pipe that was closed: then the reader has had enough,
//! and the verb goes on in silence, so that its exit status stays true.
//! Talk goes to stderr and may be lost. Colours appear on a terminal only, and never if `NO_COLOR` or `TERM=dumb` say so.

use std::fmt::Write as _;
use std::io::{ErrorKind, IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};
use comfy_table::presets::NOTHING;
use comfy_table::{ColumnConstraint, ContentArrangement};
use owo_colors::Style;
use serde::Serialize;

use super::{Exit, Failure};
use crate::delivery::StateName;
use crate::plain::{plain, plain_json};

/// One JSON document on a line of its own.
pub fn json(answer: &impl Serialize) -> Result<(), Failure> {
    line(&plain_json(&serde_json::to_string(answer).expect("plain data")))
}

/// A line of text, in which everything foreign went through `terminal`.
pub fn line(text: &str) -> Result<(), Failure> {
    write(&format!("{text}\n"))
}

/// A line on stderr.
pub fn note(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let coloured = AutoStream::choice(&stderr) != ColorChoice::Never;
    // There is nowhere left to tell that this failed.
    let _ = stderr.write_all(format!("{}\n", painted(text, coloured)).as_bytes());
}

/// Foreign text, so that it can neither steer the terminal nor begin a line.
pub fn terminal(text: &str) -> String {
    plain(text)
}

fn write(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    let coloured = AutoStream::choice(&stdout) != ColorChoice::Never;
    let written = stdout.write_all(painted(text, coloured).as_bytes()).and_then(|()| stdout.flush());
    match written {
        Ok(()) => Ok(()),
        // Whoever read it wants no more of it; but a script may still ask for the exit status.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::new(Exit::Io, format!("standard output cannot be written: {error}"))),
    }
}

/// What a colour means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tint {
    Good,
    Waiting,
    Bad,
    Faint,
    /// The name of a field in somebody's JSON.
    Field,
}

impl Tint {
    const ALL: [Tint; 5] = [Tint::Good, Tint::Waiting, Tint::Bad, Tint::Faint, Tint::Field];

    /// Marks the beginning of a tint in a text. It has no width, so that tables can measure what is marked; and
    /// `plain` escapes it, so that no foreign text holds one.
    const fn mark(self) -> char {
        match self {
            Tint::Good => '\u{2060}',
            Tint::Waiting => '\u{2061}',
            Tint::Bad => '\u{2062}',
            Tint::Faint => '\u{2063}',
            Tint::Field => '\u{200b}',
        }
    }

    fn style(self) -> Style {
        match self {
            Tint::Good => Style::new().green(),
            Tint::Waiting => Style::new().yellow(),
            Tint::Bad => Style::new().red(),
            Tint::Faint => Style::new().dimmed(),
            Tint::Field => Style::new().cyan(),
        }
    }
}

/// Marks the end of every tint.
const END: char = '\u{2064}';

/// `text` in a colour wherever it is shown in colour; for `line`, `note` and the cells of a table.
pub fn tinted(tint: Tint, text: &str) -> String {
    format!("{}{text}{END}", tint.mark())
}

/// A state's name in its colour.
pub fn state(name: StateName) -> String {
    let tint = match name {
        StateName::Pending => Tint::Waiting,
        StateName::Delivered => Tint::Good,
        StateName::Dead => Tint::Bad,
        StateName::Cancelled => Tint::Faint,
    };
    tinted(tint, name.as_str())
}

/// Turns the marks into colours, or takes them out.
fn painted(text: &str, coloured: bool) -> String {
    const PLAIN: &str = "\x1b[0m";
    let mut shown = String::with_capacity(text.len());
    let mut open = false;
    for c in text.chars() {
        let begins = Tint::ALL.into_iter().find(|tint| tint.mark() == c);
        // A cell that was broken: its colour ends with its line instead of running through the next.
        let ends = open && (c == END || c == '\n');
        if let Some(tint) = begins.filter(|_| coloured) {
            shown.push_str(&tint.style().prefix_formatter().to_string());
            open = true;
        }
        if ends {
            shown.push_str(PLAIN);
            open = false;
        }
        if begins.is_none() && c != END {
            shown.push(c);
        }
    }
    shown
}

/// Rows below a header, in columns two spaces apart. On a terminal a row that is too wide is broken within its cells;
/// elsewhere every row is one line, however long.
pub struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(header: &[&str]) -> Self {
        Table { header: header.iter().map(|cell| tinted(Tint::Faint, cell)).collect(), rows: vec![] }
    }

    /// One cell a column; everything foreign in them went through `terminal`.
    pub fn row(&mut self, cells: Vec<String>) {
        assert_eq!(cells.len(), self.header.len(), "a row has a cell for each column");
        self.rows.push(cells);
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub fn print(self) -> Result<(), Failure> {
        write(&self.lines(width()))
    }

    fn lines(self, width: Option<u16>) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(NOTHING).set_header(self.header).add_rows(self.rows);
        match width {
            Some(width) => table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width),
            None => table.set_content_arrangement(ContentArrangement::Disabled),
        };
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        // What names the row is never broken: it is what people copy.
        if let Some(first) = table.column_mut(0) {
            first.set_constraint(ColumnConstraint::ContentWidth);
        }
        let mut lines = String::new();
        for line in table.lines() {
            let _ = writeln!(lines, "{}", line.trim_end());
        }
        lines
    }
}

/// The width of the terminal; `None` if stdout is none, or has none.
fn width() -> Option<u16> {
    let stdout = std::io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let wished = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let measured = || rustix::termios::tcgetwinsize(&stdout).ok().map(|size| size.ws_col);
    wished.or_else(measured).filter(|width| *width > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["delivery", "state", "why"]);
        table.row(vec!["dlv_1".into(), state(StateName::Dead), "one two three four five".into()]);
        table.row(vec!["dlv_22".into(), state(StateName::Delivered), String::new()]);
        table
    }

    #[test]
    fn marks_become_colours_or_nothing() {
        let text = format!("a {} b", state(StateName::Dead));
        assert_eq!(painted(&text, false), "a dead b");
        assert_eq!(painted(&text, true), "a \x1b[31mdead\x1b[0m b");
        let broken = tinted(Tint::Good, "one\ntwo");
        assert_eq!(painted(&broken, true), "\x1b[32mone\x1b[0m\ntwo");
        for tint in Tint::ALL {
            assert!(!terminal(&tinted(tint, "x")).contains([tint.mark(), END]), "foreign text can hold no mark");
        }
    }

    #[test]
    fn a_table_is_aligned_whatever_is_tinted_and_never_broken_without_a_terminal() {
        let lines = "delivery  state      why\ndlv_1     dead       one two three four five\ndlv_22    delivered\n";
        assert_eq!(painted(&table().lines(None), false), lines);
    }

    #[test]
    fn a_table_fits_the_terminal() {
        let lines = painted(&table().lines(Some(34)), false);
        assert!(lines.lines().all(|line| line.len() <= 34), "{lines}");
        assert!(lines.lines().count() > 3 && lines.contains("delivered"), "{lines}");
    }
}
