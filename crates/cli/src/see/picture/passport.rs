//! One container or process as a picture: what isolates it, what limits it and who set that, the doors to the host, what of
//! the host it has.

use inspect::Snapshot;
use inspect::door::{self, Door, Width};
use inspect::ladder::{self, Ladder, Resource};
use inspect::relation::{self, Relation};
use inspect::snapshot::{Container, Engine, Mount, Reading};
use procfs::Kind;

use crate::see::list::{ORDER, engine, quantity};
use crate::see::passport::{chosen, levels, linked_by, listens_at, word};
use crate::see::picture::{Area, Canvas, Hand, Length};

const MARGIN: Length = 24;
const WIDTH: Length = 860;
/// The width between the margins.
const INNER: Length = WIDTH - 2 * MARGIN;

const TITLE: Hand = Hand::new(22, "bold");
const HEADING: Hand = Hand::new(11, "dim bold");
const BODY: Hand = Hand::new(13, "");
const NOTE: Hand = Hand::new(11, "dim");
const EVIDENCE: Hand = Hand::new(11, "dim mono");

const TOP: Length = 108;
const TILE: (Length, Length) = (158, 46);
const TILES: (Length, Length) = (168, 54);
/// Where the limits begin, and how wide their bars are.
const BARS: (Length, Length) = (392, WIDTH - MARGIN - 392);
/// The longest lists end here, and say so.
const LONGEST: usize = 24;

/// The picture of a container, or of a process in the form of one.
pub(crate) fn draw(snapshot: &Snapshot, container: &Container) -> String {
    let mut canvas = Canvas::default();
    let of = if container.engine == Engine::Sandbox { "no container" } else { engine(container.engine) };
    let levels = snapshot.first(container).map(levels).unwrap_or_default();
    let count = container.processes.len();
    let plural = if count == 1 { "" } else { "es" };
    canvas.text(TITLE, (MARGIN, 42), INNER, container.title());
    let words = format!("{of} {} · {levels} · {count} process{plural}", container.short_id());
    canvas.text(Hand::new(13, "dim"), (MARGIN, 64), INNER, &words);
    canvas.text(HEADING, (MARGIN, TOP - 12), INNER, "ISOLATED BY");
    canvas.text(HEADING, (BARS.0, TOP - 12), BARS.1, "LIMITED BY");
    canvas.text(
        NOTE.end(),
        (BARS.0 + BARS.1, TOP - 12),
        BARS.1,
        "each doubling takes the same way, up to the whole host",
    );
    for (number, kind) in ORDER.into_iter().enumerate() {
        tile(&mut canvas, snapshot, container, (number, kind));
    }
    let mut limits_end = TOP;
    for resource in Resource::ALL {
        limits_end = limit(&mut canvas, snapshot, container, (resource, limits_end));
    }
    let mut y = limits_end.max(TOP + 4 * TILES.1) + 26;
    y = doors(&mut canvas, &door::of(snapshot, container), y);
    y = mounts(&mut canvas, container, y);
    let network = [("LINKS", linked_by(snapshot, container)), ("LISTENS AT", listens_at(snapshot, container))];
    for (heading, told) in network.into_iter().filter_map(|(heading, told)| Some((heading, told?))) {
        canvas.text(HEADING, (MARGIN, y), INNER, heading);
        canvas.text(BODY, (MARGIN, y + 20), INNER, &told);
        y += 46;
    }
    y = blind(&mut canvas, snapshot, y);
    let host = &snapshot.host;
    let source = format!("read from the kernel {} with {} CPUs: /proc, /sys/fs/cgroup", host.kernel, host.cpus);
    canvas.text(NOTE, (MARGIN, y + 4), INNER, &source);
    canvas.document(
        WIDTH,
        y + 22,
        &format!("{}: what isolates it, what limits it, which doors to the host are open", container.title()),
    )
}

