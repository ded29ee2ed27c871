//! Messages to other systems: from the command line, and sent by a server to a receiver.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
};

use hyper::Method;

use crate::{
    client::{Client, Content, block_on},
    listen::Listening,
    sandbox::{ADMIN_TOKEN, RULES, Ran, Sandbox},
    server::{Server, wait_until},
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
        .run("deliveries --db acme.db --format csv")
        .code(0)
        .stdout_has("id,tracking_api_id,event,sequence,state,reason,due_at,postback_id,step,");
    let nobody = "01930000-0000-7000-8000-00000000ffff";
    let ran = sandbox.run(&format!("deliveries show --db acme.db {nobody}")).code(1);
    ran.no_stdout().stderr_has("no delivery").stderr_has("`counterfoil deliveries`");
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
        .stderr_has("curl -X POST -H \"authorization: Bearer $ADMIN_TOKEN\" 'http://127.0.0.1:")
        .stderr_has(&format!("/api/acme/deliveries/{id}/retry'"));
    let ran = sandbox.run("deliveries retry --db acme.db --tracking-api bo-sales").code(1);
    ran.stderr_has("/api/acme/deliveries/retry?state=dead&tracking_api=bo-sales'");
}

/// Rules that tell a receiver of each sale, and a server with them.
fn told_to(listening: &Listening, arguments: &[&str]) -> (Sandbox, Server) {
    let told = format!(
        "[[tracking_api]]\nid = \"told\"\nretry.max = 0\nretry.every = \"1s\"\n\
         sign = \"{{secret:signing}}\"\nrequest.method = \"POST\"\n\
         request.url = \"http://{}/pb?order={{external_id}}&status={{result}}\"\n",
        listening.address
    );
    let sandbox = Sandbox::new()
        .file("rules.toml", &format!("{RULES}{told}"))
        .file("signing", &format!("{SIGNING}\n"));
    let mut command = sandbox.command();
    command.args(Server::ARGUMENTS).args(["--secrets", "."]).args(arguments);
    let server = Server::spawn(command);
    (sandbox, server)
}

const SIGNING: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn sell(server: &Server, order: &str) {
    let pcid = server.click();
    let sale = format!("pcid={pcid}&type=sale&value=100&external_id={order}");
    assert_eq!(server.get(&format!("/api/acme/postbacks/handle?{sale}")).status, 200);
}

fn listed(sandbox: &Sandbox, filter: &str) -> Vec<serde_json::Value> {
    let list = format!("deliveries --db acme.db --format json {filter}");
    sandbox.run(&list).code(0).json()["items"].as_array().expect("items").clone()
}

#[test]
fn a_sale_and_its_approval_are_told_signed_and_in_their_order() {
    let keys = Sandbox::new().file("signing", SIGNING);
    let listening = Listening::start(&keys, &["--secrets", ".", "--secret-name", "signing"]);
    let (sandbox, mut server) = told_to(&listening, &["--allow-destination", "127.0.0.1/32"]);
    sell(&server, "A-1");
    let told = listening.wait_for("answered 200");
    for part in ["POST /pb\n", "order = A-1\n", "status = pending\n", "the signature is right"] {
        assert!(told.contains(part), "no `{part}` in {told}");
    }
    let approve = "advertiser_id=shoply&external_id=A-1&result=approved";
    server.get(&format!("/api/acme/postbacks/handle?{approve}"));
    assert!(listening.wait_for("answered 200").contains("status = approved"));
    wait_until("both are delivered", || listed(&sandbox, "--state delivered").len() == 2);
    let newest = listed(&sandbox, "--limit 1").remove(0);
    assert_eq!((&newest["sequence"], &newest["attempts"][0]["status"]), (&2.into(), &200.into()));
    let id = newest["id"].as_str().expect("an id");
    let shown = sandbox.run(&format!("deliveries show --db acme.db {id}")).code(0);
    assert!(!shown.stdout_has("200 after ").stdout.contains("whsec_"));
    let metrics = server.admin("/metrics").body;
    for line in [
        "counterfoil_attempts_total{outcome=\"2xx\"} 2",
        "counterfoil_deliveries_due 0",
        "counterfoil_deliveries_dead 0",
    ] {
        assert!(metrics.contains(line), "no `{line}` in {metrics}");
    }
    assert_eq!(metrics.matches("# EOF").count(), 1);
    let json = server.admin(&format!("/api/acme/deliveries/{id}")).json();
    assert_eq!(json, newest);
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    sandbox.run("replay --db acme.db").code(0);
}

