//! A query and a zone to an answer. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use domain::base::iana::{Class, Opcode, OptRcode, Rcode, Rtype};
use domain::base::message_builder::{AdditionalBuilder, AnswerBuilder, PushError, QuestionBuilder};
use domain::base::{Message, MessageBuilder, Name, ParsedName, Question, StaticCompressor, Ttl};
use domain::rdata::{A, Aaaa, Ptr};

use super::{Standing, Zone};

/// What becomes of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is answered by this message.
    Reply(Vec<u8>),
    /// The host's servers are asked.
    Forward,
    /// Nothing: whoever sent it waits for no answer.
    Drop,
}

/// How a query has come, which bounds its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// In a packet.
    Udp,
    /// Over a connection.
    Tcp,
}

/// How long a name may be remembered. One who has gone and come back may have another address, and who asks a thousand
/// times a second need not be told a thousand times.
const LIFE: Ttl = Ttl::from_secs(1);

/// The longest query, in bytes. A name has 255, and options are few.
pub(super) const LONGEST_QUERY: usize = 4096;

/// What every receiver of packets takes, and the most that passes every link in one piece (RFC 6891, DNS flag day 2020).
const PACKET: usize = 512;
const LARGEST_PACKET: usize = 1232;

/// The length of an OPT record without options.
const OPT: usize = 11;

/// A question as it was asked.
type Asked<'q> = Question<ParsedName<&'q [u8]>>;

type Target = StaticCompressor<Vec<u8>>;

/// What a query says of EDNS.
#[derive(Debug, Clone, Copy)]
struct Edns {
    packet_bytes: u16,
    version: u8,
    dnssec_ok: bool,
}

/// What is asked, and by whom.
struct Query<'q> {
    message: &'q Message<[u8]>,
    asked: Option<Asked<'q>>,
    edns: Option<Edns>,
    transport: Transport,
}

/// What a name of the zone has.
enum Found {
    Addresses(Vec<IpAddr>),
    Names(Vec<String>),
    /// Nobody has it, and no server outside knows it.
    Nobody,
}

/// Answers a query of who has the address `asker`.
///
/// A name of the zone that has no record of the type that was asked for has an answer without records: it exists
/// (RFC 2308, 2.2). Several addresses are in another order each time.
#[must_use]
pub fn answer(query: &[u8], asker: IpAddr, zone: &impl Zone, transport: Transport) -> Answer {
    let Ok(message) = Message::from_slice(query) else { return Answer::Drop };
    let header = message.header();
    if header.qr() {
        return Answer::Drop;
    }
    let mut query = Query { message, asked: message.sole_question().ok(), edns: None, transport };
    if header.opcode() != Opcode::QUERY {
        return query.fails(Rcode::NOTIMP);
    }
    let (Some(asked), Ok(edns)) = (query.asked, edns(message)) else { return query.fails(Rcode::FORMERR) };
    query.edns = edns;
    if edns.is_some_and(|edns| edns.version > 0) {
        return query.fails(OptRcode::BADVERS);
    }
    let standing = zone.standing(asker);
    let is_of_internet = matches!(asked.qclass(), Class::IN | Class::ANY);
    if standing == Standing::Stranger || !is_of_internet {
        return query.fails(Rcode::REFUSED);
    }
    match find(&name(asked.qname()), asker, zone) {
        Some(Found::Nobody) => query.fails(Rcode::NXDOMAIN),
        Some(found) => query.tells(&found),
        None if standing == Standing::Inside => query.fails(Rcode::NXDOMAIN),
        None => Answer::Forward,
    }
}

/// The answer to a query that nobody could be asked.
pub(super) fn failure(query: &[u8]) -> Option<Vec<u8>> {
    let message = Message::from_slice(query).ok()?;
    let (asked, edns) = (message.sole_question().ok(), edns(message).ok().flatten());
    match (Query { message, asked, edns, transport: Transport::Udp }).fails(Rcode::SERVFAIL) {
        Answer::Reply(reply) => Some(reply),
        Answer::Forward | Answer::Drop => None,
    }
}

