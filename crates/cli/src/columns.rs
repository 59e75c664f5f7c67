//! Columns of text, laid out as Go's text/tabwriter does for Docker's tables: cells end at tabs, a column is as wide as its
//! widest cell and three spaces, but not too narrow, and it ends with the first line that has no such cell.

/// The narrowest column of Docker's lists, its space included.
pub(crate) const NARROWEST: usize = 10;
/// Between two columns at least.
const SPACE: usize = 3;

/// The lines of a text with their columns below each other. What follows the last tab of a line belongs to no column.
pub(crate) fn aligned(text: &str, narrowest: usize) -> String {
    let lines: Vec<Vec<&str>> = text.split('\n').map(|line| line.split('\t').collect()).collect();
    let mut layout =
        Layout { lines: &lines, narrowest, widths: Vec::new(), out: String::with_capacity(text.len() * 2) };
    layout.block(0, lines.len());
    // What was no end of a line but of the text.
    layout.out.pop();
    layout.out
}

struct Layout<'t> {
    lines: &'t [Vec<&'t str>],
    narrowest: usize,
    /// Those of the columns to the left of what is laid out.
    widths: Vec<usize>,
    out: String,
}

impl Layout<'_> {
    fn cell(&self, line: usize, column: usize) -> Option<&str> {
        let cells = self.lines.get(line)?;
        cells.get(column).filter(|_| column + 1 < cells.len()).copied()
    }

    /// Lays lines out that have all the columns of known width.
    fn block(&mut self, start: usize, end: usize) {
        let column = self.widths.len();
        let mut written = start;
        let mut line = start;
        while line < end {
            if self.cell(line, column).is_none() {
                line += 1;
                continue;
            }
            self.write(written, line);
            written = line;
            let mut width = self.narrowest;
            while let Some(cell) = (line < end).then(|| self.cell(line, column)).flatten() {
                width = width.max(cell.chars().count() + SPACE);
                line += 1;
            }
            self.widths.push(width);
            self.block(written, line);
            self.widths.pop();
            written = line;
        }
        self.write(written, end);
    }

    fn write(&mut self, start: usize, end: usize) {
        for cells in self.lines.get(start..end).unwrap_or_default() {
            for (column, cell) in cells.iter().enumerate() {
                self.out.push_str(cell);
                let width = self.widths.get(column).filter(|_| column + 1 < cells.len());
                let missing = width.map_or(0, |width| width.saturating_sub(cell.chars().count()));
                self.out.extend(std::iter::repeat_n(' ', missing));
            }
            self.out.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aligned(text: &str) -> String {
        super::aligned(text, NARROWEST)
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let text = "ID\tIMAGE\tNAMES\n0123456789ab\tx\tüb\n1\t\tc\n";
        let expected = "ID             IMAGE     NAMES\n0123456789ab   x         üb\n1                        c\n";
        assert_eq!(aligned(text), expected);
    }

    #[test]
    fn a_column_ends_with_the_first_line_that_has_none() {
        assert_eq!(aligned("a long first cell\tb\nalone\nc\td\n"), "a long first cell   b\nalone\nc         d\n");
        assert_eq!(aligned("a\tb\tc\nd\te\n"), "a         b         c\nd         e\n");
        for text in ["", "\n", "x", "x\n", "\n\nx"] {
            assert_eq!(aligned(text), text);
        }
        assert_eq!(aligned("a\t"), "a         ");
    }
}
