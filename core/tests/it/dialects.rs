//! What requests in the dialects mean: `dialects.txt` says it row by row.

use counterfoil_core::{
    Action, DIALECTS, Dialect, FactSource, Incoming, Meaning, Method, Note, Parameter, Postback,
    Request, Row, Ruleset, RulesetSpec, Word, read,
};

const TABLE: &str = include_str!("dialects.txt");
const CLICK: &str = "01930000-0000-7000-8000-000000000000";
/// The dialects of the rules' own.
const RULES: &str = include_str!("dialects.toml");

#[test]
fn each_request_means_what_the_table_says() {
    let rules = rules();
    let mut dialect = "";
    let mut shown = Vec::new();
    let mut wrong = Vec::new();
    for line in TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let Some((query, wanted)) = line.split_once(" => ") else {
            dialect = line;
            shown.push(dialect);
            continue;
        };
        let by_path = meaning(&rules, Some(dialect), query);
        let by_id = meaning(&rules, None, &format!("{query}&id=by-{dialect}"));
        assert_eq!(by_path, by_id, "{dialect}: {query}");
        let found = by_path;
        if found != wanted {
            wrong.push(format!("{dialect}: {query}\n  found  {found}\n  wanted {wanted}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let known: Vec<&str> = rules.dialects().iter().map(|dialect| &*dialect.name).collect();
    assert_eq!(shown, known);
}

/// Each name and each word of a table stands in some request, so that no row goes untested.
#[test]
fn each_row_of_each_dialect_is_in_the_table() {
    for dialect in rules().dialects() {
        let after = TABLE.split_once(&format!("\n\n{}\n", dialect.name)).unwrap().1;
        let section = after.split("\n\n").next().unwrap();
        for row in dialect.rows.iter() {
            let name = row.name.replace('#', "1");
            let is_sent = ["?", "&"].iter().any(|mark| section.contains(&format!("{mark}{name}=")));
            assert!(is_sent, "{}: {}", dialect.name, row.name);
        }
        for word in dialect.words.iter().chain(dialect.events.iter()) {
            let sent = format!("={}", word.word);
            assert!(section.contains(&sent), "{}: {}", dialect.name, word.word);
        }
    }
}

/// What is built in could stand in rules: the shape is the same.
#[test]
fn a_built_in_dialect_can_be_written_in_rules() {
    let rules = rules();
    let built_in = Dialect::named("peerclick").unwrap();
    let written = rules.dialect("peerclick-again").unwrap();
    let source = FactSource::Rules;
    let row = |row: &Row| Row { source, ..row.clone() };
    let mut rows: Vec<Row> = built_in.rows.iter().map(row).collect();
    let mut words: Vec<Word> =
        built_in.words.iter().map(|word| Word { source, ..word.clone() }).collect();
    rows.sort_by(|one, other| one.name.cmp(&other.name));
    words.sort_by(|one, other| one.word.cmp(&other.word));
    let mut written = Dialect::clone(written);
    written.rows.to_mut().sort_by(|one, other| one.name.cmp(&other.name));
    let expected = Dialect {
        name: "peerclick-again".into(),
        rows: rows.into(),
        words: words.into(),
        dedup_source: source,
        replies_source: source,
        ..built_in.clone()
    };
    assert_eq!(written, expected);
}

/// What other systems call their secret is masked in every dialect, and never a param.
#[test]
fn secrets_of_other_systems_are_masked() {
    // P10: under a name in the wrong case it proves nothing (R2), and is masked nevertheless.
    let names = ["token", "verification_token", "security_token", "secure"];
    let wrong = ["Token", "TOKEN", "Verification_Token", "SECURITY_TOKEN", "Secure", "tS", "SIG"];
    for name in names.into_iter().chain(wrong) {
        let query = format!("cid={CLICK}&{name}=canary");
        for dialect in [Some("voluum"), None] {
            let incoming = Incoming { method: Method::S2s, dialect, query: &query, body: None };
            let (request, logged) = read(&rules(), &incoming);
            assert!(logged.contains("***") && !logged.contains("canary"), "{logged}");
            assert!(!format!("{request:?}").contains("canary"), "{request:?}");
            if let Request::Postback(postback) = &request {
                assert!(!postback.params.keys().any(|known| **known == *name), "{postback:?}");
                let is_noted = postback.notes.contains(&Note::SimilarParameter);
                assert_eq!(is_noted, wrong.contains(&name), "{name}");
            }
        }
    }
}

/// The url that partners are given is read by the definition that it is for.
#[test]
fn the_url_for_partners_names_its_definition() {
    let rules = rules();
    let url = |id: &str| {
        let mut all = rules.postbacks().iter();
        let definition = all.find(|definition| definition.id.as_str() == id).unwrap();
        definition.url("https://pb.example/", rules.tenant())
    };
    assert_eq!(
        url("by-keitaro"),
        "https://pb.example/api/acme/postbacks/keitaro?id=by-keitaro&subid={subid}&tid={tid}\
         &payout={payout}&status={status}&currency={currency}"
    );
    assert!(
        url("global").starts_with("https://pb.example/api/acme/postbacks/handle?id=global&pcid=")
    );
    assert_eq!(
        url("by-acmetrack"),
        "https://pb.example/api/acme/postbacks/acmetrack?id=by-acmetrack&click={click}\
         &order=[ORDER]&total={total}&state={state}&sub=[SUB]&goal={goal}"
    );
    // An own name takes the place of the base's.
    assert_eq!(
        url("by-affise-games"),
        "https://pb.example/api/acme/postbacks/affise-games?id=by-affise-games&goal={goal}\
         &hash={hash}&action_id={action_id}&sum={sum}&status={status}"
    );
    for dialect in DIALECTS {
        let url = url(&format!("by-{}", dialect.name));
        let query = url.split_once('?').unwrap().1;
        let path = (!dialect.is_native()).then_some(&*dialect.name);
        let refused = meaning(&rules, path, query);
        // Nobody has replaced the macros, or TUNE's words, yet.
        let pcid = &dialect.rows[0].name;
        assert_eq!(refused, format!("unresolved_macro {pcid}"));
    }
}

/// R6: every id that partners are shown is refused as they are shown it, alone too; else all their
/// conversions would share one key.
#[test]
fn ids_that_nobody_filled_in_are_refused() {
    let rules = rules();
    let mut seen = 0;
    for dialect in rules.dialects() {
        let path = (!dialect.is_native()).then_some(&*dialect.name);
        let pcid = dialect.click_id_names().next().unwrap();
        for row in dialect.rows.iter().filter(|row| !row.example.is_empty()) {
            let is_id =
                [Parameter::Pcid, Parameter::ExternalId].map(Meaning::Known).contains(&row.means);
            let click = if row.means == Meaning::Known(Parameter::Pcid) {
                String::new()
            } else {
                format!("{pcid}=CLICK&")
            };
            let (id, name, shown) = (format!("by-{}", dialect.name), &row.name, &row.example);
            let query = |value: &str| format!("?id={id}&{click}{name}={value}");
            let refused = meaning(&rules, path, &query(shown));
            let want = format!("unresolved_macro {name}");
            assert_eq!(refused == want, is_id, "{} {name}={shown}: {refused}", dialect.name);
            seen += usize::from(is_id);
            // What only holds it is an id like any other.
            if row.means == Meaning::Known(Parameter::ExternalId) && !shown.contains(['{', '[']) {
                let read = meaning(&rules, path, &query(&format!("{shown}-1")));
                assert!(!read.starts_with("unresolved_macro"), "{read}");
            }
        }
    }
    assert!(seen > DIALECTS.len());
}

fn rules() -> Ruleset {
    let own = ["acmetrack", "affise-games", "peerclick-again"];
    let names = DIALECTS.iter().map(|dialect| &*dialect.name).chain(own);
    let definition = |name| format!("\n[[postback]]\nid = \"by-{name}\"\ndialect = \"{name}\"");
    let definitions: String = names.map(definition).collect();
    let spec = RulesetSpec::from_toml(&format!("{RULES}{definitions}")).unwrap();
    Ruleset::check(spec).unwrap().0
}

fn meaning(rules: &Ruleset, dialect: Option<&str>, query: &str) -> String {
    let query = query.trim_start_matches('?').replace("CLICK", CLICK);
    let incoming = Incoming { method: Method::S2s, dialect, query: &query, body: None };
    match read(rules, &incoming).0 {
        Request::Postback(postback) => words(&postback),
        Request::Unreadable(refusal) => {
            let about = refusal.parameter.as_deref().unwrap_or("-");
            format!("{} {about}", refusal.reason.code())
        }
        other => panic!("{other:?}"),
    }
}

fn words(postback: &Postback) -> String {
    let mut words = vec![match postback.action {
        Action::Create => "create".to_owned(),
        Action::Update => "update".to_owned(),
    }];
    let mut say = |name: &str, value: Option<String>| {
        words.extend(value.map(|value| format!("{name}={}", value.replace(CLICK, "CLICK"))));
    };
    say("type", postback.conversion_type.as_ref().map(ToString::to_string));
    say("pcid", postback.pcid.map(|id| id.to_string()));
    say("advertiser", postback.advertiser.as_ref().map(ToString::to_string));
    say("external_id", postback.external_id.as_ref().map(|id| id.as_str().to_owned()));
    say("commission_id", postback.commission_id.as_ref().map(ToString::to_string));
    say("value", postback.value.map(|amount| amount.to_string()));
    say("commission", postback.commission.map(|amount| amount.to_string()));
    say("price", postback.price.map(|amount| amount.to_string()));
    say("currency", postback.currency.as_ref().map(ToString::to_string));
    say("result", postback.result.map(|result| result.name().to_owned()));
    for (name, value) in &postback.params {
        say(&format!("param.{name}"), Some(value.to_string()));
    }
    for note in &postback.notes {
        say("note", Some(note.code().to_owned()));
    }
    words.join(" ")
}
