//! A server from outside: rules while it runs, and how it stops.

use std::{fs, io::Write, net::TcpStream};

use hyper::Method;

use crate::{
    client::{Client, Content, block_on},
    sandbox::{ADMIN_TOKEN, RULES, Sandbox, command_in},
    server::{Server, wait_until},
};

#[test]
fn a_click_and_its_sale_over_http_are_found_in_the_lists() {
    let sandbox = Sandbox::with_rules();
    let server = Server::start(&sandbox);
    let pcid = server.click();
    let sale = format!("/api/acme/postbacks/handle?pcid={pcid}&type=sale&value=100");
    let answer = server.get(&sale);
    assert_eq!(answer.status, 200);
    let answer = answer.json();
    assert_eq!(answer["outcome"], "created");
    let listed = sandbox.run("conversions --db acme.db --type sale --format json");
    let listed = listed.code(0).json();
    assert_eq!(listed["items"][0]["id"], answer["conversion_id"]);
    assert_eq!(listed["items"][0]["transactions"][0]["payout"], "5.00");
    let metrics = server.admin("/metrics").body;
    for line in ["counterfoil_batched_requests_total 2", "counterfoil_batch_requests_sum 2.0"] {
        assert!(metrics.contains(line), "{metrics}");
    }
    let over_http = server.admin("/api/acme/conversions?type=sale").json();
    assert_eq!(over_http["items"], listed["items"]);
    let request = answer["request_id"].as_str().expect("an id").to_owned();
    sandbox.run(&format!("requests show --db acme.db {request}")).code(0).stdout_has("s2s");
}

#[test]
fn a_database_that_a_server_holds_is_refused_to_writers_and_open_to_readers() {
    let sandbox = Sandbox::with_rules();
    let server = Server::start(&sandbox);
    server.click();
    sandbox
        .run("click --db acme.db shoply-cz/bo")
        .code(1)
        .no_stdout()
        .stderr_has("counterfoil serve");
    sandbox.run("send --db acme.db type=sale").code(1);
    sandbox.run("conversions --db acme.db").code(0).stdout_has("click");
    sandbox.run("backup --db acme.db --to copy.db").code(0);
    sandbox.run("replay --db copy.db").code(0);
    let explain = "explain --rules rules.toml --db acme.db external_id=A-1&advertiser_id=shoply";
    sandbox.run(explain).code(3).stdout_has("pairing_failed");
}

#[test]
fn a_hangup_reads_the_rules_again_and_mistakes_never_replace_running_ones() {
    let sandbox = Sandbox::with_rules();
    let server = Server::start(&sandbox);
    let payout = |order: &str| {
        let pcid = server.click();
        let sale = format!(
            "/api/acme/postbacks/handle?pcid={pcid}&type=sale&value=100&external_id={order}"
        );
        let id = server.get(&sale).json()["conversion_id"].as_str().expect("an id").to_owned();
        let row = server.admin(&format!("/api/acme/conversions/{id}")).json();
        row["transactions"][0]["payout"].as_str().expect("a payout").to_owned()
    };
    assert_eq!(payout("A-1"), "5.00");

    fs::write(sandbox.path("rules.toml"), RULES.replace("\"50\"", "\"5000\"")).unwrap();
    server.signal("HUP");
    server.wait_for("the rules were not replaced");
    assert_eq!(payout("A-2"), "5.00");

    fs::write(sandbox.path("rules.toml"), RULES.replace("\"50\"", "\"80\"")).unwrap();
    server.signal("HUP");
    server.wait_for("the rules were read again");
    assert_eq!(payout("A-3"), "8.00");

    let put = block_on(async {
        let mut client = Client::connect(server.admin).await?;
        let body = Content::Json("{\"tenant\": \"acme\"}");
        client.ask(Method::PUT, "/api/acme/rules", Some(ADMIN_TOKEN), body).await
    });
    assert_eq!(put.expect("an answer").status, 422);
    assert_eq!(payout("A-4"), "8.00");
}

