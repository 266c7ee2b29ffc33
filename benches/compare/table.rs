//! One Markdown table: medians with least and most, and the ratio to the first proxy within each round.

use std::fmt;

use crate::peers::Kind;

/// Rows for some proxies, the first of which is what the others are compared with.
pub struct Table {
    kinds: Vec<Kind>,
    rows: Vec<(String, Rounds)>,
}

/// What every proxy gave in every round; nothing where it did not do the job.
pub type Rounds = Vec<Vec<Option<f64>>>;

impl Table {
    pub fn new(kinds: &[Kind]) -> Self {
        Self {
            kinds: kinds.to_vec(),
            rows: Vec::new(),
        }
    }

    pub fn add(&mut self, what: &str, rounds: Rounds) {
        self.rows.push((what.to_owned(), rounds));
    }

    /// The median of what `kind` gave in the row `what`; nothing where there is no such row, or it did not do the job.
    pub fn of(&self, what: &str, kind: Kind) -> Option<f64> {
        let place = self.place(kind)?;
        median(&mut values(self.rounds(what)?, place))
    }

    /// The median of the ratios of two cells within each round.
    pub fn ratio(&self, (what, kind): (&str, Kind), (to, other): (&str, Kind)) -> Option<f64> {
        let (place, other) = (self.place(kind)?, self.place(other)?);
        let both = self.rounds(what)?.iter().zip(self.rounds(to)?);
        let ratios = both.filter_map(|(round, to)| Some(round[place]? / to[other]?));
        median(&mut ratios.collect::<Vec<_>>())
    }

    fn place(&self, kind: Kind) -> Option<usize> {
        self.kinds.iter().position(|known| *known == kind)
    }

    fn rounds(&self, what: &str) -> Option<&Rounds> {
        let row = self.rows.iter().find(|(known, _)| known == what);
        row.map(|(_, rounds)| rounds)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "\n| |")?;
        for kind in &self.kinds {
            write!(out, " {} |", kind.name())?;
        }
        write!(out, "\n|---|{}", "---|".repeat(self.kinds.len()))?;
        for (what, rounds) in &self.rows {
            write!(out, "\n| {what} |")?;
            for place in 0..self.kinds.len() {
                let cell = cell(rounds, place);
                write!(out, " {} |", cell.unwrap_or_else(|| "–".to_owned()))?;
            }
        }
        writeln!(
            out,
            "\n\nMedian (least–most) of the rounds · median of the ratios to {} within each round.",
            self.kinds[0].name()
        )
    }
}

fn cell(rounds: &Rounds, place: usize) -> Option<String> {
    let mut values = values(rounds, place);
    let middle = short(median(&mut values)?);
    let (least, most) = (short(*values.first()?), short(*values.last()?));
    let ratios = rounds
        .iter()
        .filter_map(|round| Some(round[place]? / round[0]?));
    let ratio = match median(&mut ratios.collect::<Vec<_>>()) {
        Some(ratio) if place > 0 => format!(" · **{ratio:.2}**"),
        _ => String::new(),
    };
    Some(match values.len() {
        1 => format!("{middle}{ratio}"),
        _ => format!("{middle} ({least}–{most}){ratio}"),
    })
}

fn values(rounds: &Rounds, place: usize) -> Vec<f64> {
    rounds.iter().filter_map(|round| round[place]).collect()
}

/// The middle one; sorts them.
pub fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// As many places as mean something.
pub fn short(value: f64) -> String {
    match value {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
