//! Silences: who wants no notifications of which alerts, from when to when.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{Labels, MatchOp};
use thiserror::Error;

use crate::matcher::{Language, Matcher, all_match};
use crate::moment::Moment;

/// A silence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silence {
    /// What it is called.
    pub id: String,
    /// Which alerts it is about: of these lists, any; of a list, all.
    pub matchers: Vec<Vec<Matcher>>,
    /// From when on.
    pub starts_at: Moment,
    /// Until when.
    pub ends_at: Moment,
    /// When it was last changed.
    pub updated_at: Moment,
    /// Who wants it.
    pub created_by: String,
    /// Why.
    pub comment: String,
    /// What else is said of it.
    pub annotations: BTreeMap<String, String>,
}

/// Where a silence stands in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SilenceState {
    /// It is still to come.
    Pending,
    /// It holds.
    Active,
    /// It is over.
    Expired,
}

impl SilenceState {
    /// As the API names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Expired => "expired",
        }
    }
}

/// Why a silence is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SilenceError {
    /// It is about nothing.
    #[error("invalid silence: at least one matcher set required")]
    NoMatchers,
    /// One of its lists of matchers is empty.
    #[error("invalid silence: matcher set {set} is empty")]
    EmptySet {
        /// Its place, from 0.
        set: usize,
    },
    /// A matcher looks at what is no label.
    #[error(
        "invalid silence: invalid label matcher {index} in set {set}: invalid label name {}",
        gotemplate::quote(name)
    )]
    LabelName {
        /// The place of the list, from 0.
        set: usize,
        /// The place in the list, from 0.
        index: usize,
        /// The name.
        name: String,
    },
    /// All matchers match alerts without the label: it would silence nearly everything.
    #[error("invalid silence: matcher set {set}: at least one matcher must not match the empty string")]
    MatchesEverything {
        /// The place of the list, from 0.
        set: usize,
    },
    /// It ends before it starts.
    #[error("invalid silence: end time must not be before start time")]
    EndBeforeStart,
    /// There is none of that name.
    #[error("silence not found")]
    NotFound,
    /// It is larger than it may be.
    #[error("silence maximum size exceeded: {bytes} bytes (limit: {limit} bytes)")]
    TooLarge {
        /// How many bytes it has as it is kept.
        bytes: usize,
        /// How many it may have.
        limit: usize,
    },
    /// There are as many as there may be.
    #[error("exceeded maximum number of silences: {count} (limit: {limit})")]
    TooMany {
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
}

impl Silence {
    /// Where it stands at a time.
    pub fn state(&self, now: Moment) -> SilenceState {
        if now < self.starts_at {
            SilenceState::Pending
        } else if now > self.ends_at {
            SilenceState::Expired
        } else {
            SilenceState::Active
        }
    }

    /// Whether it is about an alert with these labels.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.matchers.iter().any(|matchers| all_match(matchers, labels))
    }

    /// Refuses what cannot be a silence.
    pub(crate) fn check(&self, language: Language) -> Result<(), SilenceError> {
        if self.matchers.is_empty() {
            return Err(SilenceError::NoMatchers);
        }
        for (set, matchers) in self.matchers.iter().enumerate() {
            if matchers.is_empty() {
                return Err(SilenceError::EmptySet { set });
            }
            for (index, matcher) in matchers.iter().enumerate() {
                if !language.is_label_name(matcher.name()) {
                    return Err(SilenceError::LabelName { set, index, name: matcher.name().to_owned() });
                }
            }
            if matchers.iter().all(matches_empty) {
                return Err(SilenceError::MatchesEverything { set });
            }
        }
        if self.ends_at < self.starts_at {
            return Err(SilenceError::EndBeforeStart);
        }
        Ok(())
    }
}

/// Whether a matcher says nothing: it lets alerts pass that lack the label. One that asks for inequality says something.
fn matches_empty(matcher: &Matcher) -> bool {
    matches!(matcher.op(), MatchOp::Equal | MatchOp::Regex) && matcher.matches_value("")
}

/// What changing a silence comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SilenceChange {
    /// The silences to be stored: the changed one, and where a change makes another one of it, the old one at its end.
    pub store: Vec<Silence>,
    /// What the changed one is called.
    pub id: String,
}

