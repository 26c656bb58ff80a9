//! Which series of an index some matchers match.

use futures::stream::{self, StreamExt, TryStreamExt};
use model::{MatchOp, Matcher};

use crate::bytes::Cut;
use crate::error::BlockError;
use crate::range_read::read;

use super::reader::{Index, SeriesRef};
use super::section::{CHECKSUM_BYTES, LENGTH_BYTES, Section};
use super::table::Place;

/// About how many bytes of an index a series takes. A list of postings with more bytes than the series that are left would
/// have is not read: their labels tell as much.
const SERIES_BYTES: u64 = 256;

/// Lists of postings that are at most this far apart are fetched together.
const MAX_GAP_BYTES: u64 = 16 << 10;

/// The most that is fetched at a time, but for a longer list.
const MAX_FETCH_BYTES: u64 = 4 << 20;

/// How many fetches are under way at a time.
const FETCHES: usize = 8;

/// How much is read of a list whose end is not known.
const GUESS_BYTES: u64 = 4 << 10;

/// What matchers select.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selected {
    /// Series, ascending, among them all that match.
    pub series: Vec<SeriesRef>,
    /// The matchers that have not been applied: series match where these match their labels.
    pub unchecked: Vec<Matcher>,
}

impl Selected {
    /// Whether a selected series matches.
    pub fn matches(&self, labels: &model::Labels) -> bool {
        self.unchecked.iter().all(|matcher| matcher.matches(labels.get_or_empty(matcher.name())))
    }
}

/// The lists that one matcher is about.
struct Lists<'a> {
    matcher: &'a Matcher,
    places: Vec<Place>,
    bytes: u64,
}

impl<'a> Lists<'a> {
    fn new(matcher: &'a Matcher, places: Vec<Place>) -> Self {
        let bytes = places.iter().map(Place::length_guess).sum();
        Self { matcher, places, bytes }
    }
}

impl Index {
    /// The series that all of `matchers` match; none: all series. Of a long list of postings nothing is read where few
    /// series are left: then the matcher has to be applied to their labels.
    ///
    /// # Errors
    /// Where postings cannot be read.
    pub async fn select(&self, matchers: &[Matcher]) -> Result<Selected, BlockError> {
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for matcher in matchers {
            if matcher.matches_empty() {
                without.push(Lists::new(matcher, self.places_of_values(matcher, false)));
                continue;
            }
            let places = self.places_of_values(matcher, true);
            if places.is_empty() {
                return Ok(Selected::default());
            }
            with.push(Lists::new(matcher, places));
        }
        with.sort_by_key(|lists| lists.bytes);
        let mut with = with.into_iter();
        let series = match with.next() {
            Some(fewest) => self.union(&fewest.places).await?,
            None => self.union(&self.places_of_pair("", "")).await?,
        };
        let mut selected = Selected { series, unchecked: Vec::new() };
        let worth = |series: &[SeriesRef], bytes| bytes <= (series.len() as u64).saturating_mul(SERIES_BYTES);
        for lists in with {
            if worth(&selected.series, lists.bytes) {
                intersect(&mut selected.series, &self.union(&lists.places).await?);
            } else {
                selected.unchecked.push(lists.matcher.clone());
            }
        }
        for lists in without {
            if worth(&selected.series, lists.bytes) {
                subtract(&mut selected.series, &self.union(&lists.places).await?);
            } else {
                selected.unchecked.push(lists.matcher.clone());
            }
        }
        Ok(selected)
    }

    /// Where the lists of the values are that `matcher` matches, or does not match.
    fn places_of_values(&self, matcher: &Matcher, matches: bool) -> Vec<Place> {
        let name = matcher.name();
        let listed = match matcher.op() {
            MatchOp::Equal | MatchOp::NotEqual => Some(vec![matcher.value()]),
            MatchOp::Regex | MatchOp::NotRegex => {
                matcher.set_matches().map(|set| set.iter().map(|value| &**value).collect())
            }
        };
        let positive = matches!(matcher.op(), MatchOp::Equal | MatchOp::Regex);
        if let Some(values) = listed.filter(|_| positive == matches) {
            return values.into_iter().flat_map(|value| self.places_of_pair(name, value)).collect();
        }
        let prefix = if positive == matches { matcher.prefix() } else { "" };
        let all = self.table().places(name, prefix);
        all.filter(|(value, _)| matcher.matches(value) == matches).map(|(_, place)| place).collect()
    }

