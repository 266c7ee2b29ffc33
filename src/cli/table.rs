//! Columns for people: borderless, each padded to its widest cell and two more.

use anstyle::Style;
use unicode_width::UnicodeWidthStr;

use super::print;

const GAP: usize = 2;
const HEADER: Style = Style::new().bold();

/// The lines of a table: the header, bold where standard output shows that, and `rows` in their order.
///
/// Widths are measured in terminal cells; every column is padded, the last too (CONTRACTS 9). Cells are shown with
/// control characters in a visible form.
#[must_use]
pub fn render<const COLUMNS: usize>(header: [&str; COLUMNS], rows: &[[String; COLUMNS]]) -> String {
    let rows: Vec<[String; COLUMNS]> = rows
        .iter()
        .map(|row| row.each_ref().map(|text| print::cell(text).into_owned()))
        .collect();
    let mut widths = header.map(UnicodeWidthStr::width);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.width().max(*width);
        }
    }
    let header = line(&header, &widths);
    let mut table = format!("{HEADER}{header}{HEADER:#}\n");
    for row in &rows {
        table.push_str(&line(&row.each_ref().map(String::as_str), &widths));
        table.push('\n');
    }
    table
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