#[test]
fn a_stored_version_that_differs_is_kept_and_told() {
    let sandbox = Sandbox::with_rules();
    let mut server = Server::start(&sandbox);
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    fs::write(sandbox.path("rules.toml"), RULES.replace("\"50\"", "\"80\"")).unwrap();
    let server = Server::start(&sandbox);
    let told = server.wait_for("the rules file has changed: its version runs");
    assert!(told.contains(" INFO ") && told.contains("version=2 stored=1"), "{told}");
    drop(server);

    let mut command = sandbox.command();
    command.args(["serve", "--rules-from-db", "--db", "acme.db"]);
    command.args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    let server = Server::spawn(command);
    let rules = server.admin("/api/acme/rules");
    assert!(rules.body.contains("80"), "{rules:?}");
    drop(server);

    // The file as it was before is perhaps not meant: the newer rules end.
    fs::write(sandbox.path("rules.toml"), RULES).unwrap();
    let server = Server::start(&sandbox);
    let told = server.wait_for("the rules file is older than the stored rules");
    assert!(told.contains(" WARN ") && told.contains("version=1 stored=2"), "{told}");
}

#[test]
fn a_folder_has_a_file_for_each_tenant_and_a_new_one_is_served_after_a_hangup() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("rules")).expect("a folder");
    let sandbox = sandbox.file("rules/acme.toml", RULES);
    let mut command = sandbox.command();
    command.args(["serve", "--db", "acme.db", "--listen", "127.0.0.1:0"]).args([
        "--admin-listen",
        "127.0.0.1:0",
        "--rules",
        "rules",
    ]);
    let server = Server::spawn(command);
    server.click();
    let other = "/c/other/shoply-cz/bo";
    assert_eq!(server.get(other).status, 404);
    let sandbox = sandbox.file("rules/other.toml", &RULES.replace("acme", "other"));
    server.signal("HUP");
    server.wait_for("the rules were read again");
    assert_eq!(server.get(other).status, 302);
    sandbox.run("conversions --db acme.db").code(2).stderr_has("--tenant: acme, other");
}

#[test]
fn of_several_files_none_replaces_running_rules_where_one_cannot() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("rules")).expect("a folder");
    let sandbox = sandbox
        .file("rules/acme.toml", RULES)
        .file("rules/other.toml", &RULES.replace("acme", "other"));
    let serve = "serve --db acme.db --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --rules rules";
    let mut command = sandbox.command();
    command.args(serve.split(' '));
    let mut server = Server::spawn(command);
    assert_eq!(server.get("/c/other/shoply-cz/bo").status, 302);
    // The first may change, the second not: it has a click in another currency.
    let changed = RULES.replace("\"50\"", "\"80\"");
    let dollars = RULES.replace("acme", "other").replace("\"EUR\"", "\"USD\"");
    assert_ne!(dollars, RULES.replace("acme", "other"));
    let sandbox = sandbox.file("rules/acme.toml", &changed).file("rules/other.toml", &dollars);
    server.signal("HUP");
    server.wait_for("the rules were not replaced");
    assert!(server.admin("/api/acme/rules").body.contains("\"50\""));
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    sandbox.run(serve).code(1).stderr_has("currency");
    let mut command = sandbox.command();
    command.args(["serve", "--rules-from-db", "--db", "acme.db"]);
    command.args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    let server = Server::spawn(command);
    assert!(server.admin("/api/acme/rules").body.contains("\"50\""));
}

#[test]
fn settings_come_from_flags_then_environment_then_file() {
    let sandbox = Sandbox::with_rules().file(
        "counterfoil.toml",
        "rules = [\"rules.toml\"]\ndb = \"file.db\"\nlisten = \"127.0.0.1:1\"\n\
         admin-listen = \"127.0.0.1:0\"\nlog-format = \"json\"\n\
         [limits]\ntarget-len = 100\n",
    );
    let mut command = sandbox.command();
    command
        .args(["serve", "--config", "counterfoil.toml", "--listen", "127.0.0.1:0"])
        .env("COUNTERFOIL_LISTEN", "127.0.0.1:2")
        .env("COUNTERFOIL_DB", "environment.db");
    let mut server = Server::spawn(command);
    server.click();
    assert!(sandbox.path("environment.db").exists());
    assert!(!sandbox.path("file.db").exists());
    let target = |len: usize| format!("/healthz?{}", "x".repeat(len - 9));
    assert_eq!(server.admin(&target(100)).status, 200);
    assert_eq!(server.admin(&target(101)).status, 414);
    server.signal("INT");
    assert_eq!(server.wait().code(), Some(0));
    let last = server.wait_for("\"stopped\"");
    assert!(last.starts_with('{'), "{last}");

    let bad = sandbox.file("bad.toml", "ruls = []");
    bad.run("serve --config bad.toml").code(1).stderr_has("ruls");
}