/// All silences, also those that are over, for a while.
#[derive(Debug, Clone, Default)]
pub struct Silences {
    all: BTreeMap<String, Silence>,
}

impl Silences {
    /// Decides what creating or changing a silence comes to. `new_id` is a fresh name, used where one is needed: a
    /// silence that has begun keeps its name only where its past stays true, that is, if its matchers and its start stay.
    pub fn change(
        &self,
        mut silence: Silence,
        new_id: &str,
        language: Language,
        limit: usize,
        now: Moment,
    ) -> Result<SilenceChange, SilenceError> {
        silence.updated_at = now;
        silence.check(language)?;
        let mut store = Vec::new();
        if !silence.id.is_empty() {
            let known = self.all.get(&silence.id).ok_or(SilenceError::NotFound)?;
            if can_update(known, &silence, now) {
                // Also where the clock went back: what is changed later is what holds.
                silence.updated_at = later(known, now);
                let id = silence.id.clone();
                return Ok(SilenceChange { store: vec![silence], id });
            }
            store.extend(ended(known, now));
        }
        let count = self.all.len();
        if count >= limit {
            return Err(SilenceError::TooMany { count, limit });
        }
        silence.starts_at = silence.starts_at.max(now);
        new_id.clone_into(&mut silence.id);
        store.push(silence);
        Ok(SilenceChange { store, id: new_id.to_owned() })
    }

    /// Decides what ending a silence comes to: what is to be stored, or nothing if it is over already.
    pub fn expire(&self, id: &str, now: Moment) -> Result<Option<Silence>, SilenceError> {
        let known = self.all.get(id).ok_or(SilenceError::NotFound)?;
        Ok(ended(known, now))
    }

    /// Takes note of a silence; of two by one name the one changed later stays.
    pub fn store(&mut self, silence: Silence) {
        match self.all.get(&silence.id) {
            Some(known) if known.updated_at > silence.updated_at => {}
            _ => {
                self.all.insert(silence.id.clone(), silence);
            }
        }
    }

    /// Forgets the silence of that name.
    pub fn remove(&mut self, id: &str) {
        self.all.remove(id);
    }

    /// The silence of that name.
    pub fn get(&self, id: &str) -> Option<&Silence> {
        self.all.get(id)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Silence> {
        self.all.values()
    }

    /// The names of those that hold and are about an alert with these labels.
    pub fn silencing(&self, labels: &Labels, now: Moment) -> Vec<&str> {
        let active = self.all.values().filter(|silence| silence.state(now) == SilenceState::Active);
        active.filter(|silence| silence.matches(labels)).map(|silence| silence.id.as_str()).collect()
    }

    /// Forgets those that have been over for so long.
    pub fn forget(&mut self, retention: Duration, now: Moment) {
        self.all.retain(|_, silence| silence.ends_at.plus(retention) > now);
    }
}

/// A silence that ends now; `None` if it is over already. One still to come never begins.
fn ended(silence: &Silence, now: Moment) -> Option<Silence> {
    let mut ended = Silence { updated_at: later(silence, now), ends_at: now, ..silence.clone() };
    match silence.state(now) {
        SilenceState::Expired => return None,
        SilenceState::Active => {}
        SilenceState::Pending => ended.starts_at = now,
    }
    Some(ended)
}

/// When a silence that is changed now was changed: now, or just after its last change if the clock says otherwise.
fn later(known: &Silence, now: Moment) -> Moment {
    now.max(known.updated_at.plus(Duration::from_nanos(1)))
}

fn can_update(known: &Silence, changed: &Silence, now: Moment) -> bool {
    if known.matchers != changed.matchers {
        return false;
    }
    match known.state(now) {
        // Upstream compares whole seconds: what people send back has no more.
        SilenceState::Active => {
            let second = |moment: Moment| moment.nanos().div_euclid(1_000_000_000);
            second(known.starts_at) == second(changed.starts_at) && changed.ends_at >= now
        }
        SilenceState::Pending => changed.starts_at >= now,
        SilenceState::Expired => false,
    }
}
