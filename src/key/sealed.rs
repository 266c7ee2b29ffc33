//! A grant as bytes, to be kept where no database is: everything that decides, and no secret.
//!
//! Numbers are little-endian. In this order: the id (16 bytes); the category (1); what else is so (1, the `const`s
//! below); the moment of expiry, if there is one (8); the last use, 0 for none (8); the patterns of a scope, if it has
//! one (their number in 2, each its length in 2 and its text); where the five words of the identity end (5 × 2), and
//! their text.

use std::sync::Arc;

use uuid::Uuid;

use super::grant::Identity;
use super::{Grant, KeyCategory, KeyId, LastUsed, ModelPattern, ModelScope, UnixTime};

const DISABLED: u8 = 1;
const OLD_TEXT: u8 = 1 << 1;
const EXPIRES: u8 = 1 << 2;
const EVERY_MODEL: u8 = 1 << 3;
const ENDS_CALLS: u8 = 1 << 4;
const ALL_FLAGS: u8 = DISABLED | OLD_TEXT | EXPIRES | EVERY_MODEL | ENDS_CALLS;

/// A category that we do not know. Its word decides nothing, so it is not kept.
const UNKNOWN_CATEGORY: u8 = u8::MAX;

impl Grant {
    /// Appends the grant to `bytes`, at most 400 kB of them, and commonly a hundred and some.
    pub fn seal(&self, bytes: &mut Vec<u8>) {
        let set = |flag: u8, is_so: bool| if is_so { flag } else { 0 };
        let patterns = self.scope.patterns();
        bytes.extend(self.id.as_uuid().as_bytes());
        bytes.push(category_number(&self.category));
        bytes.push(
            set(DISABLED, self.is_disabled)
                | set(OLD_TEXT, self.is_old_text)
                | set(EXPIRES, self.expires_at.is_some())
                | set(EVERY_MODEL, patterns.is_none())
                | set(ENDS_CALLS, self.ends_calls),
        );
        if let Some(end) = self.expires_at {
            bytes.extend(end.as_secs().to_le_bytes());
        }
        let used = self.last_used.latest().map_or(0, UnixTime::as_secs);
        bytes.extend(used.to_le_bytes());
        if let Some(patterns) = patterns {
            // A scope holds a thousand patterns at most, each of 256 bytes at most.
            bytes.extend(length(patterns.len()));
            for pattern in patterns {
                bytes.extend(length(pattern.as_str().len()));
                bytes.extend(pattern.as_str().as_bytes());
            }
        }
        for end in self.identity.ends {
            bytes.extend(end.to_le_bytes());
        }
        bytes.extend(self.identity.text.as_bytes());
    }

    /// The grant that [`Grant::seal`] made these bytes of; `None` for any that it cannot have made.
    #[must_use]
    pub fn unseal(bytes: &[u8]) -> Option<Self> {
        let mut rest = Rest(bytes);
        let id = KeyId::new(Uuid::from_bytes(rest.array()?));
        let category = category_of(rest.byte()?)?;
        let flags = rest.byte()?;
        if flags & !ALL_FLAGS != 0 {
            return None;
        }
        let is = |flag: u8| flags & flag != 0;
        let expires_at = if is(EXPIRES) {
            Some(UnixTime::from_secs(rest.number()?))
        } else {
            None
        };
        let used = rest.number()?;
        let scope = if is(EVERY_MODEL) {
            ModelScope::Every
        } else {
            ModelScope::Only(rest.patterns()?)
        };
        Some(Self {
            id,
            category,
            scope,
            expires_at,
            is_disabled: is(DISABLED),
            is_old_text: is(OLD_TEXT),
            ends_calls: is(ENDS_CALLS),
            identity: rest.identity()?,
            last_used: LastUsed::new((used > 0).then(|| UnixTime::from_secs(used))),
        })
    }
}

fn category_number(category: &KeyCategory) -> u8 {
    let place = KeyCategory::ALL.iter().position(|known| known == category);
    place
        .and_then(|place| u8::try_from(place).ok())
        .unwrap_or(UNKNOWN_CATEGORY)
}

fn category_of(number: u8) -> Option<KeyCategory> {
    match number {
        UNKNOWN_CATEGORY => Some(KeyCategory::Unknown("".into())),
        number => KeyCategory::ALL.get(usize::from(number)).cloned(),
    }
}

fn length(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes()
}

/// What is left to be read.
struct Rest<'b>(&'b [u8]);

