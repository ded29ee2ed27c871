//! What is legal but suspicious.

use counterfoil_core::Severity;

use super::{
    check, compare,
    table::{expected_behind, sections},
};

/// Two advertisers with an offer each, and affiliates in and out of a group.
const HEAD: &str = r#"
tenant = "acme"
currency = "EUR"
[[advertiser]]
id = "a"
[[advertiser]]
id = "b"
[[affiliate]]
id = "bo"
group = "gold"
[[affiliate]]
id = "cy"
[[offer]]
id = "oa"
advertiser = "a"
url = "https://a/"
[[offer]]
id = "ob"
advertiser = "b"
url = "https://b/"
"#;

/// A commission that pays for everything, so that no offer is left out.
const PAYS: &str = "[[commission]]\nid = \"all\"\ntype = \"view\"\nrevenue.fixed = \"1\"\n";

#[test]
fn each_warning_is_told() {
    let head = format!("{HEAD}{PAYS}");
    let sections = sections(include_str!("warnings.txt"));
    assert_eq!(sections.len(), 57);
    for section in sections {
        assert_eq!(section.kind, "behind");
        let text = format!("{head}{}", section.text);
        let (_, warnings) = check(&text).unwrap_or_else(|issues| panic!("{text}\n{issues:#?}"));
        let expected = expected_behind(&head, &section.rows);
        compare(&text, Severity::Warning, &warnings, &expected);
    }
}

/// Two sale commissions with these conditions; says whether the second is warned about.
fn second_is_shadowed(first: &str, second: &str) -> bool {
    let one = |id: &str, lines: &str| {
        format!("[[commission]]\nid = \"{id}\"\ntype = \"sale\"\nrevenue.fixed = \"1\"\n{lines}\n")
    };
    let text = format!("{HEAD}{PAYS}{}{}", one("x", first), one("y", second));
    let (_, warnings) = check(&text).unwrap_or_else(|issues| panic!("{text}\n{issues:#?}"));
    match warnings.as_slice() {
        [] => false,
        [warning] => {
            assert_eq!(warning.path, "commission[2]", "{warning}");
            assert!(warning.message.contains("`commission[1]` comes first"), "{warning}");
            true
        }
        more => panic!("{text}\n{more:#?}"),
    }
}

/// R26 takes the first candidate, and R27 does not fall through to the next.
#[test]
fn a_commission_that_never_wins() {
    for (first, second, shadowed) in [
        ("", "", true),
        ("", "offers = [\"oa\"]", true),
        ("offers = [\"oa\"]", "", false),
        ("offers = [\"oa\"]", "offers = [\"oa\"]", true),
        ("offers = [\"oa\"]", "offers = [\"ob\"]", false),
        ("offers = [\"oa\", \"ob\"]", "offers = [\"ob\"]", true),
        // Offers by way of their advertiser, and the other way round.
        ("advertisers = [\"a\"]", "offers = [\"oa\"]", true),
        ("offers = [\"oa\"]", "advertisers = [\"a\"]", true),
        ("advertisers = [\"a\"]", "offers = [\"oa\", \"ob\"]", false),
        ("advertisers = [\"a\", \"b\"]", "", false),
        ("groups = [\"gold\"]", "affiliates = [\"bo\"]", true),
        ("groups = [\"gold\"]", "affiliates = [\"cy\"]", false),
        ("affiliates = [\"bo\"]", "groups = [\"gold\"]", true),
        ("sources = [\"link\", \"api\"]", "sources = [\"api\"]", true),
        ("sources = [\"api\"]", "sources = [\"link\", \"api\"]", false),
        // There are no sources but these.
        ("sources = [\"link\", \"iframe\", \"api\"]", "", true),
        ("sources = [\"link\", \"iframe\"]", "", false),
        ("", "sources = [\"link\", \"iframe\", \"api\"]", true),
        ("channels = [\"mail\"]", "channels = [\"mail\"]", true),
        ("channels = [\"mail\"]", "", false),
        ("valid_to = 2026-01-01T00:00:00Z", "", false),
        ("valid_to = 2026-01-01T00:00:00Z", "valid_from = 2026-01-01T00:00:00Z", false),
        ("valid_to = 2026-01-01T00:00:00Z", "valid_to = 2026-01-01T00:00:00Z", true),
        ("valid_from = 2026-01-01T00:00:00Z", "valid_from = 2025-12-31T00:00:00Z", false),
        ("valid_from = 2026-01-01T00:00:00Z", "valid_from = 2026-02-01T00:00:00Z", true),
        // Its limit reached, a commission makes no transaction, but does not give way.
        ("recurrence = 1", "", true),
        ("active = false", "", false),
        ("", "active = false", false),
    ] {
        assert_eq!(second_is_shadowed(first, second), shadowed, "{first} / {second}");
    }
    let other = "[[commission]]\nid = \"x\"\ntype = \"sale\"\nrevenue.fixed = \"1\"\n\
                 [[commission]]\nid = \"y\"\ntype = \"lead\"\nrevenue.fixed = \"1\"\n";
    let (_, warnings) = check(&format!("{HEAD}{other}")).unwrap();
    assert_eq!(warnings, []);
}

#[test]
fn an_offer_that_nobody_pays_for() {
    let one = "[[commission]]\nid = \"x\"\ntype = \"sale\"\nrevenue.fixed = \"1\"\n";
    for (lines, warned) in
        [("", 0), ("advertisers = [\"a\"]", 1), ("active = false", 2), ("offers = [\"oa\"]", 1)]
    {
        let (_, warnings) = check(&format!("{HEAD}{one}{lines}")).unwrap();
        assert_eq!(warnings.len(), warned, "{lines} {warnings:?}");
        if let Some(last) = warnings.last() {
            assert_eq!((last.path.as_str(), last.position), ("offer[1]", Some((17, 1))));
            assert!(last.message.contains("no active commission pays"), "{last}");
        }
    }
}

#[test]
fn errors_come_before_warnings() {
    let text = format!("{HEAD}{PAYS}[[postback]]\nid = \"x\"\ndedup.on_repeat = \"add\"\nx = 1\n");
    let issues = check(&text).unwrap_err();
    let severities: Vec<Severity> = issues.iter().map(|issue| issue.severity).collect();
    assert_eq!(severities, [Severity::Error, Severity::Warning]);
}
