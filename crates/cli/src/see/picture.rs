//! Pictures: SVG that needs nothing else, in light and dark. Text never leaves its place: what is too long for it is cut,
//! and stands whole where the pointer rests on it.

pub(crate) mod matrix;
pub(crate) mod passport;

use svg::node::Text;
use svg::node::element::{Element, Style};
use svg::node::{Node, Value};

use crate::report::harmless;

/// Colours by what they mean, for both backgrounds; the classes of everything that is drawn.
const STYLE: &str = "\
:root{--page:#fff;--ink:#1d2530;--dim:#647080;--line:#b8bec6;--rail:#e9edf1;--own:#1f6f8b;--alarm:#bf3526;--over:#f6dcd8}
@media(prefers-color-scheme:dark){:root{--page:#14181d;--ink:#e6eaee;--dim:#96a1ae;--line:#56606c;--rail:#2a323b;\
--own:#2c87a6;--alarm:#ff7b6b;--over:#4a2a27}}
.page{fill:var(--page)}
.rail{fill:var(--rail)}
.own{fill:var(--own)}
.over{fill:var(--over)}
.hollow{fill:none;stroke:var(--line);stroke-width:1.5}
.absent{fill:none;stroke:var(--line);stroke-dasharray:3 3}
.mark{fill:none;stroke:var(--dim);stroke-width:2}
.alarmed{fill:var(--alarm)}
.rung{fill:var(--dim)}
text{font-family:system-ui,'DejaVu Sans',sans-serif;fill:var(--ink)}
.dim{fill:var(--dim)}
.bold{font-weight:600}
.alarm{fill:var(--alarm);font-weight:600}
.on{fill:#fff}
.mono{font-family:ui-monospace,'DejaVu Sans Mono',monospace}";

/// A length or a place, in SVG's units.
pub(crate) type Length = u32;

/// How a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hand {
    /// Its height.
    pub(crate) size: Length,
    /// The classes of [`STYLE`].
    pub(crate) class: &'static str,
    /// Which end of it stands at the place given.
    pub(crate) anchor: Anchor,
}

/// Which part of a text stands at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    /// Its beginning.
    Start,
    /// Its middle.
    Middle,
    /// Its end.
    End,
}

impl Hand {
    /// Writes to the right of its place.
    pub(crate) const fn new(size: Length, class: &'static str) -> Self {
        Self { size, class, anchor: Anchor::Start }
    }

    /// Around its place.
    pub(crate) const fn middle(self) -> Self {
        Self { anchor: Anchor::Middle, ..self }
    }

    /// To the left of its place.
    pub(crate) const fn end(self) -> Self {
        Self { anchor: Anchor::End, ..self }
    }

    /// More than a text takes, whatever font the reader has: in thousandths of its height, the widths of DejaVu Sans, which
    /// is wider than other fonts for screens.
    pub(crate) fn width(self, text: &str) -> Length {
        let bold = if self.class.contains("bold") || self.class.contains("alarm") { 110 } else { 100 };
        let is_mono = self.class.contains("mono");
        let thousandths = text.chars().map(|letter| match letter {
            letter if letter.is_ascii() && is_mono => 610,
            'i' | 'j' | 'l' | ' ' | '.' | ',' | ':' | ';' | '\'' | '|' | '/' | 'I' => 340,
            'f' | 't' | 'r' | '(' | ')' | '[' | ']' | '-' => 430,
            'm' | 'w' | 'M' | 'W' | '@' | '%' => 1000,
            'A'..='Z' | '=' | '+' | '<' | '>' | '~' | '#' | '_' => 850,
            letter if letter.is_ascii() => 650,
            _ => 1050,
        });
        thousandths.sum::<Length>().saturating_mul(self.size).saturating_mul(bold) / 100_000 + 1
    }

    /// As much of a text as fits into a width.
    pub(crate) fn cut(self, text: &str, width: Length) -> String {
        if self.width(text) <= width {
            return text.to_owned();
        }
        let mut kept = String::new();
        for letter in text.chars() {
            if self.width(&format!("{kept}{letter}…")) > width {
                break;
            }
            kept.push(letter);
        }
        format!("{}…", kept.trim_end())
    }
}

/// A box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Area {
    /// Its left edge.
    pub(crate) x: Length,
    /// Its upper edge.
    pub(crate) y: Length,
    /// From left to right.
    pub(crate) width: Length,
    /// From top to bottom.
    pub(crate) height: Length,
}