#[test]
fn a_missing_admin_token_is_made_and_told_once() {
    let sandbox = Sandbox::with_rules();
    let mut command = command_in(&sandbox.path("."), env!("CARGO_BIN_EXE_counterfoil"));
    command.args(Server::ARGUMENTS);
    command.env_remove("COUNTERFOIL_SECRET_ADMIN_TOKEN");
    let server = Server::spawn(command);
    let told = server.wait_for("there is no secret `admin_token`");
    let token = told.rsplit(' ').next().expect("a token").to_owned();
    assert_eq!(token.len(), 32, "{told}");
    server.wait_for("set COUNTERFOIL_SECRET_ADMIN_TOKEN");
    let ask = |token: &str| {
        let answer = block_on(async {
            let mut client = Client::connect(server.admin).await?;
            let target = "/api/acme/conversions";
            client.ask(Method::GET, target, Some(token), Content::None).await
        });
        answer.expect("an answer").status
    };
    assert_eq!(ask(&token), 200);
    assert_eq!(ask(ADMIN_TOKEN), 401);
}

#[test]
fn secrets_are_files_that_are_read_when_they_are_used() {
    let rules = format!("api_tokens = [\"{{secret:acme_api}}\"]\n{RULES}");
    let sandbox = Sandbox::new().file("rules.toml", &rules);
    fs::create_dir(sandbox.path("secrets")).expect("a folder");
    let sandbox =
        sandbox.file("secrets/acme_api", "first\n").file("secrets/admin_token", "of-the-file\n");
    let mut command = sandbox.command();
    command.args(Server::ARGUMENTS).args(["--secrets", "secrets"]);
    let server = Server::spawn(command);
    let root = "{\"type\": \"lead\", \"source\": \"api\", \"offer_id\": \"shoply-cz\", \
                \"affiliate_id\": \"bo\"}";
    let ask = |address, verb: Method, target: &str, token: &str, content: Content<'_>| {
        let answer = block_on(async {
            let mut client = Client::connect(address).await?;
            client.ask(verb, target, Some(token), content).await
        });
        answer.expect("an answer").status
    };
    let hand_in = |token: &str| {
        let target = "/api/acme/conversions";
        ask(server.public, Method::POST, target, token, Content::Json(root))
    };
    assert_eq!(hand_in("first"), 201);
    assert_eq!(hand_in("second"), 401);
    fs::write(sandbox.path("secrets/acme_api"), "second\n").expect("a file");
    assert_eq!(hand_in("second"), 201);
    assert_eq!(hand_in("first"), 401);
    let list = |token: &str| {
        let target = "/api/acme/requests";
        ask(server.admin, Method::GET, target, token, Content::None)
    };
    // The folder goes before the environment.
    assert_eq!(list("of-the-file"), 200);
    assert_eq!(list(ADMIN_TOKEN), 401);
}

/// P10: what authenticates a request is in no file, no answer, no metric and no log.
#[test]
fn a_secret_that_a_request_carries_is_kept_nowhere() {
    const CANARY: &str = "canary-4711";
    let sandbox = Sandbox::with_rules();
    let mut command = sandbox.command();
    command.args(Server::ARGUMENTS).args(["--log", "trace"]);
    let mut server = Server::spawn(command);
    let pcid = server.click();
    for query in [
        format!("pcid={pcid}&type=sale&token={CANARY}"),
        format!("pcid={pcid}&type=sale&ts=1&sig={CANARY}"),
        format!("type=sale&token={CANARY}"),
        format!("pcid=%zz&token={CANARY}"),
    ] {
        let answer = server.get(&format!("/api/acme/postbacks/handle?{query}"));
        assert_eq!(answer.status, 200);
        assert!(!answer.body.contains(CANARY), "{answer:?}");
    }
    let log = server.admin("/api/acme/requests");
    assert_eq!(log.json()["items"].as_array().map(Vec::len), Some(4));
    for told in [log.body, server.admin("/metrics").body] {
        assert!(!told.contains(CANARY), "{told}");
    }
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    server.wait_for("stopped");
    assert!(!server.has_said(CANARY));
    for entry in fs::read_dir(sandbox.path(".")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).expect("a file");
        let found = bytes.windows(CANARY.len()).any(|part| part == CANARY.as_bytes());
        assert!(!found, "{}", path.display());
    }
}

