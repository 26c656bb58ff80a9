//! A server of DNS with the records that a test gives it, over UDP on the loopback network.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use parking_lot::Mutex;

/// How long answers may be kept, in seconds; nobody is to keep them.
const TTL: u32 = 300;

/// The server. It answers until the test process ends.
#[derive(Clone)]
pub(crate) struct NameServer {
    address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
}

#[derive(Default)]
struct Zone {
    records: BTreeMap<String, Vec<RData>>,
    failing: bool,
}

impl NameServer {
    pub(crate) fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let server = Self { address: socket.local_addr().expect("bound"), zone: Arc::default() };
        let serving = server.clone();
        #[expect(clippy::disallowed_methods, reason = "a test has no scope, and the thread ends with it")]
        std::thread::spawn(move || serving.serve(&socket));
        server
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A name has these addresses from now on.
    pub(crate) fn set_addresses(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|address| match address.parse().expect("an address") {
            IpAddr::V4(address) => RData::A(A(address)),
            IpAddr::V6(address) => RData::AAAA(AAAA(address)),
        });
        self.zone.lock().records.insert(format!("{name}."), addresses.collect());
    }

    /// A name has these services from now on: hosts and ports.
    pub(crate) fn set_services(&self, name: &str, services: &[(&str, u16)]) {
        let services = services.iter().map(|(host, port)| {
            RData::SRV(SRV::new(10, 5, *port, Name::from_utf8(format!("{host}.")).expect("a name")))
        });
        self.zone.lock().records.insert(format!("{name}."), services.collect());
    }

    /// Whether it answers that it has failed.
    pub(crate) fn fail(&self, failing: bool) {
        self.zone.lock().failing = failing;
    }

    fn serve(&self, socket: &UdpSocket) {
        let mut buffer = [0; 4096];
        while let Ok((length, client)) = socket.recv_from(&mut buffer) {
            let request = Message::from_vec(&buffer[..length]).expect("a request");
            let answer = self.answer(&request).to_vec().expect("an answer");
            socket.send_to(&answer, client).expect("sent");
        }
    }

    fn answer(&self, request: &Message) -> Message {
        let mut answer = Message::response(request.metadata.id, OpCode::Query);
        let zone = self.zone.lock();
        for query in &request.queries {
            answer.add_query(query.clone());
            // Servers compare names without regard to case, and give them back as they were asked for.
            let records = zone.records.get(&query.name().to_utf8().to_lowercase());
            answer.metadata.response_code = match records {
                _ if zone.failing => ResponseCode::ServFail,
                Some(_) => ResponseCode::NoError,
                None => ResponseCode::NXDomain,
            };
            let asked = |data: &&RData| !zone.failing && data.record_type() == query.query_type();
            for data in records.into_iter().flatten().filter(asked) {
                answer.add_answer(Record::from_rdata(query.name().clone(), TTL, data.clone()));
            }
        }
        answer
    }
}

#[test]
fn it_answers_by_name_and_type() {
    let server = NameServer::start();
    server.set_addresses("a.test", &["127.0.0.2", "::1"]);
    let asked = |name: &str, kind| {
        let mut request = Message::query();
        let query = hickory_resolver::proto::op::Query::query(Name::from_utf8(name).expect("a name"), kind);
        request.add_query(query);
        let answer = server.answer(&request);
        (answer.metadata.response_code, answer.answers.len())
    };
    assert_eq!(asked("A.test.", RecordType::A), (ResponseCode::NoError, 1));
    assert_eq!(asked("a.test.", RecordType::SRV), (ResponseCode::NoError, 0));
    assert_eq!(asked("b.test.", RecordType::A), (ResponseCode::NXDomain, 0));
}
