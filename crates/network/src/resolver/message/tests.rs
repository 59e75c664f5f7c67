//! Messages written and read by hand here, so that the library does not judge itself.

use proptest::prelude::*;

use super::*;

/// A zone with two containers behind `web`, one of them by IPv6 too, and `mail` by IPv6 alone.
struct Two;

const ASKER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
const ENCLOSED: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 4));
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));

const A: u16 = 1;
const PTR: u16 = 12;
const TXT: u16 = 16;
const AAAA: u16 = 28;
const ANY: u16 = 255;

impl Zone for Two {
    fn standing(&self, asker: IpAddr) -> Standing {
        match asker {
            ASKER => Standing::Everywhere,
            ENCLOSED => Standing::Inside,
            _ => Standing::Stranger,
        }
    }

    fn addresses(&self, _asker: IpAddr, name: &str) -> Option<Vec<IpAddr>> {
        let addresses: &[&str] = match name {
            "web" | "web.net" => &["192.0.2.2", "192.0.2.3", "2001:db8::2"],
            "mail" => &["2001:db8::3"],
            "many" => return Some((0..200).map(|last| Ipv4Addr::new(192, 0, 2, last).into()).collect()),
            _ => return None,
        };
        Some(addresses.iter().map(|address| address.parse().unwrap()).collect())
    }

    fn names(&self, _asker: IpAddr, of: IpAddr) -> Option<Vec<String>> {
        match of.to_string().as_str() {
            "192.0.2.2" | "2001:db8::2" => Some(vec!["web.net".to_owned()]),
            "192.0.2.99" => Some(Vec::new()),
            _ => None,
        }
    }
}

fn labels(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

fn question(name: &str, kind: u16) -> Vec<u8> {
    [labels(name), kind.to_be_bytes().to_vec(), vec![0, 1]].concat()
}

/// A query with recursion desired; `id` is its number.
fn query(id: u16, name: &str, kind: u16) -> Vec<u8> {
    [id.to_be_bytes().to_vec(), vec![1, 0, 0, 1, 0, 0, 0, 0, 0, 0], question(name, kind)].concat()
}

fn with_edns(mut query: Vec<u8>, [version, flags]: [u8; 2], bytes: u16) -> Vec<u8> {
    query[11] += 1;
    let [high, low] = bytes.to_be_bytes();
    query.extend([0, 0, 41, high, low, 0, version, flags, 0, 0, 0]);
    query
}

/// What an answer says.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    code: u8,
    is_whole: bool,
    /// Addresses and names, each with its type.
    records: Vec<(u16, String)>,
}

