//! Affiliate links.

use crate::harness::Running;

#[test]
fn a_click_is_stored_and_the_visitor_is_led_to_the_offer() {
    let running = Running::start();
    let reply = running.get("/c/acme/shoply-cz/bo");
    assert_eq!(reply.status, 302);
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert!(reply.body.is_empty());
    let to = reply.header("location").unwrap();
    let rest = to.strip_prefix("https://shoply.example/?click=").unwrap();
    let (pcid, rest) = rest.split_once('&').unwrap();
    assert_eq!(rest, "from=bo");
    let id: counterfoil_core::ConversionId = pcid.parse().unwrap();
    assert_eq!(pcid, id.to_string());
    assert_eq!(running.store.conversions_len(), 1);
    let stored = running.admin_get(&format!("/api/acme/conversions/{pcid}")).json();
    assert_eq!(stored["type"], "click");
    assert_eq!(stored["source"], "link");
    assert_eq!(stored["offer_id"], "shoply-cz");
    assert_eq!(stored["affiliate_id"], "bo");
}

#[test]
fn pcid_is_appended_where_the_url_does_not_name_it() {
    let running = Running::start();
    let reply = running.get("/c/acme/plain/bo");
    let to = reply.header("location").unwrap();
    assert!(to.starts_with("https://plain.example/?pcid="), "{to}");
}

#[test]
fn the_query_tells_where_the_visitor_came_from() {
    let running = Running::start();
    let query = "affs1=one&affs10=ten%20two&affiliateClickId=x1&channel=mail&integration=wp";
    assert_eq!(running.get(&format!("/c/acme/plain/bo?{query}")).status, 302);
    let (origin, _) = running.store.newest_root();
    assert_eq!(origin.affs, [(1, "one".into()), (10, "ten two".into())]);
    assert_eq!(origin.affiliate_click_id.as_deref(), Some("x1"));
    assert_eq!(origin.channel.unwrap().as_str(), "mail");
    assert_eq!(origin.integration.unwrap().as_str(), "wp");
}

#[test]
fn nothing_in_the_query_turns_a_visitor_away() {
    let running = Running::start();
    let many: String = (0..300).map(|n| format!("p{n}=1&")).collect();
    for query in [
        "channel=no%20token&affs1=kept",
        "affs1=kept&affs2=%FF&affs3=100%",
        "affs1=kept&affs1=again",
        "affs1=kept&deeplink=https://evil.example/",
        &format!("affs1=kept&{many}"),
    ] {
        let reply = running.get(&format!("/c/acme/plain/bo?{query}"));
        assert_eq!(reply.status, 302, "{query}");
        let to = reply.header("location").unwrap();
        assert!(to.starts_with("https://plain.example/?pcid="), "{to}");
        let (origin, _) = running.store.newest_root();
        assert_eq!(origin.affs, [(1, "kept".into())], "{query}");
    }
    running.get("/c/acme/plain/bo?channel=no%20token");
    let (origin, params) = running.store.newest_root();
    assert_eq!(origin.channel, None);
    assert_eq!(params["channel"], "no token");
}

#[test]
fn a_deeplink_leads_to_a_page_of_the_offer_only() {
    let running = Running::start();
    let location = |deeplink: &str| {
        let reply = running.get(&format!("/c/acme/shoply-cz/bo?deeplink={deeplink}"));
        assert_eq!(reply.status, 302);
        reply.header("location").unwrap().to_owned()
    };
    let to = location("https://shoply.example/sofa?colour=red%23top");
    assert!(to.starts_with("https://shoply.example/sofa?colour=red&pcid="), "{to}");
    assert!(to.ends_with("#top"), "{to}");
    for elsewhere in [
        "https://evil.example/",
        "http://shoply.example/",
        "https://shoply.example:444/",
        "https://shoply.example@evil.example/",
        "//evil.example/",
        "javascript:alert(1)",
        "https://shoply.example%0d%0aset-cookie:%20a=b/",
    ] {
        let to = location(elsewhere);
        assert!(to.starts_with("https://shoply.example/?click="), "{elsewhere}: {to}");
    }
}

#[test]
fn an_unknown_offer_or_affiliate_is_404_and_is_logged() {
    let running = Running::start();
    for (path, code, text) in [
        ("/c/acme/nothing/bo", "unknown_offer", "offer_id=nothing&affiliate_id=bo"),
        (
            "/c/acme/plain/nobody?affs1=a%20b&token=canary",
            "unknown_affiliate",
            "offer_id=plain&affiliate_id=nobody&affs1=a%20b&token=***",
        ),
        // What can be no id may be a parameter without its question mark.
        ("/c/acme/pl%20ain/bo?x=%zz", "unknown_offer", "offer_id=***&affiliate_id=bo"),
    ] {
        let problem = running.get(path).assert_problem(404, code);
        let logged = running.store.log().pop().unwrap();
        assert_eq!(logged.query, text);
        assert_eq!(logged.method.name(), "link");
        assert_eq!(problem["request_id"], logged.id.to_string());
        assert_eq!(logged.reason.unwrap().code(), code);
    }
    assert_eq!(running.store.conversions_len(), 0);
    let metrics = crate::harness::send(running.admin, "GET", "/metrics", &[], b"");
    let line = r#"{method="link",outcome="refused",reason="unknown_offer"} 2"#;
    assert!(metrics.text().contains(line), "{}", metrics.text());
}