/// Whether a message answers a query that was sent with this id, and what it says of how that went.
pub(super) fn outcome(reply: &[u8], id: u16, query: &[u8]) -> Option<Outcome> {
    let (reply, query) = (Message::from_slice(reply).ok()?, Message::from_slice(query).ok()?);
    let header = reply.header();
    if !header.qr() || header.id() != id || header.opcode() != Opcode::QUERY {
        return None;
    }
    let failed = matches!(header.rcode(), Rcode::SERVFAIL | Rcode::REFUSED | Rcode::NOTIMP);
    let outcome = if failed { Outcome::Failed } else { Outcome::Answered };
    match (query.sole_question(), reply.sole_question()) {
        // Names are the same whatever their case.
        (Ok(asked), Ok(answered)) => (asked == answered).then_some(outcome),
        // Some give back nothing but a header where they do not like a query.
        (Ok(_), Err(_)) => {
            (reply.header_counts().qdcount() == 0 && header.rcode() != Rcode::NOERROR).then_some(outcome)
        }
        _ => None,
    }
}

/// How it went with a query at one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Answered,
    /// Another one may do better.
    Failed,
}

/// A name as zones know it; empty for the root, and for one that no zone of ours can have.
fn name(name: &ParsedName<&[u8]>) -> String {
    let mut text = String::new();
    for label in name.iter().filter(|label| !label.is_root()) {
        let is_plain = label.as_slice().iter().all(|byte| byte.is_ascii_graphic() && *byte != b'.');
        let Some(word) = str::from_utf8(label.as_slice()).ok().filter(|_| is_plain) else { return String::new() };
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(&word.to_ascii_lowercase());
    }
    text
}

fn find(name: &str, asker: IpAddr, zone: &impl Zone) -> Option<Found> {
    if name.is_empty() {
        return None;
    }
    if let Some(address) = reversed(name) {
        let names = zone.names(asker, address)?;
        return Some(if names.is_empty() { Found::Nobody } else { Found::Names(names) });
    }
    zone.addresses(asker, name).map(Found::Addresses)
}

/// The address whose reverse name this is: RFC 1035, 3.5, and RFC 3596, 2.5.
fn reversed(name: &str) -> Option<IpAddr> {
    if let Some(labels) = name.strip_suffix(".in-addr.arpa") {
        let mut bytes =
            labels.rsplit('.').map(|label| label.parse::<u8>().ok().filter(|byte| byte.to_string() == label));
        let address = Ipv4Addr::from([bytes.next()??, bytes.next()??, bytes.next()??, bytes.next()??]);
        return bytes.next().is_none().then_some(address.into());
    }
    let (mut number, mut count) = (0_u128, 0);
    for label in name.strip_suffix(".ip6.arpa")?.rsplit('.') {
        let digit = u128::from_str_radix(label, 16).ok().filter(|_| label.len() == 1)?;
        (number, count) = (number << 4 | digit, count + 1);
    }
    (count == 32).then(|| Ipv6Addr::from(number).into())
}

/// What a query says of EDNS, if all of it can be read and it says that once.
fn edns(message: &Message<[u8]>) -> Result<Option<Edns>, ()> {
    for record in message {
        record.map_err(drop)?;
    }
    let additional = message.additional().map_err(drop)?;
    let count = additional.flatten().filter(|record| record.rtype() == Rtype::OPT).count();
    match (count, message.opt()) {
        (0, _) => Ok(None),
        (1, Some(opt)) => {
            Ok(Some(Edns { packet_bytes: opt.udp_payload_size(), version: opt.version(), dnssec_ok: opt.dnssec_ok() }))
        }
        _ => Err(()),
    }
}

