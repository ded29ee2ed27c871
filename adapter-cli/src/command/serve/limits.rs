//! The limits of a server: the table `[limits]` of its file. What it does not name keeps its
//! default.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};

use counterfoil_core::Period;
use counterfoil_http::{DispatchConfig, Limits};
use serde::Deserialize;

const HEAD_LEN_MIN: usize = 8 * 1024;

/// The table. Times are as in rules: `500ms`, `10s`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(in crate::command) struct LimitsTable {
    first_byte: Option<Time>,
    head: Option<Time>,
    body: Option<Time>,
    request: Option<Time>,
    write_stall: Option<Time>,
    stop: Option<Time>,
    target_len: Option<NonZeroUsize>,
    head_len: Option<HeadLen>,
    headers: Option<NonZeroUsize>,
    body_len: Option<NonZeroUsize>,
    rules_len: Option<NonZeroUsize>,
    connections: Option<NonZeroUsize>,
    connections_per_address: Option<NonZeroUsize>,
    failures_per_second: Option<NonZeroU32>,
    requests_per_credential: Option<NonZeroU32>,
    refusal_rows: Option<NonZeroU32>,
    refusal_rows_per_second: Option<NonZeroU32>,
    refusal_rows_per_address: Option<NonZeroU32>,
    refusal_rows_per_address_per_second: Option<NonZeroU32>,
    waiting: Option<NonZeroUsize>,
    sending: Option<NonZeroUsize>,
    sending_per_destination: Option<NonZeroUsize>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
struct Time(Duration);

impl TryFrom<String> for Time {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let period: Period = text.parse().map_err(|error| format!("`{text}`: {error}"))?;
        match period.as_ms() {
            0 => Err(format!("`{text}` is no time at all; write how long, as in 10s")),
            ms => Ok(Self(Duration::from_millis(ms))),
        }
    }
}

/// Bytes of a head: no fewer than the HTTP library reads at once.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "usize")]
struct HeadLen(usize);

impl TryFrom<usize> for HeadLen {
    type Error = String;

    fn try_from(len: usize) -> Result<Self, String> {
        match len {
            HEAD_LEN_MIN.. => Ok(Self(len)),
            _ => Err(format!("`{len}` is too short for a head; write {HEAD_LEN_MIN} or more")),
        }
    }
}

impl LimitsTable {
    /// The limits of the listeners.
    pub(in crate::command) fn of_listeners(&self) -> Limits {
        let mut limits = Limits::default();
        let time = |given: Option<Time>, default: &mut Duration| {
            *default = given.map_or(*default, |time| time.0);
        };
        time(self.first_byte, &mut limits.first_byte);
        time(self.head, &mut limits.head);
        time(self.body, &mut limits.body);
        time(self.request, &mut limits.request);
        time(self.write_stall, &mut limits.write_stall);
        time(self.stop, &mut limits.stop);
        size(self.target_len, &mut limits.target_len_max);
        limits.head_len_max = self.head_len.map_or(limits.head_len_max, |len| len.0);
        size(self.headers, &mut limits.headers_max);
        size(self.body_len, &mut limits.body_len_max);
        size(self.rules_len, &mut limits.rules_len_max);
        size(self.connections, &mut limits.connections_max);
        size(self.connections_per_address, &mut limits.connections_per_address_max);
        rate(self.failures_per_second, &mut limits.failures_per_second_max);
        limits.requests_per_credential_max = self.requests_per_credential.map(NonZeroU32::get);
        let rows = &mut limits.refusal_rows;
        rate(self.refusal_rows, &mut rows.at_once);
        rate(self.refusal_rows_per_second, &mut rows.per_second);
        rate(self.refusal_rows_per_address, &mut rows.per_address_at_once);
        rate(self.refusal_rows_per_address_per_second, &mut rows.per_address_per_second);
        limits
    }

    /// Sets how many requests may wait for the writer.
    pub(in crate::command) fn of_the_writer(&self, queue_len: &mut usize) {
        size(self.waiting, queue_len);
    }

    /// Sets how many messages may be under way.
    pub(in crate::command) fn of_sending(&self, config: &mut DispatchConfig) {
        size(self.sending, &mut config.most);
        size(self.sending_per_destination, &mut config.most_of_one);
    }
}

fn size(given: Option<NonZeroUsize>, default: &mut usize) {
    *default = given.map_or(*default, NonZeroUsize::get);
}

fn rate(given: Option<NonZeroU32>, default: &mut u32) {
    *default = given.map_or(*default, NonZeroU32::get);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every name, each with a value of its own.
    const ALL: &str = r#"
        first-byte = "1s"
        head = "2s"
        body = "3s"
        request = "4s"
        write-stall = "5s"
        stop = "6s"
        target-len = 7
        head-len = 8192
        headers = 9
        body-len = 10
        rules-len = 11
        connections = 12
        connections-per-address = 13
        failures-per-second = 14
        requests-per-credential = 15
        refusal-rows = 16
        refusal-rows-per-second = 17
        refusal-rows-per-address = 18
        refusal-rows-per-address-per-second = 19
        waiting = 20
        sending = 21
        sending-per-destination = 22
    "#;

    #[test]
    fn every_name_sets_its_limit() {
        let table: LimitsTable = toml::from_str(ALL).unwrap();
        let limits = table.of_listeners();
        let times = [
            limits.first_byte,
            limits.head,
            limits.body,
            limits.request,
            limits.write_stall,
            limits.stop,
        ];
        assert_eq!(times.map(|time| time.as_secs()), [1, 2, 3, 4, 5, 6]);
        let sizes = [
            limits.target_len_max,
            limits.head_len_max,
            limits.headers_max,
            limits.body_len_max,
            limits.rules_len_max,
            limits.connections_max,
            limits.connections_per_address_max,
        ];
        assert_eq!(sizes, [7, 8192, 9, 10, 11, 12, 13]);
        assert_eq!(limits.failures_per_second_max, 14);
        assert_eq!(limits.requests_per_credential_max, Some(15));
        let rows = limits.refusal_rows;
        assert_eq!((rows.at_once, rows.per_second), (16, 17));
        assert_eq!((rows.per_address_at_once, rows.per_address_per_second), (18, 19));
        let mut queue_len = 0;
        table.of_the_writer(&mut queue_len);
        assert_eq!(queue_len, 20);
    }

    #[test]
    fn what_is_not_named_keeps_its_default() {
        let table: LimitsTable = toml::from_str("").unwrap();
        assert_eq!(table.of_listeners(), Limits::default());
    }

    #[test]
    fn what_would_stop_everything_is_a_mistake() {
        for text in
            ["head = \"0s\"", "head = 10", "head-len = 8191", "connections = 0", "conections = 1"]
        {
            assert!(toml::from_str::<LimitsTable>(text).is_err(), "{text}");
        }
    }
}