#[test]
fn what_must_not_be_reached_is_dead_with_what_to_do_and_is_sent_again_when_it_may() {
    let listening = Listening::start(&Sandbox::new(), &[]);
    let (sandbox, mut server) = told_to(&listening, &[]);
    sell(&server, "A-1");
    wait_until("it is dead", || listed(&sandbox, "--state dead").len() == 1);
    let dead = listed(&sandbox, "").remove(0);
    assert_eq!(dead["reason"], "forbidden");
    let id = dead["id"].as_str().expect("an id");
    sandbox
        .run(&format!("deliveries show --db acme.db {id}"))
        .code(0)
        .stdout_has("dead: the destination must not be reached")
        .stdout_has("--allow-destination 127.0.0.1")
        .stdout_has(&format!("`counterfoil deliveries retry {id}`"));
    assert!(server.admin("/metrics").body.contains("counterfoil_deliveries_dead 1"));
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    let retry = sandbox.run("deliveries retry --db acme.db --tracking-api told").code(0);
    retry.stderr_has("due now: 1");
    let mut command = sandbox.command();
    command.args(Server::ARGUMENTS).args(["--secrets", "."]);
    command.env("COUNTERFOIL_ALLOW_DESTINATION", "10.0.0.0/8,127.0.0.1");
    let server = Server::spawn(command);
    assert!(listening.wait_for("answered 200").contains("order = A-1"));
    wait_until("it is delivered", || listed(&sandbox, "--state delivered").len() == 1);
    let delivered = listed(&sandbox, "").remove(0);
    assert_eq!((&delivered["id"], &delivered["reason"]), (&dead["id"], &serde_json::Value::Null));
    // Asked over HTTP, it is sent once more, under the same id.
    let again = block_on(async {
        let mut client = Client::connect(server.admin).await?;
        let target = format!("/api/acme/deliveries/{id}/retry");
        client.ask(Method::POST, &target, Some(ADMIN_TOKEN), Content::None).await
    });
    assert_eq!(again.expect("an answer").status, 200);
    listening.wait_for("answered 200");
}

#[test]
fn check_warns_of_what_a_server_refuses_to_reach() {
    let told = "[[tracking_api]]\nid = \"x\"\nrequest.url = \"http://127.0.0.1:9000/\"\n";
    let sandbox = Sandbox::new().file("rules.toml", &format!("{RULES}{told}"));
    let ran = sandbox.run("check rules.toml").code(0);
    ran.stdout_has("`127.0.0.1` is loopback").stdout_has("`--allow-destination 127.0.0.1/32`");
    let ran = sandbox.run("check rules.toml --allow-destination 127.0.0.0/8").code(0);
    assert!(!ran.stdout.contains("127.0.0.1"), "{ran:?}");
}

#[test]
fn what_the_dispatcher_cannot_use_is_told_at_the_start() {
    let sandbox = Sandbox::with_rules().file("empty.pem", "").file(
        "counterfoil.toml",
        "rules = [\"rules.toml\"]\ndb = \"acme.db\"\nallow-destination = [\"10.0.0.0/99\"]\n",
    );
    let serve = "serve --rules rules.toml --db acme.db --listen 127.0.0.1:0 \
                 --admin-listen 127.0.0.1:0";
    let ran = sandbox.run(&format!("{serve} --ca-file nope.pem")).code(1);
    ran.stderr_has("cannot read certificates from `nope.pem`").stderr_has("--ca-file");
    sandbox.run(&format!("{serve} --ca-file empty.pem")).code(1).stderr_has("no certificate");
    sandbox.run(&format!("{serve} --allow-destination x")).code(2).stderr_has("10.0.0.0/8");
    let ran = sandbox.run("serve --config counterfoil.toml").code(1);
    ran.stderr_has("`10.0.0.0/99` of allow-destination").stderr_has("10.0.0.0/8");
}

/// P4: what was decided is sent, however the process ended that decided it.
#[test]
fn what_was_decided_while_nobody_sent_is_sent_after_the_next_start() {
    let listening = Listening::start(&Sandbox::new(), &[]);
    let allow = ["--allow-destination", "127.0.0.1/32"];
    let (sandbox, mut server) = told_to(&listening, &allow);
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    let click = sandbox.run("click --db acme.db shoply-cz/bo").code(0);
    let sale = format!("pcid={}&type=sale&value=100&external_id=A-1", click.stdout.trim());
    sandbox.run(&format!("send --db acme.db {sale}")).code(0);
    assert_eq!(listed(&sandbox, "--state due").len(), 1);
    let mut command = sandbox.command();
    command.args(Server::ARGUMENTS).args(["--secrets", "."]).args(allow);
    let _server = Server::spawn(command);
    assert!(listening.wait_for("answered 200").contains("order = A-1"));
    wait_until("it is delivered", || listed(&sandbox, "--state delivered").len() == 1);
}

/// P4, P5: an attempt that was cut off is made again, at once after a start, under the same id.
#[test]
fn a_server_that_is_killed_while_it_sends_sends_again_under_the_same_id() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("an address");
    let told = format!(
        "[[tracking_api]]\nid = \"told\"\nrequest.url = \"http://{address}/{{message_id}}\"\n"
    );
    let sandbox = Sandbox::new().file("rules.toml", &format!("{RULES}{told}"));
    let start = || {
        let mut command = sandbox.command();
        command.args(Server::ARGUMENTS).args(["--allow-destination", "127.0.0.1"]);
        Server::spawn(command)
    };
    let head = || {
        let (stream, _) = silent.accept().expect("a connection");
        let mut lines = BufReader::new(stream);
        let mut first = String::new();
        lines.read_line(&mut first).expect("a head");
        (first, lines.into_inner())
    };
    let server = start();
    sell(&server, "A-1");
    let (first, _unanswered) = head();
    assert_eq!(listed(&sandbox, "--state sending").len(), 1);
    server.kill();
    let _server = start();
    let (again, mut stream) = head();
    assert_eq!(again, first);
    let id = listed(&sandbox, "")[0]["id"].as_str().expect("an id").to_owned();
    assert!(first.starts_with(&format!("GET /{id} ")), "{first}");
    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").expect("an answer");
    wait_until("it is delivered", || listed(&sandbox, "--state delivered").len() == 1);
}