impl Query<'_> {
    fn fails(&self, code: impl Into<OptRcode>) -> Answer {
        let code = code.into();
        self.build(
            |answer| {
                answer.header_mut().set_rcode(code.rcode());
                Ok(())
            },
            code,
        )
    }

    fn tells(&self, found: &Found) -> Answer {
        let Some(asked) = &self.asked else { return Answer::Drop };
        let kind = asked.qtype();
        let is_wanted = |of: Rtype| kind == of || kind == Rtype::ANY;
        self.build(
            |answer| {
                answer.header_mut().set_aa(true);
                match found {
                    Found::Addresses(addresses) => {
                        // The id of a query is a number made by chance.
                        let first = usize::from(self.message.header().id()) % addresses.len().max(1);
                        let (before, behind) = addresses.split_at_checked(first).unwrap_or_default();
                        for address in behind.iter().chain(before) {
                            match address {
                                IpAddr::V4(v4) if is_wanted(Rtype::A) => {
                                    answer.push((asked.qname(), LIFE, A::new(*v4)))?;
                                }
                                IpAddr::V6(v6) if is_wanted(Rtype::AAAA) => {
                                    answer.push((asked.qname(), LIFE, Aaaa::new(*v6)))?;
                                }
                                IpAddr::V4(_) | IpAddr::V6(_) => {}
                            }
                        }
                    }
                    Found::Names(names) if is_wanted(Rtype::PTR) => {
                        for name in names.iter().filter_map(|name| Name::vec_from_str(name).ok()) {
                            answer.push((asked.qname(), LIFE, Ptr::new(name)))?;
                        }
                    }
                    Found::Names(_) | Found::Nobody => {}
                }
                Ok(())
            },
            OptRcode::NOERROR,
        )
    }

    /// The largest answer.
    fn limit(&self) -> usize {
        match (self.transport, self.edns) {
            (Transport::Tcp, _) => usize::from(u16::MAX),
            (Transport::Udp, None) => PACKET,
            (Transport::Udp, Some(edns)) => usize::from(edns.packet_bytes).clamp(PACKET, LARGEST_PACKET),
        }
    }

    /// An answer with what `fill` puts into it, as much as there is room for.
    fn build(&self, fill: impl FnOnce(&mut AnswerBuilder<Target>) -> Result<(), PushError>, code: OptRcode) -> Answer {
        let Some(mut answer) = self.begun() else { return Answer::Drop };
        answer.set_push_limit(self.limit() - OPT);
        if fill(&mut answer).is_err() {
            answer.header_mut().set_tc(true);
        }
        answer.clear_push_limit();
        let mut additional = answer.additional();
        if self.edns.is_some() && self.say_edns(&mut additional, code).is_err() {
            return Answer::Drop;
        }
        Answer::Reply(additional.finish().into_target())
    }

    fn begun(&self) -> Option<AnswerBuilder<Target>> {
        let mut builder = MessageBuilder::from_target(StaticCompressor::new(Vec::with_capacity(PACKET))).ok()?;
        let (asked, header) = (self.message.header(), builder.header_mut());
        header.set_id(asked.id());
        header.set_qr(true);
        header.set_opcode(asked.opcode());
        header.set_rd(asked.rd());
        header.set_cd(asked.cd());
        header.set_ra(true);
        let mut question: QuestionBuilder<Target> = builder.question();
        if let Some(asked) = &self.asked {
            question.push(asked).ok()?;
        }
        Some(question.answer())
    }

    fn say_edns(&self, additional: &mut AdditionalBuilder<Target>, code: OptRcode) -> Result<(), PushError> {
        additional.opt(|opt| {
            opt.set_udp_payload_size(u16::try_from(LARGEST_PACKET).unwrap_or(u16::MAX));
            opt.set_dnssec_ok(self.edns.is_some_and(|edns| edns.dnssec_ok));
            opt.set_rcode(code);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests;
