//! Messages to other systems from the command line: lists, one of them, sending again.

use crate::{
    sandbox::{RULES, Ran, Sandbox},
    server::Server,
};

const TOLD: &str = r#"
[[tracking_api]]
id      = "bo-sales"
owner   = { affiliate = "bo" }
request = { url = "https://bo.example/pb?order={external_id}&sum={payout}" }

[[tracking_api]]
id      = "told"
trigger = "conversion.created"
types   = ["sale"]
[tracking_api.request]
url     = "https://told.example/{conversion_id}"
headers = { authorization = "Bearer {secret:told}" }
body    = { json = { type = "{type}" } }

[[tracking_api]]
id      = "late"
delay   = "1h"
request = { url = "https://late.example/" }

[[tracking_api]]
id      = "silent"
types   = ["lead"]
request = { url = "https://silent.example/" }
"#;

fn sandbox() -> Sandbox {
    Sandbox::new().file("rules.toml", &format!("{RULES}{TOLD}"))
}

/// A database with one sale, made by the command line.
fn sale(sandbox: &Sandbox) -> Ran {
    let click = sandbox.run("click --db acme.db --rules rules.toml shoply-cz/bo").code(0);
    let pcid = click.stdout.trim();
    sandbox
        .run(&format!("send --db acme.db pcid={pcid}&type=sale&value=100&external_id=A-1"))
        .code(0)
}

#[test]
fn a_decision_shows_what_is_sent_with_secrets_by_name() {
    let sandbox = sandbox();
    let sent = sale(&sandbox);
    let explain = "explain --rules rules.toml --root shoply-cz/bo \
                   type=sale&value=100&external_id=A-1";
    for ran in [sandbox.run(explain).code(0), sent] {
        let ran = ran
            .stdout_has("deliveries\n")
            .stdout_has(
                "bo-sales on transaction.created\n    GET https://bo.example/pb?order=A-1&sum=5.00",
            )
            .stdout_has("    POST https://told.example/")
            .stdout_has("    authorization: Bearer {secret:told}\n")
            .stdout_has("    {\"type\":\"sale\"}\n")
            .stdout_has("late on transaction.created\n    rendered at ");
        let silent = ran.stdout.lines().find(|line| line.contains("`silent`"));
        assert!(silent.is_some_and(|line| line.contains("type")), "{ran:#?}");
    }
    let json = sandbox.run(&format!("{explain} --format json")).code(0).json();
    let deliveries = json["deliveries"].as_array().expect("deliveries");
    assert_eq!(deliveries.len(), 3);
    assert!(deliveries.iter().all(|delivery| delivery["state"] == "due"));
}

#[test]
fn messages_are_listed_shown_and_exported() {
    let sandbox = sandbox();
    sale(&sandbox);
    let list = |filter: &str| {
        let list = format!("deliveries --db acme.db --format json {filter}");
        sandbox.run(&list).code(0).json()["items"].as_array().expect("items").clone()
    };
    let all = list("");
    assert_eq!(all.len(), 3);
    for (filter, len) in [
        ("--state due", 3),
        ("--state dead", 0),
        ("--tracking-api bo-sales", 1),
        ("--owner bo", 1),
        ("--owner admin", 2),
        ("--limit 1", 1),
    ] {
        assert_eq!(list(filter).len(), len, "{filter}");
    }
    let conversion = all[0]["conversion_id"].as_str().expect("an id");
    assert_eq!(list(&format!("--conversion {conversion} --tracking-api told")).len(), 1);
    let told = list("--tracking-api told").remove(0);
    let id = told["id"].as_str().expect("an id");
    let shown = sandbox.run(&format!("deliveries show --db acme.db {id}")).code(0);
    shown
        .stdout_has(&format!("message   {id}"))
        .stdout_has("from      told")
        .stdout_has("state     due")
        .stdout_has("authorization: Bearer {secret:told}");
    let shown = sandbox.run(&format!("deliveries show --db acme.db {id} --format json"));
    assert_eq!(shown.code(0).json(), told);
    sandbox
        .run("deliveries --db acme.db")
        .code(0)
        .stdout_has("from")
        .stdout_has("last")
        .stdout_has("bo-sales");
    sandbox.run("deliveries --db acme.db --format csv").code(0).stdout_has(
        "id,tracking_api_id,event,sequence,state,reason,due_at,last_error,postback_id,",
    );
    let nobody = "01930000-0000-7000-8000-00000000ffff";
    let ran = sandbox.run(&format!("deliveries show --db acme.db {nobody}")).code(1);
    ran.no_stdout().stderr_has("no delivery").stderr_has("`counterfoil deliveries`");
    let ran = sandbox.run("deliveries --db acme.db --tracking-api nope").code(1).no_stdout();
    ran.stderr_has("neither the rules nor the rows have a tracking API `nope`");
    sandbox.run("deliveries --db acme.db --tracking-api silent").code(0).stderr_has("no rows");
    sandbox.run("deliveries --db acme.db --state lost").code(2).stderr_has("one of due, held");
}

#[test]
fn sending_again_needs_to_say_what() {
    let sandbox = sandbox();
    sale(&sandbox);
    let retry =
        |arguments: &str| sandbox.run(&format!("deliveries retry --db acme.db {arguments}"));
    retry("").code(2).no_stdout().stderr_has("--all");
    retry("--state sending").code(2).stderr_has("by themselves");
    let nobody = "01930000-0000-7000-8000-00000000ffff";
    retry(&format!("{nobody} --all")).code(2);
    retry(nobody).code(1).stderr_has("no delivery");
    // Nothing is dead.
    retry("--all").code(0).no_stdout().stderr_has("due now: 0");
    retry("--state due --tracking-api bo-sales").code(0).stderr_has("due now: 1");
    let list = sandbox.run("deliveries --db acme.db --owner bo --format json").code(0).json();
    let id = list["items"][0]["id"].as_str().expect("an id").to_owned();
    retry(&id).code(0).stderr_has(&format!("due now: {id}"));
}

#[test]
fn where_a_server_holds_the_database_it_is_named_with_what_asks_it() {
    let sandbox = Sandbox::with_rules();
    let server = Server::start(&sandbox);
    server.click();
    let id = "01930000-0000-7000-8000-00000000ffff";
    let ran = sandbox.run(&format!("deliveries retry --db acme.db {id}")).code(1).no_stdout();
    ran.stderr_has("in use by counterfoil serve")
        .stderr_has(&server.pid().to_string())
        .stderr_has("with the secret `admin_token` in that variable: curl -X POST")
        .stderr_has("-H \"authorization: Bearer $COUNTERFOIL_SECRET_ADMIN_TOKEN\"")
        .stderr_has(" 'http://127.0.0.1:")
        .stderr_has(&format!("/api/acme/deliveries/{id}/retry'"));
    let ran = sandbox.run("deliveries retry --db acme.db --tracking-api bo-sales").code(1);
    ran.stderr_has("/api/acme/deliveries/retry?state=dead&tracking_api=bo-sales'");
}
