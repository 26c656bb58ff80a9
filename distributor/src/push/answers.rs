//! What ingesters answered, series by series. Pure.

use proto::{Code, Error, PushResponse, RejectReason, Written};
use ring::{Outcome, Quorum, Tally};

use crate::walk::{Content, Refusal, Refusals};

/// What became of a plan.
#[derive(Debug)]
pub(crate) struct Combined {
    /// What a quorum has stored.
    pub(crate) written: Written,
    /// What was refused, by the walk or by a quorum of ingesters.
    pub(crate) refusals: Refusals,
    /// Of how many series and metadata entries it is not known.
    pub(crate) undecided: usize,
    /// How many there were.
    pub(crate) all: usize,
    /// Why the first push that failed did.
    pub(crate) failure: Option<Error>,
}

/// What ingesters have answered so far.
pub(crate) struct Answers {
    quorum: Quorum,
    tallies: Vec<Tally>,
    contents: Vec<Content>,
    undecided: usize,
    parts: Vec<Part>,
    rejections: Vec<PartRejection>,
    failure: Option<Error>,
}

/// What one ingester was sent, as positions among the tallies.
struct Part {
    frames: Vec<u32>,
    metadata: Vec<u32>,
}

/// What one ingester refused of one series.
struct PartRejection {
    item: u32,
    part: usize,
    refused: Written,
    refusal: Refusal,
}

#[derive(Clone, Copy)]
enum Answer {
    Stored,
    Refused,
    Failed,
}

impl Answers {
    pub(crate) fn new(quorum: Quorum, tallies: Vec<Tally>, contents: Vec<Content>) -> Self {
        let undecided = tallies.iter().filter(|t| t.outcome(quorum).is_none()).count();
        Self {
            quorum,
            tallies,
            contents,
            undecided,
            parts: Vec::new(),
            rejections: Vec::new(),
            failure: None,
        }
    }

    /// Announces the next part: the items of its frames and of its metadata.
    pub(crate) fn expect(&mut self, frames: Vec<u32>, metadata: Vec<u32>) {
        self.parts.push(Part { frames, metadata });
    }

    /// Whether no further answer can make a difference.
    pub(crate) fn are_decided(&self) -> bool {
        self.undecided == 0
    }

    /// Notes the answer to a part; a part answers once.
    pub(crate) fn add(&mut self, part: usize, result: Result<PushResponse, Error>) {
        let Some(Part { frames, metadata }) = self.parts.get_mut(part) else {
            return;
        };
        let (frames, metadata) = (std::mem::take(frames), std::mem::take(metadata));
        match result {
            Ok(response) => self.add_response(part, &frames, &metadata, response),
            Err(error) => match refusal_of(&error) {
                Some(refusal) => self.refuse_all(part, &frames, &metadata, &refusal),
                None => {
                    self.count_all(frames.iter().chain(&metadata), Answer::Failed);
                    self.failure.get_or_insert(error);
                }
            },
        }
    }

    fn add_response(&mut self, part: usize, frames: &[u32], metadata: &[u32], response: PushResponse) {
        if response.rejected.is_empty() {
            self.count_all(frames.iter().chain(metadata), Answer::Stored);
            return;
        }
        let mut answers = vec![Answer::Stored; frames.len()];
        for rejection in response.rejected {
            let series = rejection.series as usize;
            let (Some(answer), Some(&item)) = (answers.get_mut(series), frames.get(series)) else {
                continue;
            };
            *answer = Answer::Refused;
            self.rejections.push(PartRejection {
                item,
                part,
                refused: rejection.refused,
                refusal: Refusal { reason: rejection.reason, message: rejection.message },
            });
        }
        for (&item, answer) in frames.iter().zip(answers) {
            self.count(item, answer);
        }
        self.count_all(metadata, Answer::Stored);
    }

    fn refuse_all(&mut self, part: usize, frames: &[u32], metadata: &[u32], refusal: &Refusal) {
        for &item in frames {
            let content = self.contents.get(item as usize).copied().unwrap_or_default();
            self.rejections.push(PartRejection {
                item,
                part,
                refused: content.into(),
                refusal: refusal.clone(),
            });
        }
        self.count_all(frames.iter().chain(metadata), Answer::Refused);
    }

    fn count_all<'a>(&mut self, items: impl IntoIterator<Item = &'a u32>, answer: Answer) {
        for &item in items {
            self.count(item, answer);
        }
    }

    #[inline]
    fn count(&mut self, item: u32, answer: Answer) {
        let Some(tally) = self.tallies.get_mut(item as usize) else {
            return;
        };
        let was_open = tally.outcome(self.quorum).is_none();
        match answer {
            Answer::Stored => tally.stored(),
            Answer::Refused => tally.refused(),
            Answer::Failed => tally.failed(),
        }
        if was_open && tally.outcome(self.quorum).is_some() {
            self.undecided -= 1;
        }
    }

    /// What it all comes to; `refusals` are those of the walk.
    pub(crate) fn combine(mut self, mut refusals: Refusals) -> Combined {
        // Stable: within one series and part the order is the ingester's.
        self.rejections.sort_by_key(|r| (r.item, r.part));
        let mut rejections = self.rejections.as_slice();
        let mut written = Written::default();
        let mut undecided = 0;
        for (item, (tally, content)) in self.tallies.iter().zip(&self.contents).enumerate() {
            let split = rejections.partition_point(|r| r.item as usize <= item);
            let (own, later) = rejections.split_at(split);
            rejections = later;
            match tally.outcome(self.quorum) {
                Some(Outcome::Stored) => written += (*content).into(),
                Some(Outcome::Refused) => {
                    let lacking = self.quorum.write_zones() - tally.replicas_with_all();
                    let refused = refuse(own, lacking, &mut refusals);
                    written += minus((*content).into(), refused);
                }
                Some(Outcome::Unavailable) | None => undecided += 1,
            }
        }
        Combined { written, refusals, undecided, all: self.tallies.len(), failure: self.failure }
    }
}

