//! What an affiliate's own token reads (R39): each operation of the admin listener by each kind of
//! token.

use serde_json::Value;

use crate::harness::{
    ADMIN_TOKEN, RULES, Reply, Running, TENANT_TOKEN, assert_is_of_schema, bearer, document, send,
};

const BO: &str = "canary-bo-token";
const EVE: &str = "canary-eve-token";

const MORE: &str = r#"
[[affiliate]]
id = "eve"
name = "Eve"
api_tokens = ["{secret:eve_old}", "{secret:eve_api}", "{secret:shared_api}"]

[[affiliate]]
id = "sam"
name = "Sam"
api_tokens = ["{secret:shared_api}"]

[[tracking_api]]
id = "bo-sales"
owner = { affiliate = "bo" }
request = { url = "https://bo.example/?sum={payout}" }

[[tracking_api]]
id = "eve-sales"
owner = { affiliate = "eve" }
request = { url = "https://eve.example/?sum={payout}" }

[[tracking_api]]
id = "about-bo"
affiliates = ["bo"]
request = { url = "https://admin.example/?sum={revenue}" }
"#;

/// A server that knows a sale of each affiliate, and the ids of the sales.
struct Story {
    running: Running,
    sale_of_bo: String,
    sale_of_eve: String,
}

fn story() -> Story {
    let rules = RULES.replace(
        "name = \"Blogger Bo\"",
        "name = \"Blogger Bo\"\napi_tokens = [\"{secret:bo_api}\"]",
    );
    let running = Running::of(&format!("{rules}{MORE}"), |config| {
        config.limits.failures_per_second_max = 10_000;
    });
    let sale = |affiliate: &str| {
        let click = running.get(&format!("/c/acme/plain/{affiliate}"));
        let (_, pcid) = click.header("location").unwrap().split_once("pcid=").unwrap();
        let query = format!("pcid={pcid}&type=sale&value=100&price=77.77&external_id={affiliate}");
        let answer = running.get(&format!("/api/acme/postbacks/handle?{query}")).json();
        answer["conversion_id"].as_str().unwrap().to_owned()
    };
    let (sale_of_bo, sale_of_eve) = (sale("bo"), sale("eve"));
    Story { running, sale_of_bo, sale_of_eve }
}

impl Story {
    fn ask(&self, method: &str, target: &str, token: &str) -> Reply {
        let token = bearer(token);
        send(self.running.admin, method, target, &[("authorization", &*token)], b"")
    }

    fn get(&self, name: &str, token: &str) -> Value {
        let reply = self.ask("GET", &format!("/api/acme/{name}"), token);
        assert_eq!(reply.status, 200, "{name}: {}", reply.text());
        reply.json()
    }
}

fn ids(page: &Value, member: &str) -> Vec<String> {
    let items = page["items"].as_array().unwrap().iter();
    items.map(|item| item[member].as_str().unwrap().to_owned()).collect()
}

/// What an operation of the admin listener is to an affiliate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Anyone may ask.
    Open,
    /// It reads its own.
    Own,
    /// It is known, and may not.
    Refused,
}

fn kind(path: &str, method: &str, operation: &Value) -> Kind {
    let own = [
        "/api/{tenant}/tracking-apis",
        "/api/{tenant}/deliveries",
        "/api/{tenant}/deliveries/{id}",
        "/api/{tenant}/conversions",
        "/api/{tenant}/conversions/{id}",
    ];
    if operation["security"] == serde_json::json!([]) {
        return Kind::Open;
    }
    match own.contains(&path) && method == "GET" {
        true => Kind::Own,
        false => Kind::Refused,
    }
}

#[test]
fn each_operation_lets_each_kind_of_token_do_what_it_may() {
    let story = story();
    let mut seen = [0; 3];
    for (template, item) in document()["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if method == "parameters" || operation["tags"][0] != "admin" {
                continue;
            }
            let method = method.to_ascii_uppercase();
            let kind = kind(template, &method, operation);
            seen[kind as usize] += 1;
            let path = template.replace("{tenant}", "acme").replace("{id}", &story.sale_of_bo);
            let status = |token: &str| story.ask(&method, &path, token).status;
            let by_token = [ADMIN_TOKEN, BO, EVE, TENANT_TOKEN, "wrong", ""].map(status);
            // Whether an id is one of a row does not matter here.
            let passes = |status: u16| !matches!(status, 401 | 403);
            let expected = match kind {
                Kind::Open => [true; 6],
                Kind::Own => [true, true, true, false, false, false],
                Kind::Refused => [true, false, false, false, false, false],
            };
            assert_eq!(by_token.map(passes), expected, "{method} {path}: {by_token:?}");
            if kind == Kind::Refused {
                assert_eq!(by_token[1..3], [403; 2], "{method} {path}");
            }
            if kind != Kind::Open {
                assert_eq!(by_token[3..], [401; 3], "{method} {path}");
            }
        }
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
    assert_eq!(seen[Kind::Own as usize], 5);
}

