//! What is asked of a server: each request is a pure function of its number, so that a run needs
//! no list of requests, repeats are exact and no two runs on one database share an external id.

use std::io::Write as _;
use std::sync::Arc;

use uuid::Uuid;

/// The tenant, offer and affiliate of `rules.toml`.
const LINK_PATH: &str = "/c/bench/shoply-cz/bo";
const POSTBACK_PATH: &str = "/api/bench/postbacks/handle";

/// Repeats are drawn from this many creates.
pub(crate) const REPEATED: u64 = 10_000;

/// The kinds of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Creates with external ids that are numbered in a row, as those of orders are, spread over
    /// all known clicks: each makes a conversion, a transaction and a log row.
    Creates,
    /// The same with external ids in random order.
    RandomIds,
    /// The same, all under one click.
    OneClick,
    /// The first [`REPEATED`] creates, again and again: a log row each.
    Repeats,
    /// Creates that were all sent before, each once.
    Again,
    /// Affiliate links: a click row each.
    Links,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Creates => "creates",
            Self::RandomIds => "creates, random ids",
            Self::OneClick => "creates, one click",
            Self::Repeats => "duplicates",
            Self::Again => "creates sent before",
            Self::Links => "link clicks",
        }
    }
}

/// A load of one kind on the clicks of one database.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    pub(crate) kind: Kind,
    /// Roots to pair with; never empty.
    pub(crate) clicks: Arc<[Uuid]>,
    /// Keeps the external ids of different loads on one database apart.
    pub(crate) series: u32,
}

impl Workload {
    /// For a server that stores nothing: any click will do.
    pub(crate) fn without_database(kind: Kind) -> Self {
        let clicks = (0..1_000).map(|number| Uuid::from_u64_pair(mixed(number), number));
        Self { kind, clicks: clicks.collect(), series: 1 }
    }

    /// Writes the head of request `number`; none has a body.
    pub(crate) fn write(&self, number: u64, out: &mut Vec<u8>) -> std::io::Result<()> {
        out.extend_from_slice(b"GET ");
        self.write_target(number, out)?;
        out.extend_from_slice(b" HTTP/1.1\r\nhost: bench.example\r\n\r\n");
        Ok(())
    }

    /// Writes the path and the query.
    pub(crate) fn write_target(&self, number: u64, out: &mut Vec<u8>) -> std::io::Result<()> {
        if self.kind == Kind::Links {
            let click = mixed(self.numbered(number));
            return write!(out, "{LINK_PATH}?affs1=summer&affiliate_click_id={click:016x}");
        }
        write!(out, "{POSTBACK_PATH}?")?;
        self.write_query(number, out)
    }

    /// Writes the query of a postback.
    pub(crate) fn write_query(&self, number: u64, out: &mut Vec<u8>) -> std::io::Result<()> {
        let number = match self.kind {
            Kind::Repeats => mixed(number) % REPEATED,
            _ => number,
        };
        let random = mixed(self.numbered(number));
        let external_id = match self.kind {
            Kind::RandomIds => random,
            _ => self.numbered(number),
        };
        let click = self.click(random);
        let cents = random % 50_000;
        write!(
            out,
            "pcid={click}&advertiser_id=shoply&external_id=order-{external_id:016x}&type=sale\
             &value={}.{:02}&currency=EUR",
            cents / 100 + 1,
            cents % 100,
        )
    }

    /// How the body of every answer begins; empty: it has none.
    pub(crate) fn expected_body(&self) -> &'static [u8] {
        match self.kind {
            Kind::Creates | Kind::RandomIds | Kind::OneClick => br#"{"outcome":"created""#,
            Kind::Repeats | Kind::Again => br#"{"outcome":"duplicate""#,
            Kind::Links => b"",
        }
    }

    /// The status of every answer.
    pub(crate) fn expected_status(&self) -> u16 {
        match self.kind {
            Kind::Links => 302,
            _ => 200,
        }
    }

    /// Distinct for each series and number; so is [`mixed`] of it, which is a bijection.
    fn numbered(&self, number: u64) -> u64 {
        (u64::from(self.series) << 40) + number
    }

    fn click(&self, random: u64) -> Uuid {
        let index = match self.kind {
            Kind::OneClick => 0,
            _ => random.rotate_left(32) as usize % self.clicks.len().max(1),
        };
        self.clicks.get(index).copied().unwrap_or_default()
    }
}

/// The finaliser of SplitMix64.
pub(crate) fn mixed(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
