//! Alerts as they travel between processes.

use std::sync::Arc;

use model::Labels;
use prost::Message as _;
use proto::alertmanager as wire;

use crate::alert::Alert;
use crate::moment::Moment;

/// How many bytes of alerts are in one message, unless one alert has more.
const PART_BYTES: usize = 1 << 20;

/// An alert as it travels.
pub(super) fn to_wire(alert: &Alert) -> wire::Alert {
    wire::Alert {
        labels: alert.labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        annotations: (*alert.annotations).clone(),
        starts_ns: alert.starts_at.nanos(),
        ends_ns: alert.ends_at.map(Moment::nanos),
        generator_url: alert.generator_url.to_string(),
        updated_ns: alert.updated_at.nanos(),
        timeout: alert.timeout,
    }
}

/// An alert that has travelled.
pub(super) fn of_wire(alert: wire::Alert) -> Alert {
    Alert {
        labels: Labels::from_pairs(alert.labels),
        annotations: Arc::new(alert.annotations),
        starts_at: Moment::from_nanos(alert.starts_ns),
        ends_at: alert.ends_ns.map(Moment::from_nanos),
        generator_url: alert.generator_url.into(),
        updated_at: Moment::from_nanos(alert.updated_ns),
        timeout: alert.timeout,
    }
}

/// Alerts in parts that messages take.
pub(super) fn parts(alerts: impl IntoIterator<Item = wire::Alert>) -> Vec<Vec<wire::Alert>> {
    let (mut parts, mut bytes) = (Vec::<Vec<wire::Alert>>::new(), 0);
    for alert in alerts {
        let len = alert.encoded_len();
        match parts.last_mut() {
            Some(part) if bytes + len <= PART_BYTES => {
                bytes += len;
                part.push(alert);
            }
            _ => {
                bytes = len;
                parts.push(vec![alert]);
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(name: &str, ends_at: Option<Moment>) -> Alert {
        Alert {
            labels: Labels::from_pairs([("alertname", name), ("π", "ü")]),
            annotations: Arc::new([("summary".to_owned(), "x".repeat(1_000))].into()),
            starts_at: Moment::from_nanos(-5),
            ends_at,
            generator_url: "http://x".into(),
            updated_at: Moment::from_nanos(7),
            timeout: ends_at.is_some(),
        }
    }

    #[test]
    fn alerts_arrive_as_they_were_sent() {
        for alert in [alert("a", None), alert("b", Some(Moment::from_nanos(9)))] {
            assert_eq!(of_wire(to_wire(&alert)), alert);
        }
    }

    #[test]
    fn many_alerts_are_sent_in_parts() {
        let alerts = (0..3_000).map(|n| to_wire(&alert(&n.to_string(), None)));
        let parts = parts(alerts);
        assert_eq!(parts.iter().map(Vec::len).sum::<usize>(), 3_000);
        assert!(
            parts.len() > 2
                && parts
                    .iter()
                    .all(|part| part.iter().map(prost::Message::encoded_len).sum::<usize>() <= PART_BYTES)
        );
    }
}
