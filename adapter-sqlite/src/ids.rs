//! Request ids: UUIDv7, strictly rising in the order of the decisions, also when clocks step back
//! and across restarts.
//!
//! What core derives keeps the first 112 bits, so these rise from one id to the next, and the last
//! 16 are zero: from the id of anything that a request made, the id of the request follows.

use counterfoil_core::{ConversionId, MessageId, RequestId, Timestamp, TransactionId};

/// Random bits after the time: 12 beside the version, 46 beside the variant.
const RANDOM_BITS: u32 = 58;
const RANDOM_MASK: u64 = (1 << RANDOM_BITS) - 1;
/// Bits of the second half of the random part.
const LOW_BITS: u32 = 46;
/// The most by which one id exceeds another of the same millisecond: nobody can guess the next
/// one, and billions fit.
const STEP_MASK: u64 = (1 << 28) - 1;
/// Random numbers that are fetched from the system at once.
const POOL_LEN: usize = 256;

/// Makes request ids.
#[derive(Debug)]
pub(crate) struct Ids {
    ms: u64,
    random: u64,
    pool: Vec<u64>,
}

impl Ids {
    /// Makes ids above `newest`.
    pub(crate) fn above(newest: Option<RequestId>) -> Self {
        let (ms, random) = newest.map_or((0, 0), |id| split(id.as_bytes()));
        Self { ms, random, pool: Vec::new() }
    }

    /// The id of a request that arrived at `at_ms`: it carries that time, or the time of the id
    /// before it where that is later.
    ///
    /// # Errors
    /// Where the system has no randomness.
    pub(crate) fn next(&mut self, at_ms: i64) -> Result<RequestId, getrandom::Error> {
        let at_ms = u64::try_from(at_ms).unwrap_or(0) & 0xffff_ffff_ffff;
        let drawn = self.draw()?;
        if at_ms > self.ms {
            self.ms = at_ms;
            // The upper half stays free for the ids that follow within the millisecond.
            self.random = drawn & (RANDOM_MASK >> 1);
        } else {
            self.random += 1 + (drawn & STEP_MASK);
            if self.random > RANDOM_MASK {
                self.ms += 1;
                self.random = drawn & (RANDOM_MASK >> 1);
            }
        }
        Ok(joined(self.ms, self.random))
    }

    /// The id that was made last.
    pub(crate) fn newest(&self) -> RequestId {
        joined(self.ms, self.random)
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
    let (ms, _) = split(id.as_bytes());
    Timestamp::from_ms(i64::try_from(ms).unwrap_or(i64::MAX))
}

/// The request that made a conversion.
pub(crate) fn maker_of(id: &ConversionId) -> RequestId {
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

/// Time, version 7, random, variant, random, zero.
fn joined(ms: u64, random: u64) -> RequestId {
    let high = random >> LOW_BITS;
    let low = random & ((1 << LOW_BITS) - 1);
    let number = u128::from(ms & 0xffff_ffff_ffff) << 80
        | 0x7 << 76
        | u128::from(high) << 64
        | 0b10 << 62
        | u128::from(low) << 16;
    RequestId::from_bytes(number.to_be_bytes())
}

fn split(bytes: &[u8; 16]) -> (u64, u64) {
    let number = u128::from_be_bytes(*bytes);
    let part = |shift: u32, bits: u32| (number >> shift) as u64 & ((1 << bits) - 1);
    (part(80, 48), part(64, 12) << LOW_BITS | part(16, LOW_BITS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_rise_and_carry_the_time() {
        let mut ids = Ids::above(None);
        let mut last = None;
        // The clock stands still, steps back, and goes on.
        for at in [5_000, 5_000, 4_000, 5_001, -1, 5_001, 1_767_225_600_000] {
            for _ in 0..1_000 {
                let id = ids.next(at).unwrap();
                let conversion = Some(*id.conversion_id().as_bytes());
                assert!(conversion > last, "{at}");
                assert!(id.as_bytes() < id.conversion_id().as_bytes());
                last = conversion;
            }
        }
        let text = ids.next(0).unwrap().to_string();
        assert!(text.starts_with("019b76da-a800-7"), "{text}");
        assert!(text.ends_with("0000"), "{text}");
    }

    #[test]
    fn ids_rise_over_restarts_and_a_full_millisecond() {
        let full = joined(7, RANDOM_MASK);
        assert_eq!(split(full.as_bytes()), (7, RANDOM_MASK));
        let next = Ids::above(Some(full)).next(1).unwrap();
        assert_eq!(split(next.as_bytes()).0, 8);
        assert!(next > full);
    }

    #[test]
    fn the_request_follows_from_what_it_made() {
        let id = Ids::above(None).next(1_000).unwrap();
        assert_eq!(maker_of(&id.conversion_id()), id);
        assert_eq!(twin_of(&id.transaction_id(3)), id.conversion_id());
    }
}
