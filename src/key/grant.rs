use std::fmt::Write;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use super::{ApiKey, KeyCategory, KeyDigest, KeyId, LastUsed, ModelId, ModelScope, UnixTime};

/// What memory holds about a key: enough to decide, and the mark of its last use.
///
/// There is one grant for each text of a key: the present one, and the one before a rotation while its grace lasts.
#[derive(Debug)]
pub struct Grant {
    pub(super) id: KeyId,
    pub(super) category: KeyCategory,
    pub(super) scope: ModelScope,
    pub(super) expires_at: Option<UnixTime>,
    pub(super) is_disabled: bool,
    pub(super) is_old_text: bool,
    pub(super) ends_calls: bool,
    pub(super) identity: Identity,
    pub(super) last_used: LastUsed,
}

/// What a route says about the model of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedModel<'r> {
    /// The request names this one.
    Named(ModelId<'r>),
    /// The route names none: only a key for every model may pass.
    NotNamed,
    /// The route is declared to need none: every key that may call models passes.
    NotNeeded,
    /// Two places of the request name different ones: no key passes.
    Differ,
}

/// What a key is presented for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To call a model, or to see which there are.
    Calling,
    /// To read a server's metrics.
    ReadingMetrics,
}

/// Why a key may not do what it was presented for. A verdict, not an error; never told to the caller in this detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Denial {
    /// Switched off.
    Disabled,
    /// Its end has come.
    Expired,
    /// Its category may not call models.
    Category,
    /// Its category may not read exported metrics.
    MetricsCategory,
    /// Its scope does not allow the model.
    ModelOutOfScope,
    /// It is limited to some models, and the route names none.
    ModelNotNamed,
    /// The request names different models in different places.
    ModelsDiffer,
}

/// A grant as one thread has it. Its copies are counted for that thread alone: threads that serve the same key write nothing that
/// they share.
#[derive(Debug, Clone)]
#[expect(
    clippy::redundant_allocation,
    reason = "it is the count that no other thread writes"
)]
pub struct LocalGrant(Rc<Arc<Grant>>);

/// Proof that one request was allowed. Only [`LocalGrant::permit`] makes one.
#[derive(Debug)]
pub struct Permit {
    grant: LocalGrant,
}

impl Grant {
    /// The grants of a key, each with the digest it is known by.
    ///
    /// The text before a rotation is one only if its end is after `now`.
    pub fn of(key: &ApiKey, now: UnixTime) -> impl Iterator<Item = (KeyDigest, Arc<Self>)> {
        let present = (key.digest, Arc::new(Self::new(key, key.expires_at, false)));
        let old = key.old.filter(|old| old.until > now).map(|old| {
            let end = key.expires_at.map_or(old.until, |end| end.min(old.until));
            (old.digest, Arc::new(Self::new(key, Some(end), true)))
        });
        std::iter::once(present).chain(old)
    }

    fn new(key: &ApiKey, expires_at: Option<UnixTime>, is_old_text: bool) -> Self {
        Self {
            id: key.id,
            category: key.category.clone(),
            scope: key.scope.clone(),
            expires_at,
            is_disabled: key.disabled_at.is_some(),
            is_old_text,
            ends_calls: key.ends_calls,
            identity: Identity::of(key),
            last_used: LastUsed::new(key.last_used_at),
        }
    }

    /// Decides whether the key may do at `now` what it is presented for: call `model`, or read a server's metrics of it
    /// (CONTRACTS 2). The one place where that is decided.
    ///
    /// Looks at disabled, expiry, category and scope, in this order, on every request. Pure, takes no lock, allocates nothing.
    ///
    /// # Errors
    ///
    /// The first reason against it.
    pub fn check(
        &self,
        purpose: Purpose,
        model: NamedModel<'_>,
        now: UnixTime,
    ) -> Result<(), Denial> {
        self.check_life(now)?;
        match purpose {
            Purpose::Calling if !self.category.may_invoke() => return Err(Denial::Category),
            Purpose::ReadingMetrics if !self.category.may_read_metrics() => {
                return Err(Denial::MetricsCategory);
            }
            Purpose::Calling | Purpose::ReadingMetrics => {}
        }
        self.check_scope(model)
    }

    /// Whether `model` is one of those that the key is for: what of a list it may be shown. Permits nothing.
    #[must_use]
    pub fn is_for(&self, model: ModelId<'_>) -> bool {
        self.scope.allows(model)
    }