fn tile(canvas: &mut Canvas, snapshot: &Snapshot, container: &Container, (number, kind): (usize, Kind)) {
    let number = Length::try_from(number).unwrap_or_default();
    let area = Area { x: MARGIN + number % 2 * TILES.0, y: TOP + number / 2 * TILES.1, width: TILE.0, height: TILE.1 };
    let relation = relation::of(snapshot, container, kind);
    let namespace = snapshot.first(container).and_then(|first| snapshot.namespace_of(first, kind));
    let with: Vec<&str> = relation::with(snapshot, container, kind).map(Container::title).collect();
    let (class, words, ink) = match relation {
        Relation::Own => ("own", "its own".to_owned(), ("bold on", "on", "mono on")),
        Relation::Shared => ("rung", format!("with {}", with.join(", ")), ("bold on", "on", "mono on")),
        Relation::Host => ("hollow", "the host's".to_owned(), ("bold", "dim", "mono dim")),
        Relation::Absent | Relation::Unreadable => ("absent", word(relation).to_owned(), ("bold", "dim", "mono dim")),
    };
    let whole = namespace.map_or_else(String::new, |one| {
        format!("{}:[{}], keeps apart {}", kind.name(), one.ino, relation::isolates(kind))
    });
    canvas.area(area, class, &whole);
    canvas.text(Hand::new(14, ink.0), (area.x + 12, area.y + 19), 80, kind.name());
    canvas.text(Hand::new(11, ink.1), (area.x + 12, area.y + 36), TILE.0 - 20, &words);
    let ino = namespace.map_or_else(String::new, |one| (one.ino % 100_000).to_string());
    canvas.text(Hand::new(10, ink.2).end(), (area.x + TILE.0 - 10, area.y + 18), 60, &ino);
}

/// A resource from nothing to the whole host, with what is used and every limit on the way up; gives the place below it.
fn limit(canvas: &mut Canvas, snapshot: &Snapshot, container: &Container, (resource, y): (Resource, Length)) -> Length {
    let ladder = ladder::of(snapshot, &container.groups, resource);
    let (x, width) = BARS;
    let effective = ladder.effective();
    let (hand, words) = match effective {
        Reading::At(_) => (Hand::new(13, "alarm"), format!("{} effective", quantity(resource, effective))),
        Reading::Unlimited => (BODY, "no limit: the whole host".to_owned()),
        Reading::Absent => (BODY, "not counted here".to_owned()),
        Reading::Unreadable => (BODY, "could not be read".to_owned()),
    };
    canvas.text(Hand::new(14, "bold"), (x, y + 16), 120, resource.name());
    canvas.text(hand.end(), (x + width, y + 16), 240, &words);
    let bar =
        |from: Length, to: Length| Area { x: x + from, y: y + 26, width: to.saturating_sub(from).max(3), height: 12 };
    let scale = Scale::of(snapshot, resource, &ladder);
    canvas.area(
        bar(0, width),
        "rail",
        &format!(
            "from {} to {}",
            quantity(resource, Reading::At(scale.least)),
            quantity(resource, Reading::At(scale.most))
        ),
    );
    if let Reading::At(limit) = effective {
        canvas.plain(bar(scale.place(limit), width), "over");
    }
    let used = match ladder.usage() {
        Reading::At(used) => {
            canvas.plain(bar(0, scale.place(used)), "own");
            format!("{} used", quantity(resource, Reading::At(used)))
        }
        _ => String::new(),
    };
    let mut below = y + 54;
    if !used.is_empty() {
        canvas.text(NOTE, (x, below), width, &used);
        below += 15;
    }
    for (number, rung) in ladder.rungs.iter().enumerate() {
        let Reading::At(limit) = rung.limited.limit else { continue };
        let binds = ladder.binds().is_some_and(|binds| std::ptr::eq(binds, rung));
        let place = scale.place(limit).min(width.saturating_sub(2));
        canvas.plain(Area { x: x + place, y: y + 22, width: 2, height: 20 }, if binds { "alarmed" } else { "rung" });
        let at = if number == 0 { "by its own group".to_owned() } else { format!("at {}", rung.group.path.display()) };
        let words = format!("{} {at}{}", quantity(resource, Reading::At(limit)), if binds { " ◀ binds" } else { "" });
        canvas.text(if binds { Hand::new(11, "alarm") } else { NOTE }, (x, below), width, &words);
        below += 15;
    }
    below + 8
}

/// Places on a bar; each doubling takes the same way, so that 32 MiB and 24 GiB are both to be seen.
struct Scale {
    least: u64,
    most: u64,
}

impl Scale {
    fn of(snapshot: &Snapshot, resource: Resource, ladder: &Ladder<'_>) -> Self {
        let (least, most) = match resource {
            Resource::Memory => (1 << 16, snapshot.host.memory_bytes),
            Resource::Cpu => (10_000, snapshot.host.cpus.saturating_mul(1_000_000)),
            Resource::Pids => (1, 32_768),
        };
        let limits = ladder
            .rungs
            .iter()
            .filter_map(|rung| if let Reading::At(limit) = rung.limited.limit { Some(limit) } else { None });
        Self { least, most: limits.chain([most, least.saturating_mul(2)]).max().unwrap_or(most) }
    }

