//! Who shares what: a row for each container, a column for each kind of namespace, with the limits that bind.

use std::collections::BTreeMap;

use inspect::Snapshot;
use inspect::relation::{self, Relation};
use inspect::snapshot::{Container, Spot, place};
use procfs::Kind;

use crate::see::list::{ORDER, limits, name};
use crate::see::picture::{Area, Canvas, Hand, Length};

const MARGIN: Length = 24;
const ROW: Length = 38;
const CELL: (Length, Length) = (52, 28);
const COLUMN: Length = 62;
const TOP: Length = 96;

const TITLE: Hand = Hand::new(20, "bold");
const HEADING: Hand = Hand::new(13, "bold");
const SUBTITLE: Hand = Hand::new(12, "dim");
const NAME: Hand = Hand::new(14, "");
/// What an ancestor set.
const ABOVE: char = '▲';
const NUMBER: Hand = Hand::new(11, "mono").middle();

/// Colours of namespaces that several share, with white on them: apart for most who see few colours too.
const COLOURS: [&str; 8] = ["#7b4fa3", "#b5651d", "#2e7d4f", "#a83261", "#4a5fb0", "#7a6a16", "#00796f", "#8d4a3a"];

/// The colours of namespaces by their places in the snapshot.
type Colours = BTreeMap<usize, &'static str>;

/// The namespaces of a container that are not the host's, in the order of [`ORDER`], by their places in the snapshot.
type Apart = [Option<usize>; 8];

/// How the rows stand below each other.
struct Layout<'s> {
    snapshot: &'s Snapshot,
    rows: Vec<(&'s Container, Apart)>,
    /// The left edge of the first column.
    left: Length,
}

/// The picture of these, and of the host.
pub(crate) fn draw(snapshot: &Snapshot, containers: Vec<&Container>) -> String {
    let rows = together(containers.into_iter().map(|one| (one, apart(snapshot, one))).collect());
    let names = rows.iter().map(|(container, _)| NAME.width(&name(container))).max().unwrap_or_default();
    let layout = Layout { snapshot, rows, left: MARGIN + names.max(60) + 20 };
    let limits_at = layout.left + COLUMN * 8 + 16;
    let limits: Vec<String> = layout.rows.iter().map(|(container, _)| limits(ABOVE, snapshot, container)).collect();
    let hand = |text: &str| if text.contains(ABOVE) { Hand::new(12, "alarm") } else { SUBTITLE };
    let longest = limits.iter().map(|text| hand(text).width(text)).max().unwrap_or_default().max(130);
    let words = "Joined in one colour: the same namespace. Filled: its own. Hollow: the host's.";
    let width = limits_at + longest + MARGIN;
    let mut canvas = Canvas::default();
    canvas.text(TITLE, (MARGIN, 38), width, "Who shares what");
    canvas.text(SUBTITLE, (MARGIN, 60), width, words);
    for (column, kind) in ORDER.into_iter().enumerate() {
        canvas.text(HEADING.middle(), (layout.column(column) + CELL.0 / 2, TOP - 12), COLUMN, kind.name());
    }
    canvas.text(HEADING, (limits_at, TOP - 12), longest, "limits that bind");
    layout.host(&mut canvas);
    let colours = ORDER.map(|kind| layout.colours(kind));
    for (row, ((container, _), limits)) in layout.rows.iter().zip(&limits).enumerate() {
        let y = layout.row(row + 1);
        canvas.text(NAME, (MARGIN, y + 19), layout.left - MARGIN, &name(container));
        for (column, (kind, colours)) in ORDER.into_iter().zip(&colours).enumerate() {
            layout.cell(&mut canvas, (row, column), kind, colours);
        }
        canvas.text(hand(limits), (limits_at, y + 18), longest, limits);
    }
    let end = layout.row(layout.rows.len() + 1);
    canvas.text(
        SUBTITLE,
        (MARGIN, end + 14),
        width,
        &format!("{ABOVE} set by an ancestor of the container's own group"),
    );
    canvas.document(width, end + 34, "Which containers share which namespaces")
}

fn apart(snapshot: &Snapshot, container: &Container) -> Apart {
    ORDER.map(|kind| {
        let spot = snapshot.first(container)?.namespaces.get(place(kind))?;
        let Spot::In(index) = *spot else { return None };
        snapshot.namespaces.get(index).filter(|one| !snapshot.is_hosts(one)).map(|_| index)
    })
}

