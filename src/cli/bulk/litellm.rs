//! Rows of LiteLLM's table `LiteLLM_VerificationToken` (`schema.prisma` of BerriAI/litellm), with three columns of the
//! key's team beside them: `team_alias`, `team_models` and `team_blocked`.
//!
//! `token` is the SHA-256, in hexadecimal digits, of a text that begins with `sk-`; another text is kept there as it
//! is, and refused here. What a key may call there is what both it and its team may call, so without the team's models a
//! key of a team is refused: it could call more here than there.

use super::native::scope;
use super::notes::Notes;
use super::record::{Moments, Problem, Record};
use super::{Defaults, Row, digest, prefix};
use crate::key::{ImportedKey, KeyCategory, ModelScope};

/// The columns that are understood, if only to say that they are not taken over.
pub const COLUMNS: &[&str] = &[
    "token",
    "key_name",
    "key_alias",
    "models",
    "team_id",
    "team_alias",
    "team_models",
    "team_blocked",
    "user_id",
    "expires",
    "blocked",
    "created_at",
    "last_active",
    // Not taken over, and told.
    "max_budget",
    "soft_budget",
    "budget_id",
    "budget_duration",
    "budget_limits",
    "model_max_budget",
    "tpm_limit",
    "rpm_limit",
    "max_parallel_requests",
    "allowed_routes",
    "permissions",
    "object_permission_id",
    "access_group_ids",
    "policies",
    "allowed_cache_controls",
    "aliases",
    "config",
    "router_settings",
    "auto_rotate",
    "rotation_interval",
    "key_rotation_at",
    "organization_id",
    "project_id",
    "agent_id",
    "metadata",
    // Of no use here.
    "budget_reset_at",
    "spend",
    "model_spend",
    "soft_budget_cooldown",
    "created_by",
    "updated_at",
    "updated_by",
    "rotation_count",
    "last_rotation_at",
];

/// What cannot be taken over: what to call it, and where it stands.
const LOST: [(&str, &[&str]); 6] = [
    (
        "budgets",
        &[
            "max_budget",
            "soft_budget",
            "budget_id",
            "budget_duration",
            "budget_limits",
            "model_max_budget",
        ],
    ),
    (
        "rate limits",
        &["tpm_limit", "rpm_limit", "max_parallel_requests"],
    ),
    (
        "limits to routes, tools and access groups",
        &[
            "allowed_routes",
            "permissions",
            "object_permission_id",
            "access_group_ids",
            "policies",
        ],
    ),
    (
        "aliases and settings of the router",
        &[
            "aliases",
            "config",
            "router_settings",
            "allowed_cache_controls",
        ],
    ),
    (
        "rotation by the clock",
        &["auto_rotate", "rotation_interval", "key_rotation_at"],
    ),
    (
        "organisations, projects, agents and metadata",
        &["organization_id", "project_id", "agent_id", "metadata"],
    ),
];

/// LiteLLM's words for lists of models that stand elsewhere.
const EVERY_MODEL: &str = "all-proxy-models";
const MODELS_OF_TEAM: &str = "all-team-models";
const MODELS_OF_ORG: &str = "all-org-models";

/// The key in `record`.
pub fn read(record: &Record, defaults: &Defaults, notes: &mut Notes) -> Result<Row, Problem> {
    let missing = || Problem::at("token", "this is required");
    let digest = digest(record, "token")?.ok_or_else(missing)?;
    let moment = |column| record.moment(column, Moments::Database);
    let is_off =
        record.flag("blocked")?.unwrap_or(false) || record.flag("team_blocked")?.unwrap_or(false);
    let key = ImportedKey {
        id: None,
        prefix: prefix(&stem(record)?, &digest)?,
        digest,
        old: None,
        name: record.parsed("key_alias")?,
        category: defaults
            .category
            .clone()
            .unwrap_or(KeyCategory::WorkspaceInvoke),
        operation: None,
        scope: models(record, defaults)?,
        team: defaults.team,
        owner: record.parsed("user_id")?,
        created_at: moment("created_at")?,
        expires_at: moment("expires")?,
        disabled_at: is_off.then_some(defaults.now),
        last_used_at: moment("last_active")?,
    };
    for (what, columns) in LOST {
        if record.holds_any(columns) {
            notes.lost(what);
        }
    }
    let team = record.text("team_alias")?.or(record.text("team_id")?);
    let team = team.map(str::to_owned);
    Ok(Row { key, team })
}

