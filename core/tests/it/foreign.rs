//! What other systems write: personal values stand in nothing that is kept of it, in whatever
//! spelling a receiver writes them.

use counterfoil_core::{HttpMethod, Part, Rendered, Ruleset, RulesetSpec, Sent};
use proptest::prelude::*;

fn rules(policy: &str) -> Ruleset {
    let text = format!("tenant = 'acme'\ncurrency = 'EUR'\n[privacy]\n{policy}");
    Ruleset::check(RulesetSpec::from_toml(&text).unwrap()).unwrap().0
}

const LISTS: &str = "email = 'drop'\nphone = 'drop'\n\
                     drop = ['first_name', 'user.name', 'full name']\n\
                     hash = ['customer']\nkeep = ['shop_mail']\n";

/// The beginning of a text, without what the lists mask.
fn masked(text: &str) -> String {
    rules(LISTS).privacy().mask_foreign(text, &Sent::default(), 100_000)
}

#[test]
fn a_value_is_found_under_its_name_in_every_spelling() {
    for (text, want) in [
        // JSON, also within JSON, cut off, and in other cases and spellings of the name.
        (r#"{"first_name":"Canary \"J\" X","b":1}"#, r#"{"first_name":"***","b":1}"#),
        (r#"{"First_Name" : "Canary\\", "b": 1}"#, r#"{"First_Name" : "***", "b": 1}"#),
        (r#"{"firstName":"Canary","b":1}"#, r#"{"firstName":"***","b":1}"#),
        (r#"{"FIRST-NAME":777,"b":1}"#, r#"{"FIRST-NAME":***,"b":1}"#),
        (r#"{"first_name":["Canary","c}]"],"b":1}"#, r#"{"first_name":***,"b":1}"#),
        (r#"{"first_name":{"x":{"y":"Canary"}},"b":1}"#, r#"{"first_name":***,"b":1}"#),
        (
            r#"{"d":"{\"first_name\":\"Ca\\\"nary\",\"b\":1}"}"#,
            r#"{"d":"{\"first_name\":\"***\",\"b\":1}"}"#,
        ),
        (r#"{"d":"first_name=Canary","b":1}"#, r#"{"d":"first_name=***","b":1}"#),
        (r#"{"d":"first_name: Canary\nb: 1"}"#, r#"{"d":"first_name: ***\nb: 1"}"#),
        (r#"{"first\u005fname":"Canary","b":1}"#, r#"{"first\u005fname":"***","b":1}"#),
        (r#"{"user.name":"Canary"}"#, r#"{"user.name":"***"}"#),
        (r#"{"full name":"Canary"}"#, r#"{"full name":"***"}"#),
        (r#"{"first_name":"Cana"#, r#"{"first_name":"***"#),
        ("{'first_name': 'Canary', 'b': 1}", "{'first_name': '***', 'b': 1}"),
        // Lines and columns between a name and its value.
        ("{\"first_name\":\n    \"Canary\",\n\"b\":1}", "{\"first_name\":\n    \"***\",\n\"b\":1}"),
        (
            "\"first_name\"                    :                    \"Canary\",1",
            "\"first_name\"                    :                    \"***\",1",
        ),
        (
            "first_name                    :                    Canary\nb: 1",
            "first_name                    :                    ***\nb: 1",
        ),
        ("{'first_name':{a:'}',b:'Canary'},c:1}", "{'first_name':***,c:1}"),
        (r#"{"first_name":"\ud83d\ude00 Canary"}"#, r#"{"first_name":"***"}"#),
        // Queries, also within queries.
        ("a=1&first_name=Canary+X&b=2", "a=1&first_name=***&b=2"),
        ("?FIRST_NAME=Canary%26X&b=2", "?FIRST_NAME=***&b=2"),
        ("u=%3Ffirst%5Fname%3DCanary%26b%3D2", "u=%3Ffirst%5Fname%3D***%26b%3D2"),
        ("u=first_name%253DCanary%2526b", "u=first_name%253D***%2526b"),
        ("params[first_name]=Canary&b=2", "params[first_name]=***&b=2"),
        ("first_name[]=Canary&b=2", "first_name[]=***&b=2"),
        ("first_name%5B0%5D=Canary&b=2", "first_name%5B0%5D=***&b=2"),
        ("u[first_name][12]=Canary&b=2", "u[first_name][12]=***&b=2"),
        ("param.first_name=Canary&b=2", "param.first_name=***&b=2"),
        ("full+name=Canary&b=2", "full+name=***&b=2"),
        ("%7B%22first_name%22%3A%22Canary%22%7D", "%7B%22first_name%22%3A%22***%22%7D"),
        // Headers, dumps, XML, HTML.
        ("X-First-Name: Canary, X\r\nB: 1", "X-First-Name: ***\r\nB: 1"),
        ("Array ( [first_name] => Canary X\n [b] => 1", "Array ( [first_name] => ***\n [b] => 1"),
        (
            "[\"first_name\"]=>\n  string(6) \"Canary\"\n  [\"b\"]=>",
            "[\"first_name\"]=>\n  string(6) \"***\"\n  [\"b\"]=>",
        ),
        ("<s:first_name>Canary</s:first_name><b>1</b>", "<s:first_name>***</s:first_name><b>1</b>"),
        ("<first_name a='1'/><b>1</b>", "<first_name a='1'/><b>1</b>"),
        ("<first_name>Canary</first_name><b>1</b>", "<first_name>***</first_name><b>1</b>"),
        (
            "<First_Name a='1'><![CDATA[Canary]]></First_Name>1",
            "<First_Name a='1'>***</First_Name>1",
        ),
        (
            "&lt;first_name&gt;Canary&lt;/first_name&gt;1",
            "&lt;first_name&gt;***&lt;/first_name&gt;1",
        ),
        (
            "{&quot;first_name&quot;:&quot;Canary&quot;,1",
            "{&quot;first_name&quot;:&quot;***&quot;,1",
        ),
    ] {
        assert_eq!(masked(text), want);
    }
}

#[test]
fn what_is_not_listed_is_kept_as_it_is() {
    for text in [
        "",
        "ok",
        r#"{"status":"ok","id":4711,"u":"https://a.example/?x=1"}"#,
        r#"{"at":"2026-01-31T12:00:00+01:00"}"#,
        r#"{"first_name":"","last":"x","first_name":null}"#,
        "my_first_name=x&first_names=y&name=z",
        r#"{"shop_mail":"info@shop.example","x":"first_name"}"#,
        "first_name=***&x=1",
        "customer=sha256:0000000000000000000000000000000000000000000000000000000000000000",
        "order=420777123456&phone=12345&phone_model=pixel 9",
        "phone_id=12345678-90ab-cdef&phones=[1,777000111]&phone={'a':1}",
        "%zz %4 % \\u00 \\ & &#; &#99999999; &quot \u{0} ž €",
    ] {
        assert_eq!(masked(text), text);
    }
}

/// Where a value ends is not always plain: what is kept hides nothing that is masked.
#[test]
fn a_value_that_is_kept_keeps_no_other() {
    for (text, want) in [
        (
            "{shop_mail: a@b.example, first_name: Canary}",
            "{shop_mail: a@b.example, first_name: ***",
        ),
        ("shop_mail=a@b.example; first_name=Canary", "shop_mail=a@b.example; first_name=***"),
        ("shop_mail=a@b.example first_name=Canary", "shop_mail=a@b.example first_name=***"),
        (r#"{"shop_mail":{"first_name":"Canary"}}"#, r#"{"shop_mail":{"first_name":"***"}}"#),
        (r#"{"shop_mail":["a@b.example"]}"#, r#"{"shop_mail":["***"]}"#),
        (
            "<shop_mail><x>a@b.example</x><first_name>Canary</first_name></shop_mail>",
            "<shop_mail><x>***</x><first_name>***</first_name></shop_mail>",
        ),
    ] {
        assert_eq!(masked(text), want);
    }
}

#[test]
fn shapes_are_found_wherever_they_stand() {
    for (text, want) in [
        ("bad address <canary.j+1@shop.example>!", "bad address <***>!"),
        (r#"{"x":"canary@shop.example","y":1}"#, r#"{"x":"***","y":1}"#),
        ("x=canary%40shop.example&y=1", "x=***&y=1"),
        ("x=canary%2540shop.example&y=1", "x=***&y=1"),
        ("o'canary@shop.example. a@b", "***. a@b"),
        ("'canary@shop.example'", "'***'"),
        ("\"Canary J\"@shop.example", "***"),
        ("jan.canářy\\u0040obchod.example", "***"),
        ("call +420 777-000.111. Or (+1 (555) 000-0111)", "call ***. Or (***)"),
        ("t=%2B420777000111&y=1", "t=***&y=1"),
        ("+420777000111 2026-01-31 12:00:00", "*** 2026-01-31 12:00:00"),
        (r#"{"phone":"777 000 111","tel":777000111}"#, r#"{"phone":"***","tel":***}"#),
        ("<UserPhone>777000111</UserPhone>", "<UserPhone>***</UserPhone>"),
        ("phone=777000111&x=777000112", "phone=***&x=777000112"),
        ("{phone: 777000111, name: x}", "{phone: ***, name: x}"),
        ("phone: 777 000 111 (home)", "phone: *** (home)"),
        (r#"{"phone":"777000111 ext. 5"}"#, r#"{"phone":"*** ext. 5"}"#),
        (r#"{"phone":"(777) 000 (111)"}"#, r#"{"phone":"***"}"#),
        (r#"{"phones":["777000111", "777000112"],"x":1}"#, r#"{"phones":***,"x":1}"#),
        ("{\"phones\":[\n 777000111,\n 777000112],\"x\":1}", "{\"phones\":***,\"x\":1}"),
        ("phone[]=777000111&phone[]=777000112", "phone[]=***&phone[]=***"),
    ] {
        assert_eq!(masked(text), want);
    }
    let keeps = rules("email = 'keep'\nphone = 'keep'");
    let text = "phone=777000111 canary@shop.example +420777000111";
    assert_eq!(keeps.privacy().mask_foreign(text, &Sent::default(), 1000), text);
}

/// One person is the same in a parameter and in an answer.
#[test]
fn a_hash_is_that_of_a_parameter() {
    let rules = rules("hash = ['customer']");
    let hash = |name: &str, value: &str| {
        let mut pairs = vec![(name.into(), value.into())];
        rules.privacy().mask_root(&mut pairs);
        pairs.remove(0).1.into_owned()
    };
    let smile = rules.privacy().mask_foreign(
        r#"{"customer":"J\ud83d\ude00"} {\"customer\":\"J\\ud83d\\ude00\"}"#,
        &Sent::default(),
        1000,
    );
    assert_eq!(smile.matches(&hash("customer", "J\u{1f600}")).count(), 2, "{smile}");
    let text = r#"{"customer":"Jos\u00e9","x":"Josef@Shop.example","phone":"00420777000111"}"#;
    let want = format!(
        r#"{{"customer":"{}","x":"{}","phone":"{}"}}"#,
        hash("customer", "José"),
        hash("x", "josef@shop.example"),
        hash("x", "+420 777 000 111"),
    );
    assert_eq!(rules.privacy().mask_foreign(text, &Sent::default(), 1000), want);
}

fn request(url: &str, header: (&str, &str), body: &str) -> Rendered {
    let text = |text: &str| vec![Part::Text(text.into())];
    Rendered {
        method: HttpMethod::Post,
        url: text(url),
        headers: vec![(header.0.into(), text(header.1))],
        body: Some(("application/json".into(), text(body))),
    }
}

/// A message can hold a value under a name that is listed, as where the rules put a sub id there.
#[test]
fn what_was_sent_under_a_listed_name_is_masked_without_it() {
    let rules = rules(LISTS);
    let request = request(
        "https://a.example/?first_name=Jos%C3%A9&phone=777000111&x=other&full%20name=Jo",
        ("user.name", "canary-header"),
        r#"{"a":[{"First_Name":"can\"ary body"}],"shop_mail":"kept"}"#,
    );
    let sent = rules.privacy().sent(&request);
    assert!(!format!("{sent:?}").contains("777000111"), "{sent:?}");
    for (text, want) in [
        ("hello José, call 777000111", "hello ***, call ***"),
        ("JOS\u{c9} Jos%C3%A9 Jos\\u00e9", "*** *** ***"),
        ("Joséa other kept Jo", "Joséa other kept Jo"),
        ("CANARY-header can%22ary+body can\\\"ary body", "*** *** ***"),
    ] {
        assert_eq!(rules.privacy().mask_foreign(text, &sent, 1000), want);
    }
}

#[test]
fn a_word_is_masked_by_the_names_that_it_stands_under() {
    let rules = rules(LISTS);
    let word = |name: &str, word: &str| {
        rules.privacy().mask_word(&["param.x", name], word, &Sent::default(), 9)
    };
    assert_eq!(word("First_Name", "Canary"), "***");
    assert_eq!(word("phone", "777000111"), "***");
    assert_eq!(word("state", "canary@shop.example"), "***");
    assert_eq!(word("shop_mail", "a@b.example"), "a@b.examp");
    assert_eq!(word("state", "declined in full"), "declined ");
}

/// The beginning is that of the text: what begins behind it is not shown, however much is masked.
#[test]
fn what_is_shown_is_bounded_and_cuts_no_value_in_two() {
    let rules = rules(LISTS);
    let beginning = |text: &str, max| rules.privacy().mask_foreign(text, &Sent::default(), max);
    assert_eq!(beginning("žžž", 5), "žž");
    assert_eq!(beginning("x=1 canary@shop.example", 8), "x=1 ***");
    assert_eq!(beginning("x=1 canary@shop.example y", 8), "x=1 ***");
    assert_eq!(beginning("x=1 canary@shop.example", 6), "x=1 ");
    assert_eq!(beginning("first_name=canary&yyyyyyyy", 16), "first_name=***");
    let hashes = crate::foreign::rules("hash = ['c']");
    let text = "c=1&".repeat(100);
    let shown = hashes.privacy().mask_foreign(&text, &Sent::default(), 400);
    assert!(shown.len() <= 400 && !shown.contains("c=1"), "{shown}");
}

/// Texts that make a careless search slow; it ends, and shows no value.
#[test]
fn long_texts_are_masked_too() {
    for piece in [
        "first_name",
        "first_name=",
        "first_name:\"",
        "\"first_name\":{",
        "<first_name>",
        "<phone>",
        "phone:\"",
        "\\",
        "%25",
        "%2540",
        "@",
        "a@",
        "+1",
        "+",
        "&amp;",
        "=",
        "phone=",
        "\\\"",
        "'",
        "first_name=[\\\"",
        "\"first_name\":\n",
        "phones:[777000",
        "phones:[\"777000111\",",
        "[123]",
        "=:=:>",
        "]",
        " ",
        "<",
    ] {
        let text = piece.repeat(64 * 1024 / piece.len()) + "canary@shop.example";
        assert!(!masked(&text).contains("canary"), "{piece}");
    }
}

const PIECES: [&str; 30] = [
    "\"",
    "\\",
    "\\\"",
    "'",
    "{",
    "}",
    "[",
    "]",
    ":",
    "=",
    "=>",
    "&",
    ",",
    " ",
    "\n",
    "<",
    ">",
    "</",
    "%22",
    "%3D",
    "%26",
    "&quot;",
    "\\u0022",
    "first_name",
    "customer",
    "phone",
    "x",
    "ž",
    "%C5%BE",
    "%25",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_text_is_masked_and_an_address_is_never_left(
        pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..20),
        at in 0_usize..20,
        max in 0_usize..100,
    ) {
        let (before, after) = pieces.split_at(at.min(pieces.len()));
        let text = format!("{} canary@shop.example {}", before.concat(), after.concat());
        prop_assert!(!masked(&text).contains("canary"), "{}", text);
        let cut = rules(LISTS).privacy().mask_foreign(&text, &Sent::default(), max);
        prop_assert!(cut.len() <= max);
        let sent = rules(LISTS).privacy().sent(&request(&text, ("a", &text), &text));
        rules(LISTS).privacy().mask_foreign(&text, &sent, 1000);
    }

    #[test]
    fn bytes_that_mean_nothing_are_kept(text in "[a-z %&;\\\\u0-9ž]{0,60}") {
        prop_assert_eq!(masked(&text), text);
    }

    #[test]
    fn what_is_encoded_is_found(value in "Canary[ -~ž]{0,10}X", twice in any::<bool>()) {
        let encode = |text: &str| {
            let encoded: String = counterfoil_core::Place::Query.encode(text).into();
            encoded
        };
        let mut query = format!("a=1&first_name={}&b=2", encode(&value));
        let mut want = "a=1&first_name=***&b=2".to_owned();
        if twice {
            (query, want) = (encode(&query), encode(&want).replace("%2A", "*"));
        }
        prop_assert_eq!(masked(&query), want);
        let json = |value: &str| format!(r#"{{"first_name":{value},"b":2}}"#);
        let quoted = serde_json::to_string(&value).unwrap();
        prop_assert_eq!(masked(&json(&quoted)), json("\"***\""));
    }
}

/// An affiliate may choose what it is sent, and answer with what makes looking for it slow.
#[test]
fn looking_for_what_was_sent_has_an_end_and_shows_nothing_beyond_it() {
    let rules = rules(LISTS);
    for (value, piece) in [("a a a ", "a "), ("aaaaaa", "a\\"), ("aaaaaa", "a\\\\\\\\")] {
        let value = value.repeat(100);
        let body: String = (0..100).map(|n| format!("first_name={value}{n}\n")).collect();
        let sent = rules.privacy().sent(&request("https://a.example/", ("a", "b"), &body));
        let text = piece.repeat(16 * 1024 / piece.len());
        let text = format!("ok first_name=x&{text}&{value}99 behind&first_name=y&behind");
        let shown = rules.privacy().mask_foreign(&text, &sent, 100_000);
        assert!(shown.starts_with("ok first_name=***&"), "{shown}");
        assert!(shown.ends_with("***"), "{shown}");
        assert!(!shown.contains("behind") && !shown.contains(&value), "{shown}");
    }
    // A common answer is far from it.
    let body: String = (0..100).map(|n| format!("first_name=canary-{n}\n")).collect();
    let sent = rules.privacy().sent(&request("https://a.example/", ("a", "b"), &body));
    let text = "x canary-x c-9 ".repeat(16 * 1024 / 15);
    let shown = rules.privacy().mask_foreign(&(text.clone() + "canary-99"), &sent, 100_000);
    assert_eq!(shown, text + "***");
}
