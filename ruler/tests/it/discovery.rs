//! Alertmanagers behind a name of DNS: who is told when addresses come and go, and what is asked of DNS.

use std::sync::Arc;

use async_trait::async_trait;
use model::{Labels, TenantId};
use parking_lot::Mutex;
use proto::Error;
use ruler::{Alertmanagers, Discover, NameServers, Target};
use testkit::Receiver;

use crate::name_server::NameServer;
use crate::world::{Site, Told, World, pass, rules, seconds};

const RULES: &str = "groups: [{name: g, interval: 10s, rules: [{alert: Up, expr: 'up == 1'}]}]";
/// Alerts are sent once, unless a test wants to see them again.
const ONCE: (&str, &str) = ("resend_delay", "1h");
const NEVER_AGAIN: [(&str, &str); 2] = [ONCE, ("alertmanager_refresh_interval", "30s")];

/// Alertmanagers that a test says are there.
struct Known {
    found: Mutex<Result<Vec<Target>, Error>>,
}

impl Known {
    fn new(found: Result<Vec<Target>, Error>) -> Arc<Self> {
        Arc::new(Self { found: Mutex::new(found) })
    }

    fn set(&self, found: Result<Vec<Target>, Error>) {
        *self.found.lock() = found;
    }
}

#[async_trait]
impl Discover for Known {
    fn name(&self) -> &str {
        "dns+http://am"
    }

    async fn find(&self) -> Result<Vec<Target>, Error> {
        self.found.lock().clone()
    }
}

fn gone() -> Error {
    Error::unavailable("no server of names answers", seconds(1))
}

/// A ruler that alerts of what is up, and looks for whom to tell every 30 s.
async fn site(world: &Arc<World>, known: &Arc<Known>, file: std::path::PathBuf) -> Site {
    let found = vec![Alertmanagers::Found(Arc::clone(known) as _)];
    Site::start(world, &[file], found, &NEVER_AGAIN).await
}

fn discovered(site: &Site) -> f64 {
    site.metric("prometheus_notifications_alertmanagers_discovered", "")
}

#[tokio::test(start_paused = true)]
async fn alerts_wait_until_somebody_is_found() {
    let (_folder, file) = rules(RULES);
    let world = World::new();
    let told = Told::new(&world);
    let known = Known::new(Err(gone()));
    let site = site(&world, &known, file).await;
    world.put("up{job=\"x\"}", 1.0);
    pass(seconds(20)).await;
    assert_eq!(discovered(&site), 0.0);
    let failures = site.metric("prometheus_sd_dns_lookup_failures_total", "");
    assert!((2.0..=6.0).contains(&failures), "seldom, but sooner than usual: {failures}");
    // Whoever is found is told of what fired before, which is not sent again for an hour.
    known.set(Ok(vec![told.named("a")]));
    pass(seconds(30)).await;
    assert_eq!(told.take().len(), 1);
    assert_eq!(discovered(&site), 1.0);
}