/// The rows in an order in which those that share the most stand below each other.
fn together(mut left: Vec<(&Container, Apart)>) -> Vec<(&Container, Apart)> {
    let mut rows: Vec<(&Container, Apart)> = Vec::new();
    while !left.is_empty() {
        let common = |a: &Apart, b: &Apart| a.iter().zip(b).filter(|(a, b)| a.is_some() && a == b).count();
        let nearest = |(_, last): &(&Container, Apart)| {
            let all = left.iter().enumerate().map(|(at, (_, one))| (common(last, one), usize::MAX - at, at));
            all.max().map_or(0, |(_, _, at)| at)
        };
        let next = rows.last().map_or(0, nearest);
        rows.push(left.remove(next));
    }
    rows
}

impl Layout<'_> {
    fn column(&self, column: usize) -> Length {
        self.left + COLUMN * length(column)
    }

    fn row(&self, row: usize) -> Length {
        TOP + ROW * length(row)
    }

    fn at(&self, row: usize, column: usize) -> Area {
        Area { x: self.column(column), y: self.row(row), width: CELL.0, height: CELL.1 }
    }

    fn host(&self, canvas: &mut Canvas) {
        canvas.text(Hand::new(14, "bold"), (MARGIN, self.row(0) + 19), self.left - MARGIN, "host");
        for (column, kind) in ORDER.into_iter().enumerate() {
            let known = self.snapshot.host.namespaces.get(place(kind)).copied().flatten();
            let ino = known.map(|known| known.ino);
            let words =
                ino.map_or_else(|| format!("{}: not known", kind.name()), |ino| format!("{}:[{ino}]", kind.name()));
            let area = self.at(0, column);
            canvas.area(area, "hollow", &words);
            canvas.text(
                Hand { class: "mono dim", ..NUMBER },
                middle(area),
                COLUMN,
                &ino.map_or_else(|| "?".to_owned(), short),
            );
        }
    }

    fn cell(&self, canvas: &mut Canvas, (row, column): (usize, usize), kind: Kind, colours: &Colours) {
        let Some((container, apart)) = self.rows.get(row) else { return };
        let area = self.at(row + 1, column);
        let relation = relation::of(self.snapshot, container, kind);
        let namespace = self.snapshot.first(container).and_then(|first| self.snapshot.namespace_of(first, kind));
        let ino = namespace.map_or(0, |one| one.ino);
        let words = format!("{}:[{ino}] of {}", kind.name(), container.title());
        let (hand, text) = match relation {
            Relation::Own => {
                canvas.area(area, "own", &words);
                (Hand { class: "mono on", ..NUMBER }, short(ino))
            }
            Relation::Shared => {
                let spot = apart.get(column).copied().flatten();
                let colour = spot.and_then(|spot| colours.get(&spot)).copied().unwrap_or_default();
                let above = row.checked_sub(1).and_then(|above| self.rows.get(above));
                if above.is_some_and(|(_, above)| above.get(column).copied().flatten() == spot) {
                    let joint =
                        Area { x: area.x + 21, y: area.y - (ROW - CELL.1) - 2, width: 10, height: ROW - CELL.1 + 4 };
                    canvas.coloured(joint, colour, "");
                }
                let with: Vec<&str> = relation::with(self.snapshot, container, kind).map(Container::title).collect();
                canvas.coloured(area, colour, &format!("{words}, shared with {}", with.join(", ")));
                (Hand { class: "mono on", ..NUMBER }, short(ino))
            }
            Relation::Host => {
                canvas.area(area, "hollow", &words);
                (Hand { class: "mono dim", ..NUMBER }, short(ino))
            }
            Relation::Absent | Relation::Unreadable => {
                let word = if relation == Relation::Absent { "none" } else { "?" };
                canvas.area(
                    area,
                    "absent",
                    if relation == Relation::Absent { "there is none" } else { "could not be read" },
                );
                (Hand { class: "mono dim", ..NUMBER }, word.to_owned())
            }
        };
        canvas.text(hand, middle(area), COLUMN, &text);
    }

    /// The colours of a column's shared namespaces, in the order in which they stand.
    fn colours(&self, kind: Kind) -> Colours {
        let column = ORDER.iter().position(|one| *one == kind).unwrap_or_default();
        let mut colours = Colours::new();
        for (container, apart) in &self.rows {
            let is_shared = relation::of(self.snapshot, container, kind) == Relation::Shared;
            if let Some(spot) = apart.get(column).copied().flatten().filter(|_| is_shared) {
                let next = (colours.len() + column) % COLOURS.len();
                colours.entry(spot).or_insert_with(|| COLOURS.get(next).copied().unwrap_or_default());
            }
        }
        colours
    }
}

const fn middle(area: Area) -> (Length, Length) {
    (area.x + area.width / 2, area.y + area.height / 2 + 4)
}

/// The last digits of a namespace's number tell it from others.
fn short(ino: u64) -> String {
    format!("{:04}", ino % 10_000)
}

fn length(count: usize) -> Length {
    Length::try_from(count).unwrap_or(Length::MAX / COLUMN)
}