    fn places_of_pair(&self, name: &str, value: &str) -> Vec<Place> {
        // No series has a label with the empty value; the pair of two empty texts is that of all series.
        match value.is_empty() && !name.is_empty() {
            true => Vec::new(),
            false => self.table().place(name, value).into_iter().collect(),
        }
    }

    /// The series of all these lists together.
    async fn union(&self, places: &[Place]) -> Result<Vec<SeriesRef>, BlockError> {
        let mut places = places.to_vec();
        places.sort_unstable_by_key(|place| place.offset);
        let fetches: Vec<_> = together(&places).map(|near| self.fetch(near)).collect();
        let mut lists: Vec<Vec<SeriesRef>> = stream::iter(fetches).buffered(FETCHES).try_collect().await?;
        if let ([only], 1) = (lists.as_mut_slice(), places.len()) {
            return Ok(std::mem::take(only));
        }
        let mut all = lists.concat();
        all.sort_unstable();
        all.dedup();
        Ok(all)
    }

    /// Reads lists that are near each other.
    async fn fetch(&self, places: &[Place]) -> Result<Vec<SeriesRef>, BlockError> {
        let Some((first, last)) = places.first().zip(places.last()) else { return Ok(Vec::new()) };
        let (file, start) = (self.file(), first.offset);
        let end = last.offset.saturating_add(last.length_guess()).min(file.len()).max(start);
        let bytes = read(file, start..end).await?;
        let mut all = Vec::new();
        for place in places {
            let own = bytes.slice(((place.offset - start) as usize).min(bytes.len())..);
            let length = Cut::new(file.name(), &own, place.offset).u32("the length of a section");
            let needed = length.map(|length| LENGTH_BYTES + u64::from(length) + CHECKSUM_BYTES);
            let section = match needed {
                Ok(needed) if needed <= own.len() as u64 => {
                    let bytes = own.slice(LENGTH_BYTES as usize..needed as usize);
                    Section::checked(file.name(), &bytes, place.offset + LENGTH_BYTES, "postings")?
                }
                _ => Section::read(file, place.offset, "postings").await?,
            };
            self.decode_postings(&section, &mut all)?;
        }
        Ok(all)
    }
}

/// Divides lists, by ascending offsets, into those that are fetched together.
fn together(places: &[Place]) -> impl Iterator<Item = &[Place]> {
    let mut rest = places;
    std::iter::from_fn(move || {
        let first = rest.first()?;
        let near = rest.windows(2).take_while(|pair| {
            let end = pair[0].offset.saturating_add(pair[0].length_guess());
            let next_end = pair[1].offset.saturating_add(pair[1].length_guess());
            pair[1].offset.saturating_sub(end) <= MAX_GAP_BYTES && next_end - first.offset <= MAX_FETCH_BYTES
        });
        let (near, others) = rest.split_at(1 + near.count());
        rest = others;
        Some(near)
    })
}

impl Place {
    /// About how long the section is.
    fn length_guess(&self) -> u64 {
        self.next.and_then(|next| next.checked_sub(self.offset)).unwrap_or(GUESS_BYTES)
    }
}

/// Leaves in `all` what is in `others`, too; both ascend.
fn intersect(all: &mut Vec<SeriesRef>, others: &[SeriesRef]) {
    let mut others = others.iter().peekable();
    all.retain(|series| {
        while others.next_if(|other| *other < series).is_some() {}
        others.peek() == Some(&series)
    });
}

/// Leaves in `all` what is not in `others`; both ascend.
fn subtract(all: &mut Vec<SeriesRef>, others: &[SeriesRef]) {
    let mut others = others.iter().peekable();
    all.retain(|series| {
        while others.next_if(|other| *other < series).is_some() {}
        others.peek() != Some(&series)
    });
}
