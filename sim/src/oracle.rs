//! What clients were promised, and whether answers keep it: what was acknowledged before a question was asked is in its
//! answer, once, with its value; what was never sent is in none; nobody sees what belongs to another tenant.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Labels;
use parking_lot::Mutex;
use promql::RangeSeries;

/// The metric that clients write.
pub(crate) const METRIC: &str = "m";

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation(pub(crate) String);

/// A sample that a client sends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Row {
    /// The number of its series.
    pub(crate) series: u32,
    pub(crate) timestamp_ms: i64,
    pub(crate) value: f64,
}

/// Who has asked what, and when.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) tenant: String,
    /// Samples from here on, which is not included.
    pub(crate) after_ms: i64,
    /// Samples up to here, which is included.
    pub(crate) until_ms: i64,
    /// What was acknowledged up to this moment has to be in the answer.
    asked_at: u64,
}

/// What is in blocks: of each series and time the bits of every value, as often as it is there.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    samples: BTreeMap<Labels, BTreeMap<i64, Vec<u64>>>,
}

impl Stored {
    /// Takes in a sample.
    pub(crate) fn add(&mut self, labels: &Labels, timestamp_ms: i64, value: f64) {
        if !self.samples.contains_key(labels) {
            self.samples.insert(labels.clone(), BTreeMap::new());
        }
        if let Some(series) = self.samples.get_mut(labels) {
            series.entry(timestamp_ms).or_default().push(value.to_bits());
        }
    }
}

/// Everything that clients have sent. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Oracle {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    /// Moments at which something was acknowledged or asked, in one order.
    moment: u64,
    tenants: BTreeMap<String, BTreeMap<u32, BTreeMap<i64, Sent>>>,
    first: Option<Violation>,
    stats: Stats,
    /// The greatest fencing token with which anybody has acted, and who.
    fence: (u64, String),
}

/// What clients did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Samples that were acknowledged.
    pub acknowledged: u64,
    /// Writes that failed, or of which nothing is known.
    pub failed_writes: u64,
    /// Queries that were answered, and compared.
    pub answers: u64,
    /// Queries that were not answered.
    pub failed_queries: u64,
    /// Samples in answers.
    pub compared: u64,
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    value: f64,
    acknowledged_at: Option<u64>,
}

impl Oracle {
    /// These are about to be sent.
    pub(crate) fn sends(&self, tenant: &str, rows: &[Row]) {
        let mut inner = self.inner.lock();
        let series = inner.tenants.entry(tenant.to_owned()).or_default();
        for row in rows {
            let sent = Sent { value: row.value, acknowledged_at: None };
            series.entry(row.series).or_default().entry(row.timestamp_ms).or_insert(sent);
        }
    }

    /// These were acknowledged.
    pub(crate) fn acknowledged(&self, tenant: &str, rows: &[Row]) {
        let mut inner = self.inner.lock();
        inner.moment += 1;
        let moment = inner.moment;
        inner.stats.acknowledged += rows.len() as u64;
        let Some(series) = inner.tenants.get_mut(tenant) else { return };
        for row in rows {
            let sent = series.get_mut(&row.series).and_then(|samples| samples.get_mut(&row.timestamp_ms));
            if let Some(sent) = sent {
                sent.acknowledged_at.get_or_insert(moment);
            }
        }
    }

    /// A write failed, or nothing is known of it.
    pub(crate) fn write_failed(&self) {
        self.inner.lock().stats.failed_writes += 1;
    }

    /// A question is about to be asked.
    pub(crate) fn asks(&self, tenant: &str, after_ms: i64, until_ms: i64) -> Question {
        let mut inner = self.inner.lock();
        inner.moment += 1;
        Question { tenant: tenant.to_owned(), after_ms, until_ms, asked_at: inner.moment }
    }

    /// A question was not answered.
    pub(crate) fn query_failed(&self) {
        self.inner.lock().stats.failed_queries += 1;
    }

