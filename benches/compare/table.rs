//! One Markdown table: medians with least and most, and the ratio to the first proxy within each round.

use std::fmt;

use crate::peers::Kind;

/// Rows for some proxies, the first of which is what the others are compared with.
pub struct Table {
    kinds: Vec<Kind>,
    rows: Vec<(String, Vec<String>)>,
}

/// What every proxy gave.
pub struct Cells(Vec<String>);

impl Table {
    pub fn new(kinds: &[Kind]) -> Self {
        Self {
            kinds: kinds.to_vec(),
            rows: Vec::new(),
        }
    }

    pub fn add(&mut self, what: &str, cells: &Cells) {
        self.rows.push((what.to_owned(), cells.0.clone()));
    }
}

impl Cells {
    /// From one value of every proxy for every round; nothing where it did not do the job.
    pub fn of(rounds: &[Vec<Option<f64>>]) -> Self {
        let peers = rounds.first().map_or(0, Vec::len);
        let cell = |peer: usize| {
            let mut values: Vec<f64> = rounds.iter().filter_map(|round| round[peer]).collect();
            let middle = median(&mut values)?;
            let (least, most) = (values.first()?, values.last()?);
            let mut ratios: Vec<f64> = rounds
                .iter()
                .filter_map(|round| Some(round[peer]? / round[0]?))
                .collect();
            let ratio =
                median(&mut ratios).map_or(String::new(), |ratio| format!(" · **{ratio:.2}**"));
            let ratio = if peer == 0 { String::new() } else { ratio };
            Some(if values.len() == 1 {
                format!("{}{ratio}", short(middle))
            } else {
                format!(
                    "{} ({}–{}){ratio}",
                    short(middle),
                    short(*least),
                    short(*most)
                )
            })
        };
        Self(
            (0..peers)
                .map(|peer| cell(peer).unwrap_or_else(|| "–".to_owned()))
                .collect(),
        )
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "\n| |")?;
        for kind in &self.kinds {
            write!(out, " {} |", kind.name())?;
        }
        write!(out, "\n|---|{}", "---|".repeat(self.kinds.len()))?;
        for (what, cells) in &self.rows {
            write!(out, "\n| {what} | {} |", cells.join(" | "))?;
        }
        writeln!(
            out,
            "\n\nMedian (least–most) of the rounds · median of the ratios to {} within each round.",
            self.kinds[0].name()
        )
    }
}

/// The middle one; sorts them.
pub fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

fn short(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    }
}