    fn check_life(&self, now: UnixTime) -> Result<(), Denial> {
        if self.is_disabled {
            return Err(Denial::Disabled);
        }
        if self.expires_at.is_some_and(|end| now >= end) {
            return Err(Denial::Expired);
        }
        Ok(())
    }

    fn check_scope(&self, model: NamedModel<'_>) -> Result<(), Denial> {
        match model {
            NamedModel::Named(model) if !self.scope.allows(model) => Err(Denial::ModelOutOfScope),
            NamedModel::NotNamed if !self.scope.is_every_model() => Err(Denial::ModelNotNamed),
            NamedModel::Differ => Err(Denial::ModelsDiffer),
            NamedModel::Named(_) | NamedModel::NotNamed | NamedModel::NotNeeded => Ok(()),
        }
    }

    /// Whether the key may call every model, so that it need not be known which one is called.
    #[must_use]
    pub const fn is_for_every_model(&self) -> bool {
        self.scope.is_every_model()
    }

    /// Which key.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// Whether this is the text before a rotation, used within its grace.
    #[must_use]
    pub const fn is_old_text(&self) -> bool {
        self.is_old_text
    }

    /// Whether calls under way end with the key, even where the settings let them go on.
    #[must_use]
    pub const fn ends_calls(&self) -> bool {
        self.ends_calls
    }

    /// Who the caller is, for the upstream and the log.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The mark of the key's last use.
    #[must_use]
    pub const fn last_used(&self) -> &LastUsed {
        &self.last_used
    }
}

impl LocalGrant {
    /// Permits what the grant allows: see [`Grant::check`].
    ///
    /// # Errors
    ///
    /// The first reason against it.
    pub fn permit(
        &self,
        purpose: Purpose,
        model: NamedModel<'_>,
        now: UnixTime,
    ) -> Result<Permit, Denial> {
        self.check(purpose, model, now)?;
        Ok(Permit {
            grant: self.clone(),
        })
    }

    /// The same for every thread. To copy it writes what they share.
    #[must_use]
    pub fn shared(&self) -> &Arc<Grant> {
        &self.0
    }
}

impl From<Arc<Grant>> for LocalGrant {
    fn from(grant: Arc<Grant>) -> Self {
        Self(Rc::new(grant))
    }
}

impl Deref for LocalGrant {
    type Target = Grant;

    fn deref(&self) -> &Grant {
        &self.0
    }
}

impl Permit {
    /// The grant that allowed it.
    #[must_use]
    pub const fn grant(&self) -> &LocalGrant {
        &self.grant
    }
}

impl Denial {
    /// The word for it in the log and in the metric.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "key_disabled",
            Self::Expired => "key_expired",
            Self::Category | Self::MetricsCategory => "category_not_allowed",
            Self::ModelOutOfScope => "model_not_allowed",
            Self::ModelNotNamed => "model_not_named",
            Self::ModelsDiffer => "models_differ",
        }
    }
}

/// The public words about a key, ready to be sent on: each is a part of one text. All are visible ASCII and spaces within; what
/// is not, is percent-encoded (RFC 3986 2.1).
#[derive(Debug)]
pub struct Identity {
    pub(super) text: Box<str>,
    /// Where each word ends: id, prefix, name, team, org.
    pub(super) ends: [u16; 5],
}

impl Identity {
    fn of(key: &ApiKey) -> Self {
        let mut text = String::with_capacity(128);
        let mut ends = [0; 5];
        let words: [&dyn std::fmt::Display; 5] = [
            &key.id,
            &key.prefix,
            &Visible(key.name.as_ref().map_or("", |name| name.as_str())),
            &Visible(key.team.as_ref().map_or("", |team| team.name.as_str())),
            &key.org,
        ];
        for (word, end) in words.iter().zip(&mut ends) {
            // 36 + 64 + 36 bytes and two names of 200 characters, each at most twelve bytes when encoded: fits 16 bits.
            // Writing to a text cannot fail.
            let _ = write!(text, "{word}");
            *end = u16::try_from(text.len()).unwrap_or(u16::MAX);
        }
        // They are written behind the fields of a call as they stand: nothing in them may end a line.
        debug_assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        Self {
            // As long as the words are, and no longer: there is one for each key.
            text: text.into_boxed_str(),
            ends,
        }
    }

