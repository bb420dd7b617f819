//! How fast the whole program is: real processes, real sockets, a real disk. Load clients, the sender and its receivers share
//! the machine; what each figure is measured beside is run in turn with it.
//!
//!   cargo bench --bench end_to_end                       everything, about half an hour; ends with the table
//!   cargo bench --bench end_to_end -- --quick            the same in small, minutes
//!   cargo bench --bench end_to_end -- saturation         some of it: saturation, latency, start, backlog, hanging, endpoints,
//!                                                        signatures, batches
//!   cargo bench --bench end_to_end -- --plot FILE        also draws rate and latency against backlog and endpoints

mod bare;
mod batch;
mod fill;
mod machine;
mod plot;
mod run;
mod scenarios;
mod sender;
mod table;
mod wire;

/// As the program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use scenarios::Scale;
use sender::BARE;

const ALL: [&str; 8] = ["saturation", "latency", "start", "backlog", "hanging", "endpoints", "signatures", "batches"];

fn main() {
    let mut words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if words.first().is_some_and(|word| word == BARE) {
        return bare::run(words[1].parse().expect("a port"));
    }
    let scale = if take(&mut words, "--quick") { Scale::QUICK } else { Scale::WHOLE };
    let file =
        words.iter().position(|word| word == "--plot").map(|at| words.drain(at..=at + 1).nth(1).expect("a file"));
    if let Some(unknown) = words.iter().find(|word| !ALL.contains(&word.as_str())) {
        eprintln!("there is no {unknown}; there are {}", ALL.join(", "));
        std::process::exit(2);
    }
    let (mut lines, mut by_backlog, mut by_endpoints) = (Vec::new(), Vec::new(), Vec::new());
    for name in ALL.into_iter().filter(|name| words.is_empty() || words.iter().any(|word| word == name)) {
        let begun = std::time::Instant::now();
        let before = lines.len();
        match name {
            "saturation" => scenarios::saturation(scale, &mut lines),
            "latency" => scenarios::latency(scale, &mut lines),
            "start" => scenarios::start(scale, &mut lines),
            "backlog" => scenarios::backlog(scale, &mut lines, &mut by_backlog),
            "hanging" => scenarios::hanging(scale, &mut lines),
            "endpoints" => scenarios::endpoints(scale, &mut lines, &mut by_endpoints),
            "signatures" => scenarios::signatures(scale, &mut lines),
            _ => scenarios::batches(scale, &mut lines),
        }
        eprintln!("{name}, {} s", begun.elapsed().as_secs());
        eprint!("{}", table::table(&lines[before..]));
    }
    if let Some(file) = file {
        std::fs::write(file, plot::svg(&by_backlog, &by_endpoints)).expect("a file");
    }
    println!("{}", table::table(&lines));
}

fn take(words: &mut Vec<String>, word: &str) -> bool {
    let before = words.len();
    words.retain(|given| given != word);
    words.len() < before
}
