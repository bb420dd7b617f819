//! What the rows of the campaign share: how they are chosen, what they count, and the table in which that ends.
//! A row is a function that breaks something, checks what was promised, and panics where it does not hold.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use postrider::provider::dice::Dice;
use serde::{Deserialize, Serialize};

/// One kind of fault.
pub struct Row {
    /// As it is given on the command line.
    pub name: &'static str,
    /// What is done, and what must hold then, in a few words for the table.
    pub shown: &'static str,
    pub run: fn(&Campaign) -> Figures,
}

/// How far a run goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Minutes in all: what `./tests/run` does.
    Quick,
    /// An hour or more in all: what `./tests/campaign` does.
    Long,
}

/// What a row is told.
pub struct Campaign {
    pub scale: Scale,
    /// Everything that is drawn follows from it; it is printed, and given again by `--seed`.
    pub seed: u64,
    row: &'static str,
    started: Instant,
}

impl Campaign {
    pub fn pick<T>(&self, quick: T, long: T) -> T {
        match self.scale {
            Scale::Quick => quick,
            Scale::Long => long,
        }
    }

    /// Dice of this row; `stream` sets apart what is drawn for different purposes.
    pub fn dice(&self, stream: u64) -> Dice {
        Dice::new(self.seed ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// Says how far the row is: on a terminal in place, else not at all.
    pub fn progress(&self, done: u64, of: u64, what: &str) {
        let mut stderr = std::io::stderr();
        if stderr.is_terminal() {
            let seconds = self.started.elapsed().as_secs();
            let _ = write!(stderr, "\r\x1b[K{}: {what} {done} of {of}, {seconds} s", self.row);
            let _ = stderr.flush();
        }
    }
}

/// What a row counted. `None`: does not apply.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Figures {
    /// How often the fault was made.
    pub cycles: u64,
    /// Events acknowledged, or requests made, as the row's text says.
    pub events: Option<u64>,
    /// Acknowledged events that were neither delivered nor still owed. Must be 0: a row panics if it is not.
    pub lost: Option<u64>,
    /// Deliveries that arrived more than once.
    pub duplicated: Option<u64>,
    /// The longest time, of what `worst_of` names.
    pub worst: Option<Duration>,
    pub worst_of: String,
    /// Further figures, as `peak memory growth 3.1 MB`.
    pub notes: Vec<String>,
    /// Parts that this machine cannot run, each with what is missing.
    pub skipped: Vec<String>,
}

impl Figures {
    /// Keeps the longest.
    pub fn worse(&mut self, time: Duration) {
        self.worst = Some(self.worst.unwrap_or_default().max(time));
    }

    pub fn note(&mut self, text: impl Into<String>) {
        let text = text.into();
        // Each round may find the same.
        if !self.notes.contains(&text) {
            self.notes.push(text);
        }
    }

    /// A part that cannot be run here, told at once and again in the table.
    pub fn skip(&mut self, why: impl Into<String>) {
        let why = why.into();
        eprintln!("SKIPPED: {why}");
        self.skipped.push(why);
    }
}

enum Result {
    Held(Figures),
    Failed(String),
}

struct Done {
    row: &'static Row,
    result: Result,
    took: Duration,
}

struct Asked {
    scale: Scale,
    seed: u64,
    rows: Vec<&'static Row>,
}

/// Runs what the arguments name, all rows if none, and tells the table. Fails if a row does not hold.
pub fn conduct(rows: &'static [Row], arguments: impl Iterator<Item = String>) -> ExitCode {
    let asked = match read(rows, arguments) {
        Ok(Some(asked)) => asked,
        Ok(None) => {
            print!("{}", usage(rows));
            return ExitCode::SUCCESS;
        }
        Err(wrong) => {
            eprint!("{wrong}\n\n{}", usage(rows));
            return ExitCode::from(64);
        }
    };
    eprintln!("seed {}", asked.seed);
    let done: Vec<Done> = asked.rows.iter().map(|row| run(row, &asked)).collect();
    print!("\n{}", table(&done, &asked));
    let failed = done.iter().filter(|done| matches!(done.result, Result::Failed(_))).count();
    ExitCode::from(u8::from(failed > 0))
}

fn usage(rows: &[Row]) -> String {
    let mut text = "usage: ./tests/campaign [--quick] [--seed N] [ROW...]\n\nrows:\n".to_owned();
    for row in rows {
        let _ = writeln!(text, "  {:<12}{}", row.name, row.shown);
    }
    text
}

/// `None`: help is wanted.
fn read(
    rows: &'static [Row],
    mut arguments: impl Iterator<Item = String>,
) -> std::result::Result<Option<Asked>, String> {
    let drawn = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    let mut asked = Asked { scale: Scale::Quick, seed: drawn as u64 % 1_000_000, rows: Vec::new() };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--help" | "-h" => return Ok(None),
            "--quick" => asked.scale = Scale::Quick,
            "--long" => asked.scale = Scale::Long,
            "--seed" => {
                let given = arguments.next().and_then(|text| text.parse().ok());
                asked.seed = given.ok_or("--seed wants a number")?;
            }
            name => {
                let known = rows.iter().find(|row| row.name == name);
                asked.rows.push(known.ok_or_else(|| format!("there is no row {name:?}"))?);
            }
        }
    }
    if asked.rows.is_empty() {
        asked.rows.extend(rows);
    }
    Ok(Some(asked))
}

