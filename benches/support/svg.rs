//! An SVG with a title, curves over a grid, and what the figures come from. Its background is white: a page around it may
//! be dark.

use std::fmt::{self, Display, Write as _};

pub(crate) const BLACK: &str = "#000000";

/// An image that is being drawn. Lengths are in its own units, from its upper left corner.
pub(crate) struct Svg {
    text: String,
    height: f64,
    left: f64,
}

/// Which end of a text stands at its place.
#[derive(Clone, Copy)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

impl Svg {
    /// The title stands from `left` on, as does what [`Svg::finish`] writes.
    pub(crate) fn new(width: f64, height: f64, left: f64, title: &str) -> Self {
        let text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
             <text x=\"{left}\" y=\"22\" font-size=\"14\">{title}</text>\n"
        );
        Self { text, height, left }
    }

    pub(crate) fn add(&mut self, element: fmt::Arguments<'_>) {
        self.text.write_fmt(element).expect("a String takes all");
    }

    pub(crate) fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, colour: &str, text: impl Display) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        self.add(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{text}</text>\n"
        ));
    }

    /// A line of the grid, with its value on the left.
    pub(crate) fn rule(&mut self, (left, right): (f64, f64), y: f64, value: impl Display) {
        self.add(format_args!("<line x1=\"{left}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\" stroke=\"#dddddd\"/>\n"));
        self.text((left - 8.0, y + 4.0), Anchor::End, BLACK, value);
    }

    pub(crate) fn curve(&mut self, points: &[(f64, f64)], colour: &str) {
        let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        self.add(format_args!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n",
            path.join(" ")
        ));
        for (x, y) in points {
            self.add(format_args!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"/>\n"));
        }
    }

    /// The image, with the command that makes it and the machine that the figures are of.
    pub(crate) fn finish(mut self, command: &str, machine: &str) -> String {
        let machine = machine.replace('&', "&amp;").replace('<', "&lt;");
        let (left, y) = (self.left, self.height - 14.0);
        self.add(format_args!(
            "<text x=\"{left}\" y=\"{y:.1}\" font-size=\"11\" fill=\"#555555\">{command}, on {machine}</text>\n</svg>\n"
        ));
        self.text
    }
}