    /// Compares an answer; how many samples it has.
    pub(crate) fn answered(&self, question: &Question, answer: &[RangeSeries]) -> Result<u64, Violation> {
        let mut inner = self.inner.lock();
        inner.stats.answers += 1;
        let compared = inner.compare(question, answer);
        match &compared {
            Ok(samples) => inner.stats.compared += samples,
            Err(violation) => drop(inner.first.get_or_insert_with(|| violation.clone())),
        }
        compared
    }

    /// Somebody has an effect outside, with a fencing token. After it nobody may have one with a smaller token.
    pub(crate) fn acts(&self, who: &str, fence: u64) {
        let mut inner = self.inner.lock();
        let (greatest, holder) = &inner.fence;
        if fence < *greatest {
            let what = format!("{who} acts with token {fence} after {holder} has acted with {greatest}");
            inner.first.get_or_insert(Violation(what));
        } else {
            inner.fence = (fence, who.to_owned());
        }
    }

    /// Compares what is stored of a tenant: all that was acknowledged, each sample once, and nothing that was never sent.
    pub(crate) fn check_stored(&self, tenant: &str, stored: &Stored) -> Result<(), String> {
        let inner = self.inner.lock();
        let nothing = BTreeMap::new();
        let all = inner.tenants.get(tenant).unwrap_or(&nothing);
        let mut seen: BTreeMap<u32, &BTreeMap<i64, Vec<u64>>> = BTreeMap::new();
        for (labels, samples) in &stored.samples {
            let number = number_of(tenant, labels).map_err(|violation| violation.0)?;
            seen.insert(number, samples);
            for (at, values) in samples {
                let sent = all.get(&number).and_then(|sent| sent.get(at)).map(|sent| sent.value.to_bits());
                if values.as_slice() != sent.as_slice() {
                    return Err(format!("series {number} has {values:?} at {at}, and was sent {sent:?}"));
                }
            }
        }
        for (number, sent) in all {
            for (at, _) in sent.iter().filter(|(_, sent)| sent.acknowledged_at.is_some()) {
                if seen.get(number).is_none_or(|samples| !samples.contains_key(at)) {
                    return Err(format!("the sample of series {number} at {at} is in no block"));
                }
            }
        }
        Ok(())
    }

    /// Those who have sent something.
    pub(crate) fn tenants(&self) -> Vec<String> {
        self.inner.lock().tenants.keys().cloned().collect()
    }

    /// Something is as it must never be.
    pub(crate) fn is_wrong(&self, what: String) {
        self.inner.lock().first.get_or_insert(Violation(what));
    }

    /// The first promise that was broken.
    pub(crate) fn violation(&self) -> Option<Violation> {
        self.inner.lock().first.clone()
    }

    /// What clients did so far.
    pub(crate) fn stats(&self) -> Stats {
        self.inner.lock().stats
    }
}

impl Inner {
    fn compare(&self, question: &Question, answer: &[RangeSeries]) -> Result<u64, Violation> {
        let nothing = BTreeMap::new();
        let all = self.tenants.get(&question.tenant).unwrap_or(&nothing);
        let mut seen: BTreeMap<u32, &RangeSeries> = BTreeMap::new();
        let mut samples = 0;
        for series in answer {
            let number = number_of(&question.tenant, &series.labels)?;
            if seen.insert(number, series).is_some() {
                return Err(wrong(question, format_args!("series {number} is there twice")));
            }
            let sent = all.get(&number);
            check_series(question, number, series, sent)?;
            samples += series.floats.len() as u64;
        }
        for (number, sent) in all {
            let has = |timestamp_ms: i64| {
                let series = seen.get(number)?;
                series.floats.binary_search_by_key(&timestamp_ms, |(at, _)| *at).ok()
            };
            let wanted = sent.range(question.after_ms.saturating_add(1)..=question.until_ms);
            for (timestamp_ms, sent) in wanted {
                let promised = sent.acknowledged_at.is_some_and(|at| at < question.asked_at);
                if promised && has(*timestamp_ms).is_none() {
                    let what = format_args!("the sample of series {number} at {timestamp_ms} is missing");
                    return Err(wrong(question, what));
                }
            }
        }
        Ok(samples)
    }
}

