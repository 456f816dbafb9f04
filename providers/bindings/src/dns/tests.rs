//! Against name servers of the test's own.

use proptest::prelude::*;

use super::*;

const NAME: &str = "sqs.eu-west-1.amazonaws.com";

/// An answer to a query: its question again, and these records.
fn reply(query: &[u8], flags: [u8; 2], records: &[&[u8]]) -> Vec<u8> {
    let mut bytes =
        [&query[..2], &flags[..], &[0, 1, 0, records.len() as u8, 0, 0, 0, 0], &query[12..]].concat();
    bytes.extend(records.concat());
    bytes
}

const FOUND: [u8; 2] = [0x81, 0x80];
const CUT: [u8; 2] = [0x83, 0x80];
const UNKNOWN: [u8; 2] = [0x81, 0x83];
const FAILED: [u8; 2] = [0x81, 0x82];
/// The queried name's alias; its own name is a pointer to the question.
const ALIAS: &[u8] = b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x04\x01x\xc0\x0c";
const FOUR: &[u8] = b"\x01x\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x07";
const SIX: &[u8] = b"\xc0\x0c\0\x1c\0\x01\0\0\0\x3c\0\x10\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x09";

/// A server that answers as it is told, and counts the queries.
async fn serve(answer: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            // One that is somebody else's first: another id.
            let mut stranger = reply(&buffer[..length], FOUND, &[FOUR]);
            stranger[0] ^= 1;
            socket.send_to(&stranger, from).await.unwrap();
            if let Some(bytes) = answer(&buffer[..length]) {
                socket.send_to(&bytes, from).await.unwrap();
            }
        }
    });
    address
}

fn asked(query: &[u8]) -> Kind {
    if query[query.len() - 3] == 1 { Kind::A } else { Kind::Aaaa }
}

fn with(servers: Vec<SocketAddr>) -> Names {
    Names { servers, ..Names::default() }
}

#[test]
fn the_files_of_the_machine_are_read() {
    let resolv = "# by hand\nnameserver 10.0.0.2\nnameserver fe80::1%eth0\nnameserver ::1\nsearch a.example b.example\noptions ndots:5\n";
    let names = Names::new("127.0.0.1 localhost\n10.1.1.1 db DB.local # not this\n::2 db\n".into(), resolv);
    assert_eq!(names.servers, ["10.0.0.2:53".parse().unwrap(), "[::1]:53".parse().unwrap()]);
    assert_eq!(names.search, ["a.example", "b.example"]);
    let addresses: Vec<IpAddr> = vec!["10.1.1.1".parse().unwrap(), "::2".parse().unwrap()];
    assert_eq!(names.known("DB"), addresses);
    assert_eq!(names.known("not"), Vec::<IpAddr>::new());
    assert_eq!(Names::new(String::new(), "").servers, ["127.0.0.1:53".parse().unwrap()]);
}

#[tokio::test]
async fn an_alias_is_followed_and_a_strangers_answer_is_not_taken() {
    let server = serve(|query| Some(reply(query, FOUND, &[ALIAS, FOUR]))).await;
    assert_eq!(with(vec![server]).look_up(NAME).await.unwrap(), [Ipv4Addr::new(10, 0, 0, 7)]);
}

#[tokio::test]
async fn a_name_that_has_only_an_ipv6_address_is_found() {
    let server = serve(|query| match asked(query) {
        Kind::A => Some(reply(query, FOUND, &[])),
        Kind::Aaaa => Some(reply(query, FOUND, &[SIX])),
    });
    let found = with(vec![server.await]).look_up(NAME).await.unwrap();
    assert_eq!(found, ["2001:db8::9".parse::<IpAddr>().unwrap()]);
}

#[tokio::test]
async fn a_server_that_fails_or_is_away_is_passed_over() {
    let failing = serve(|query| Some(reply(query, FAILED, &[]))).await;
    let silent = serve(|_| None).await;
    let good = serve(|query| Some(reply(query, FOUND, &[FOUR]))).await;
    let names = with(vec![failing, silent, good]);
    assert_eq!(names.look_up(NAME).await.unwrap(), [Ipv4Addr::new(10, 0, 0, 7)]);
    let error = with(vec![failing]).look_up(NAME).await.unwrap_err();
    assert!(error.to_string().contains("answered 2"), "{error}");
}

#[tokio::test]
async fn a_name_that_is_not_there_is_tried_in_the_search_domains() {
    let server = serve(|query| {
        let here = query.windows(7).any(|w| w == b"example");
        Some(if here { reply(query, FOUND, &[FOUR]) } else { reply(query, UNKNOWN, &[]) })
    });
    let mut names = with(vec![server.await]);
    let error = names.look_up("db").await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}");
    names.search = vec!["example".to_owned()];
    assert_eq!(names.look_up("db").await.unwrap(), [Ipv4Addr::new(10, 0, 0, 7)]);
}

#[tokio::test]
async fn an_answer_that_was_cut_short_is_asked_for_over_tcp() {
    let server = serve(|query| Some(reply(query, CUT, &[]))).await;
    let listener = tokio::net::TcpListener::bind(server).await.unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut query = vec![0; usize::from(stream.read_u16().await.unwrap())];
        stream.read_exact(&mut query).await.unwrap();
        let bytes = reply(&query, FOUND, &[FOUR; 60]);
        stream.write_all(&[&(bytes.len() as u16).to_be_bytes(), &bytes[..]].concat()).await.unwrap();
    });
    assert_eq!(with(vec![server]).look_up(NAME).await.unwrap().len(), 60);
}

#[test]
fn what_is_no_name_is_not_asked() {
    for name in ["", ".", "a..b", &"x".repeat(64), &"x.".repeat(128)] {
        assert!(Query::new(1, name, Kind::A).is_none(), "{name}");
    }
    assert!(Query::new(1, "example.com.", Kind::A).is_some());
}

proptest! {
    #[test]
    fn no_answer_is_too_strange(start in prop::bool::ANY, rest in prop::collection::vec(any::<u8>(), 0..200)) {
        let query = Query::new(7, NAME, Kind::A).unwrap();
        let begin = if start { reply(query.bytes(), FOUND, &[&[] as &[u8]; 9]) } else { Vec::new() };
        if let Some(Answer::Found(addresses)) = query.answer(&[begin, rest.clone()].concat()) {
            prop_assert!(start && addresses.len() <= 9);
        }
    }

    #[test]
    fn an_answer_is_read_whole_or_not_at_all(cut in 1_usize..40) {
        let query = Query::new(7, NAME, Kind::A).unwrap();
        let whole = reply(query.bytes(), FOUND, &[ALIAS, FOUR]);
        let four = Answer::Found(vec![Ipv4Addr::new(10, 0, 0, 7).into()]);
        prop_assert_eq!(query.answer(&whole), Some(four));
        prop_assert_eq!(query.answer(&whole[..whole.len() - cut.min(whole.len())]), None);
    }
}