/// Notes what a quorum refused of a series, given all rejections of it sorted by part, and returns how much that is.
///
/// Replicas may have refused more or less of it. `lacking` says how many of them a quorum needs besides those that have
/// stored all: the one that refused most among so many of the mildest decides, because a quorum has what it has.
fn refuse(rejections: &[PartRejection], lacking: usize, refusals: &mut Refusals) -> Written {
    let mut parts: Vec<(Written, &[PartRejection])> = rejections
        .chunk_by(|a, b| a.part == b.part)
        .map(|part| {
            let mut total = Written::default();
            for rejection in part {
                total += rejection.refused;
            }
            (total, part)
        })
        .collect();
    parts.sort_by_key(|(total, _)| total.samples + total.histograms + total.exemplars);
    let Some((total, part)) = parts.get(lacking.saturating_sub(1)) else {
        return Written::default();
    };
    for rejection in *part {
        refusals.add(rejection.refused, rejection.refusal.clone());
    }
    *total
}

fn minus(content: Written, refused: Written) -> Written {
    Written {
        samples: content.samples.saturating_sub(refused.samples),
        histograms: content.histograms.saturating_sub(refused.histograms),
        exemplars: content.exemplars.saturating_sub(refused.exemplars),
    }
}

/// An error by which an ingester refuses a whole push, so that sending it again will not help; `None` for failures.
fn refusal_of(error: &Error) -> Option<Refusal> {
    let reason = match error.code {
        Code::InvalidArgument | Code::TooLarge | Code::Unprocessable => RejectReason::Malformed,
        Code::TenantLimit => RejectReason::RateLimited,
        _ => return None,
    };
    Some(Refusal { reason, message: error.message.clone() })
}

#[cfg(test)]
mod tests {
    use proto::Rejection;

    use super::*;

    const CONTENT: Content = Content { samples: 5, histograms: 0, exemplars: 0 };

    fn refused(samples: u64, reason: RejectReason) -> Result<PushResponse, Error> {
        let refused = Written { samples, ..Written::default() };
        let rejection = Rejection { series: 0, reason, refused, message: format!("{samples} refused") };
        Ok(PushResponse { written: Written::default(), rejected: vec![rejection] })
    }

    fn failed() -> Result<PushResponse, Error> {
        Err(Error::internal("it broke"))
    }

    /// One series of five samples on three replicas: how much counts as written, and the first message.
    fn check(
        answers: [Result<PushResponse, Error>; 3],
        written: u64,
        message: Option<&str>,
        undecided: usize,
    ) {
        let mut all = Answers::new(Quorum::new(3), vec![Tally::default()], vec![CONTENT]);
        for answer in answers {
            all.expect(vec![0], Vec::new());
            all.add(all.parts.len() - 1, answer);
        }
        let combined = all.combine(Refusals::default());
        assert_eq!(combined.written.samples, written);
        assert_eq!(combined.undecided, undecided);
        let first = combined.refusals.first.map(|refusal| refusal.message);
        assert_eq!(first.as_deref(), message);
    }

    #[test]
    fn what_a_quorum_has_counts() {
        let old = |samples| refused(samples, RejectReason::OutOfOrder);
        let stored = || Ok(PushResponse::default());
        check([stored(), stored(), stored()], 5, None, 0);
        check([old(2), stored(), stored()], 5, None, 0);
        check([old(2), old(1), stored()], 4, Some("1 refused"), 0);
        check([old(2), old(1), failed()], 3, Some("2 refused"), 0);
        check([old(2), old(1), old(5)], 3, Some("2 refused"), 0);
        check([old(2), failed(), failed()], 0, None, 1);
        check([old(2), stored(), failed()], 0, None, 1);
    }

    #[test]
    fn answers_to_parts_and_series_that_nobody_asked_for_are_ignored() {
        let mut all = Answers::new(Quorum::new(1), vec![Tally::default()], vec![CONTENT]);
        all.expect(vec![0], Vec::new());
        all.add(7, failed());
        assert!(!all.are_decided());
        let mut answer = PushResponse::default();
        answer.rejected.push(Rejection {
            series: 99,
            reason: RejectReason::OutOfOrder,
            refused: Written::default(),
            message: String::new(),
        });
        all.add(0, Ok(answer));
        all.add(0, failed());
        let combined = all.combine(Refusals::default());
        assert_eq!((combined.written.samples, combined.undecided), (5, 0));
    }
}
