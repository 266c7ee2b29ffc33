//! A JSON document written while it is told: one object whose one member is a list.

use super::print::Stream;

/// The beginning and the end of a list that is written item by item; together the bytes of the whole written at once.
///
/// It is cut off, and so no JSON, when something fails before [`Document::finish`]: nobody takes it for the whole.
pub struct Document {
    out: Stream,
    /// What stands before each item, the first one and the later ones.
    first: String,
    between: &'static str,
    /// What each line of an item begins with but the first; none when an item is one line.
    indent: Option<&'static str>,
    has_items: bool,
}

impl Document {
    /// An object whose member `name` is the list: on one line when `compact`, else indented by 2. Nothing is written
    /// before the first item, or the end.
    #[must_use]
    pub fn new(name: &str, compact: bool) -> Self {
        let (first, between, indent) = if compact {
            (format!("{{\"{name}\":["), ",", None)
        } else {
            let item = "    ";
            (
                format!("{{\n  \"{name}\": [\n{item}"),
                ",\n    ",
                Some(item),
            )
        };
        Self {
            out: Stream::new(),
            first,
            between,
            indent,
            has_items: false,
        }
    }

    /// Adds one item. Blocks while standard output does.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn push(&mut self, item: &serde_json::Value) -> anyhow::Result<()> {
        let before = if self.has_items {
            self.between
        } else {
            &self.first
        };
        let item = match self.indent {
            None => item.to_string(),
            // No string of JSON holds a line feed.
            Some(indent) => {
                serde_json::to_string_pretty(item)?.replace('\n', &format!("\n{indent}"))
            }
        };
        self.out.piece(before)?;
        self.out.piece(&item)?;
        self.has_items = true;
        Ok(())
    }

    /// Writes the end, and all that is still held back.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn finish(mut self) -> anyhow::Result<()> {
        let end = match (self.has_items, self.indent) {
            (true, Some(_)) => "\n  ]\n}",
            (true, None) => "]}",
            (false, None) => {
                self.out.piece(&self.first)?;
                "]}"
            }
            (false, Some(_)) => {
                self.out.piece(self.first.trim_end())?;
                "]\n}"
            }
        };
        self.out.json(end)?;
        Ok(self.out.finish()?)
    }
}
