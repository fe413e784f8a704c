//! Files a second against the round-trip time, as an SVG.

use super::svg::{Anchor, BLACK, Svg};
use super::way::Way;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 440.0;

/// The plot's edges.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 600.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 370.0;

/// From one line's name to the next, at least.
const NAME_HEIGHT: f64 = 16.0;

/// They can be told apart by those who do not see all colours (Okabe and Ito).
const COLOURS: [&str; 9] =
    ["#0072B2", "#56B4E9", "#999999", "#BBBBBB", "#D55E00", "#E69F00", "#009E73", "#000000", "#CC79A7"];

/// Both scales: the round-trip times stand at equal distances, the files a second on a logarithmic one.
struct Scales<'a> {
    round_trips: &'a [u64],
    /// Powers of ten.
    lowest: f64,
    highest: f64,
}

/// A way's line.
struct Curve {
    name: String,
    colour: &'static str,
    points: Vec<(f64, f64)>,
}

/// Draws it.
pub(crate) fn draw(ways: &[Way], round_trips: &[u64], machine: &str, rate: impl Fn(Way, u64) -> Option<f64>) -> String {
    let all = || ways.iter().flat_map(|&way| round_trips.iter().map(move |&trip| (way, trip)));
    let powers = || all().filter_map(|(way, trip)| rate(way, trip)).map(f64::log10);
    let (lowest, highest) = (powers().fold(0.0, f64::min).floor(), powers().fold(1.0, f64::max).ceil());
    let scales = Scales { round_trips, lowest, highest };
    let curves = ways.iter().zip(COLOURS.iter().cycle()).map(|(&way, &colour)| {
        let points =
            (0..).zip(round_trips).filter_map(|(index, &trip)| Some((scales.x(index), scales.y(rate(way, trip)?))));
        Curve { name: way.name(), colour, points: points.collect() }
    });
    let mut curves: Vec<Curve> = curves.filter(|curve| !curve.points.is_empty()).collect();
    // Names from the top down, none over another.
    curves.sort_by(|one, other| one.last().1.total_cmp(&other.last().1));
    let title = "Small files collected a second, by the line's round-trip time";
    let mut svg = Svg::new(WIDTH, HEIGHT, LEFT, title);
    scales.draw(&mut svg);
    let mut free = TOP;
    for curve in &curves {
        free = curve.draw(free, &mut svg);
    }
    svg.finish("cargo bench --bench distance", machine)
}

impl Scales<'_> {
    fn x(&self, index: u32) -> f64 {
        let steps = u32::try_from(self.round_trips.len().max(2) - 1).unwrap_or(u32::MAX);
        LEFT + 30.0 + f64::from(index) * (RIGHT - LEFT - 60.0) / f64::from(steps)
    }

    fn y(&self, rate: f64) -> f64 {
        BOTTOM - (rate.log10() - self.lowest) / (self.highest - self.lowest) * (BOTTOM - TOP)
    }

    fn draw(&self, svg: &mut Svg) {
        let mut power = self.lowest;
        while power <= self.highest {
            let rate = 10_f64.powf(power);
            svg.rule((LEFT, RIGHT), self.y(rate), rate);
            power += 1.0;
        }
        for (index, round_trip) in (0..).zip(self.round_trips) {
            svg.text((self.x(index), BOTTOM + 20.0), Anchor::Middle, BLACK, format_args!("{round_trip} ms"));
        }
    }
}

impl Curve {
    /// Its name stands at `free` or below; returns where the next one may.
    fn draw(&self, free: f64, svg: &mut Svg) -> f64 {
        let Self { name, colour, points } = self;
        svg.curve(points, colour);
        let (end, at) = (self.last(), self.last().1.max(free));
        svg.add(format_args!(
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{RIGHT}\" y2=\"{at:.1}\" stroke=\"{colour}\" stroke-dasharray=\"2 3\"/>\n",
            end.0, end.1
        ));
        svg.text((RIGHT + 6.0, at + 4.0), Anchor::Start, colour, name);
        at + NAME_HEIGHT
    }

    fn last(&self) -> (f64, f64) {
        *self.points.last().expect("no line is without points")
    }
}