/// What is drawn so far, from the top downwards.
#[derive(Debug, Default)]
pub(crate) struct Canvas(Vec<Element>);

impl Canvas {
    /// Writes a text that starts, ends or is centred at a place, cut to a width.
    pub(crate) fn text(&mut self, hand: Hand, (x, y): (Length, Length), width: Length, text: &str) {
        let text = harmless(text);
        let shown = hand.cut(&text, width);
        let mut element = with("text", [("x", x), ("y", y), ("font-size", hand.size)]);
        element.assign("class", hand.class);
        match hand.anchor {
            Anchor::Start => {}
            Anchor::Middle => element.assign("text-anchor", "middle"),
            Anchor::End => element.assign("text-anchor", "end"),
        }
        if shown != text {
            element.append(titled(&text));
        }
        element.append(Text::new(shown));
        self.0.push(element);
    }

    /// Draws a box with round corners; `whole` is shown where the pointer rests on it.
    pub(crate) fn area(&mut self, area: Area, class: &str, whole: &str) {
        let mut element = self::area(area, class);
        element.append(titled(&harmless(whole)));
        self.0.push(element);
    }

    /// The same without words.
    pub(crate) fn plain(&mut self, area: Area, class: &str) {
        self.0.push(self::area(area, class));
    }

    /// The same in a colour.
    pub(crate) fn coloured(&mut self, area: Area, colour: &str, whole: &str) {
        let mut element = self::area(area, "");
        element.assign("fill", colour);
        if !whole.is_empty() {
            element.append(titled(&harmless(whole)));
        }
        self.0.push(element);
    }

    /// A filled or a hollow point.
    pub(crate) fn point(&mut self, (x, y): (Length, Length), class: &str) {
        let mut element = with("circle", [("cx", x), ("cy", y), ("r", 5)]);
        element.assign("class", class);
        self.0.push(element);
    }

    /// The document: `title` is what a reader who does not see it is told.
    pub(crate) fn document(self, width: Length, height: Length, title: &str) -> String {
        let mut svg = Element::new("svg");
        svg.assign("xmlns", "http://www.w3.org/2000/svg");
        svg.assign("viewBox", format!("0 0 {width} {height}"));
        svg.assign("width", width);
        svg.assign("height", height);
        svg.assign("role", "img");
        svg.append(titled(&harmless(title)));
        svg.append(Style::new(STYLE));
        svg.append(self::area(Area { x: 0, y: 0, width, height }, "page"));
        for element in self.0 {
            svg.append(element);
        }
        svg.to_string()
    }
}

fn with<const N: usize>(name: &str, attributes: [(&str, Length); N]) -> Element {
    let mut element = Element::new(name);
    for (name, value) in attributes {
        element.assign(name, Value::from(value));
    }
    element
}

fn area(area: Area, class: &str) -> Element {
    let Area { x, y, width, height } = area;
    let corner = if width.min(height) >= 16 { 6 } else { width.min(height).div_ceil(3) };
    let mut element = with("rect", [("x", x), ("y", y), ("width", width), ("height", height), ("rx", corner)]);
    if !class.is_empty() {
        element.assign("class", class);
    }
    element
}

fn titled(text: &str) -> Element {
    let mut title = Element::new("title");
    title.append(Text::new(text));
    title
}

#[cfg(test)]
mod tests {
    use super::*;

    const HAND: Hand = Hand::new(12, "dim");

    #[test]
    fn what_is_too_long_is_cut_within_its_width_and_kept_whole_in_its_title() {
        let long = "a name that goes on and on and on";
        let cut = HAND.cut(long, 100);
        assert!(cut.ends_with('…') && HAND.width(&cut) <= 100, "{cut}");
        assert_eq!(HAND.cut("web", 100), "web");
        let mut canvas = Canvas::default();
        canvas.text(HAND, (0, 10), 100, long);
        assert!(canvas.document(200, 20, "picture").contains(&format!("<title>{long}</title>")));
    }

    #[test]
    fn names_cannot_leave_their_place_in_the_document() {
        let mut canvas = Canvas::default();
        canvas.text(HAND, (0, 10), 4000, "</text><script>alert(1)</script>&\x1b[31m\u{202e}");
        let document = canvas.document(4000, 20, "<\"&>");
        assert!(!document.contains("<script") && !document.contains('\x1b') && !document.contains('\u{202e}'));
        assert!(
            document.contains("&lt;/text&gt;&lt;script&gt;") && document.contains("<title>&lt;\"&amp;&gt;</title>")
        );
    }
}
