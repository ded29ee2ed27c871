//! Messages as a server sends them: to receivers on this machine, across stops and kills.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
};

use hyper::Method;

use crate::{
    client::{Client, Content, block_on},
    listen::Listening,
    sandbox::{ADMIN_TOKEN, RULES, Sandbox},
    server::{Server, wait_until},
};

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
    for part in ["POST /pb  20", "order = A-1\n", "status = pending\n", "the signature is right"] {
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
    // The dispatcher's own among them, and one end.
    assert_eq!(metrics.matches("# EOF").count(), 1);
    assert!(metrics.ends_with("\n# EOF\n"), "{metrics}");
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
    server.wait_for("`127.0.0.1` is loopback: a server refuses to send there");
    sell(&server, "A-1");
    wait_until("it is dead", || listed(&sandbox, "--state dead").len() == 1);
    let dead = listed(&sandbox, "").remove(0);
    assert_eq!(dead["reason"], "forbidden");
    let id = dead["id"].as_str().expect("an id");
    let line = server.wait_for("a message died");
    for part in [id, "told", "forbidden", &format!("http://{}", listening.address)] {
        assert!(line.contains(part), "no `{part}` in {line}");
    }
    assert!(!line.contains("order="), "{line}");
    sandbox
        .run(&format!("deliveries show --db acme.db {id}"))
        .code(0)
        .stdout_has("dead: the destination must not be reached")
        .stdout_has("--allow-destination 127.0.0.1")
        .stdout_has(&format!("`counterfoil deliveries retry --db acme.db {id}`"));
    assert!(server.admin("/metrics").body.contains("counterfoil_deliveries_dead 1"));
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    let retry = sandbox.run(&format!("deliveries retry --db acme.db {id}")).code(0);
    retry.stderr_has(&format!("due now: {id}"));
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
fn what_was_never_on_its_way_is_told_as_not_sent() {
    let listening = Listening::start(&Sandbox::new(), &[]);
    let (sandbox, server) = told_to(&listening, &["--allow-destination", "127.0.0.1"]);
    fs::remove_file(sandbox.path("signing")).expect("the secret goes away");
    sell(&server, "A-1");
    let attempts = || listed(&sandbox, "").remove(0)["attempts"].clone();
    wait_until("it was tried", || attempts()[0]["outcome"] == "our_fault");
    let id = listed(&sandbox, "").remove(0)["id"].as_str().expect("an id").to_owned();
    let shown = sandbox.run(&format!("deliveries show --db acme.db {id}")).code(0);
    let shown = shown.stdout_has("  not sent\n").stdout_has("no secret `signing`");
    assert!(!shown.stdout.contains("no answer"), "{shown:#?}");
    sandbox.run("deliveries --db acme.db").code(0).stdout_has("not sent");
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

/// P10: a secret of an outbound request is in the request alone, even where an answer repeats it.
#[test]
fn a_secret_that_is_sent_is_kept_nowhere_even_where_the_answer_repeats_it() {
    const CANARY: &str = "canary-4711";
    let receiver = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = receiver.local_addr().expect("an address");
    let told = format!(
        "[[tracking_api]]\nid = \"told\"\nrequest.url = \"http://{address}/?key={{secret:key}}\"\n"
    );
    let sandbox = Sandbox::new().file("rules.toml", &format!("{RULES}{told}"));
    let mut command = sandbox.command();
    command.args(Server::ARGUMENTS).args(["--allow-destination", "127.0.0.1", "--log", "trace"]);
    command.env("COUNTERFOIL_SECRET_KEY", CANARY);
    let mut server = Server::spawn(command);
    sell(&server, "A-1");
    let (stream, _) = receiver.accept().expect("a connection");
    let mut lines = BufReader::new(stream);
    let mut first = String::new();
    lines.read_line(&mut first).expect("a head");
    assert_eq!(first, format!("GET /?key={CANARY} HTTP/1.1\r\n"));
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{first}", first.len());
    lines.get_mut().write_all(answer.as_bytes()).expect("an answer");
    wait_until("it is delivered", || listed(&sandbox, "--state delivered").len() == 1);
    let delivery = listed(&sandbox, "").remove(0);
    assert_eq!(delivery["attempts"][0]["response"], "GET /?key={secret:key} HTTP/1.1\r\n");
    for told in [delivery.to_string(), server.admin("/metrics").body] {
        assert!(!told.contains(CANARY), "{told}");
    }
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    server.wait_for("stopped");
    assert!(!server.has_said(CANARY));
    for entry in fs::read_dir(sandbox.path(".")).expect("the folder") {
        let path = entry.expect("a file").path();
        let bytes = fs::read(&path).expect("a file");
        let found = bytes.windows(CANARY.len()).any(|part| part == CANARY.as_bytes());
        assert!(!found, "{}", path.display());
    }
}

/// R39, with the store's filters and the secrets as a server looks them up.
#[test]
fn an_affiliates_token_reads_its_own_messages_and_conversions() {
    let with_token = RULES.replace("\"Blogger Bo\"", "\"Bo\"\napi_tokens = [\"{secret:bo_api}\"]");
    let told = "[[affiliate]]\nid = \"eve\"\nname = \"Eve\"\n\
                [[tracking_api]]\nid = \"bo-sales\"\nowner = { affiliate = \"bo\" }\n\
                request.url = \"http://127.0.0.1:9/?sum={payout}\"\n\
                [[tracking_api]]\nid = \"ours\"\nrequest.url = \"http://127.0.0.1:9/\"\n";
    let sandbox = Sandbox::new().file("rules.toml", &format!("{with_token}{told}"));
    let mut command = sandbox.command();
    command.args(Server::ARGUMENTS).env("COUNTERFOIL_SECRET_BO_API", "of-bo");
    let server = Server::spawn(command);
    sell(&server, "A-1");
    server.get("/c/acme/shoply-cz/eve");
    let ask = |target: &str| {
        let answer = block_on(async {
            let mut client = Client::connect(server.admin).await?;
            client.ask(Method::GET, target, Some("of-bo"), Content::None).await
        });
        answer.expect("an answer")
    };
    let members = |name: &str, member: &str| -> Vec<String> {
        let page = ask(&format!("/api/acme/{name}")).json();
        let items = page["items"].as_array().expect("items").iter();
        items.map(|item| item[member].as_str().expect("a text").to_owned()).collect()
    };
    assert_eq!(members("deliveries", "tracking_api_id"), ["bo-sales"]);
    assert_eq!(members("tracking-apis", "id"), ["bo-sales"]);
    assert_eq!(members("conversions", "affiliate_id"), ["bo", "bo"]);
    assert!(!ask("/api/acme/conversions").body.contains("revenue"));
    assert_eq!(ask("/api/acme/transactions").status, 403);
    let all = listed(&sandbox, "--tracking-api ours");
    let id = all[0]["id"].as_str().expect("an id");
    assert_eq!(ask(&format!("/api/acme/deliveries/{id}")).status, 404);
}

/// A secret that is missing is told by name, everywhere where somebody may look, and nothing is
/// sent until it is there.
#[test]
fn a_missing_secret_is_seen_and_mended() {
    let listening = Listening::start(&Sandbox::new(), &[]);
    let (sandbox, server) = told_to(&listening, &["--allow-destination", "127.0.0.1/32"]);
    fs::rename(sandbox.path("signing"), sandbox.path("away")).expect("a file");
    sell(&server, "A-1");
    let fault = "there is no secret `signing`";
    wait_until("it is tried", || {
        listed(&sandbox, "").first().is_some_and(|row| row["attempts"][0]["error"].is_string())
    });
    let row = listed(&sandbox, "").remove(0);
    assert_eq!(
        (&row["state"], &row["attempts"][0]["outcome"]),
        (&"due".into(), &"our_fault".into())
    );
    assert!(row["last_error"].as_str().expect("an error").contains(fault), "{row}");
    sandbox.run("deliveries --db acme.db").code(0).stdout_has("not sent");
    let id = row["id"].as_str().expect("an id");
    let show = sandbox.run(&format!("deliveries show --db acme.db {id}")).code(0);
    show.stdout_has(fault).stdout_has("mend what the last attempt says");
    server.wait_for(fault);
    let metrics = server.admin("/metrics").body;
    assert!(metrics.contains("counterfoil_attempts_total{outcome=\"our_fault\"} 1"), "{metrics}");

    fs::rename(sandbox.path("away"), sandbox.path("signing")).expect("a file");
    let retry = format!("/api/acme/deliveries/{id}/retry");
    let asked = block_on(async {
        let mut client = Client::connect(server.admin).await?;
        client.ask(Method::POST, &retry, Some(ADMIN_TOKEN), Content::None).await
    });
    assert_eq!(asked.expect("an answer").status, 200);
    assert!(listening.wait_for("answered 200").contains("webhook-signature: v1,"));
    wait_until("it is delivered", || listed(&sandbox, "--state delivered").len() == 1);
}

/// The store decides these, and the log tells of them all the same.
#[test]
fn what_dies_without_an_attempt_is_told_in_the_log() {
    let rules = format!(
        "{RULES}[[tracking_api]]\nid = \"late\"\ndelay = \"1s\"\nresults = [\"pending\"]\n\
         request.url = \"https://late.example/\"\n\
         [[postback]]\nid = \"asks\"\n\
         [[postback.step]]\nrequest.url = \"http://127.0.0.1:9/\"\n\
         [[postback.step]]\nrequest.url = \"http://127.0.0.1:9/\"\n"
    );
    let sandbox = Sandbox::new().file("rules.toml", &rules);
    let server = Server::start(&sandbox);
    let pcid = server.click();
    let sale = format!("pcid={pcid}&type=sale&value=100&external_id=1&id=asks");
    assert_eq!(server.get(&format!("/api/acme/postbacks/handle?{sale}")).status, 200);
    let approve = "advertiser_id=shoply&external_id=1&result=approved";
    assert_eq!(server.get(&format!("/api/acme/postbacks/handle?{approve}")).status, 200);
    let steps = server.wait_for("previous_step_failed");
    for part in ["a message died", "asks step 2", "acme"] {
        assert!(steps.contains(part), "no `{part}` in {steps}");
    }
    let late = server.wait_for("conditions_not_met");
    assert!(late.contains("a message died") && late.contains("late"), "{late}");
    assert_eq!(listed(&sandbox, "--postback asks").len(), 2);
    assert_eq!(listed(&sandbox, "--postback other").len(), 0);
}
