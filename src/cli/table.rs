//! Columns for people: borderless, each padded to its widest cell and two more.

use anstyle::Style;
use unicode_width::UnicodeWidthStr;

use super::print;

const GAP: usize = 2;
const HEADER: Style = Style::new().bold();

/// The lines of a table: see [`Table`].
#[must_use]
pub fn render<const COLUMNS: usize>(
    header: [&'static str; COLUMNS],
    rows: &[[String; COLUMNS]],
) -> String {
    let mut table = Table::new(header);
    for row in rows {
        table.push(row.each_ref().map(String::as_str));
    }
    table.render()
}

/// A table in the making: the header, bold where standard output shows that, and rows in their order.
///
/// Widths are measured in terminal cells; every column is padded, the last too (CONTRACTS 9), so that nothing can be shown
/// before the last row is known. Cells are shown with control characters in a visible form. A row is kept as the bytes of
/// its cells and one more each: a million keys are some 60 MB.
pub struct Table<const COLUMNS: usize> {
    header: [&'static str; COLUMNS],
    widths: [usize; COLUMNS],
    /// Every cell, each ended by a line feed, which no cell holds.
    cells: String,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    /// A table with no rows.
    #[must_use]
    pub fn new(header: [&'static str; COLUMNS]) -> Self {
        Self {
            header,
            widths: header.map(UnicodeWidthStr::width),
            cells: String::new(),
        }
    }

    /// Adds a row at the end.
    pub fn push(&mut self, row: [&str; COLUMNS]) {
        for (cell, width) in row.iter().zip(&mut self.widths) {
            let cell = print::cell(cell);
            *width = cell.width().max(*width);
            self.cells.push_str(&cell);
            self.cells.push('\n');
        }
    }

    /// Whether it has no rows.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Its lines.
    #[must_use]
    pub fn render(&self) -> String {
        let header = line(&self.header, &self.widths);
        let mut table = format!("{HEADER}{header}{HEADER:#}\n");
        let mut cells = self.cells.split_terminator('\n');
        while let Some(first) = cells.next() {
            let mut row = [first; COLUMNS];
            for (place, cell) in row[1..].iter_mut().zip(&mut cells) {
                *place = cell;
            }
            table.push_str(&line(&row, &self.widths));
            table.push('\n');
        }
        table
    }
}

fn line(cells: &[&str], widths: &[usize]) -> String {
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        line.push_str(cell);
        line.push_str(&" ".repeat(width + GAP - cell.width()));
    }
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn columns_are_as_wide_as_a_terminal_shows_them() {
        let rows = [["東京", "a"], ["👩‍🚀", "\u{1b}[31m"], ["", "ü"]];
        let rows = rows.map(|row| row.map(str::to_owned));
        assert_eq!(
            render(["N", "KEY"], &rows),
            "\u{1b}[1mN     KEY         \u{1b}[0m\n\
             東京  a           \n\
             👩‍🚀    \\u{1b}[31m  \n      ü           \n"
        );
    }

    proptest! {
        #[test]
        fn every_line_is_as_wide_as_the_widest_cell_and_two(texts in prop::collection::vec(".{0,12}", 1..6)) {
            let rows: Vec<[String; 1]> = texts.iter().map(|text| [text.clone()]).collect();
            let widest = texts.iter().map(|text| print::cell(text).width()).max().unwrap_or(0);
            let table = render([""], &rows);
            prop_assert_eq!(table.lines().count(), rows.len() + 1);
            for line in table.lines().skip(1) {
                prop_assert_eq!(line.width(), widest + GAP);
            }
        }
    }
}
