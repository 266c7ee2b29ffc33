//! `keyward org api-key import`.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args, ValueEnum};

use super::record::{Cell, Problem, Record};
use super::source::{Batch, Source};
use super::tally::Tally;
use super::teams::Teams;
use super::{Defaults, Row, Shape, native};
use crate::cli::answer::Answer;
use crate::cli::direct::Direct;
use crate::cli::failure::Failure;
use crate::cli::keys::KeyType;
use crate::cli::{Common, print};
use crate::clock::Clock;
use crate::key::ModelScope;
use crate::store::{Import, OnConflict};

/// How many rows are named that are not imported, and how many that lose something; the others are only counted.
const NAMED: u64 = 100;

/// How long the database is left to others between two batches: a server beside us writes, too, and SQLite does not
/// queue those who wait.
const PAUSE: Duration = Duration::from_millis(2);

/// Which keys, and what to do when one cannot be imported.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).args(["format", "digest"])), after_long_help = HELP)]
pub struct ImportArgs {
    /// The file; standard input when it is `-` or left out
    #[arg(value_name = "FILE", conflicts_with = "digest")]
    file: Option<PathBuf>,
    /// Whose file it is
    #[arg(long, value_name = "FORMAT")]
    format: Option<Shape>,
    /// Import one key: the SHA-256 of its text, as 64 hexadecimal digits or in base64. Never the text itself
    #[arg(
        long,
        value_name = "DIGEST",
        requires = "prefix",
        requires = "category"
    )]
    digest: Option<String>,
    /// The public name of the one key: 1 to 64 letters, digits, `_` or `-`
    #[arg(
        long,
        value_name = "PREFIX",
        requires = "digest",
        allow_hyphen_values = true
    )]
    prefix: Option<String>,
    /// What people shall call the one key
    #[arg(
        long,
        value_name = "NAME",
        requires = "digest",
        allow_hyphen_values = true
    )]
    name: Option<String>,
    /// Whose the one key is
    #[arg(
        long,
        value_name = "OWNER",
        requires = "digest",
        allow_hyphen_values = true
    )]
    owner: Option<String>,
    /// From when on the one key is refused, as in 2027-01-31T00:00:00Z
    #[arg(long, value_name = "TIME", requires = "digest")]
    expires_at: Option<String>,
    /// What the key may do; in a file, the keys that do not say it (litellm, unkey: workspace-invoke unless given)
    #[arg(long = "type", value_name = "TYPE")]
    category: Option<KeyType>,
    /// A model that the key may call; may be repeated. In a file, for the keys that name none: those may call every
    /// model unless this is given
    #[arg(long = "model-id", value_name = "MODEL", allow_hyphen_values = true)]
    model_ids: Vec<String>,
    /// The name or the id of the team; in a file, of the keys that name none. The default team unless given
    #[arg(
        long,
        value_name = "TEAM",
        value_parser = NonEmptyStringValueParser::new(),
        allow_hyphen_values = true
    )]
    team: Option<String>,
    /// Make the teams that a file names and that are not there
    #[arg(long, requires = "format")]
    create_teams: bool,
    /// What to do when a key cannot be stored because of another one
    #[arg(long, value_name = "WHAT", default_value = "fail")]
    on_conflict: Clashing,
    /// What to do with a row that is no key
    #[arg(long, value_name = "WHAT", default_value = "fail")]
    on_invalid: Invalid,
    /// Check every row, and write nothing. Two rows far apart that cannot both be stored are not found
    #[arg(long)]
    dry_run: bool,
}

/// What to do when a key cannot be stored because of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Clashing {
    /// Stop; none of the thousands of rows that are read together is stored
    Fail,
    /// Leave it out
    Skip,
    /// Store it without its name when only that is taken; else stop
    Unname,
}

/// What to do with a row that is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Invalid {
    /// Stop; none of the thousands of rows that are read together is stored
    Fail,
    /// Leave it out
    Skip,
}