#[test]
fn one_database_has_one_server() {
    let sandbox = Sandbox::with_rules();
    let server = Server::start(&sandbox);
    sandbox
        .run_with(Server::ARGUMENTS)
        .code(1)
        .stderr_has("in use by counterfoil serve")
        .stderr_has(&server.pid().to_string());
}

#[test]
fn a_taken_port_is_told_with_its_option_before_the_database_is_touched() {
    let sandbox = Sandbox::with_rules();
    let server = Server::start(&sandbox);
    let (taken, free) = (server.public.to_string(), "127.0.0.1:0".to_owned());
    for (listen, admin_listen, told) in
        [(&taken, &free, "`--listen`"), (&free, &taken, "`--admin-listen`")]
    {
        let ran = sandbox.run(&format!(
            "serve --rules rules.toml --db other.db --listen {listen} --admin-listen {admin_listen}"
        ));
        let ran = ran.code(1).stderr_has(&taken).stderr_has(told);
        assert!(!ran.stderr.contains("these rules run"), "{ran:?}");
    }
    // Neither the database nor its lock was made.
    assert!(!sandbox.path("other.db").exists() && !sandbox.path("other.db.lock").exists());
}

#[test]
fn an_auto_set_happens_when_it_is_due() {
    let rules = format!("{RULES}auto_set = {{ result = \"approved\", after = \"200ms\" }}\n");
    let sandbox = Sandbox::new().file("rules.toml", &rules);
    let server = Server::start(&sandbox);
    let pcid = server.click();
    let sale = format!("/api/acme/postbacks/handle?pcid={pcid}&type=sale&value=100");
    let id = server.get(&sale).json()["conversion_id"].as_str().expect("an id").to_owned();
    let result = || {
        let row = server.admin(&format!("/api/acme/conversions/{id}")).json();
        row["transactions"][0]["result"].clone()
    };
    wait_until("the auto-set happens", || result() == "approved");
    let log = server.admin("/api/acme/requests?limit=1").json();
    assert_eq!(log["items"][0]["method"], "auto_set");
    sandbox.run("replay --db acme.db").code(0);
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let sandbox = Sandbox::with_rules();
    let mut server = Server::start(&sandbox);
    let mut slow = TcpStream::connect(server.public).expect("a connection");
    let head = "POST /api/acme/postbacks/handle HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\
                content-type: application/x-www-form-urlencoded\r\n\r\ntype=";
    slow.write_all(head.as_bytes()).expect("a head");
    // What came later is answered, so the head before it has been taken in.
    server.click();
    server.signal("INT");
    server.wait_for("finishing what runs");
    server.signal("INT");
    server.wait_for("ended at the second signal");
    assert_eq!(server.wait().code(), Some(130));
}

#[test]
fn senders_are_asked_for_a_token_and_what_is_open_is_told() {
    let auth = "[[postback]]\nid = \"global\"\nauth.tokens = [\"{secret:shop}\"]\n";
    let sandbox = Sandbox::new().file("rules.toml", &format!("{RULES}\n{auth}"));
    let serve = Server::ARGUMENTS.join(" ");
    sandbox.run(&serve).code(1).stderr_has("there is no secret `shop`");
    let mut command = sandbox.command();
    command.args(Server::ARGUMENTS).env("COUNTERFOIL_SECRET_SHOP", "canary-shop");
    command.args(["--trusted-proxy", "127.0.0.1"]);
    let server = Server::spawn(command);
    let pcid = server.click();
    let sale = format!("/api/acme/postbacks/handle?pcid={pcid}&type=sale&value=100");
    assert_eq!(server.get(&sale).status, 401);
    assert_eq!(server.get(&format!("{sale}&token=canary-other")).status, 401);
    let answer = server.get(&format!("{sale}&token=canary-shop"));
    assert_eq!(answer.json()["outcome"], "created");
    let listed = sandbox.run("requests --db acme.db --format json").code(0);
    listed.stdout_has("unauthorized").stdout_has("there is no token");
    sandbox.run("requests --db acme.db --reason unauthorized").code(0).stdout_has("unauthorized");
    sandbox.run("replay --db acme.db").code(0);
    assert!(!server.has_said("may send these postbacks"));
    assert!(!server.admin("/metrics").body.contains("canary"));
    assert!(!server.has_said("canary"));
    for entry in fs::read_dir(sandbox.path(".")).expect("the folder") {
        let path = entry.expect("a file").path();
        let bytes = fs::read(&path).expect("a file");
        let found = bytes.windows(b"canary".len()).any(|part| part == b"canary");
        assert!(!found, "{}", path.display());
    }

    fs::write(sandbox.path("rules.toml"), RULES).unwrap();
    server.signal("HUP");
    server.wait_for("may send these postbacks");
    server.wait_for("the rules were read again");
    assert_eq!(server.get(&format!("{sale}&external_id=2")).json()["outcome"], "created");
}

