//! The handles of an admin dialect.

use metrics::{Counter, Recorder};

use super::register_counter;

/// What an administrator asked for, as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AdminCommand {
    /// Refused before it was known: no such path or method, or whoever asked may not come in.
    None,
    /// Show keys, or one of them.
    ListKeys,
    /// Make a key.
    CreateKey,
    /// Change a key.
    UpdateKey,
    /// Give a key a new text.
    RotateKey,
    /// Delete a key.
    DeleteKey,
    /// Show the audit trail.
    ListAudit,
    /// Show teams, or one of them.
    ListTeams,
    /// Make a team.
    CreateTeam,
    /// Say who asks.
    WhoAmI,
    /// Show the keys that are presented to upstreams.
    ListUpstreamKeys,
    /// Show the upstreams.
    ListUpstreams,
    /// Show how this process and the others do.
    ShowStatus,
}

impl AdminCommand {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 13] = [
        Self::None,
        Self::ListKeys,
        Self::CreateKey,
        Self::UpdateKey,
        Self::RotateKey,
        Self::DeleteKey,
        Self::ListAudit,
        Self::ListTeams,
        Self::CreateTeam,
        Self::WhoAmI,
        Self::ListUpstreamKeys,
        Self::ListUpstreams,
        Self::ShowStatus,
    ];

    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ListKeys => "list_keys",
            Self::CreateKey => "create_key",
            Self::UpdateKey => "update_key",
            Self::RotateKey => "rotate_key",
            Self::DeleteKey => "delete_key",
            Self::ListAudit => "list_audit",
            Self::ListTeams => "list_teams",
            Self::CreateTeam => "create_team",
            Self::WhoAmI => "who_am_i",
            Self::ListUpstreamKeys => "list_upstream_keys",
            Self::ListUpstreams => "list_upstreams",
            Self::ShowStatus => "show_status",
        }
    }
}

/// Every status an admin listener answers with, as it stands in the label.
const ADMIN_STATUSES: [(u16, &str); 16] = [
    (200, "200"),
    (201, "201"),
    (204, "204"),
    (400, "400"),
    (401, "401"),
    (403, "403"),
    (404, "404"),
    (405, "405"),
    (408, "408"),
    (409, "409"),
    (413, "413"),
    (415, "415"),
    (421, "421"),
    (429, "429"),
    (500, "500"),
    (503, "503"),
];

/// What is counted for one dialect of the admin listener.
#[derive(Clone)]
pub struct AdminMetrics {
    requests: [[Counter; ADMIN_STATUSES.len()]; AdminCommand::ALL.len()],
}

impl AdminMetrics {
    pub(super) fn register(recorder: &dyn Recorder, dialect: &str) -> Self {
        Self {
            requests: AdminCommand::ALL.map(|command| {
                ADMIN_STATUSES.map(|(_, status)| {
                    register_counter(
                        recorder,
                        "keyward_admin_requests_total",
                        &[
                            ("dialect", dialect),
                            ("command", command.as_str()),
                            ("status", status),
                        ],
                    )
                })
            }),
        }
    }

    /// A request was answered. A status that no dialect is known to use counts as 500.
    pub fn answered(&self, command: AdminCommand, status: u16) {
        let place = |wanted| ADMIN_STATUSES.iter().position(|&(code, _)| code == wanted);
        if let Some(place) = place(status).or_else(|| place(500)) {
            self.requests[command as usize][place].increment(1);
        }
    }
}
