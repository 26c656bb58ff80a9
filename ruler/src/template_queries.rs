//! Queries that templates ask. A template cannot wait, so that it is filled in twice: the first time says what it asks, and
//! what it gets is filled in when it is there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use promql::InstantSample;
use rules::TemplateQueries;

/// How often texts are filled in to learn what they ask: an answer may lead to another question.
pub(crate) const MAX_ROUNDS: usize = 8;
/// How many questions the texts of a rule may ask at one evaluation.
const MAX_QUESTIONS: usize = 1_000;

/// A query and its time, in milliseconds since 1970.
pub(crate) type Question = (String, i64);
/// Its result, or why there is none.
pub(crate) type Answer = Result<Vec<InstantSample>, String>;

/// Answers that are known, and questions that were asked in vain.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    known: Mutex<BTreeMap<Question, Answer>>,
    missing: Mutex<BTreeSet<Question>>,
}

impl Answers {
    /// No answers yet.
    pub(crate) fn none() -> Arc<Self> {
        Arc::default()
    }

    /// What was asked since this was asked last, and not known.
    pub(crate) fn take_missing(&self) -> Vec<Question> {
        std::mem::take(&mut *self.missing.lock()).into_iter().collect()
    }

    /// From now on it is known.
    pub(crate) fn add(&self, question: Question, answer: Answer) {
        self.known.lock().insert(question, answer);
    }
}

impl TemplateQueries for Answers {
    fn query(&self, text: &str, time_ms: i64) -> Answer {
        let question = (text.to_owned(), time_ms);
        let known = self.known.lock();
        if let Some(answer) = known.get(&question) {
            return answer.clone();
        }
        let mut missing = self.missing.lock();
        if known.len() + missing.len() >= MAX_QUESTIONS {
            return Err(format!("the templates of one rule may ask {MAX_QUESTIONS} queries at a time"));
        }
        missing.insert(question);
        Err("the answer is not there yet".to_owned())
    }
}
