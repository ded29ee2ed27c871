//! Rules files: text in, rules or issues out.

mod example;
mod mistakes;
mod table;
mod warnings;

use counterfoil_core::{Issue, Ruleset, RulesetSpec, Severity};
use proptest::prelude::*;

/// Reads and checks TOML.
fn check(text: &str) -> Result<(Ruleset, Vec<Issue>), Vec<Issue>> {
    RulesetSpec::from_toml(text).and_then(Ruleset::check)
}

/// What is expected of an issue: path, line and column, parts of message and hint.
type Expected<'a> = (&'a str, Option<(u32, u32)>, &'a str, &'a str);

/// Compares all issues, in order; what is empty in the expectation must be empty.
fn compare(text: &str, severity: Severity, issues: &[Issue], expected: &[Expected<'_>]) {
    let shown: Vec<String> = issues.iter().map(ToString::to_string).collect();
    assert_eq!(issues.len(), expected.len(), "{text}\n{shown:#?}");
    for (issue, (path, position, message, hint)) in issues.iter().zip(expected) {
        assert_eq!(issue.severity, severity, "{text}\n{issue}");
        assert_eq!(issue.path, *path, "{text}\n{issue}");
        assert_eq!(issue.position, *position, "{text}\n{issue}");
        assert!(issue.message.contains(message), "{text}\n{issue}\n{message}");
        let given = issue.hint.as_deref().unwrap_or_default();
        assert!(given.contains(hint), "{text}\n{issue}\n{hint}");
        assert_eq!(given.is_empty(), hint.is_empty(), "{text}\n{issue}");
        assert!(!issue.message.ends_with('.'), "{issue}");
    }
}

#[test]
fn an_issue_is_one_good_line() {
    let mut issue = Issue {
        severity: Severity::Error,
        position: Some((40, 11)),
        path: "commission[2].payout".into(),
        message: "the amount is missing".into(),
        hint: Some("write { fixed = \"10\" }".into()),
    };
    let line = "error: commission[2].payout (line 40, column 11): the amount is missing; \
                write { fixed = \"10\" }";
    assert_eq!(issue.to_string(), line);
    issue.severity = Severity::Warning;
    issue.hint = None;
    issue.position = None;
    assert_eq!(issue.to_string(), "warning: commission[2].payout: the amount is missing");
    issue.path.clear();
    assert_eq!(issue.to_string(), "warning: the amount is missing");
    issue.position = Some((1, 2));
    assert_eq!(issue.to_string(), "warning: line 1, column 2: the amount is missing");
}

/// Texts that get far: pieces of rules in any order.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "tenant = \"acme\"\n",
        "currency = \"EUR\"\n",
        "[[offer]]\n",
        "[[commission]]\n",
        "[[postback]]\n",
        "[[affiliate]]\n",
        "id = \"a\"\n",
        "type = \"custom\"\n",
        "types = [\"custom\", 1, []]\n",
        "revenue = { fixed = \"1\" }\n",
        "payout.percent = \"1\"\n",
        "offers = [\"a\", \"a\"]\n",
        "url = \"https://a/{pcid}{\"\n",
        "advertiser = \"a\"\n",
        "valid_from = 2026-01-01T00:00:00Z\n",
        "status = { \"\" = {}, \"ž\" = 1 }\n",
        "limits = { types = [], value_max = 1e9 }\n",
        "dedup = { key = \"none\", on_repeat = \"add\" }\n",
        "[[dialect]]\n",
        "extends = \"affise\"\n",
        "names = { a = \"pcid\", \"\" = 1, goal = \"event\" }\n",
        "names = { b = \"status:\", \"ž#\" = \"type\" }\n",
        "events = { a = {}, \"\" = { type = \"custom\" } }\n",
        "fixed = { type = \"sale\", value = \"\" }\n",
        "macros = { a = \"{\", ž = \"&\" }\nclick_macros = [\"pcid\", 1]\n",
        "answer = { success = 1, success_param = \"id\", content_type = \"text/html\" }\n",
        "[[tracking_api]]\n",
        "[[postback.step]]\n",
        "owner.affiliate = \"a\"\n",
        "request = { url = \"https://a/{pcid}?{secret:a}{\", headers = { a = \"{price}\" } }\n",
        "request.url = \"http://[::1]:9/{affs1}\"\n",
        "request.body.json = { a = [1e9, \"{\"], \"ž\" = 2026-01-01 }\n",
        "request.body = { raw = '{{\"{type}\\', content_type = \"a/json\" }\n",
        "poll = { pending = { path = \"/a~\", in = [\"\"] }, every = \"1s\", max = 30 }\n",
        "set = { result = { path = \"\", map = { a = \"b\" } }, \"param.\" = 1 }\n",
        "retry = { max = 30, every = \"36500d\", schedule = [] }\n",
        "delay = \"1h\"\nresults = \"all\"\n",
        "= \"\n",
        "ž = {",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>()) {
        let _ = check(&text);
        let _ = RulesetSpec::from_json(&text).and_then(Ruleset::check);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let text = String::from_utf8_lossy(&bytes);
        let _ = check(&text);
        let _ = RulesetSpec::from_json(&text).and_then(Ruleset::check);
    }

    #[test]
    fn what_fails_says_why_in_the_order_of_the_text(text in pieces()) {
        if let Err(issues) = check(&text) {
            prop_assert!(issues.iter().any(|issue| issue.severity == Severity::Error));
            let order = |issue: &Issue| (issue.severity, issue.position);
            prop_assert!(issues.is_sorted_by_key(order));
            prop_assert!(issues.iter().all(|issue| issue.hint.is_some()), "{issues:?}");
            let lines = u32::try_from(text.split('\n').count()).unwrap();
            for (line, column) in issues.iter().filter_map(|issue| issue.position) {
                prop_assert!((1..=lines).contains(&line) && column >= 1);
            }
        }
    }
}

#[test]
fn depth_and_length_are_bounded() {
    let deep = format!("a = {}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(check(&deep).is_err());
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(RulesetSpec::from_json(&deep).is_err());
    let long = "#".repeat((16 << 20) + 1);
    let issues = check(&long).unwrap_err();
    compare("", Severity::Error, &issues, &[("", None, "more than 16 MiB", "what is old")]);
    let many = "x = 1\n[[offer]]\n".to_owned() + &"[[offer]]\n".repeat(3000);
    assert_eq!(check(&many).unwrap_err().len(), 1000);
    let many: String = (0..=50_000).map(|n| format!("[[advertiser]]\nid=\"{n}\"\n")).collect();
    let issues = check(&format!("tenant=\"a\"\ncurrency=\"EUR\"\n{many}")).unwrap_err();
    let expected =
        [("advertiser[50000]", Some((100_003, 1)), "more than 50000", "remove what is old")];
    compare("", Severity::Error, &issues, &expected);
    // One line with many values is read in time that grows with its length.
    let wide = format!("a = [{}]", "\"é\", ".repeat(300_000));
    assert_eq!(check(&wide).unwrap_err().len(), 3);
}