/// `key_name` is the beginning and the last four characters of the text, as in `sk-...aB3d`: what people know the key
/// by. Of another form nothing is taken: it might be more of the text.
fn stem(record: &Record) -> Result<String, Problem> {
    let name = record.text("key_name")?.unwrap_or_default();
    let shown = name.strip_prefix("sk-...").filter(|end| end.len() <= 4);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    Ok(
        match shown.filter(|end| !end.is_empty() && end.chars().all(is_plain)) {
            Some(end) => format!("sk-{end}"),
            None => "sk".to_owned(),
        },
    )
}

fn models(record: &Record, defaults: &Defaults) -> Result<ModelScope, Problem> {
    let own = record.postgres_list("models")?.unwrap_or_default();
    let of_team = record.postgres_list("team_models")?;
    let is_of_team = record.text("team_id")?.is_some();
    let of_team = match of_team {
        None if is_of_team || own.iter().any(|model| model == MODELS_OF_TEAM) => {
            let why =
                "the file must say which models the key's team may call: see the query in the help";
            return Err(Problem::at("team_models", why));
        }
        of_team => of_team.unwrap_or_default(),
    };
    let own = limit("models", own)?;
    let of_team = limit("team_models", of_team)?;
    let both = match (own, of_team) {
        (None, None) => return Ok(defaults.scope.clone()),
        (Some(models), None) | (None, Some(models)) => models,
        (Some(own), Some(of_team)) => allowed_by_both(&own, &of_team),
    };
    if both.is_empty() {
        let why = "the key and its team have no model in common: it may call nothing";
        return Err(Problem::at("models", why));
    }
    scope(Some(&both), "models", defaults)
}

/// The models that a list limits to; nothing when it limits to none.
fn limit(column: &'static str, models: Vec<String>) -> Result<Option<Vec<String>>, Problem> {
    if models.iter().any(|model| model == MODELS_OF_ORG) {
        let why = "the models of an organisation are not in the file; write them out";
        return Err(Problem::at(column, why));
    }
    let every = |model: &String| model == EVERY_MODEL || model == MODELS_OF_TEAM || model == "*";
    let limits = !models.is_empty() && !models.iter().any(every);
    Ok(limits.then_some(models))
}

/// What two lists of patterns both allow. Of two patterns, each of which is a text or a beginning, either one allows
/// all that the other does, or nothing is allowed by both.
fn allowed_by_both(one: &[String], other: &[String]) -> Vec<String> {
    let allows_all_of = |wide: &str, narrow: &str| match wide.strip_suffix('*') {
        Some(beginning) => narrow.starts_with(beginning),
        None => wide == narrow,
    };
    let mut both: Vec<String> = Vec::new();
    for a in one {
        for b in other {
            let narrower = if allows_all_of(a, b) {
                b
            } else if allows_all_of(b, a) {
                a
            } else {
                continue;
            };
            if !both.contains(narrower) {
                both.push(narrower.clone());
            }
        }
    }
    both
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;
    use crate::key::{ModelId, ModelPattern};

    #[rstest]
    #[case(&["a", "b"], &["b", "c"], &["b"])]
    #[case(&["meta/*"], &["meta/llama", "gpt"], &["meta/llama"])]
    #[case(&["meta/llama"], &["meta/*"], &["meta/llama"])]
    #[case(&["m*"], &["meta/*", "x*"], &["meta/*"])]
    #[case(&["a"], &["b"], &[])]
    fn only_what_both_allow_is_allowed(
        #[case] one: &[&str],
        #[case] other: &[&str],
        #[case] both: &[&str],
    ) {
        let owned = |list: &[&str]| {
            list.iter()
                .map(|model| (*model).to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(allowed_by_both(&owned(one), &owned(other)), owned(both));
    }

    proptest! {
        #[test]
        fn both_lists_allow_exactly_what_their_common_list_allows(
            one in prop::collection::vec("[ab]{1,2}[*]?", 1..4),
            other in prop::collection::vec("[ab]{1,2}[*]?", 1..4),
            model in "[ab]{1,3}",
        ) {
            let allows = |list: &[String]| {
                let mut list = list.iter().map(|pattern| pattern.parse::<ModelPattern>().unwrap());
                list.any(|pattern| pattern.allows(ModelId::new(&model)))
            };
            let both = allowed_by_both(&one, &other);
            prop_assert_eq!(allows(&both), allows(&one) && allows(&other));
        }
    }
}
