//! Rules: whatever stands in a file, every mistake has a place inside of it. An input is a file in
//! TOML, or in JSON where it begins with a brace.

use counterfoil_core::{Issue, Ruleset, RulesetSpec, Severity};

#[test]
fn every_mistake_of_a_rules_file_has_its_place() {
    super::explore(
        "rules",
        &[
            "[[offer]]\n",
            "[[commission]]\n",
            "[[postback]]\n",
            "[[tracking_api]]\n",
            "[",
            "]",
            "{",
            "}",
            "=",
            "\"",
            "'''",
            "\n",
            ".",
            ",",
            "#",
            "\u{feff}",
            "\u{e9}",
            "\0",
            "\t",
            "id = \"x\"\n",
            "id = \"x\"\n",
            "tenant = \"acme\"\n",
            "currency = \"EUR\"\n",
            "type = \"sale\"\n",
            "revenue.percent = \"10\"\n",
            "payout.fixed = 1.5\n",
            "dedup.key = \"none\"\n",
            "auth.tokens = [\"{secret:a}\"]\n",
            "url = \"https://a/\"\n",
            "after = \"30d\"\n",
            "99999999999999999999",
            "-1",
            "1e9",
            "true",
            "1979-05-27",
            "null",
            "{pcid}",
            "{secret:a}",
            "{param.x}",
            "delay = \"1h\"\n",
            "trigger = \"conversion\"\n",
        ],
        check,
    );
}

fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let is_json = text.starts_with('{');
    let checked = || match is_json {
        true => RulesetSpec::from_json(text).and_then(Ruleset::check),
        false => RulesetSpec::from_toml(text).and_then(Ruleset::check),
    };
    match checked() {
        Ok((ruleset, warnings)) => {
            assert!(warnings.iter().all(|warning| warning.severity == Severity::Warning));
            all_stand_inside(&warnings, text, is_json);
            assert!(counterfoil_core::is_token(ruleset.tenant().as_str()));
            let (again, warned_again) = checked().unwrap();
            assert_eq!((again.tenant(), &warned_again), (ruleset.tenant(), &warnings));
        }
        Err(issues) => {
            assert_eq!(issues[0].severity, Severity::Error);
            all_stand_inside(&issues, text, is_json);
        }
    }
}

fn all_stand_inside(issues: &[Issue], text: &str, is_json: bool) {
    let lines: Vec<usize> = text.split('\n').map(|line| line.chars().count()).collect();
    for issue in issues {
        assert!(!issue.message.is_empty() && !issue.message.ends_with('.'), "{issue}");
        let Some((line, column)) = issue.position else {
            // A value of JSON does not know where it stood; its path says it.
            assert!(is_json || issue.path.is_empty(), "{issue}");
            continue;
        };
        // The end of the text is a place too. The parser of JSON counts bytes.
        let len = lines.get(line as usize - 1).unwrap_or_else(|| panic!("{issue}"));
        let len = if is_json { text.len() } else { *len };
        assert!((1..=len + 1).contains(&(column as usize)) || is_json, "{issue}: {len}");
    }
}
