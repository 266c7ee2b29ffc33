//! Rows of LiteLLM's table `LiteLLM_VerificationToken` (`schema.prisma` of BerriAI/litellm), with columns of the key's
//! team, user and project beside them: `team_alias`, `team_models`, `team_blocked`, `user_models`, `project_models`,
//! `project_blocked`, and `member_models` where there are such.
//!
//! `token` is the SHA-256, in hexadecimal digits, of a text that begins with `sk-`; another text is kept there as it
//! is, and refused here. What a key may call there is what it, its team or else its user, and its project may all call
//! (`common_checks` in `proxy/auth/auth_checks.py`), so a key is refused when the file does not have these lists: it
//! could call more here than there.

use super::native::scope;
use super::notes::{Lost, Notes};
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
    "member_models",
    "user_models",
    "project_models",
    "project_blocked",
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

/// What cannot be taken over. Limits to routes are told apart from it, because some take every model away.
const LOST: [Lost; 6] = [
    Lost {
        what: "budgets",
        columns: &[
            "max_budget",
            "soft_budget",
            "budget_id",
            "budget_duration",
            "budget_limits",
            "model_max_budget",
        ],
        zero_counts: true,
    },
    Lost {
        what: "rate limits",
        columns: &["tpm_limit", "rpm_limit", "max_parallel_requests"],
        zero_counts: true,
    },
    Lost {
        what: "limits to tools and access groups",
        columns: &[
            "permissions",
            "object_permission_id",
            "access_group_ids",
            "policies",
        ],
        zero_counts: true,
    },
    Lost {
        what: "aliases and settings of the router",
        columns: &[
            "aliases",
            "config",
            "router_settings",
            "allowed_cache_controls",
        ],
        zero_counts: true,
    },
    Lost {
        what: "rotation by the clock",
        columns: &["auto_rotate", "rotation_interval", "key_rotation_at"],
        zero_counts: false,
    },
    Lost {
        what: "organisations, projects, agents and metadata",
        columns: &["organization_id", "project_id", "agent_id", "metadata"],
        zero_counts: true,
    },
];

/// A limit to single routes.
const ROUTES: Lost = Lost {
    what: "limits to routes",
    columns: &["allowed_routes"],
    zero_counts: true,
};

/// LiteLLM's words for whole groups of routes: one that models are called by, and those that call none.
const ROUTES_TO_MODELS: &str = "llm_api_routes";
const OTHER_ROUTES: [&str; 2] = ["management_routes", "info_routes"];

/// LiteLLM's words for lists of models that stand elsewhere.
const EVERY_MODEL: &str = "all-proxy-models";
const MODELS_OF_TEAM: &str = "all-team-models";
const MODELS_OF_ORG: &str = "all-org-models";
const NO_MODEL: &str = "no-default-models";

const NOTHING: &str = "no model is left that the key may call there";

/// The key in `record`.
pub fn read(record: &Record, defaults: &Defaults, notes: &mut Notes) -> Result<Row, Problem> {
    let missing = || Problem::at("token", "this is required");
    let digest = digest(record, "token")?.ok_or_else(missing)?;
    let moment = |column| record.moment(column, Moments::Database);
    let mut is_off = false;
    for column in ["blocked", "team_blocked", "project_blocked"] {
        is_off |= record.flag(column)?.unwrap_or(false);
    }
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
        ends_calls: false,
        last_used_at: moment("last_active")?,
    };
    notes.lost(record, &LOST);
    routes(record, notes)?;
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

/// What a limit to routes comes to: nothing, when models may be called; a refusal, when none may.
fn routes(record: &Record, notes: &mut Notes) -> Result<(), Problem> {
    let routes = record.postgres_list("allowed_routes")?.unwrap_or_default();
    if routes.is_empty() || routes.iter().any(|route| route == ROUTES_TO_MODELS) {
        return Ok(());
    }
    if routes
        .iter()
        .all(|route| OTHER_ROUTES.contains(&route.as_str()))
    {
        let why = "its routes call no models there: it needs a key of another type";
        return Err(Problem::at("allowed_routes", why));
    }
    notes.lost(record, &[ROUTES]);
    Ok(())
}

/// What the key may call: what all the lists allow that hold for it.
fn models(record: &Record, defaults: &Defaults) -> Result<ModelScope, Problem> {
    let own = record.postgres_list("models")?.unwrap_or_default();
    let says = |column| Ok::<_, Problem>(record.text(column)?.is_some());
    let is_as_team = own.iter().any(|model| model == MODELS_OF_TEAM);
    let is_of_team = says("team_id")? || is_as_team;
    let is_of_user = says("user_id")? && !is_of_team;
    let lists = [
        ("team_models", is_of_team),
        ("user_models", is_of_user),
        ("project_models", says("project_id")?),
    ];
    let own = if is_as_team { Vec::new() } else { own };
    let mut all = limit("models", own)?;
    for (column, holds) in lists {
        let list = record.postgres_list(column)?;
        if !holds {
            continue;
        }
        let why = "the file must say which models these are: see the query in the help";
        let list = list.ok_or_else(|| Problem::at(column, why))?;
        all = both(all, limit(column, list)?)?;
    }
    if let Some(list) = record.postgres_list("member_models")? {
        all = both(all, limit("member_models", list)?)?;
    }
    match all {
        Some(models) => scope(Some(&models), "models", defaults),
        None => Ok(defaults.scope.clone()),
    }
}

/// The models that a list limits to; nothing when it limits to none.
fn limit(column: &'static str, models: Vec<String>) -> Result<Option<Vec<String>>, Problem> {
    let has = |word: &str| models.iter().any(|model| model == word);
    if has(MODELS_OF_ORG) || has(MODELS_OF_TEAM) {
        let why = "the models of a whole team or organisation stand elsewhere; write them out";
        return Err(Problem::at(column, why));
    }
    if has(NO_MODEL) {
        return Err(Problem::at(column, NOTHING));
    }
    let limits = !models.is_empty() && !has(EVERY_MODEL) && !has("*");
    Ok(limits.then_some(models))
}

/// What two limits are together; nothing when there is none.
fn both(
    one: Option<Vec<String>>,
    other: Option<Vec<String>>,
) -> Result<Option<Vec<String>>, Problem> {
    let (one, other) = match (one, other) {
        (Some(one), Some(other)) => (one, other),
        (one, other) => return Ok(one.or(other)),
    };
    let both = allowed_by_both(&one, &other);
    if both.is_empty() {
        return Err(Problem::at("models", NOTHING));
    }
    Ok(Some(both))
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