fn check_series(
    question: &Question,
    number: u32,
    series: &RangeSeries,
    sent: Option<&BTreeMap<i64, Sent>>,
) -> Result<(), Violation> {
    if !series.floats.is_sorted_by(|a, b| a.0 < b.0) {
        return Err(wrong(question, format_args!("series {number} has a sample twice, or not in order")));
    }
    for (timestamp_ms, value) in &series.floats {
        match sent.and_then(|sent| sent.get(timestamp_ms)) {
            Some(sent) if sent.value.to_bits() == value.to_bits() => {}
            Some(sent) => {
                let (sent, at) = (sent.value, timestamp_ms);
                let what = format_args!("series {number} has {value} at {at}, and was sent {sent}");
                return Err(wrong(question, what));
            }
            None => {
                let what = format_args!("series {number} has a sample at {timestamp_ms} that nobody sent");
                return Err(wrong(question, what));
            }
        }
        if *timestamp_ms <= question.after_ms || *timestamp_ms > question.until_ms {
            let what = format_args!("series {number} has a sample at {timestamp_ms} that nobody asked for");
            return Err(wrong(question, what));
        }
    }
    Ok(())
}

/// The number of a series, by its labels.
fn number_of(tenant: &str, labels: &Labels) -> Result<u32, Violation> {
    let of = labels.get("of").unwrap_or_default();
    if of != tenant {
        return Err(Violation(format!("tenant {tenant} was given a series of {of}: {labels}")));
    }
    let number = labels.get("series").and_then(|text| text.parse().ok());
    number.ok_or_else(|| Violation(format!("tenant {tenant} was given a series that nobody sent: {labels}")))
}

fn wrong(question: &Question, what: std::fmt::Arguments<'_>) -> Violation {
    let Question { tenant, after_ms, until_ms, .. } = question;
    Violation(format!("tenant {tenant}, from {after_ms} to {until_ms}: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(timestamp_ms: i64) -> Row {
        Row { series: 1, timestamp_ms, value: timestamp_ms as f64 }
    }

    fn series(of: &str, floats: &[(i64, f64)]) -> RangeSeries {
        let labels = Labels::from_pairs([("__name__", METRIC), ("of", of), ("series", "1")]);
        RangeSeries { labels, floats: floats.to_vec(), histograms: Vec::new() }
    }

    #[test]
    fn what_was_promised_is_asked_for_and_nothing_else_is_taken() {
        let oracle = Oracle::default();
        oracle.sends("a", &[row(1), row(2), row(3)]);
        oracle.acknowledged("a", &[row(2)]);
        let question = oracle.asks("a", 0, 10);
        oracle.acknowledged("a", &[row(3)]);
        let check = |floats: &[(i64, f64)]| oracle.answered(&question, &[series("a", floats)]);
        assert_eq!(check(&[(2, 2.0)]), Ok(1));
        assert_eq!(check(&[(1, 1.0), (2, 2.0), (3, 3.0)]), Ok(3));
        assert_eq!(oracle.violation(), None);
        for wrong in [
            &[(1, 1.0)][..],
            &[],
            &[(2, 2.5)],
            &[(2, 2.0), (2, 2.0)],
            &[(2, 2.0), (4, 4.0)],
            &[(2, 2.0), (1, 1.0)],
        ] {
            assert!(check(wrong).is_err(), "{wrong:?}");
        }
        assert!(oracle.answered(&question, &[]).is_err());
        assert!(oracle.answered(&question, &[series("b", &[(2, 2.0)])]).is_err());
        assert!(oracle.answered(&question, &[series("a", &[(2, 2.0)]), series("a", &[])]).is_err());
        let earlier = oracle.asks("a", 2, 2);
        assert!(oracle.answered(&earlier, &[series("a", &[(2, 2.0)])]).is_err(), "it was not asked for");
        assert!(oracle.violation().is_some());
    }
}