const HELP: &str = "\
A digest is the SHA-256 of a key's whole text. Nobody can call with a digest or find the text behind it; whoever has it \
can tell whether a text is the key's. So keep such files to yourself, and never put the keys themselves into one.

Columns of csv (with a header) and jsonl (one object a line): digest, prefix, type; where there is something to say \
name, model_ids (a JSON list), team, owner, created_at, expires_at, enabled, last_used_at; and what `export` writes \
besides: id, operation, disabled_at, old_digest, old_until, ends_calls. Without model_ids a key may call every model.

A key that is there already, live and with the same digest and prefix, stays as it is: an import that stopped may be \
done again.

From LiteLLM, with psql; then --format litellm:
  COPY (SELECT v.*, t.team_alias, t.models AS team_models, t.blocked AS team_blocked,
    coalesce(u.models, '{}') AS user_models, p.models AS project_models, p.blocked AS project_blocked
  FROM \"LiteLLM_VerificationToken\" v
  LEFT JOIN \"LiteLLM_TeamTable\" t ON t.team_id = v.team_id
  LEFT JOIN \"LiteLLM_UserTable\" u ON u.user_id = v.user_id
  LEFT JOIN \"LiteLLM_ProjectTable\" p ON p.project_id = v.project_id
  WHERE v.team_id IS DISTINCT FROM 'litellm-dashboard') TO STDOUT CSV HEADER
Leave the project out where there are none. A key may call what it, its team (or, without a team, its user) and its \
project may all call there; where members of a team are limited to models of their own, give those as member_models. \
Access groups are taken for models of that name. Older texts of rotated keys stand in another table and are not read.

From Unkey, with mysql --raw --skip-column-names; then --format unkey:
  SELECT json_object('hash', k.hash, 'start', k.start, 'name', k.name,
    'external_id', i.external_id, 'expires', k.expires, 'enabled', k.enabled,
    'created_at_m', k.created_at_m, 'last_used_at', k.last_used_at,
    'remaining_requests', k.remaining_requests, 'refill_amount', k.refill_amount,
    'environment', k.environment, 'meta', k.meta,
    'ratelimit_limit', k.ratelimit_limit, 'ratelimits', (SELECT json_arrayagg(l.name)
      FROM ratelimits l WHERE l.key_id = k.id OR l.identity_id = k.identity_id),
    'permissions', (SELECT count(*) FROM keys_permissions WHERE key_id = k.id),
    'roles', (SELECT count(*) FROM keys_roles WHERE key_id = k.id),
    'pending_migration_id', k.pending_migration_id)
  FROM `keys` k LEFT JOIN identities i ON i.id = k.identity_id
  WHERE k.key_auth_id = '…' AND k.deleted_at_m IS NULL
Names need not be unique there: --on-conflict unname stores those whose name is taken without it. A key whose uses are \
up comes switched off.

What is not taken over is told of each row, of a hundred rows unless --verbose is given, and counted at the end. Callers \
go on with the texts they have: any text of 1 to 512 visible ASCII characters is looked up by its digest, unless it \
begins with `kw_`, the mark of the keys made here.