    fn place(&self, value: u64) -> Length {
        // In 1/256 of a doubling: fine enough for a bar.
        let doublings = |value: u64| {
            let whole = u64::from(value.max(1).ilog2());
            let rest = ((u128::from(value.max(1)) * 256) >> whole) - 256;
            whole * 256 + u64::try_from(rest).unwrap_or_default()
        };
        let (least, most) = (doublings(self.least), doublings(self.most));
        let place = doublings(value.clamp(self.least, self.most)) - least;
        Length::try_from(place * u64::from(BARS.1) / (most - least).max(1)).unwrap_or(BARS.1)
    }
}

fn doors(canvas: &mut Canvas, doors: &[Door], mut y: Length) -> Length {
    let words = if doors.is_empty() { "DOORS TO THE HOST: NONE" } else { "DOORS TO THE HOST" };
    canvas.text(HEADING, (MARGIN, y), INNER, words);
    y += 22;
    for door in doors {
        let (point, hand, width) = match door.width {
            Width::Host => ("alarmed", Hand::new(13, "alarm"), "host"),
            Width::Wide => ("rung", BODY, "wide"),
            Width::Narrow => ("mark", BODY, "narrow"),
        };
        canvas.point((MARGIN + 7, y - 4), point);
        canvas.text(EVIDENCE, (MARGIN + 22, y), 50, width);
        canvas.text(hand, (MARGIN + 74, y), INNER - 74, &door.what);
        canvas.text(EVIDENCE, (MARGIN + 74, y + 16), INNER - 74, &door.evidence);
        y += 40;
    }
    y + 8
}

fn mounts(canvas: &mut Canvas, container: &Container, mut y: Length) -> Length {
    let mounts = topmost(chosen(container));
    if mounts.is_empty() {
        return y;
    }
    canvas.text(HEADING, (MARGIN, y), INNER, "MOUNTS FROM THE HOST");
    y += 20;
    for (mount, below) in mounts.iter().take(LONGEST) {
        let host = mount.host.as_deref().map(|host| host.display().to_string()).unwrap_or_default();
        let access = if mount.read_only { "read only" } else { "writable" };
        let more = if *below == 0 { String::new() } else { format!(", {below} more below it") };
        canvas.text(BODY, (MARGIN, y), INNER / 2 - 20, &host);
        canvas.text(
            NOTE,
            (MARGIN + INNER / 2, y),
            INNER / 2,
            &format!("on {}, {access}{more}", mount.inside.display()),
        );
        y += 19;
    }
    if mounts.len() > LONGEST {
        canvas.text(NOTE, (MARGIN, y), INNER, &format!("and {} more", mounts.len() - LONGEST));
        y += 19;
    }
    y + 16
}

/// Mounts below another one count with it.
fn topmost<'m>(mounts: impl Iterator<Item = &'m Mount>) -> Vec<(&'m Mount, usize)> {
    let mut top: Vec<(&Mount, usize)> = Vec::new();
    for mount in mounts {
        match top.iter_mut().find(|(above, _)| mount.inside.starts_with(&above.inside)) {
            Some((_, below)) => *below += 1,
            None => top.push((mount, 0)),
        }
    }
    top
}

fn blind(canvas: &mut Canvas, snapshot: &Snapshot, mut y: Length) -> Length {
    if snapshot.blind.is_empty() {
        return y;
    }
    canvas.text(HEADING, (MARGIN, y), INNER, "BLIND");
    y += 20;
    for one in snapshot.blind.iter().take(LONGEST) {
        canvas.text(NOTE, (MARGIN, y), INNER, &format!("{}: {}", one.what, one.why));
        y += 17;
    }
    y + 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_doubling_takes_the_same_way_and_nothing_leaves_the_bar() {
        let scale = Scale { least: 1 << 16, most: 1 << 34 };
        assert_eq!((scale.place(0), scale.place(1 << 16), scale.place(u64::MAX)), (0, 0, BARS.1));
        let step = scale.place(1 << 17);
        for exponent in 17..34_u32 {
            let place = scale.place(1 << exponent);
            assert!(place.abs_diff(step * (exponent - 16)) <= exponent, "{exponent}: {place}");
            assert!(place < scale.place((1 << exponent) + (1 << (exponent - 1))), "{exponent}");
        }
        assert_eq!(Scale { least: 1, most: 1 }.place(1), 0);
    }
}