fn number(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// Reads a name that ends with a pointer or the root; gives what is behind it.
fn read_name(bytes: &[u8], mut at: usize) -> (String, usize) {
    let (mut name, mut end) = (Vec::new(), None);
    loop {
        match usize::from(bytes[at]) {
            0 => return (name.join("."), end.unwrap_or(at + 1)),
            pointer if pointer >= 0xc0 => {
                end = end.or(Some(at + 2));
                at = usize::from(number(bytes, at) & 0x3fff);
            }
            length => {
                name.push(String::from_utf8(bytes[at + 1..=at + length].to_vec()).unwrap());
                at += length + 1;
            }
        }
    }
}

fn read(query: &[u8], reply: &[u8]) -> Said {
    let question = 12 + labels(&read_name(query, 12).0).len() + 4;
    assert_eq!(reply[..2], query[..2], "the id");
    assert_eq!(
        reply[2] & 0b1111_1001,
        0b1000_0001 | query[2] & 0x78,
        "an answer, the same kind of query, recursion desired"
    );
    assert_eq!(reply[3] & 0xf0, 0x80, "recursion is available");
    assert_eq!(reply[12..question], query[12..question], "the question as it was asked");
    let [asked, answers, authority, additional] = [4, 6, 8, 10].map(|at| number(reply, at));
    assert_eq!((asked, authority), (1, 0));
    let (mut at, mut records) = (question, Vec::new());
    for count in 0..answers + additional {
        let (name, rest) = read_name(reply, at);
        let (kind, length) = (number(reply, rest), usize::from(number(reply, rest + 8)));
        let data = &reply[rest + 10..rest + 10 + length];
        at = rest + 10 + length;
        if count >= answers {
            assert_eq!((kind, name.as_str(), data), (41, "", &[][..]), "EDNS and nothing else");
            continue;
        }
        assert_eq!(name, read_name(query, 12).0);
        assert_eq!((number(reply, rest + 2), &reply[rest + 4..rest + 8]), (1, &[0, 0, 0, 1][..]), "for a second");
        let text = match kind {
            A => Ipv4Addr::from(<[u8; 4]>::try_from(data).unwrap()).to_string(),
            AAAA => Ipv6Addr::from(<[u8; 16]>::try_from(data).unwrap()).to_string(),
            PTR => read_name(reply, rest + 10).0,
            _ => panic!("a record of type {kind}"),
        };
        records.push((kind, text));
    }
    assert_eq!(at, reply.len(), "nothing behind it");
    Said { code: reply[3] & 0xf, is_whole: reply[2] & 2 == 0, records }
}

fn reply(query: &[u8], asker: IpAddr) -> Vec<u8> {
    match answer(query, asker, &Two, Transport::Udp) {
        Answer::Reply(reply) => reply,
        other => panic!("{other:?}"),
    }
}

fn said(name: &str, kind: u16) -> (u8, Vec<String>) {
    let query = query(6, name, kind);
    let said = read(&query, &reply(&query, ASKER));
    assert!(said.is_whole);
    (said.code, said.records.into_iter().map(|(_, text)| text).collect())
}

fn reverse(address: &str) -> String {
    match address.parse().unwrap() {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(v6) => {
            let digits = format!("{:032x}", u128::from(v6));
            let digits: Vec<_> = digits.chars().rev().map(String::from).collect();
            format!("{}.ip6.arpa", digits.join("."))
        }
    }
}

#[test]
fn a_query_and_its_answer_byte_by_byte() {
    let asked = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\x04mAil\x00\x00\x1c\x00\x01\
        \x00\x00\x29\x10\x00\x00\x00\x80\x00\x00\x00";
    let told = b"\x12\x34\x85\x80\x00\x01\x00\x01\x00\x00\x00\x01\x04mAil\x00\x00\x1c\x00\x01\
        \xc0\x0c\x00\x1c\x00\x01\x00\x00\x00\x01\x00\x10\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x03\
        \x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x00";
    assert_eq!(reply(asked, ASKER), told);
}

#[test]
fn a_name_has_the_addresses_of_the_family_that_was_asked_for_and_exists_without_any() {
    assert_eq!(said("web", A), (0, vec!["192.0.2.2".to_owned(), "192.0.2.3".to_owned()]));
    assert_eq!(said("web", AAAA), (0, vec!["2001:db8::2".to_owned()]));
    assert_eq!(said("mail", A), (0, Vec::new()));
    assert_eq!(said("web", TXT), (0, Vec::new()));
    assert_eq!(said("web", ANY).1.len(), 3);
    assert_eq!(said("WEB.Net", AAAA), (0, vec!["2001:db8::2".to_owned()]));
}

#[test]
fn several_addresses_come_in_every_order_that_begins_elsewhere() {
    let first = |id| {
        let query = query(id, "web", A);
        read(&query, &reply(&query, ASKER)).records.remove(0).1
    };
    let firsts: std::collections::BTreeSet<_> = (0..10).map(first).collect();
    assert_eq!(firsts.into_iter().collect::<Vec<_>>(), ["192.0.2.2", "192.0.2.3"]);
}

#[test]
fn addresses_have_names_and_one_that_nobody_has_is_asked_of_nobody_else() {
    for address in ["192.0.2.2", "2001:db8::2"] {
        assert_eq!(said(&reverse(address), PTR), (0, vec!["web.net".to_owned()]));
        assert_eq!(said(&reverse(address), A), (0, Vec::new()));
    }
    assert_eq!(said(&reverse("192.0.2.99"), PTR), (3, Vec::new()));
    for name in
        [&reverse("198.51.100.1"), "2.2.0.192.1.in-addr.arpa", "02.2.0.192.in-addr.arpa", "2.0.192.in-addr.arpa"]
    {
        assert_eq!(answer(&query(1, name, PTR), ASKER, &Two, Transport::Udp), Answer::Forward, "{name}");
    }
}

#[test]
fn what_is_not_of_the_zone_goes_on_but_not_from_an_enclosed_network_nor_for_strangers() {
    for name in ["", "example.com", "webb", "web.net.example", "we\\b", "w b"] {
        let query = query(1, name, A);
        assert_eq!(answer(&query, ASKER, &Two, Transport::Udp), Answer::Forward, "{name}");
        assert_eq!(read(&query, &reply(&query, ENCLOSED)).code, 3, "{name}");
        assert_eq!(read(&query, &reply(&query, STRANGER)).code, 5, "{name}");
    }
    let query = query(1, "web", A);
    assert_eq!(read(&query, &reply(&query, ENCLOSED)).records.len(), 2);
    assert_eq!(read(&query, &reply(&query, STRANGER)).code, 5);
    // A dot within a label is another name.
    let dotted = [&query[..12], b"\x07web.net\0\0\x01\0\x01"].concat();
    assert_eq!(answer(&dotted, ASKER, &Two, Transport::Udp), Answer::Forward);
    let chaos = [&query[..query.len() - 1], &[3]].concat();
    assert_eq!(read(&chaos, &reply(&chaos, ASKER)).code, 5, "another class");
}

#[test]
fn what_is_wrong_with_a_query_is_told_and_answers_are_not_answered() {
    let good = query(1, "web", A);
    let changed = |at: usize, byte: u8| {
        let mut query = good.clone();
        query[at] = byte;
        query
    };
    assert_eq!(answer(&good[..11], ASKER, &Two, Transport::Udp), Answer::Drop);
    assert_eq!(answer(&changed(2, 0x81), ASKER, &Two, Transport::Udp), Answer::Drop, "an answer");
    let code = |query: &[u8]| reply(query, ASKER)[3] & 0xf;
    for length in 12..good.len() {
        assert_eq!(code(&good[..length]), 1, "{length} bytes");
    }
    let twice = [&good[..5], &[2], &good[6..], &question("mail", A)].concat();
    assert_eq!((code(&twice), code(&changed(5, 0)), code(&changed(12, 0xc0))), (1, 1, 1));
    assert_eq!((code(&changed(11, 1)), code(&changed(7, 1))), (1, 1), "a record that is not there");
    let update = changed(2, 0x29);
    assert_eq!(read(&update, &reply(&update, ASKER)).code, 4);
}

#[test]
fn edns_is_answered_with_edns_and_its_later_versions_with_what_we_have() {
    let plain = query(1, "web", A);
    assert_eq!(number(&reply(&plain, ASKER), 10), 0);
    let later = reply(&with_edns(plain.clone(), [1, 0], 4096), ASKER);
    let [code, extended] = [later[3] & 0xf, later[later.len() - 6]];
    assert_eq!((code, extended, number(&later, 6)), (0, 1, 0), "BADVERS");
    let twice = with_edns(with_edns(plain, [0, 0], 512), [0, 0], 512);
    assert_eq!(reply(&twice, ASKER)[3] & 0xf, 1);
}

#[test]
fn an_answer_is_as_long_as_its_way_allows() {
    let plain = query(1, "many", A);
    let told = |query: &[u8], transport| {
        let Answer::Reply(reply) = answer(query, ASKER, &Two, transport) else { panic!("no reply") };
        let said = read(query, &reply);
        (reply.len(), said.is_whole, said.records.len())
    };
    let (length, is_whole, count) = told(&plain, Transport::Udp);
    assert!(length <= 512 && !is_whole && count >= 29, "{length} {count}");
    for (bytes, least) in [(100, 29), (900, 52), (65535, 73)] {
        let (length, is_whole, count) = told(&with_edns(plain.clone(), [0, 0], bytes), Transport::Udp);
        assert!(length <= usize::from(bytes).clamp(512, 1232) && !is_whole && count >= least, "{length} {count}");
    }
    assert_eq!(told(&plain, Transport::Tcp), (12 + 10 + 200 * 16, true, 200));
}

#[test]
fn an_answer_of_others_is_one_to_what_was_asked() {
    let asked = query(7, "example.com", A);
    let changed = |at: usize, byte: u8| {
        let mut reply = asked.clone();
        (reply[2], reply[3]) = (0x81, 0x80);
        reply[at] = byte;
        outcome(&reply, 7, &asked)
    };
    assert_eq!(changed(13, b'E'), Some(Outcome::Answered), "whatever the case");
    assert_eq!(
        [changed(3, 0x83), changed(3, 0x82), changed(3, 0x85)].map(Option::unwrap),
        [Outcome::Answered, Outcome::Failed, Outcome::Failed]
    );
    for (at, byte) in [(1, 8), (2, 1), (13, b'x'), (26, 28), (28, 3), (5, 0)] {
        assert_eq!(changed(at, byte), None, "{at}");
    }
    let refused = [&[0, 7, 0x81, 0x85], &[0; 8][..]].concat();
    assert_eq!(outcome(&refused, 7, &asked), Some(Outcome::Failed), "a header alone");
    let failed = failure(&asked).unwrap();
    assert_eq!(read(&asked, &failed), Said { code: 2, is_whole: true, records: Vec::new() });
}

proptest! {
    #[test]
    fn any_bytes_have_an_answer_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..300), cut in 0_usize..60) {
        let near = with_edns(query(9, "web.net", A), [0, 0x80], 4096);
        let mixed = [near.get(..cut).unwrap_or(&near), &bytes].concat();
        for query in [bytes, mixed] {
            for transport in [Transport::Udp, Transport::Tcp] {
                if let Answer::Reply(reply) = answer(&query, ASKER, &Two, transport) {
                    prop_assert!(reply[..2] == query[..2] && reply[2] & 0x80 != 0);
                    prop_assert!(transport == Transport::Tcp || reply.len() <= 1232);
                }
            }
            let _ = (outcome(&query, 9, &near), failure(&query));
        }
    }

    #[test]
    fn a_name_of_the_zone_is_never_asked_elsewhere(id in any::<u16>(), kind in any::<u16>(), upper in any::<[bool; 7]>()) {
        let name: String = "web.net".chars().zip(upper)
            .map(|(letter, upper)| if upper { letter.to_ascii_uppercase() } else { letter }).collect();
        for query in [query(id, &name, kind), with_edns(query(id, &name, kind), [0, 0], 1400)] {
            let said = read(&query, &reply(&query, ASKER));
            prop_assert!(said.code == 0 && said.is_whole);
            let count = match kind { A => 2, AAAA => 1, ANY => 3, _ => 0 };
            prop_assert_eq!(said.records.len(), count);
            prop_assert!(said.records.iter().all(|(of, _)| kind == ANY || *of == kind));
        }
    }
}