Output:
  text: the numbers in one sentence on standard error, and every row that is no key or loses something
  json: {\"conflicts\", \"dry_run\", \"imported\", \"invalid\", \"left_out\", \"skipped\", \"unnamed\"}, all but `dry_run` numbers
Exit codes: 0 all is stored that was to be; 1 the file cannot be read, or no database is named; 5 a row stopped it; 6 the \
            database failed
Example: keyward org api-key import keys.csv --format csv --database sqlite:///var/lib/keyward/keyward.db --jq .imported";

/// Does it.
///
/// # Errors
///
/// When no database is named, the file cannot be read, or a row stops the import. What was stored before stays.
pub async fn run(args: ImportArgs, common: &Common) -> anyhow::Result<Answer> {
    let Some(url) = common.database() else {
        bail!("an import works straight on a database: pass --database URL");
    };
    let direct = Direct::open_for_bulk(url, !args.dry_run).await?;
    let imported = Box::pin(import(&direct, args, common.verbose)).await;
    direct.close().await;
    imported.context("importing API keys")
}

async fn import(direct: &Direct, args: ImportArgs, tells_all: bool) -> anyhow::Result<Answer> {
    let teams = Teams::load(direct, args.create_teams, args.dry_run).await?;
    let models = Some(args.model_ids.as_slice()).filter(|models| !models.is_empty());
    let defaults = Defaults {
        team: teams.default(args.team.as_deref())?,
        category: args.category.map(|kind| kind.word().parse()).transpose()?,
        scope: ModelScope::from_request(models).map_err(|error| refused(400, error.to_string()))?,
        now: Clock::system().unix_time(),
    };
    let mut work = Work {
        direct,
        teams,
        args: &args,
        tally: Tally::new(args.dry_run),
        named: 0,
        losing: 0,
        tells_all,
    };
    let done = match args.format {
        Some(shape) => match open(args.file.as_deref()) {
            Ok(input) => work.file(Source::new(input, shape, defaults)).await,
            Err(error) => Err(error),
        },
        None => work.one(&defaults).await,
    };
    let summary = work.tally.to_string();
    if let Err(error) = done {
        print::words(&summary);
        return Err(error);
    }
    Ok(Answer::new(&work.tally)?.words(summary))
}

fn open(file: Option<&Path>) -> anyhow::Result<Box<dyn BufRead + Send>> {
    match file {
        Some(path) if path != Path::new("-") => {
            let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
            Ok(Box::new(BufReader::new(file)))
        }
        _ => Ok(Box::new(BufReader::new(io::stdin()))),
    }
}

/// An import under way.
struct Work<'w> {
    direct: &'w Direct,
    teams: Teams,
    args: &'w ImportArgs,
    tally: Tally,
    named: u64,
    /// How many rows that lose something were named, and whether all are to be.
    losing: u64,
    tells_all: bool,
}

