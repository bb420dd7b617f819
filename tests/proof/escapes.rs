//! Row `escapes`: strings that steer terminals, break lines and forge them, put wherever somebody else's text comes in,
//! by command line, file, environment, HTTP and what receivers answer; and then every place looked at that shows anything.
//! Each string is either refused in words or shown escaped; no request and no answer gets a header by it.

mod answers;
mod asked;
mod command;
mod strings;
mod tally;
mod terminal;
mod workbench;

use crate::campaign::{Campaign, Figures};
use tally::Tally;

pub fn run(campaign: &Campaign) -> Figures {
    strings::prove_the_eye();
    let tally = Tally::default();
    for (number, part) in [command::run, asked::run, answers::run, workbench::run].into_iter().enumerate() {
        campaign.progress(number as u64, 4, "kinds of places");
        part(campaign, &tally);
    }
    let sum = tally.sum();
    assert!(sum.found.is_empty(), "{} raw escapes:\n{}", sum.found.len(), sum.found.join("\n"));
    // Strings that nothing ever showed would prove nothing.
    assert!(sum.marked * 10 > sum.looked, "of {} texts only {} showed a string", sum.looked, sum.marked);
    let mut figures = Figures { cycles: sum.tried, ..Figures::default() };
    figures.note(format!(
        "{} strings x {} places; {} texts looked at, {} of them with a string in it, raw escapes 0",
        strings::strings().len(),
        sum.places,
        sum.looked,
        sum.marked
    ));
    figures
}
