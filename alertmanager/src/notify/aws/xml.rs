//! The little of XML that answers of AWS are read with: the text of an element that holds nothing else.

/// The text of the first element of that name.
pub(in crate::notify) fn element(xml: &str, name: &str) -> Option<String> {
    let (_, behind) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = behind.split_once(&format!("</{name}>"))?;
    Some(unescaped(text.trim()))
}

fn unescaped(text: &str) -> String {
    const REFERENCES: [(&str, &str); 6] =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&#39;", "'"), ("&amp;", "&")];
    // Ampersands last, or what they make would be taken for the start of another.
    REFERENCES
        .iter()
        .fold(text.to_owned(), |text, (reference, stands_for)| text.replace(reference, stands_for))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_elements_are_found() {
        let xml = "<ErrorResponse><Error><Code>Invalid</Code><Message> no &lt;topic&gt; &amp;lt; </Message></Error></ErrorResponse>";
        assert_eq!(element(xml, "Message").as_deref(), Some("no <topic> &lt;"));
        assert_eq!(element(xml, "Nothing"), None);
        assert_eq!(element("<Message>open", "Message"), None);
    }
}
