//! The result as a table.

use std::fmt;
use std::time::Duration;

use super::contender::Contender;
use super::worker::Sample;

/// What was seen of one contender.
pub(super) struct Row<'a> {
    pub(super) contender: &'a Contender,
    /// One a round.
    pub(super) samples: Vec<Sample>,
    pub(super) peak_bytes: u64,
}

impl<'a> Row<'a> {
    pub(super) fn new(contender: &'a Contender) -> Self {
        Self { contender, samples: Vec::new(), peak_bytes: 0 }
    }

    fn wall(&self) -> impl Iterator<Item = f64> {
        self.samples.iter().map(|sample| milliseconds(sample.wall))
    }

    fn cpu(&self) -> impl Iterator<Item = f64> {
        self.samples.iter().map(|sample| milliseconds(sample.cpu))
    }
}

/// Ours is the first row.
pub(super) struct Table<'a> {
    /// What each of them did.
    pub(super) work: &'a str,
    pub(super) rows: &'a [Row<'a>],
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((ours, others)) = self.rows.split_first() else { return Ok(()) };
        writeln!(f, "{}; {} rounds, medians", self.work, ours.samples.len())?;
        writeln!(
            f,
            "{:8} {:>9} {:>9} {:>9} {:>9} {:>10} {:>8}",
            "", "wall ms", "min ms", "CPU ms", "peak MiB", "ours/wall", "ours/CPU"
        )?;
        for row in self.rows {
            let smallest = row.wall().fold(f64::INFINITY, f64::min);
            let (wall, cpu) = (median(row.wall()), median(row.cpu()));
            write!(
                f,
                "{:8} {wall:9.2} {smallest:9.2} {cpu:9.2} {:9.2}",
                row.contender.name,
                mebibytes(row.peak_bytes)
            )?;
            let (by_wall, by_cpu) = (ratio(ours.wall(), row.wall()), ratio(ours.cpu(), row.cpu()));
            write!(f, " {by_wall:10.2} {by_cpu:8.2}")?;
            match row.contender.budget {
                Some(budget) if by_wall <= budget => writeln!(f, "  within the budget of {budget:.2}")?,
                Some(budget) => writeln!(f, "  ABOVE the budget of {budget:.2}")?,
                None => writeln!(f)?,
            }
        }
        for note in others.iter().filter_map(|row| row.contender.note()) {
            writeln!(f, "{note}")?;
        }
        Ok(())
    }
}

/// The median of the rounds' ratios.
fn ratio(ours: impl Iterator<Item = f64>, theirs: impl Iterator<Item = f64>) -> f64 {
    median(ours.zip(theirs).map(|(ours, theirs)| ours / theirs))
}

/// The middle value, or the mean of the two middle ones; NaN of nothing.
pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let upper = sorted.len() / 2;
    let lower = sorted.len().saturating_sub(1) / 2;
    let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    f64::midpoint(at(lower), at(upper))
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn mebibytes(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes / 1024).unwrap_or(u32::MAX)) / 1024.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contender(name: &'static str, budget: Option<f64>) -> Contender {
        Contender { budget, ..Contender::once(name, Vec::new()) }
    }

    fn row(contender: &Contender, wall_ms: [u64; 3]) -> Row<'_> {
        let sample = |ms| Sample { wall: Duration::from_millis(ms), cpu: Duration::from_millis(ms / 2), peak_bytes: 0 };
        Row { contender, samples: wall_ms.map(sample).into(), peak_bytes: 3 << 19 }
    }

    #[test]
    fn a_median_is_the_middle() {
        assert!((median([3.0, 1.0, 2.0].into_iter()) - 2.0).abs() < 1e-9);
        assert!((median([4.0, 1.0, 2.0, 3.0].into_iter()) - 2.5).abs() < 1e-9);
        assert!(median(std::iter::empty()).is_nan());
    }

    #[test]
    fn the_ratio_is_of_pairs_not_of_medians() {
        let (ours, peer, slow) =
            (contender("carboy", None), contender("runc", Some(0.2)), contender("crun", Some(0.2)));
        let rows = [row(&ours, [10, 2, 4]), row(&peer, [100, 20, 10]), row(&slow, [10, 2, 4])];
        let expected = "\
true; 3 rounds, medians
           wall ms    min ms    CPU ms  peak MiB  ours/wall ours/CPU
carboy        4.00      2.00      2.00      1.50       1.00     1.00
runc         20.00     10.00     10.00      1.50       0.10     0.10  within the budget of 0.20
crun          4.00      2.00      2.00      1.50       1.00     1.00  ABOVE the budget of 0.20
";
        assert_eq!(Table { work: "true", rows: &rows }.to_string(), expected);
    }
}