#[test]
fn listeners_that_anyone_reaches_in_clear_text_are_told() {
    let sandbox = Sandbox::with_rules();
    let mut command = sandbox.command();
    command.args(["serve", "--rules", "rules.toml", "--db", "acme.db"]);
    command.args(["--listen", "0.0.0.0:0", "--admin-listen", "0.0.0.0:0"]);
    let server = Server::spawn(command);
    server.wait_for("plain HTTP on a public address");
    server.wait_for("the admin listener is not on loopback");
    server.wait_for("may send these postbacks");
    assert!(!Server::start(&Sandbox::with_rules()).has_said("WARN"));
}

#[cfg(unix)]
#[test]
fn what_others_can_read_or_claim_is_told() {
    use std::os::unix::fs::PermissionsExt;
    let made = rcgen::generate_simple_self_signed(["track.example".to_owned()]).unwrap();
    let key = made.signing_key.serialize_pem();
    let sandbox = Sandbox::with_rules().file("c.pem", &made.cert.pem()).file("k.pem", &key);
    let sandbox = sandbox.file("admin_token", "canary");
    let said = |mode: u32, proxy: &str, text: &str| {
        for (path, mode) in [("k.pem", mode), ("admin_token", mode), (".", 0o701)] {
            fs::set_permissions(sandbox.path(path), fs::Permissions::from_mode(mode)).unwrap();
        }
        let mut command = sandbox.command();
        command.args(Server::ARGUMENTS).args(["--tls-cert", "c.pem", "--tls-key", "k.pem"]);
        command.args(["--secrets", ".", "--trusted-proxy", proxy]);
        Server::spawn(command).has_said(text)
    };
    assert!(said(0o604, "10.0.0.1", "can read the private key of the certificate"));
    assert!(said(0o604, "10.0.0.1", "can read `./admin_token`"));
    assert!(!said(0o600, "10.0.0.1", "can read"));
    let everyone = "every address is believed to be a proxy";
    assert!(said(0o600, "0.0.0.0/0", everyone) && said(0o600, "::/0", everyone));
    assert!(!said(0o600, "10.0.0.0/8", everyone));
}

#[test]
fn tls_needs_a_certificate_and_its_key() {
    let sandbox = Sandbox::with_rules().file("empty.pem", "");
    let serve = Server::ARGUMENTS.join(" ");
    let ran = sandbox.run(&format!("{serve} --tls-cert empty.pem")).code(2);
    ran.stderr_has("TLS has a certificate alone").stderr_has("--tls-key");
    let ran = sandbox.run(&format!("{serve} --tls-key empty.pem")).code(2);
    ran.stderr_has("--tls-cert");
    let both = format!("{serve} --tls-cert empty.pem --tls-key empty.pem");
    sandbox.run(&both).code(1).stderr_has("there is no certificate in PEM in `empty.pem`");
    let ran = sandbox.run(&format!("{serve} --trusted-proxy shop.example")).code(2);
    ran.stderr_has("10.0.0.0/8");
}

#[test]
fn a_hangup_reads_the_certificate_again() {
    let made = rcgen::generate_simple_self_signed(["track.example".to_owned()]).unwrap();
    let key = made.signing_key.serialize_pem();
    let sandbox = Sandbox::with_rules().file("c.pem", &made.cert.pem()).file("k.pem", &key);
    let mut command = sandbox.command();
    command.args(Server::ARGUMENTS).args(["--tls-cert", "c.pem", "--tls-key", "k.pem"]);
    let server = Server::spawn(command);
    assert!(server.has_said("public  https://127.0.0.1:"));
    server.signal("HUP");
    server.wait_for("the certificate was read again");
    fs::write(sandbox.path("k.pem"), "no key").unwrap();
    server.signal("HUP");
    server.wait_for("the certificate was not replaced");
    assert!(!server.has_said(key.lines().nth(1).unwrap()));
}
