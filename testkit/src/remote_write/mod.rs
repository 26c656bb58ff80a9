//! The conformance cases of remote write receivers, as requests to send and answers to check: the same for a
//! distributor behind a router and for a whole process behind a socket.

mod bodies;
mod histograms;

use serde::Deserialize;

/// The tenant that cases write for unless they say otherwise.
pub const TENANT: &str = "conformance";

/// A tenant whose limit has to be one sample per second, without bursts.
pub const RATE_LIMITED_TENANT: &str = "rate-limited";

/// The content type of 1.0 requests.
pub const RW1_CONTENT_TYPE: &str = "application/x-protobuf";

/// The content type of 2.0 requests.
pub const RW2_CONTENT_TYPE: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

/// One case of `remote_write/cases.yml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Its name, which says what to send.
    pub id: String,
    /// MUST, SHOULD and so on.
    pub level: String,
    /// What it is, in words.
    pub text: String,
    expect: Expect,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    status: String,
    samples_written: Option<Count>,
    histograms_written: Option<Count>,
    exemplars_written: Option<Count>,
    total_written: Option<u64>,
    at_most_written: Option<AtMost>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Count {
    Exactly(u64),
    /// `all`: as many as were sent.
    Word(String),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct AtMost {
    samples: u64,
    histograms: u64,
    exemplars: u64,
}

/// A request to send with POST.
#[derive(Debug, Clone)]
pub struct CaseRequest {
    /// The value of `X-Scope-OrgID`; `None`: no such header.
    pub tenant: Option<&'static str>,
    /// The value of `Content-Type`.
    pub content_type: String,
    /// The value of `Content-Encoding`.
    pub content_encoding: String,
    /// The compressed body.
    pub body: Vec<u8>,
    /// Samples, histograms and exemplars in the body.
    pub sent: [u64; 3],
}

/// What was answered to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The values of the headers that tell how many samples, histograms and exemplars were written; 0: no header.
    pub written: [u64; 3],
    /// The body.
    pub body: String,
}

/// The cases of the conformance data; `None` where that is absent.
///
/// # Panics
/// When the file cannot be read.
pub fn cases() -> Option<Vec<Case>> {
    let path = crate::conformance("remote_write/cases.yml")?;
    let text = std::fs::read_to_string(path).expect("the conformance data can be read");
    Some(serde_saphyr::from_str(&text).expect("the cases have the form that their README gives"))
}

impl Case {
    /// What to send, one after the other; `None` for a case of a kind that is not known.
    pub fn requests(&self, now_ms: i64) -> Option<Vec<CaseRequest>> {
        bodies::requests(&self.id, now_ms)
    }

    /// Whether the answers are right. The last answer counts, and those before it have to be successes.
    pub fn check(&self, requests: &[CaseRequest], answers: &[Answer]) -> Result<(), String> {
        let (Some(request), Some((answer, before))) = (requests.last(), answers.split_last()) else {
            return Err("nothing was sent".to_owned());
        };
        if let Some(early) = before.iter().find(|a| !(200..300).contains(&a.status)) {
            return Err(format!("an earlier request was answered with {early:?}"));
        }
        let status = self.expect.status.as_str();
        if !status_matches(status, answer, request) {
            return Err(format!("status {status} is expected, the answer is {answer:?}"));
        }
        if answer.status >= 400 && answer.body.trim().is_empty() {
            return Err(format!("an error without a message: {answer:?}"));
        }
        self.check_written(request, answer)
    }

    fn check_written(&self, request: &CaseRequest, answer: &Answer) -> Result<(), String> {
        let expect = &self.expect;
        let counts = [&expect.samples_written, &expect.histograms_written, &expect.exemplars_written];
        for ((count, written), sent) in counts.into_iter().zip(answer.written).zip(request.sent) {
            let expected = match count {
                None => continue,
                Some(Count::Exactly(count)) => *count,
                Some(Count::Word(word)) if word == "all" => sent,
                Some(Count::Word(word)) => return Err(format!("{word:?} is no count")),
            };
            if written != expected {
                return Err(format!("{expected} written is expected, the answer is {answer:?}"));
            }
        }
        let total: u64 = answer.written.iter().sum();
        if expect.total_written.is_some_and(|expected| expected != total) {
            return Err(format!("{:?} in total is expected, the answer is {answer:?}", expect.total_written));
        }
        if let Some(most) = &expect.at_most_written {
            let most = [most.samples, most.histograms, most.exemplars];
            if answer.written.iter().zip(most).any(|(written, most)| *written > most) {
                return Err(format!("at most {most:?} written is expected, the answer is {answer:?}"));
            }
        }
        Ok(())
    }
}

/// `2xx`, `4xx`, `400`, several of them joined by `or`, and a few words behind.
fn status_matches(expected: &str, answer: &Answer, request: &CaseRequest) -> bool {
    expected.split(" or ").any(|part| {
        let (code, words) = part.trim().split_once(' ').unwrap_or((part.trim(), ""));
        let matches = match code {
            "2xx" => (200..300).contains(&answer.status),
            // A refused request must be 400 unless another code is given.
            "4xx" => answer.status == 400,
            exact => exact.parse() == Ok(answer.status),
        };
        let complete = !words.contains("everything written") || answer.written == request.sent;
        matches && complete
    })
}