#[tokio::test(start_paused = true)]
async fn who_comes_is_told_and_who_goes_is_not() {
    let (_folder, file) = rules(RULES);
    let world = World::new();
    let (a, b) = (Told::new(&world), Told::new(&world));
    let known = Known::new(Ok(vec![a.named("a")]));
    let site = site(&world, &known, file).await;
    world.put("up{job=\"1\"}", 1.0);
    pass(seconds(20)).await;
    assert_eq!((a.take().len(), b.take().len()), (1, 0));

    known.set(Ok(vec![b.named("b"), a.named("a"), b.named("b")]));
    pass(seconds(30)).await;
    assert_eq!(discovered(&site), 2.0);
    world.put("up{job=\"2\"}", 1.0);
    pass(seconds(20)).await;
    assert_eq!((a.take().len(), b.take().len()), (1, 1));

    known.set(Ok(vec![b.named("b")]));
    pass(seconds(30)).await;
    assert_eq!(discovered(&site), 1.0);
    let page = site.registry.encode(telemetry::Format::Prometheus);
    assert!(!page.contains("alertmanager=\"a\"") && page.contains("alertmanager=\"b\""), "{page}");
    world.put("up{job=\"3\"}", 1.0);
    pass(seconds(20)).await;
    assert_eq!((a.take().len(), b.take().len()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn who_is_known_is_told_while_nobody_can_be_looked_up() {
    let (_folder, file) = rules(RULES);
    let world = World::new();
    let a = Told::new(&world);
    let known = Known::new(Ok(vec![a.named("a")]));
    let site = site(&world, &known, file).await;
    pass(seconds(5)).await;
    known.set(Err(gone()));
    pass(seconds(60)).await;
    assert!(site.metric("prometheus_sd_dns_lookup_failures_total", "") >= 1.0);
    world.put("up{job=\"1\"}", 1.0);
    pass(seconds(20)).await;
    assert_eq!(a.take().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_one_that_goes_is_for_those_that_come() {
    let (_folder, file) = rules(RULES);
    let world = World::new();
    let (a, b) = (Told::new(&world), Told::new(&world));
    *a.refusing.lock() = Some(gone());
    *a.taking.lock() = seconds(8);
    let known = Known::new(Ok(vec![a.named("a")]));
    let site = site(&world, &known, file).await;
    // The first batch is under way for 47 seconds; what comes then waits behind it, or is under way when the first is given
    // up: when the group is evaluated within its ten seconds follows from where the file lies.
    world.put("up{job=\"1\"}", 1.0);
    pass(seconds(21)).await;
    world.put("up{job=\"2\"}", 1.0);
    world.put("up{job=\"3\"}", 1.0);
    pass(seconds(11)).await;
    known.set(Ok(Vec::new()));
    pass(seconds(31)).await;
    assert_eq!(discovered(&site), 0.0);
    known.set(Ok(vec![b.named("b")]));
    pass(seconds(60)).await;
    let jobs: Vec<_> =
        b.take().iter().map(|(_, alert)| alert.labels.get_or_empty("job").to_owned()).collect();
    assert!(jobs.ends_with(&["2".to_owned(), "3".to_owned()]), "not passed on: {jobs:?}");
}

/// Those that a URL finds with this server of names, in real time.
async fn find(url: &str, server: &NameServer) -> Result<Vec<Target>, Error> {
    let servers = NameServers::At(vec![server.address()]);
    let found = Alertmanagers::at(&[url.to_owned()], &servers).expect("a URL").swap_remove(0);
    match found {
        Alertmanagers::Found(finder) => finder.find().await,
        Alertmanagers::One(target) => panic!("{} is looked up nowhere", target.name),
    }
}

fn names(targets: &[Target]) -> Vec<&str> {
    targets.iter().map(|target| target.name.as_str()).collect()
}

fn alert() -> proto::PostedAlert {
    proto::PostedAlert {
        labels: Labels::from_pairs([("alertname", "Up")]),
        annotations: Arc::default(),
        starts_at_ms: 1_767_225_600_000,
        ends_at_ms: 1_767_225_840_000,
        generator_url: "http://x".into(),
    }
}

async fn tell(targets: &[Target]) {
    let tenant = TenantId::new("a").expect("a tenant");
    for target in targets {
        target.way.post(&tenant, &[alert()]).await.expect("taken");
    }
}

#[tokio::test]
async fn every_address_of_a_name_is_told() {
    let (server, receiver) = (NameServer::start(), Receiver::start());
    let port = receiver.address().port();
    let url = format!("dns+http://user:secret@am.test:{port}/prefix");
    server.set_addresses("am.test", &["127.0.0.9", "127.0.0.1", "::1"]);
    let targets = find(&url, &server).await.expect("addresses");
    let expected =
        ["127.0.0.1", "127.0.0.9", "[::1]"].map(|ip| format!("http://{ip}:{port}/prefix/api/v2/alerts"));
    assert_eq!(names(&targets), expected, "and no password is shown");
    // It goes to the address, and names the host, as proxies and certificates want it.
    tell(&targets[..1]).await;
    let request = receiver.requests().swap_remove(0);
    assert_eq!(request.header("host"), Some(format!("am.test:{port}").as_str()));
    assert!(request.header("authorization").is_some_and(|value| value.starts_with("Basic ")));
    assert_eq!(request.path, "/prefix/api/v2/alerts");

    server.set_addresses("am.test", &["127.0.0.1"]);
    assert_eq!(find(&url, &server).await.expect("one").len(), 1, "no answer is kept");
    server.fail(true);
    let error = find(&url, &server).await.map(|found| names(&found).len()).expect_err("nothing is known");
    assert!(error.code.is_retryable() && error.message.contains("am.test"), "{error}");
    server.fail(false);
    assert!(find("dns+http://other.test:1", &server).await.expect("there is no such name").is_empty());
}

#[tokio::test]
async fn services_say_hosts_and_ports() {
    let server = NameServer::start();
    let (one, other) = (Receiver::start(), Receiver::start());
    let ports = [one.address().port(), other.address().port()];
    server.set_services("_http._tcp.am.test", &[("am-0.test", ports[0]), ("am-1.test", ports[1])]);
    server.set_addresses("am-0.test", &["127.0.0.1"]);
    server.set_addresses("am-1.test", &["127.0.0.1"]);
    let targets = find("dnssrv+http://_http._tcp.am.test/am", &server).await.expect("services");
    let expected = ports.map(|port| format!("http://127.0.0.1:{port}/am/api/v2/alerts"));
    assert_eq!(names(&targets), expected);
    tell(&targets).await;
    let hosts: Vec<_> =
        [&one, &other].map(|receiver| receiver.requests()[0].header("host").map(str::to_owned)).into();
    assert_eq!(hosts, [Some(format!("am-0.test:{}", ports[0])), Some(format!("am-1.test:{}", ports[1]))]);
    // A port that the URL has goes first.
    let targets = find("dnssrv+http://_http._tcp.am.test:9093", &server).await.expect("services");
    assert_eq!(names(&targets), ["http://127.0.0.1:9093/api/v2/alerts"; 2]);
    // Without addresses, hosts are looked up when they are connected to.
    let targets = find("dnssrvnoa+https://_http._tcp.am.test", &server).await.expect("services");
    let expected = [0, 1].map(|number| format!("https://am-{number}.test:{}/api/v2/alerts", ports[number]));
    assert_eq!(names(&targets), expected);
}

#[test]
fn what_cannot_be_looked_up_is_refused() {
    for url in ["dns+am:9093", "dns+ftp://am", "dnsmx+http://am", "dns+", "dnssrv+http://"] {
        let refused = Alertmanagers::at(&[url.to_owned()], &NameServers::OfMachine).err();
        let text = refused.map(|error| error.to_string()).unwrap_or_default();
        assert!(text.contains(&format!("{url:?}")) && text.contains("dns+http://"), "{url}: {text}");
    }
}