impl Work<'_> {
    /// Imports every row: one batch is stored while the next one is read.
    async fn file(&mut self, source: Source) -> anyhow::Result<()> {
        let (mut source, mut batch) = read(source).await?;
        while batch.more {
            // What is still being read when storing fails is read for nobody.
            let ((), next) = tokio::try_join!(self.take(batch), async { Ok(read(source).await) })?;
            (source, batch) = next?;
            if !self.args.dry_run {
                tokio::time::sleep(PAUSE).await;
            }
        }
        self.take(batch).await?;
        for sentence in source.notes().sentences() {
            print::words(&sentence);
        }
        self.end_dry_run()
    }

    /// Imports the key that the flags describe, by the same way as a row.
    async fn one(&mut self, defaults: &Defaults) -> anyhow::Result<()> {
        let mut record = Record::new(&native::COLUMNS);
        let args = self.args;
        let given = [
            ("digest", &args.digest),
            ("prefix", &args.prefix),
            ("name", &args.name),
            ("owner", &args.owner),
            ("expires_at", &args.expires_at),
        ];
        for (column, text) in given {
            let place = native::COLUMNS.iter().position(|known| *known == column);
            if let (Some(place), Some(text)) = (place, text) {
                record.put(place, Cell::Text(text.clone()));
            }
        }
        let mut batch = Batch::default();
        match native::read(&record, defaults).and_then(super::checked) {
            Ok(row) => batch.rows.push((0, row)),
            Err(problem) => batch.bad.push((0, problem)),
        }
        self.take(batch).await?;
        self.end_dry_run()
    }

    /// Stores a batch, or says why not.
    async fn take(&mut self, mut batch: Batch) -> anyhow::Result<()> {
        batch
            .rows
            .retain_mut(|(line, row)| match self.teams.find(row) {
                Ok(()) => true,
                Err(problem) => {
                    batch.bad.push((*line, problem));
                    false
                }
            });
        batch.bad.sort_by_key(|(line, _)| *line);
        for (line, problem) in &batch.bad {
            self.name(*line, problem);
        }
        self.tally.bad(&batch);
        if !batch.bad.is_empty() && self.args.on_invalid == Invalid::Fail && !self.args.dry_run {
            return Err(stopped(400, batch.bad.len(), ["no key", "no keys"]).into());
        }
        for (_, row) in &mut batch.rows {
            self.teams.make(self.direct, row).await?;
        }
        self.store(batch.rows).await?;
        for (line, lost) in &batch.lost {
            self.tell_lost(*line, lost);
        }
        Ok(())
    }

    async fn store(&mut self, rows: Vec<(u64, Row)>) -> anyhow::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let (lines, keys): (Vec<u64>, Vec<_>) =
            rows.into_iter().map(|(line, row)| (line, row.key)).unzip();
        let import = Import {
            keys,
            on_conflict: match self.args.on_conflict {
                Clashing::Fail => OnConflict::Fail,
                Clashing::Skip => OnConflict::Skip,
                Clashing::Unname => OnConflict::Unname,
            },
            by: None,
            dry_run: self.args.dry_run,
        };
        let imported = self.direct.import(import).await?;
        self.tally.add(&imported);
        for (place, conflict) in &imported.conflicts {
            let line = lines.get(*place).copied().unwrap_or_default();
            self.name(line, &Problem::row(conflict.why()));
        }
        let conflicts = imported.conflicts.len();
        if conflicts > 0 && self.args.on_conflict != Clashing::Skip && !self.args.dry_run {
            return Err(stopped(409, conflicts, ["in conflict with what is there"; 2]).into());
        }
        Ok(())
    }

    /// Tells of a row that is not imported, without any value of it.
    fn name(&mut self, line: u64, problem: &Problem) {
        self.named += 1;
        if line == 0 {
            print::words(&problem.to_string());
        } else if self.named <= NAMED {
            print::words(&format!("line {line}: {problem}"));
        } else if self.named == NAMED + 1 {
            print::words("more rows like these are only counted");
        }
    }

    /// Tells what of a row is not taken over.
    fn tell_lost(&mut self, line: u64, lost: &[&str]) {
        self.losing += 1;
        if self.tells_all || self.losing <= NAMED {
            let lost = lost.join("; ");
            print::words(&format!("line {line}: not taken over: {lost}"));
        } else if self.losing == NAMED + 1 {
            print::words("what more rows lose is only counted; --verbose names each");
        }
    }

    /// A check of everything fails when the import would have.
    fn end_dry_run(&self) -> anyhow::Result<()> {
        let invalid = self.args.on_invalid == Invalid::Fail && self.tally.invalid > 0;
        let conflicts = self.args.on_conflict != Clashing::Skip && self.tally.conflicts > 0;
        if !self.args.dry_run {
            return Ok(());
        }
        if invalid {
            return Err(refused(400, "there are rows that are no keys").into());
        }
        if conflicts {
            return Err(refused(409, "there are keys in conflict with what is there").into());
        }
        Ok(())
    }
}

/// Reads a batch where blocking is allowed.
async fn read(mut source: Source) -> anyhow::Result<(Source, Batch)> {
    let reading = tokio::task::spawn_blocking(move || {
        let batch = source.batch();
        (source, batch)
    });
    let (source, batch) = reading.await?;
    Ok((source, batch?))
}

fn stopped(status: u16, rows: usize, [one, many]: [&str; 2]) -> Failure {
    let are = match rows {
        1 => format!("a row is {one}"),
        rows => format!("{rows} rows are {many}"),
    };
    let nothing = "nothing was stored of the rows read together with it";
    refused(status, format!("{are}; {nothing}"))
}

fn refused(status: u16, message: impl Into<String>) -> Failure {
    Failure::Refused {
        status,
        message: message.into(),
    }
}
