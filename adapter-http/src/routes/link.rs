//! GET `/c/{tenant}/{offer}/{affiliate}`: an affiliate link. The visitor is led on once the click
//! is on stable storage, and is turned away for nothing that stands in the query.

use counterfoil_core::{
    Arrival, Conversion, Incoming, Method, Offer, PARAMS_MAX, Pairs, decode, view::Answer as Told,
};
use hyper::StatusCode;
use url::Url;

use crate::{
    answer::{self, Answer},
    app::{Call, Sender},
    problem::Problem,
};

pub(crate) async fn follow(call: &Call<'_>) -> Result<Answer, Problem> {
    let rules = call.rules()?;
    let ruleset = rules.ruleset.clone();
    let pairs = readable(call.query());
    let deeplink = deeplink(&pairs).map(str::to_owned);
    let (offer, affiliate) = (call.param("offer"), call.param("affiliate"));
    let click = Arrival::click(&ruleset, offer, affiliate, pairs);
    let arrival = Arrival { remote_addr: Some(call.peer.text.clone()), ..click };
    let decided = call.submit(rules, arrival, Sender::Stranger).await?;
    let (Some(offer), Some(click)) = (ruleset.offer(offer), &decided.decision.conversion) else {
        return Err(match Told::of(&decided.decision, decided.request_id) {
            Told::Refused(refused) => Problem::refused(refused).with_status(StatusCode::NOT_FOUND),
            Told::Accepted(_) => Problem::not_found("the offer is gone"),
        });
    };
    let to = landing(offer, click, deeplink.as_deref());
    answer::redirect(&to).ok_or_else(|| Problem::not_found("the offer's url leads nowhere"))
}

/// What can be read of a link's query. Where it cannot be decoded as a whole, each parameter is
/// taken for itself: a sub id that some network did not encode costs that sub id, not the visitor.
fn readable(query: &str) -> Pairs<'_> {
    let decoded =
        |query| decode(&Incoming { method: Method::Link, dialect: None, query, body: None });
    decoded(query).unwrap_or_else(|_| {
        let pieces = query.split('&').flat_map(decoded).flatten();
        pieces.take(PARAMS_MAX).collect()
    })
}

fn deeplink<'p>(pairs: &'p Pairs<'_>) -> Option<&'p str> {
    let given = pairs.iter().find(|(name, _)| name == "deeplink");
    given.map(|(_, url)| &**url)
}

/// Where the visitor goes: to the page asked for, where it is one of the offer's, else to the
/// offer. Only scheme, host and port make it the offer's, and it may name no user.
fn landing(offer: &Offer, click: &Conversion, deeplink: Option<&str>) -> String {
    let to_offer = offer.link_url(click);
    let Some(deeplink) = deeplink else {
        return to_offer;
    };
    match (Url::parse(deeplink), Url::parse(&to_offer)) {
        (Ok(asked), Ok(offered)) if is_page_of(&asked, &offered) => {
            offer.link_url_to(asked.as_str(), click)
        }
        _ => to_offer,
    }
}

fn is_page_of(asked: &Url, offered: &Url) -> bool {
    let names_no_user = asked.username().is_empty() && asked.password().is_none();
    matches!(asked.scheme(), "http" | "https")
        && names_no_user
        && asked.origin() == offered.origin()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_the_offers_by_scheme_host_and_port() {
        let offered = Url::parse("https://shop.example/?pcid=1").unwrap();
        let cases = [
            ("https://shop.example/sofa", true),
            ("https://SHOP.example:443/sofa?a=b#c", true),
            ("https:\\\\shop.example\\sofa", true), // browsers read it so, too
            ("http://shop.example/sofa", false),
            ("https://shop.example:8443/sofa", false),
            ("https://shop.example.evil.example/", false),
            ("https://evil.example/?https://shop.example/", false),
            ("https://shop.example@evil.example/", false),
            ("https://user@shop.example/", false),
            ("//shop.example/sofa", false),
            ("/sofa", false),
            ("javascript:alert(1)", false),
            ("data:text/html,x", false),
        ];
        for (asked, expected) in cases {
            let is_page = Url::parse(asked).is_ok_and(|asked| is_page_of(&asked, &offered));
            assert_eq!(is_page, expected, "{asked}");
        }
    }

    #[test]
    fn what_cannot_be_decoded_costs_only_itself() {
        let names = |query| -> Vec<String> {
            let pairs = readable(query);
            pairs.iter().map(|(name, _)| name.to_string()).collect()
        };
        assert_eq!(names("affs1=a&affs2=100%&affs3=%FF&channel=b"), ["affs1", "channel"]);
        assert_eq!(names("affs1=a%20b"), ["affs1"]);
        assert!(names("%").is_empty());
    }
}