impl<'b> Rest<'b> {
    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const COUNT: usize>(&mut self) -> Option<[u8; COUNT]> {
        self.take(COUNT)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn length(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn patterns(&mut self) -> Option<Arc<[ModelPattern]>> {
        let count = self.length()?;
        (0..count)
            .map(|_| {
                let length = self.length()?;
                let text = self.take(length.into())?;
                std::str::from_utf8(text).ok()?.parse().ok()
            })
            .collect()
    }

    /// The words, and with them everything that is left.
    fn identity(&mut self) -> Option<Identity> {
        let mut ends = [0; 5];
        for end in &mut ends {
            *end = self.length()?;
        }
        let text = str::from_utf8(std::mem::take(&mut self.0)).ok()?;
        let is_whole = usize::from(ends[4]) == text.len();
        let is_visible = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        (is_whole && ends.is_sorted() && is_visible).then(|| Identity {
            text: text.into(),
            ends,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;
    use crate::key::{
        ApiKey, Denial, KeyDigest, ModelId, NamedModel, OldDigest, OrgId, Purpose, TeamId, TeamRef,
    };

    const NAME: &str = "[a-zA-Z0-9 ü🚀%·-]{1,40}";

    prop_compose! {
        fn any_key()(
            ids in (any::<u128>(), any::<u128>()),
            name in option::of(NAME),
            team in option::of(NAME),
            category in prop_oneof!["PERSONAL", "WORKSPACE_INVOKE", "WORKSPACE_[A-Z]{1,9}"],
            scope in option::of(vec("[a-c/]{1,3}[*]?", 0..4)),
            old in option::of((any::<[u8; 32]>(), 0..100_u64)),
            moments in (option::of(0..100_u64), option::of(0..100_u64), option::of(1..100_u64)),
            ends_calls: bool,
        ) -> ApiKey {
            let at = UnixTime::from_secs;
            let scope = scope.map(|ids| serde_json::to_string(&ids).unwrap());
            ApiKey {
                id: KeyId::new(Uuid::from_u128(ids.0)),
                prefix: "kw_aaaaaaaa".parse().unwrap(),
                digest: KeyDigest::of(b"text"),
                old: old.map(|(digest, until)| OldDigest {
                    digest: KeyDigest::from_bytes(digest),
                    until: at(until),
                }),
                name: name.map(|name| name.parse().unwrap()),
                category: KeyCategory::from_stored(&category),
                operation: None,
                scope: ModelScope::from_stored(scope.as_deref()).unwrap(),
                org: OrgId::new(Uuid::from_u128(ids.1)),
                team: team.map(|name| TeamRef {
                    id: TeamId::new(Uuid::from_u128(ids.1)),
                    name: name.parse().unwrap(),
                }),
                owner: None,
                created_at: at(1),
                expires_at: moments.0.map(at),
                disabled_at: moments.1.map(at),
                ends_calls,
                last_used_at: moments.2.map(at),
            }
        }
    }

    fn sealed(grant: &Grant) -> Vec<u8> {
        let mut bytes = Vec::new();
        grant.seal(&mut bytes);
        bytes
    }

    /// Everything that a grant decides, about some models at some times.
    fn verdicts(grant: &Grant) -> Vec<Result<(), Denial>> {
        let models = ["a", "ab", "c/", "ccc", "d"].map(|id| NamedModel::Named(ModelId::new(id)));
        let others = [
            NamedModel::NotNamed,
            NamedModel::NotNeeded,
            NamedModel::Differ,
        ];
        let models = models.iter().chain(&others);
        let moments = (0..101).map(UnixTime::from_secs);
        models
            .flat_map(|model| {
                moments
                    .clone()
                    .map(|now| grant.check(Purpose::Calling, *model, now))
            })
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_unsealed_decides_and_says_what_was_sealed(key in any_key()) {
            for (_, grant) in Grant::of(&key, UnixTime::from_secs(0)) {
                let bytes = sealed(&grant);
                let again = std::sync::Arc::new(Grant::unseal(&bytes).unwrap());
                prop_assert_eq!(verdicts(&again), verdicts(&grant));
                prop_assert_eq!(again.id(), grant.id());
                prop_assert_eq!(again.is_old_text(), grant.is_old_text());
                prop_assert_eq!(&again.identity().text, &grant.identity().text);
                prop_assert_eq!(again.identity().ends, grant.identity().ends);
                prop_assert_eq!(again.last_used().latest(), grant.last_used().latest());
                prop_assert_eq!(again.ends_calls(), grant.ends_calls());
                prop_assert_eq!(sealed(&again), bytes);
            }
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = Grant::unseal(&bytes);
        }

        #[test]
        fn nothing_shorter_or_longer_is_a_grant(key in any_key(), cut: prop::sample::Index) {
            let (_, grant) = Grant::of(&key, UnixTime::from_secs(0)).next().unwrap();
            let mut bytes = sealed(&grant);
            prop_assert!(Grant::unseal(&bytes[..cut.index(bytes.len())]).is_none());
            bytes.push(b'a');
            prop_assert!(Grant::unseal(&bytes).is_none());
        }
    }
}
