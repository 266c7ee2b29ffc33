//! `keyward org api-key export`.

use std::fs::Permissions;
use std::io::{BufWriter, IntoInnerError, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use super::{csv, native};
use crate::cli::answer::{Answer, Format};
use crate::cli::direct::Direct;
use crate::cli::failure::Failure;
use crate::cli::{Common, print};
use crate::key::ApiKey;

/// In which form, and where to.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct ExportArgs {
    /// The form of the rows
    #[arg(long, value_name = "FORMAT", default_value = "csv")]
    format: Form,
    /// Write to this file, whole or not at all, and let only yourself read it; standard output unless given
    #[arg(long, value_name = "FILE")]
    output_file: Option<PathBuf>,
}

/// The forms of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Comma-separated values, with a header
    Csv,
    /// One JSON object a line
    Jsonl,
}

const HELP: &str = "\
What is written is all that is known of the live keys, in the order of their ids, and never their text. `import` makes \
the same keys of it in another database; teams go by their names (--create-teams). A key that was rotated goes with the \
digest of the text before, so that its grace goes on.

A digest is the SHA-256 of a key's whole text. Nobody can call with a digest or find the text behind it; whoever has it \
can tell whether a text is the key's. So keep what is written to yourself: --output-file makes a file that only you can \
read (mode 0600).

Output:
  the rows, as --format says; with --output-file the rows are in the file, and then --output is the form of the summary:
  text: how many, on standard error
  json: {\"exported\", \"left_out\"}; rows that cannot be read are left out and named on standard error
Exit codes: 0 all is written; 1 no database is named, or the file cannot be written; 2 --output or --jq without \
            --output-file; 6 the database failed
Example: keyward org api-key export --output-file keys.csv --database sqlite:///var/lib/keyward/keyward.db --jq .exported";

/// Does it.
///
/// # Errors
///
/// When no database is named, or something cannot be read or written.
pub async fn run(args: ExportArgs, common: &Common) -> anyhow::Result<Answer> {
    let Some(url) = common.database() else {
        bail!("an export works straight on a database: pass --database URL");
    };
    let wants_answer =
        common.output.is_some_and(|form| form != Format::Text) || common.expression().is_some();
    if args.output_file.is_none() && wants_answer {
        let why = "--output and --jq are about the summary: give --output-file for the rows, or use --format";
        return Err(Failure::Usage(why.to_owned()).into());
    }
    let direct = Direct::open_for_bulk(url, false).await?;
    let exported = Box::pin(export(&direct, &args)).await;
    direct.close().await;
    exported.context("exporting API keys")
}

async fn export(direct: &Direct, args: &ExportArgs) -> anyhow::Result<Answer> {
    let mut sink = Sink::open(args.output_file.as_deref())?;
    let (mut keys, mut left_out) = (0_usize, 0_usize);
    let mut text = match args.format {
        Form::Csv => format!("{}\n", native::COLUMNS.join(",")),
        Form::Jsonl => String::new(),
    };
    let mut next = None;
    loop {
        let page = direct.export(next).await?;
        for key in &page.keys {
            push(&mut text, args.format, key);
        }
        for row in &page.set_aside {
            print::words(&format!("left out: the row {}: {}", row.id, row.why));
        }
        keys += page.keys.len();
        left_out += page.set_aside.len();
        sink = sink.write(std::mem::take(&mut text)).await?;
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    sink.finish().await?;
    let summary = json!({ "exported": keys, "left_out": left_out });
    let s = if keys == 1 { "" } else { "s" };
    Ok(Answer::new(&summary)?.words(format!("exported {keys} key{s}")))
}

fn push(text: &mut String, form: Form, key: &ApiKey) {
    let values = native::values(key);
    match form {
        Form::Csv => {
            for (place, value) in values.iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                match value {
                    None => {}
                    Some(Value::String(field)) => csv::push(text, field),
                    Some(other) => csv::push(text, &other.to_string()),
                }
            }
        }
        Form::Jsonl => {
            let members = native::COLUMNS.iter().zip(&values);
            let members = members.filter_map(|(column, value)| Some((column, value.as_ref()?)));
            for (place, (column, value)) in members.enumerate() {
                text.push_str(if place > 0 { ",\"" } else { "{\"" });
                text.push_str(column);
                text.push_str("\":");
                text.push_str(&value.to_string());
            }
            text.push('}');
        }
    }
    text.push('\n');
}

/// Where the rows go. Writing blocks, for as long as a pager does.
enum Sink {
    Stdout(print::Stream),
    File(BufWriter<NamedTempFile>, PathBuf),
}

impl Sink {
    fn open(file: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = file else {
            return Ok(Self::Stdout(print::Stream::new()));
        };
        let directory = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        let directory = directory.unwrap_or(Path::new("."));
        let draft = tempfile::Builder::new()
            .prefix(".keyward-")
            .permissions(Permissions::from_mode(0o600))
            .tempfile_in(directory);
        // The kind alone: the error itself names the draft, whose name is nobody's concern.
        let draft =
            draft.map_err(|error| anyhow!("making {}: {}", path.display(), error.kind()))?;
        Ok(Self::File(BufWriter::new(draft), path.to_owned()))
    }

    /// Writes whole lines.
    async fn write(self, text: String) -> anyhow::Result<Self> {
        self.blocking(move |mut sink| {
            match &mut sink {
                Self::Stdout(stream) => {
                    if let Some(lines) = text.strip_suffix('\n') {
                        stream.raw(lines.as_bytes())?;
                    }
                }
                Self::File(file, path) => {
                    let written = file.write_all(text.as_bytes());
                    written.with_context(|| format!("writing {}", path.display()))?;
                }
            }
            Ok(sink)
        })
        .await
    }

    /// Writes what is held back; a file gets its name.
    async fn finish(self) -> anyhow::Result<()> {
        self.blocking(|sink| match sink {
            Self::Stdout(stream) => Ok(stream.finish()?),
            Self::File(file, path) => {
                let writing = || format!("writing {}", path.display());
                let draft = file.into_inner().map_err(IntoInnerError::into_error);
                let draft = draft.with_context(writing)?;
                draft.as_file().sync_all().with_context(writing)?;
                draft.persist(&path).with_context(writing)?;
                Ok(())
            }
        })
        .await
    }

    async fn blocking<T: Send + 'static>(
        self,
        work: impl FnOnce(Self) -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        tokio::task::spawn_blocking(move || work(self)).await?
    }
}
