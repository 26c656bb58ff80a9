//! The pages for people, in a browser: without JavaScript, in light and dark, on a phone, and beside pages that mean ill.

use serde_json::{Value, json};
use testkit::{Receiver, Reply};

use super::browser::Browser;
use super::{create_silence, json_of, push, silence, start, webhook_config};
use crate::http::get;

/// The least contrast of text that is read well: that of WCAG's level AA.
const LEAST_CONTRAST: f64 = 4.5;

/// The text on the page that stands out least from what is behind it: how much, and the text.
const CONTRAST: &str = "(() => {
    const channels = colour => (colour.match(/[\\d.]+/g) || []).map(Number);
    const light = colour => {
        const [r, g, b] = channels(colour).slice(0, 3).map(c => c / 255)
            .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = element => {
        for (; element; element = element.parentElement) {
            const colour = getComputedStyle(element).backgroundColor;
            const [, , , alpha = 1] = channels(colour);
            if (alpha > 0) return colour;
        }
        return 'rgb(255, 255, 255)';
    };
    let least = [99, 'no text'];
    for (const element of document.body.querySelectorAll('*')) {
        const own = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
        if (!own && !element.matches('input, textarea, select')) continue;
        const [a, b] = [light(getComputedStyle(element).color), light(behind(element))].sort((a, b) => b - a);
        const contrast = (a + 0.05) / (b + 0.05);
        if (contrast < least[0]) least = [contrast, element.outerHTML.slice(0, 200)];
    }
    return least;
})()";

