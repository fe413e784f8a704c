//! CPU and memory against the number of sites, as an SVG. All scales are logarithmic: what grows in proportion is a straight
//! line at 45 degrees on equal ones.

use super::data::Figures;
use super::svg::{Anchor, BLACK, Svg};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 356.0;

/// Both plots' edges.
const TOP: f64 = 74.0;
const BOTTOM: f64 = 274.0;

/// From a plot's edges to its first and last point.
const MARGIN: f64 = 40.0;

/// A quantity against the number of sites.
struct Plot<'a> {
    left: f64,
    right: f64,
    title: &'a str,
    /// What stands after each value.
    unit: &'a str,
    colour: &'a str,
    /// Sites, and the value.
    points: Vec<(f64, f64)>,
    /// A value that is shown as well, and what it is.
    mark: Option<(f64, &'a str)>,
}

/// Draws it.
pub(crate) fn draw(runs: &[Figures], machine: &str) -> String {
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let points = |value: fn(&Figures) -> f64| runs.iter().map(|run| (run.sites as f64, value(run))).collect();
    let plots = [
        Plot {
            left: 70.0,
            right: 370.0,
            title: "CPU of the collector, in % of one core",
            unit: " %",
            colour: "#0072B2",
            points: points(|run| 100.0 * run.cpu),
            mark: Some((100.0, "one core")),
        },
        Plot {
            left: 440.0,
            right: 740.0,
            title: "Memory of the collector, in MiB",
            unit: " MiB",
            colour: "#D55E00",
            points: points(Figures::memory),
            mark: None,
        },
    ];
    let mut svg = Svg::new(WIDTH, HEIGHT, 70.0, "TLS sites with a file a minute each");
    for plot in &plots {
        plot.draw(&mut svg);
    }
    svg.finish("cargo bench --bench sites -- --data", machine)
}

impl Plot<'_> {
    fn draw(&self, svg: &mut Svg) {
        let values =
            || self.points.iter().map(|(_, value)| value.log10()).chain(self.mark.map(|(mark, _)| mark.log10()));
        let lowest = values().fold(f64::INFINITY, f64::min).floor();
        let highest = values().fold(f64::NEG_INFINITY, f64::max).ceil().max(lowest + 1.0);
        let sites = || self.points.iter().map(|(sites, _)| sites.log10());
        let (fewest, most) = (sites().fold(f64::INFINITY, f64::min), sites().fold(f64::NEG_INFINITY, f64::max));
        let width = self.right - self.left - 2.0 * MARGIN;
        let x = |sites: f64| self.left + MARGIN + (sites.log10() - fewest) / (most - fewest).max(f64::EPSILON) * width;
        let y = |value: f64| BOTTOM - (value.log10() - lowest) / (highest - lowest) * (BOTTOM - TOP);
        svg.text((self.left, TOP - 18.0), Anchor::Start, BLACK, self.title);
        let mut power = lowest;
        while power <= highest {
            let value = 10_f64.powf(power);
            svg.rule((self.left, self.right), y(value), value);
            power += 1.0;
        }
        if let Some((mark, what)) = self.mark {
            let (left, right, at) = (self.left, self.right, y(mark));
            svg.add(format_args!(
                "<line x1=\"{left}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\" stroke=\"#555555\" stroke-dasharray=\"5 4\"/>\n"
            ));
            svg.text((left + 4.0, at + 14.0), Anchor::Start, BLACK, what);
        }
        let points: Vec<(f64, f64)> = self.points.iter().map(|&(sites, value)| (x(sites), y(value))).collect();
        svg.curve(&points, self.colour);
        for (&(sites, value), &(x, y)) in self.points.iter().zip(&points) {
            let decimals = usize::from(value < 10.0);
            svg.text((x + 4.0, y - 9.0), Anchor::End, BLACK, format_args!("{value:.decimals$}{}", self.unit));
            svg.text((x, BOTTOM + 18.0), Anchor::Middle, BLACK, sites);
        }
        svg.text((f64::midpoint(self.left, self.right), BOTTOM + 36.0), Anchor::Middle, BLACK, "sites");
    }
}
