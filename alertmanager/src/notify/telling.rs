//! What one notification says: its data and its templates, as every way of telling needs them.

use std::collections::BTreeMap;
use std::sync::Arc;

use gotemplate::Limits;
use model::Labels;

use super::SendError;
use crate::alert::Alert;
use crate::dispatch::Notification;
use crate::moment::Moment;
use crate::template::{AlertData, Data, NotificationTemplates};

/// The longest text that a template may become, in bytes.
pub(crate) const MAX_TEXT_BYTES: usize = 4 << 20;

/// Bounds of the templates of notifications.
pub(crate) fn limits() -> Limits {
    Limits { output_bytes: MAX_TEXT_BYTES, ..Limits::default() }
}

/// A notification that is being told.
pub(crate) struct Telling {
    /// What templates see.
    pub(crate) data: Data,
    /// What the group is called.
    pub(crate) group_key: String,
    /// The time that templates see.
    pub(crate) now: Moment,
    templates: Arc<NotificationTemplates>,
    group_labels: Labels,
    alerts: Vec<Arc<Alert>>,
}

/// A group whose route has labels, which are templates.
pub(crate) struct Labelled<'a> {
    /// Who is told.
    pub(crate) receiver: &'a str,
    /// The labels as they are written.
    pub(crate) labels: &'a BTreeMap<String, String>,
    /// What the alerts have in common.
    pub(crate) group_labels: &'a Labels,
    /// All alerts of the group, also those that nobody is told of.
    pub(crate) alerts: &'a [Arc<Alert>],
}

impl Labelled<'_> {
    /// What labels say of why something is told: they are rendered before that is known.
    const NO_REASON: &'static str = "unknown";

    /// The labels, rendered; one that fails is left out.
    pub(crate) fn rendered(
        &self,
        templates: &NotificationTemplates,
        external_url: &str,
        now: Moment,
    ) -> BTreeMap<String, String> {
        if self.labels.is_empty() {
            return BTreeMap::new();
        }
        let shown = self.alerts.iter().map(|alert| AlertData::of(alert, now)).collect();
        let mut data = Data::new(self.receiver, external_url, self.group_labels, shown);
        data.notification_reason = Self::NO_REASON.to_owned();
        data.route_labels.clone_from(self.labels);
        let rendered = templates.render_route_labels(&data, now, limits()).into_iter();
        let kept = rendered.filter_map(|(label, text)| match text {
            Ok(text) => Some((label, text)),
            Err(error) => {
                tracing::error!(
                    label,
                    error,
                    receiver = self.receiver,
                    "a label of a route was not rendered"
                );
                None
            }
        });
        kept.collect()
    }
}

impl Telling {
    /// What a notification says; the labels of its route are rendered.
    pub(crate) fn new(
        notification: &Notification,
        templates: Arc<NotificationTemplates>,
        external_url: &str,
    ) -> Self {
        let now = notification.now;
        let receiver = &notification.key.receiver;
        let alerts = notification.alerts.clone();
        let shown = alerts.iter().map(|alert| AlertData::of(alert, now)).collect();
        let mut data = Data::new(receiver, external_url, &notification.group_labels, shown);
        data.notification_reason = notification.reason.as_str().to_owned();
        let labelled = Labelled {
            receiver,
            labels: &notification.route.options.labels,
            group_labels: &notification.group_labels,
            alerts: &notification.group_alerts,
        };
        data.route_labels = labelled.rendered(&templates, external_url, now);
        data.route_labels_rendered = true;
        Self {
            data,
            group_key: notification.key.group.clone(),
            now,
            templates,
            group_labels: notification.group_labels.clone(),
            alerts,
        }
    }

    /// The data with the first alerts only, where `max` is not zero, and how many were left out.
    pub(crate) fn truncated(&self, max: u64) -> (Data, u64) {
        let kept = usize::try_from(max).unwrap_or(usize::MAX);
        if max == 0 || self.alerts.len() <= kept {
            return (self.data.clone(), 0);
        }
        let shown = self.alerts.iter().take(kept).map(|alert| AlertData::of(alert, self.now)).collect();
        let mut data = Data::new("", &self.data.external_url, &self.group_labels, shown);
        data.receiver.clone_from(&self.data.receiver);
        data.notification_reason.clone_from(&self.data.notification_reason);
        data.route_labels.clone_from(&self.data.route_labels);
        data.route_labels_rendered = true;
        (data, (self.alerts.len() - kept) as u64)
    }

    /// Whether any alert fires.
    pub(crate) fn is_firing(&self) -> bool {
        self.data.status == "firing"
    }

    /// A template rendered as text.
    pub(crate) fn text(&self, template: &str) -> Result<String, SendError> {
        self.text_of(template, &self.data)
    }

    /// A template rendered as text, with other data.
    pub(crate) fn text_of(&self, template: &str, data: &Data) -> Result<String, SendError> {
        let rendered = self.templates.render(template, data, self.now, limits());
        rendered.map_err(|error| SendError::for_good(format!("template: {error}")))
    }

    /// A template rendered as HTML: what alerts say is escaped for where it stands.
    pub(crate) fn html(&self, template: &str) -> Result<String, SendError> {
        let rendered = self.templates.render_html(template, &self.data, self.now, limits());
        rendered.map_err(|error| SendError::for_good(format!("template: {error}")))
    }

    /// What services tell groups apart by: short, whatever the group's labels are.
    pub(crate) fn key_hash(&self) -> String {
        hex(ring_crypto::digest::digest(&ring_crypto::digest::SHA256, self.group_key.as_bytes()).as_ref())
    }
}

/// Bytes in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| DIGITS[usize::from(digit)]).collect()
}

/// At most so many characters of a text, the last of them showing that some were left out.
pub(crate) fn truncate_chars(text: String, max: usize) -> String {
    if text.chars().count() <= max {
        return text;
    }
    // As upstream does it: there is no room for the mark.
    if max <= 3 {
        return text.chars().take(max).collect();
    }
    let mut cut: String = text.chars().take(max - 1).collect();
    cut.push('…');
    cut
}

/// At most so many bytes of a text, the last of them showing that some were left out. `max` has room for more than that.
pub(crate) fn truncate_bytes(text: String, max: usize) -> String {
    const MARK: &str = "…";
    if text.len() <= max {
        return text;
    }
    let end = text.floor_char_boundary(max - MARK.len());
    format!("{}{MARK}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_are_cut_say_so_and_stay_texts() {
        let check = |cut: String, expected: &str| assert_eq!(cut, expected);
        check(truncate_chars("äöü".to_owned(), 3), "äöü");
        check(truncate_chars("äöüß".to_owned(), 3), "äöü");
        check(truncate_chars("äöüßé".to_owned(), 4), "äöü…");
        check(truncate_bytes("abcdef".to_owned(), 6), "abcdef");
        check(truncate_bytes("abcdefg".to_owned(), 6), "abc…");
        check(truncate_bytes("abäöü".to_owned(), 6), "ab…");
    }
}