#[test]
fn an_affiliate_reads_its_own_tracking_apis_deliveries_and_conversions() {
    let story = story();
    let (bo, eve) = (&story.sale_of_bo, &story.sale_of_eve);
    assert_eq!(ids(&story.get("tracking-apis", BO), "id"), ["bo-sales"]);
    assert_eq!(ids(&story.get("tracking-apis", EVE), "id"), ["eve-sales"]);
    assert_eq!(ids(&story.get("tracking-apis?owner=bo", BO), "id"), ["bo-sales"]);
    assert_eq!(ids(&story.get("deliveries", BO), "tracking_api_id"), ["bo-sales"]);
    assert_eq!(ids(&story.get("deliveries", EVE), "tracking_api_id"), ["eve-sales"]);
    assert_eq!(ids(&story.get("conversions?type=sale&external_id=bo", BO), "id"), [bo.as_str()]);
    let ids_of_eve = ids(&story.get("conversions", EVE), "id");
    assert_eq!((ids_of_eve.len(), ids_of_eve.first()), (2, Some(eve)), "its click and its sale");
    // A filter narrows what is its own; it never widens it.
    for name in ["tracking-apis?owner=eve", "deliveries?owner=eve", "deliveries?owner=admin"] {
        assert!(ids(&story.get(name, BO), "id").is_empty(), "{name}");
    }
    assert!(ids(&story.get("conversions?affiliate=eve", BO), "id").is_empty());
    let of_others = format!("deliveries?conversion={eve}");
    assert!(ids(&story.get(&of_others, BO), "id").is_empty());
    let admin = story.get("tracking-apis", ADMIN_TOKEN);
    assert_eq!(ids(&admin, "id"), ["bo-sales", "eve-sales", "about-bo"]);
    assert_eq!(ids(&admin, "owner"), ["bo", "eve", "admin"]);
}

#[test]
fn one_row_is_found_by_its_affiliate_and_by_no_other() {
    let story = story();
    let deliveries = story.get("deliveries?tracking_api=bo-sales", ADMIN_TOKEN);
    let told = ids(&deliveries, "id").remove(0);
    let of_admin = story.get("deliveries?tracking_api=about-bo", ADMIN_TOKEN);
    let about = ids(&of_admin, "id").remove(0);
    for (row, token, status) in [
        (format!("conversions/{}", story.sale_of_bo), BO, 200),
        (format!("conversions/{}", story.sale_of_bo), EVE, 404),
        (format!("conversions/{}", story.sale_of_eve), BO, 404),
        (format!("deliveries/{told}"), BO, 200),
        (format!("deliveries/{told}"), EVE, 404),
        (format!("deliveries/{about}"), BO, 404),
        (format!("deliveries/{about}"), ADMIN_TOKEN, 200),
        ("deliveries/no-id".to_owned(), BO, 404),
    ] {
        let reply = story.ask("GET", &format!("/api/acme/{row}"), token);
        assert_eq!(reply.status, status, "{row} by {token}");
        if status == 404 {
            // Of others it is answered as if there were nothing.
            let problem = reply.assert_problem(404, "not_found");
            assert_eq!(problem["detail"], "nothing has this id");
        }
    }
}

#[test]
fn of_the_money_an_affiliate_sees_the_payout_alone() {
    let story = story();
    let row = story.get(&format!("conversions/{}", story.sale_of_bo), BO);
    assert_eq!(row["transactions"][0]["payout"], "5.00");
    assert_eq!(row["value"], "100.00");
    assert_is_of_schema(&row, "OwnConversion");
    assert_is_of_schema(&row["transactions"][0], "OwnTransaction");
    let all = [
        row.to_string(),
        story.get("conversions", BO).to_string(),
        story.get("deliveries", BO).to_string(),
        story.get("tracking-apis", BO).to_string(),
    ]
    .concat();
    for hidden in
        ["revenue", "price", "77.77", "10.00", "eve-sales", "admin", "remote_addr", "trace"]
    {
        assert!(!all.contains(hidden), "`{hidden}` in {all}");
    }
    let whole = story.get(&format!("conversions/{}", story.sale_of_bo), ADMIN_TOKEN);
    assert_eq!(whole["transactions"][0]["revenue"], "10.00");
    assert_eq!(whole["price"], "77.77");
    assert_is_of_schema(&whole, "Conversion");
}

#[test]
fn a_token_that_two_affiliates_have_is_nobodys() {
    let story = story();
    let reply = story.ask("GET", "/api/acme/conversions", "canary-shared-token");
    reply.assert_problem(401, "unauthorized");
    let reply = story.ask("GET", "/api/other/conversions", BO);
    reply.assert_problem(401, "unauthorized");
    let reply = story.ask("GET", "/api/acme/requests", BO);
    reply.assert_problem(403, "not_for_affiliates");
    // The public listener does not know the tokens of affiliates.
    let token = bearer(BO);
    let headers = [("authorization", &*token), ("content-type", "application/json")];
    let reply = story.running.public("POST", "/api/acme/conversions", &headers, b"{}");
    reply.assert_problem(401, "unauthorized");
}