fn run(row: &'static Row, asked: &Asked) -> Done {
    eprintln!("\n== {}: {}", row.name, row.shown);
    let started = Instant::now();
    let campaign = Campaign { scale: asked.scale, seed: asked.seed, row: row.name, started };
    // The panic's own words have gone to stderr, with their place.
    let result = match catch_unwind(AssertUnwindSafe(|| (row.run)(&campaign))) {
        Ok(figures) => Result::Held(figures),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            Result::Failed(text.unwrap_or("it panicked").lines().next().unwrap_or_default().chars().take(200).collect())
        }
    };
    let took = started.elapsed();
    let ended = match &result {
        Result::Held(_) => "holds",
        Result::Failed(_) => "DOES NOT HOLD",
    };
    eprintln!("== {} {ended}, {:.1} s", row.name, took.as_secs_f64());
    let done = Done { row, result, took };
    // Now already: a long run that is cut off has told what it knew.
    eprint!("{}", line(&done));
    done
}

/// Markdown, as it stands in the README.
fn table(done: &[Done], asked: &Asked) -> String {
    let mut text =
        String::from("| row | what must hold | result | cycles | events | lost | doubled | worst | more |\n");
    text.push_str("|---|---|---|---|---|---|---|---|---|\n");
    text.extend(done.iter().map(line));
    let failed = done.iter().filter(|done| matches!(done.result, Result::Failed(_))).count();
    let skipped: usize = done
        .iter()
        .map(|done| match &done.result {
            Result::Held(figures) => figures.skipped.len(),
            Result::Failed(_) => 0,
        })
        .sum();
    let seconds: u64 = done.iter().map(|done| done.took.as_secs()).sum();
    let scale = match asked.scale {
        Scale::Quick => "quick",
        Scale::Long => "long",
    };
    let _ = writeln!(
        text,
        "\n{} rows, {failed} failed, {skipped} parts skipped; {scale}, seed {}, {} min {} s",
        done.len(),
        asked.seed,
        seconds / 60,
        seconds % 60
    );
    text
}

fn line(Done { row, result, took: _ }: &Done) -> String {
    let cells = match result {
        Result::Held(figures) => cells(figures),
        Result::Failed(why) => format!("**FAILED** | | | | | | {}", why.replace('|', "\\|")),
    };
    format!("| `{}` | {} | {cells} |\n", row.name, row.shown)
}

fn cells(figures: &Figures) -> String {
    let count = |count: Option<u64>| count.map_or_else(|| "–".to_owned(), |count| count.to_string());
    let result = match (figures.cycles, figures.skipped.len()) {
        (0, 1..) => "**SKIPPED**".to_owned(),
        (_, 0) => "holds".to_owned(),
        (_, parts) => format!("holds, **{parts} skipped**"),
    };
    let worst = match figures.worst {
        Some(time) if figures.worst_of.is_empty() => spoken(time),
        Some(time) => format!("{} {}", spoken(time), figures.worst_of),
        None => "–".to_owned(),
    };
    let mut more = figures.notes.clone();
    more.extend(figures.skipped.iter().map(|why| format!("**skipped**: {why}")));
    [
        result,
        figures.cycles.to_string(),
        count(figures.events),
        count(figures.lost),
        count(figures.duplicated),
        worst,
        more.join("; "),
    ]
    .join(" | ")
}

fn spoken(time: Duration) -> String {
    match time.as_micros() {
        0..1_000 => format!("{} us", time.as_micros()),
        1_000..1_000_000 => format!("{} ms", time.as_millis()),
        _ => format!("{:.2} s", time.as_secs_f64()),
    }
}