#[test]
fn alerts_are_silenced_by_people_without_javascript() {
    let folder = tempfile::tempdir().expect("a folder");
    let barograph = start(folder.path(), &webhook_config(&Receiver::start()));
    let addr = barograph.addr;
    push(addr, &[json!({"alertname": "Disk", "team": "db"}), json!({"alertname": "Net", "team": "x"})]);
    let mut browser = Browser::start(folder.path());
    browser.scripts(false);
    browser.go(&format!("http://{addr}/ui"));
    assert_eq!(browser.path(), "/ui/alerts");
    assert!(browser.text().contains("2 alerts in 2 groups"), "{}", browser.text());
    // A label leads to those that have it too.
    browser.follow("team=db");
    assert!(browser.text().contains("1 alert in 1 group"), "{}", browser.text());
    browser.click("Disk");
    browser.follow("Silence this");
    assert_eq!(browser.path(), "/ui/silences/new");
    browser.write("matchers", "team=db");
    browser.write("author", "somebody");
    browser.follow("Silence");
    assert!(browser.text().contains("Say why"), "{}", browser.text());
    browser.write("comment", "because");
    browser.follow("Preview");
    assert!(browser.text().contains("It is about 1 firing alert"), "{}", browser.text());
    assert_eq!(json_of(addr, "/api/v2/silences"), json!([]));
    browser.follow("Silence");
    let made = browser.path();
    let id = made.strip_prefix("/ui/silences/").expect("the silence").to_owned();
    let state = |id: &str| json_of(addr, &format!("/api/v2/silence/{id}"))["status"]["state"].clone();
    assert_eq!(state(&id), json!("active"));
    browser.follow("Change it");
    browser.write("until", "3d");
    browser.write("comment", "because of that");
    browser.follow("Change");
    assert_eq!(browser.path(), made);
    assert!(browser.text().contains("because of that"), "{}", browser.text());
    browser.follow("Alerts");
    assert!(browser.text().contains("1 alert in 1 group"), "{}", browser.text());
    browser.follow("Silences");
    assert!(browser.text().contains("because of that"), "{}", browser.text());
    browser.follow("Look, change or end");
    browser.follow("End it now");
    assert_eq!((browser.path(), state(&id)), (made, json!("expired")));
    browser.follow("Make it again");
    browser.follow("Silence");
    assert_ne!(browser.path(), format!("/ui/silences/{id}"));
    assert_eq!(json_of(addr, "/api/v2/silences").as_array().map(Vec::len), Some(2));
    browser.follow("Receivers");
    browser.follow("Its alerts");
    assert_eq!(browser.path(), "/ui/alerts");
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn pages_are_read_well_in_light_and_dark_and_on_phones() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start();
    let barograph = start(folder.path(), &webhook_config(&receiver));
    let addr = barograph.addr;
    let long = "x".repeat(300);
    push(
        addr,
        &[json!({"alertname": "Disk", "team": "db"}), json!({"alertname": long, long.as_str(): long})],
    );
    let id = create_silence(addr, &silence(&[("team", "db"), (&long, &long)]));
    create_silence(addr, &silence(&[("team", "db")]));
    let pages = [
        "/ui/alerts?silenced=1".to_owned(),
        "/ui/alerts?filter=%3D".to_owned(),
        "/ui/silences".to_owned(),
        "/ui/silences/new".to_owned(),
        format!("/ui/silences/{id}"),
        format!("/ui/silences/{id}/edit"),
        "/ui/receivers".to_owned(),
    ];
    let mut browser = Browser::start(folder.path());
    for (scheme, width) in [("light", 1_200), ("dark", 1_200), ("light", 360), ("dark", 360)] {
        browser.shown(scheme, width);
        for path in &pages {
            browser.go(&format!("http://{addr}{path}"));
            let place = format!("{path} in {scheme}, {width} wide");
            browser.value("document.querySelectorAll('details').forEach(each => each.open = true)");
            let wide = browser.value("document.documentElement.scrollWidth");
            assert!(wide.as_u64().is_some_and(|wide| wide <= u64::from(width)), "{place}: {wide}");
            let contrast = browser.value(CONTRAST);
            assert!(contrast[0].as_f64().is_some_and(|least| least >= LEAST_CONTRAST), "{place}: {contrast}");
            let back = browser.value("getComputedStyle(document.body).backgroundColor");
            let is_light = back == json!("rgb(255, 255, 255)");
            assert_eq!(is_light, scheme == "light", "{place}: {back}");
            // Everything that is filled in or pressed has a name that is read out.
            let nameless = browser.value(
                "[...document.querySelectorAll('input:not([type=hidden]), select, textarea, button')] \
                 .filter(each => !(each.labels && each.labels.length) && !each.ariaLabel && !each.innerText).length",
            );
            assert_eq!(nameless, json!(0), "{place}");
        }
    }
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn what_alerts_say_never_runs() {
    const MARKUP: &str =
        "\"'><script>document.title = 'taken'</script><img src=x onerror=\"document.title = 'taken'\">";
    let folder = tempfile::tempdir().expect("a folder");
    let barograph = start(folder.path(), &webhook_config(&Receiver::start()));
    let addr = barograph.addr;
    let alerts = json!([{"labels": {"alertname": MARKUP, MARKUP: MARKUP},
                         "annotations": {MARKUP: MARKUP, "link": "javascript:document.title='taken'"},
                         "generatorURL": "javascript:document.title='taken'"}]);
    assert_eq!(super::ask(addr, "POST", "/api/v2/alerts", &alerts.to_string()).status, 200);
    let mut posted: Value = serde_json::from_str(&silence(&[(MARKUP, MARKUP)])).expect("JSON");
    posted["comment"] = json!(MARKUP);
    posted["createdBy"] = json!(MARKUP);
    posted["annotations"] = json!({MARKUP: MARKUP});
    let id = create_silence(addr, &posted.to_string());
    let text = form_urlencoded::byte_serialize(MARKUP.as_bytes()).collect::<String>();
    let mut browser = Browser::start(folder.path());
    for path in [
        "/ui/alerts?silenced=1".to_owned(),
        format!("/ui/alerts?silenced=1&filter={text}&receiver={text}"),
        format!("/ui/silences?find={text}"),
        format!("/ui/silences/{id}"),
        format!("/ui/silences/{id}/edit"),
        format!("/ui/silences/new?matchers={text}&from={text}&until={text}&author={text}&comment={text}"),
    ] {
        browser.go(&format!("http://{addr}{path}"));
        let foreign = "document.querySelectorAll('script, img, [onerror], a[href^=javascript]').length";
        assert_eq!(browser.value(foreign), json!(0), "{path}");
        let title = browser.value("document.title");
        assert!(title.as_str().is_some_and(|title| title.ends_with("Barograph")), "{path}: {title}");
    }
    // Nothing came so far that the policy had to refuse it.
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn forms_on_pages_of_others_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let barograph = start(folder.path(), &webhook_config(&Receiver::start()));
    let addr = barograph.addr;
    let other = Receiver::start();
    let form = format!(
        "<!doctype html><title>x</title><form method=post action='http://{addr}/ui/silences'>\
         <input name=matchers value='a=b'><input name=until value=2h><input name=author value=me>\
         <input name=comment value=c><button name=action value=save>Win a prize</button></form>\
         <iframe src='http://{addr}/ui/silences/new'></iframe>"
    );
    other.answer(Reply::new(200, &form).header("content-type", "text/html"));
    let mut browser = Browser::start(folder.path());
    browser.go(&other.url("/"));
    let framed = browser.complaints().iter().any(|complaint| complaint.contains("frame-ancestors"));
    assert!(framed, "{:?}", browser.complaints());
    browser.follow("Win a prize");
    assert!(browser.text().contains("sent by a page of somebody else"), "{}", browser.text());
    assert_eq!(json_of(addr, "/api/v2/silences"), json!([]));
    assert_eq!(get(addr, "/ui/silences").0, 200);
}