    fn word(&self, place: usize) -> &str {
        let start = match place {
            0 => 0,
            later => self.ends[later - 1],
        };
        let word = usize::from(start)..usize::from(self.ends[place]);
        self.text.get(word).unwrap_or_default()
    }

    /// The key's id.
    #[must_use]
    pub fn key_id(&self) -> &str {
        self.word(0)
    }

    /// The key's prefix.
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.word(1)
    }

    /// The key's name, or nothing.
    #[must_use]
    pub fn name(&self) -> &str {
        self.word(2)
    }

    /// The team's name, or nothing.
    #[must_use]
    pub fn team(&self) -> &str {
        self.word(3)
    }

    /// The organisation's id.
    #[must_use]
    pub fn org(&self) -> &str {
        self.word(4)
    }
}

/// Shows a text as visible ASCII and inner spaces; everything else, and `%`, percent-encoded.
struct Visible<'t>(&'t str);

impl std::fmt::Display for Visible<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'%';
        if self.0.bytes().all(is_plain) {
            return f.write_str(self.0);
        }
        let last = self.0.len().saturating_sub(1);
        for (place, byte) in self.0.bytes().enumerate() {
            let inner_space = byte == b' ' && place != 0 && place != last;
            if inner_space || is_plain(byte) {
                f.write_char(char::from(byte))?;
            } else {
                write!(f, "%{byte:02X}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use uuid::Uuid;

    use super::*;
    use crate::key::{OldDigest, OrgId, TeamId, TeamRef};

    const NOW: UnixTime = UnixTime::from_secs(1_000);
    const M1: NamedModel<'_> = NamedModel::Named(ModelId::new("m1"));
    const M2: NamedModel<'_> = NamedModel::Named(ModelId::new("m2"));

    fn key() -> ApiKey {
        ApiKey {
            id: KeyId::new(Uuid::from_u128(1)),
            prefix: "kw_aaaaaaaa".parse().unwrap(),
            digest: KeyDigest::of(b"text"),
            old: None,
            name: Some(" prod 100% ü ".parse().unwrap()),
            category: KeyCategory::WorkspaceInvoke,
            operation: None,
            scope: ModelScope::from_request(Some(&["m1"])).unwrap(),
            org: OrgId::new(Uuid::from_u128(2)),
            team: Some(TeamRef {
                id: TeamId::new(Uuid::from_u128(3)),
                name: "default".parse().unwrap(),
            }),
            owner: None,
            created_at: UnixTime::from_secs(1),
            expires_at: None,
            disabled_at: None,
            ends_calls: false,
            last_used_at: None,
        }
    }

    fn present(key: &ApiKey) -> Arc<Grant> {
        Grant::of(key, NOW).next().unwrap().1
    }

    #[rstest]
    #[case::in_scope(|_: &mut ApiKey| {}, M1, Ok(()))]
    #[case::out_of_scope(|_: &mut ApiKey| {}, M2, Err(Denial::ModelOutOfScope))]
    #[case::not_named(|_: &mut ApiKey| {}, NamedModel::NotNamed, Err(Denial::ModelNotNamed))]
    #[case::not_needed(|_: &mut ApiKey| {}, NamedModel::NotNeeded, Ok(()))]
    #[case::differ(|_: &mut ApiKey| {}, NamedModel::Differ, Err(Denial::ModelsDiffer))]
    #[case::unscoped_differ(|key: &mut ApiKey| key.scope = ModelScope::Every, NamedModel::Differ, Err(Denial::ModelsDiffer))]
    #[case::disabled_before_differ(|key: &mut ApiKey| key.disabled_at = Some(NOW), NamedModel::Differ, Err(Denial::Disabled))]
    #[case::unscoped_not_named(|key: &mut ApiKey| key.scope = ModelScope::Every, NamedModel::NotNamed, Ok(()))]
    #[case::unscoped(|key: &mut ApiKey| key.scope = ModelScope::Every, M2, Ok(()))]
    #[case::empty_scope(|key: &mut ApiKey| key.scope = ModelScope::Only([].into()), M1, Err(Denial::ModelOutOfScope))]
    #[case::disabled(|key: &mut ApiKey| key.disabled_at = Some(NOW), M1, Err(Denial::Disabled))]
    #[case::expires_now(|key: &mut ApiKey| key.expires_at = Some(NOW), M1, Err(Denial::Expired))]
    #[case::expires_next(|key: &mut ApiKey| key.expires_at = Some(UnixTime::from_secs(1_001)), M1, Ok(()))]
    #[case::metrics_only(|key: &mut ApiKey| key.category = KeyCategory::WorkspaceExportMetrics, M1, Err(Denial::Category))]
    #[case::unknown_category(|key: &mut ApiKey| key.category = KeyCategory::from_stored("NEW"), M1, Err(Denial::Category))]
    #[case::disabled_before_expired(|key: &mut ApiKey| { key.disabled_at = Some(NOW); key.expires_at = Some(NOW); }, M1, Err(Denial::Disabled))]
    fn a_grant_permits_what_its_key_may(
        #[case] change: fn(&mut ApiKey),
        #[case] model: NamedModel<'_>,
        #[case] verdict: Result<(), Denial>,
    ) {
        let mut key = key();
        change(&mut key);
        let grant = LocalGrant::from(present(&key));
        let permit = grant.permit(Purpose::Calling, model, NOW);
        assert_eq!(permit.map(|_| ()), verdict);
    }

    #[rstest]
    #[case(KeyCategory::Personal, ModelScope::Every, NamedModel::NotNamed, Ok(()))]
    #[case(KeyCategory::WorkspaceManageAll, ModelScope::Every, M1, Ok(()))]
    #[case(
        KeyCategory::WorkspaceInvoke,
        ModelScope::Every,
        NamedModel::NotNeeded,
        Err(Denial::MetricsCategory)
    )]
    #[case(
        KeyCategory::from_stored("NEW"),
        ModelScope::Every,
        NamedModel::NotNeeded,
        Err(Denial::MetricsCategory)
    )]
    #[case(KeyCategory::WorkspaceExportMetrics, ModelScope::Every, NamedModel::NotNamed, Ok(()))]
    #[case(KeyCategory::WorkspaceExportMetrics, m1_only(), M1, Ok(()))]
    #[case(
        KeyCategory::WorkspaceExportMetrics,
        m1_only(),
        M2,
        Err(Denial::ModelOutOfScope)
    )]
    #[case(
        KeyCategory::WorkspaceExportMetrics,
        m1_only(),
        NamedModel::NotNamed,
        Err(Denial::ModelNotNamed)
    )]
    #[case(KeyCategory::WorkspaceExportMetrics, m1_only(), NamedModel::NotNeeded, Ok(()))]
    fn a_grant_permits_metrics_to_those_who_may_read_them(
        #[case] category: KeyCategory,
        #[case] scope: ModelScope,
        #[case] model: NamedModel<'_>,
        #[case] verdict: Result<(), Denial>,
    ) {
        let mut key = key();
        (key.category, key.scope) = (category, scope);
        let permit = |key: &ApiKey| present(key).check(Purpose::ReadingMetrics, model, NOW);
        assert_eq!(permit(&key), verdict);
        key.expires_at = Some(NOW);
        assert_eq!(permit(&key), Err(Denial::Expired));
        key.disabled_at = Some(NOW);
        assert_eq!(permit(&key), Err(Denial::Disabled));
    }

    fn m1_only() -> ModelScope {
        ModelScope::from_request(Some(&["m1"])).unwrap()
    }

    #[test]
    fn the_text_before_a_rotation_works_until_its_end_and_no_longer_than_the_key() {
        let mut key = key();
        let digest = KeyDigest::of(b"old");
        key.old = Some(OldDigest {
            digest,
            until: UnixTime::from_secs(1_010),
        });
        key.expires_at = Some(UnixTime::from_secs(1_005));
        let (known_by, old) = Grant::of(&key, NOW).nth(1).unwrap();
        assert_eq!(known_by, digest);
        assert!(old.is_old_text());
        let old_at = |secs| old.check(Purpose::Calling, M1, UnixTime::from_secs(secs));
        assert_eq!(old_at(1_004), Ok(()));
        assert_eq!(old_at(1_005), Err(Denial::Expired));
        assert_eq!(Grant::of(&key, UnixTime::from_secs(1_010)).count(), 1);
    }

    #[test]
    fn the_identity_is_visible_ascii() {
        let grant = present(&key());
        let identity = grant.identity();
        assert_eq!(identity.prefix(), "kw_aaaaaaaa");
        assert_eq!(identity.name(), "%20prod 100%25 %C3%BC%20");
        assert_eq!(identity.team(), "default");
        assert_eq!(identity.key_id(), Uuid::from_u128(1).to_string());
        assert_eq!(identity.org(), Uuid::from_u128(2).to_string());
    }
}
