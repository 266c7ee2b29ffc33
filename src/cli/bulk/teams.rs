//! The teams that a file names.

use std::collections::HashMap;

use anyhow::{Context as _, bail};
use uuid::Uuid;

use super::Row;
use super::record::Problem;
use crate::cli::direct::Direct;
use crate::key::{Name, TeamId};

/// The teams there are, by id and by name.
pub struct Teams {
    ids: HashMap<String, TeamId>,
    names: HashMap<String, TeamId>,
    default: TeamId,
    may_make: bool,
    dry_run: bool,
}

impl Teams {
    /// The teams of the database. Others are made when `may_make` says so, in a dry run only here.
    pub async fn load(direct: &Direct, may_make: bool, dry_run: bool) -> anyhow::Result<Self> {
        let listed = direct.teams().await.context("list teams")?.teams;
        let mut teams = Self {
            ids: HashMap::new(),
            names: HashMap::new(),
            default: TeamId::new(Uuid::nil()),
            may_make,
            dry_run,
        };
        for team in listed {
            let id: TeamId = team.id.parse()?;
            if team.default {
                teams.default = id;
            }
            teams.ids.insert(team.id, id);
            teams.names.insert(team.name, id);
        }
        Ok(teams)
    }

    /// The team of the keys that name none: the one called `named`, or the default one.
    pub fn default(&self, named: Option<&str>) -> anyhow::Result<TeamId> {
        let Some(named) = named else {
            return Ok(self.default);
        };
        match self.get(named) {
            Some(team) => Ok(team),
            None => bail!("no team matched {named:?}"),
        }
    }

    /// The team with the id `word`, or with that name. An id wins, so that an id always works.
    fn get(&self, word: &str) -> Option<TeamId> {
        self.ids.get(word).or_else(|| self.names.get(word)).copied()
    }

    /// Puts `row` into the team it names, if that is there; or finds that it can be made.
    pub fn find(&self, row: &mut Row) -> Result<(), Problem> {
        let Some(word) = &row.team else {
            return Ok(());
        };
        if let Some(team) = self.get(word) {
            row.key.team = team;
            row.team = None;
            return Ok(());
        }
        if !self.may_make {
            let why = "there is no such team; --create-teams makes it";
            return Err(Problem::at("team", why));
        }
        let name = word.parse::<Name>();
        name.map(drop)
            .map_err(|error| Problem::at("team", error.to_string()))
    }

    /// Makes the team that `row` names, if it is still not there.
    pub async fn make(&mut self, direct: &Direct, row: &mut Row) -> anyhow::Result<()> {
        let Some(word) = row.team.take() else {
            return Ok(());
        };
        if self.get(&word).is_none() {
            let id = if self.dry_run {
                TeamId::new(Uuid::now_v7())
            } else {
                direct
                    .create_team(&word)
                    .await
                    .context("creating team")?
                    .id
                    .parse()?
            };
            self.names.insert(word.clone(), id);
        }
        row.key.team = self
            .get(&word)
            .context("a team that was made a moment ago")?;
        Ok(())
    }
}
