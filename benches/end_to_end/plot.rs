//! Rate and latency against what grows, as a drawing that a browser shows.

use std::fmt::Write;

use crate::scenarios::Point;
use crate::table::grouped;

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 46.0;
const GAP: f64 = 130.0;

/// Two panels: against the backlog, and against the number of endpoints.
pub fn svg(by_backlog: &[Point], by_endpoints: &[Point]) -> String {
    let (width, height) = (2.0 * WIDTH + 2.0 * LEFT + GAP, HEIGHT + TOP + 70.0);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\" role=\"img\" aria-label=\"Rate and latency against backlog and against endpoints\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    panel(&mut text, LEFT, "pending deliveries in the store", by_backlog);
    panel(&mut text, LEFT + WIDTH + GAP, "endpoints, 5 % of them dead", by_endpoints);
    text.push_str("</svg>\n");
    text
}

fn panel(text: &mut String, left: f64, what: &str, points: &[Point]) {
    const RATE: &str = "#1f5fa8";
    const LATENCY: &str = "#c05020";
    let mut line = |part: String| writeln!(text, "{part}").expect("memory");
    let bottom = TOP + HEIGHT;
    line(format!(
        "<rect x=\"{left}\" y=\"{TOP}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"none\" stroke=\"#999999\"/>"
    ));
    line(format!("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{what}</text>", left + WIDTH / 2.0, bottom + 44.0));
    line(format!("<text x=\"{left}\" y=\"{}\" fill=\"{RATE}\">delivered a second</text>", TOP - 14.0));
    let right = left + WIDTH;
    line(format!(
        "<text x=\"{right}\" y=\"{}\" fill=\"{LATENCY}\" text-anchor=\"end\">acknowledgement p99, ms</text>",
        TOP - 14.0
    ));
    let most_rate = round_up(points.iter().map(|point| point.rate).fold(1.0, f64::max));
    let most_ms = round_up(points.iter().map(|point| point.p99.as_secs_f64() * 1000.0).fold(1.0, f64::max));
    for quarter in 0..=4 {
        let share = f64::from(quarter) / 4.0;
        let y = bottom - share * HEIGHT;
        line(format!("<line x1=\"{left}\" x2=\"{right}\" y1=\"{y}\" y2=\"{y}\" stroke=\"#dddddd\"/>"));
        let (rate, ms) = (grouped(share * most_rate), share * most_ms);
        line(format!("<text x=\"{}\" y=\"{}\" text-anchor=\"end\" fill=\"{RATE}\">{rate}</text>", left - 6.0, y + 4.0));
        line(format!("<text x=\"{}\" y=\"{}\" fill=\"{LATENCY}\">{ms:.1}</text>", right + 6.0, y + 4.0));
    }
    // Each step of the series at the same distance: it grows by factors.
    let x = |at: usize| left + 24.0 + (WIDTH - 48.0) * at as f64 / (points.len().max(2) - 1) as f64;
    for (at, point) in points.iter().enumerate() {
        let label = grouped(point.at);
        line(format!("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{label}</text>", x(at), bottom + 20.0));
    }
    for (colour, share) in [
        (RATE, Box::new(|point: &Point| point.rate / most_rate) as Box<dyn Fn(&Point) -> f64>),
        (LATENCY, Box::new(|point: &Point| point.p99.as_secs_f64() * 1000.0 / most_ms)),
    ] {
        let places: Vec<(f64, f64)> =
            points.iter().enumerate().map(|(at, point)| (x(at), bottom - share(point) * HEIGHT)).collect();
        let path: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        line(format!("<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>", path.join(" ")));
        for (x, y) in places {
            line(format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"/>"));
        }
    }
}

/// To one digit and zeros, upwards: the end of an axis.
fn round_up(value: f64) -> f64 {
    let unit = 10_f64.powf(value.log10().floor());
    (value / unit).ceil() * unit
}
