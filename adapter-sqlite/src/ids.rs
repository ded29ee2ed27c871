//! Request ids: UUIDv7, strictly rising in the order of the decisions, also when clocks step back
//! and across restarts.
//!
//! ```text
//! time 48 | version 4 | counter 12 | variant 2 | random 46 | zero 16 bits
//! ```
//!
//! Time and counter rise from one id to the next, so that each has a number of its own
//! (numbers.rs); nobody can guess the random bits. What core derives keeps the first 112 bits, and
//! the last 16 are zero: from the id of anything that a request made, the id of the request
//! follows.

use counterfoil_core::{ConversionId, MessageId, RequestId, Timestamp, TransactionId};

/// Ids of one millisecond that are counted.
const COUNTER_MASK: u64 = (1 << 12) - 1;
const RANDOM_MASK: u64 = (1 << 46) - 1;
/// Random numbers that are fetched from the system at once.
const POOL_LEN: usize = 256;

/// Makes request ids.
#[derive(Debug)]
pub(crate) struct Ids {
    last: Parts,
    pool: Vec<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Parts {
    ms: u64,
    counter: u64,
    random: u64,
}

impl Ids {
    /// Makes ids above `newest`.
    pub(crate) fn above(newest: Option<RequestId>) -> Self {
        let last = newest.map_or(Parts::default(), |id| split(id.as_bytes()));
        Self { last, pool: Vec::new() }
    }

    /// The id of a request that arrived at `at_ms`: it carries that time, or the time of the id
    /// before it where that is later.
    ///
    /// # Errors
    /// Where the system has no randomness.
    pub(crate) fn next(&mut self, at_ms: i64) -> Result<RequestId, getrandom::Error> {
        let at_ms = u64::try_from(at_ms).unwrap_or(0) & 0xffff_ffff_ffff;
        let drawn = self.draw()?;
        let Parts { ms, counter, .. } = self.last;
        let (ms, counter) = match at_ms > ms || counter == COUNTER_MASK {
            // The upper half stays free for the ids that follow within the millisecond.
            true => (at_ms.max(ms + 1), (drawn >> 46) & (COUNTER_MASK >> 1)),
            false => (ms, counter + 1),
        };
        self.last = Parts { ms, counter, random: drawn & RANDOM_MASK };
        Ok(joined(self.last))
    }

    /// The id that was made last.
    pub(crate) fn newest(&self) -> RequestId {
        joined(self.last)
    }

    fn draw(&mut self) -> Result<u64, getrandom::Error> {
        if let Some(number) = self.pool.pop() {
            return Ok(number);
        }
        let mut bytes = [0; POOL_LEN * 8];
        getrandom::fill(&mut bytes)?;
        let (chunks, _) = bytes.as_chunks();
        self.pool.extend(chunks.iter().map(|chunk| u64::from_le_bytes(*chunk)));
        Ok(self.pool.pop().unwrap_or_default())
    }
}

/// The time that an id carries.
pub(crate) fn time_of(id: &RequestId) -> Timestamp {
    let Parts { ms, .. } = split(id.as_bytes());
    Timestamp::from_ms(i64::try_from(ms).unwrap_or(i64::MAX))
}

/// The request that made a conversion.
pub(crate) fn maker_of(id: &ConversionId) -> RequestId {
    request_of(RequestId::from_bytes(*id.as_bytes()))
}

/// The request that an id of this store belongs to: its own, or that of a conversion, a transaction
/// or a message that it made.
pub fn request_of(id: RequestId) -> RequestId {
    RequestId::from_bytes(with_tail(id.as_bytes(), 0))
}

/// The conversion that the request which made a transaction would have made.
pub(crate) fn twin_of(id: &TransactionId) -> ConversionId {
    RequestId::from_bytes(*id.as_bytes()).conversion_id()
}

/// The greatest id that a message of the same request can have.
pub(crate) fn last_sibling(id: &MessageId) -> MessageId {
    RequestId::from_bytes(*id.as_bytes()).message_id(u16::MAX)
}

/// The greatest id below all that carry this moment or a later one.
pub(crate) fn last_before(at: Timestamp) -> [u8; 16] {
    let ms = u128::from(u64::try_from(at.as_ms()).unwrap_or(0));
    (ms << 80).saturating_sub(1).to_be_bytes()
}

fn with_tail(bytes: &[u8; 16], tail: u128) -> [u8; 16] {
    ((u128::from_be_bytes(*bytes) >> 16 << 16) | tail).to_be_bytes()
}

fn joined(Parts { ms, counter, random }: Parts) -> RequestId {
    let number = u128::from(ms & 0xffff_ffff_ffff) << 80
        | 0x7 << 76
        | u128::from(counter) << 64
        | 0b10 << 62
        | u128::from(random) << 16;
    RequestId::from_bytes(number.to_be_bytes())
}

fn split(bytes: &[u8; 16]) -> Parts {
    let number = u128::from_be_bytes(*bytes);
    let part = |shift: u32, mask: u64| (number >> shift) as u64 & mask;
    Parts {
        ms: part(80, 0xffff_ffff_ffff),
        counter: part(64, COUNTER_MASK),
        random: part(16, RANDOM_MASK),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers;

    #[test]
    fn ids_rise_and_carry_the_time() {
        let mut ids = Ids::above(None);
        let (mut last, mut last_number) = (None, None);
        // The clock stands still, steps back, and goes on.
        for at in [5_000, 5_000, 4_000, 5_001, -1, 5_001, 1_767_225_600_000] {
            for _ in 0..1_000 {
                let id = ids.next(at).unwrap();
                let conversion = Some(*id.conversion_id().as_bytes());
                assert!(conversion > last, "{at}");
                assert!(id.as_bytes() < id.conversion_id().as_bytes());
                last = conversion;
                let number = Some(numbers::of(id.as_bytes()));
                assert!(number > last_number, "{at}");
                last_number = number;
            }
        }
        let text = ids.next(0).unwrap().to_string();
        assert!(text.starts_with("019b76da-a800-7"), "{text}");
        assert!(text.ends_with("0000"), "{text}");
    }

    #[test]
    fn ids_rise_over_restarts_and_a_full_millisecond() {
        let full = joined(Parts { ms: 7, counter: COUNTER_MASK, random: RANDOM_MASK });
        let next = Ids::above(Some(full)).next(1).unwrap();
        assert_eq!(split(next.as_bytes()).ms, 8);
        assert!(next > full);
    }

    #[test]
    fn the_request_follows_from_what_it_made() {
        let id = Ids::above(None).next(1_000).unwrap();
        assert_eq!(maker_of(&id.conversion_id()), id);
        assert_eq!(twin_of(&id.transaction_id(3)), id.conversion_id());
    }
}
