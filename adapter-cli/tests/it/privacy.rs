//! Personal values, retention and the audit log from outside: values that look for themselves on
//! every way out (P10), and the commands that prune, export, erase and verify.

use std::{fs, thread, time::Duration};

use crate::{
    canaries::{CANARIES, has_no_canary, is_clean},
    client::{Client, Content, block_on},
    sandbox::{ADMIN_TOKEN, RULES, Sandbox},
    server::{Server, wait_until},
};

const PRIVACY: &str = r#"
[[tracking_api]]
id      = "told"
request = { url = "https://partner.invalid/?n={param.note}&a={affs1}&w={param.who}" }

[privacy]
phone = "drop"
drop  = ["first_name"]
hash  = ["who"]
"#;

/// Every shape of personal value, under every kind of name, and a secret.
const PERSONAL: &str = "note=canary@a.example&first_name=canary-name&who=canary-who\
     &tel=777%20000%20111&x=call%20%2B420777000111&deep=canary%2540a.example&token=canary-token";

fn sandbox() -> Sandbox {
    Sandbox::new().file("rules.toml", &format!("{RULES}{PRIVACY}"))
}

/// Everything in the folder but what we put there ourselves.
fn bytes_of(sandbox: &Sandbox) -> String {
    let files = fs::read_dir(sandbox.path("")).unwrap().map(|file| file.unwrap().path());
    let ours = files.filter(|path| path.file_name().unwrap().to_string_lossy().contains("acme.db"));
    let bytes: Vec<Vec<u8>> = ours.map(|path| fs::read(path).unwrap()).collect();
    assert!(!bytes.is_empty());
    String::from_utf8_lossy(&bytes.concat()).into_owned()
}

#[test]
fn no_personal_value_comes_out_of_a_server_its_log_or_its_database() {
    let sandbox = sandbox();
    let mut command = sandbox.command();
    command.args(Server::ARGUMENTS).args(["--log", "trace"]);
    let mut server = Server::spawn(command);
    let pcid = server.click();
    let handle = format!("/api/acme/postbacks/handle?pcid={pcid}&type=sale&value=100&{PERSONAL}");
    let click = server.get("/c/acme/shoply-cz/bo?affs1=canary@a.example&affs2=%2B420777000111");
    let landed = click.location.unwrap();
    has_no_canary("location", &landed);
    for target in [
        handle.clone(),
        format!("{handle}&external_id=A-1"),
        format!("{handle}&external_id=A-1"),
        format!("{handle}&currency=canary@a.example"),
        format!("{handle}&value=canary@a.example"),
        format!("{handle}&id=canary@a.example"),
        format!("{handle}&note=canary2@a.example"),
        format!("{handle}&broken=%zz"),
        format!("/api/acme/pixel.gif?pcid={pcid}&type=canary@a.example&{PERSONAL}"),
        format!("/api/acme/postbacks/keitaro?subid={pcid}&status=canary@a.example&{PERSONAL}"),
        format!("/c/acme/nothing/bo?{PERSONAL}&affs1=canary@a.example"),
        format!("/nowhere?{PERSONAL}"),
        // The question mark is missing.
        format!("/api/acme/postbacks/handle&pcid={pcid}&{PERSONAL}"),
        format!("/api/acme/postbacks/token=canary?pcid={pcid}"),
        format!("/c/acme/shoply-cz/bo&{PERSONAL}"),
        "/c/acme/shoply-cz&mail=canary@a.example/bo".to_owned(),
    ] {
        has_no_canary(&target, &server.get(&target).body);
    }
    for target in ["conversions", "transactions", "requests", "deliveries"] {
        let answer = server.admin(&format!("/api/acme/{target}"));
        assert_eq!(answer.status, 200);
        assert!(answer.body.len() > 200, "{answer:?}");
        has_no_canary(target, &answer.body);
    }
    has_no_canary("metrics", &server.admin("/metrics").body);
    server.signal("TERM");
    assert!(server.wait().success());
    // Its last lines come when its stderr is closed.
    thread::sleep(Duration::from_millis(50));
    assert!(server.has_said("decided"));
    for canary in CANARIES {
        assert!(!server.has_said(canary), "{canary} in the log");
    }
    has_no_canary("the database", &bytes_of(&sandbox));
}

#[test]
fn no_personal_value_comes_out_of_a_command() {
    let sandbox = sandbox();
    let click = "click --rules rules.toml --db acme.db shoply-cz/bo?affs1=canary@a.example";
    let click = sandbox.run(click).code(0);
    is_clean(&click);
    let query = format!("pcid={}&type=sale&value=100&{PERSONAL}", click.stdout.trim());
    for arguments in [
        vec!["send", "--db", "acme.db", &query],
        vec!["send", "--db", "acme.db", &query, "--format", "json"],
        vec!["explain", "--db", "acme.db", "--rules", "rules.toml", &query],
        vec!["explain", "--db", "acme.db", "--rules", "rules.toml", &query, "--format", "json"],
        vec!["requests", "--db", "acme.db", "--format", "csv"],
        vec!["requests", "--db", "acme.db"],
        vec!["conversions", "--db", "acme.db", "--format", "json"],
        vec!["deliveries", "--db", "acme.db", "--format", "json"],
        vec!["transactions", "--db", "acme.db", "--format", "csv"],
        vec!["replay", "--db", "acme.db"],
        vec!["audit", "--db", "acme.db"],
        vec!["privacy", "export", "--db", "acme.db", "--pcid", click.stdout.trim()],
        vec!["backup", "--db", "acme.db", "--to", "copy-of-acme.db"],
    ] {
        let ran = sandbox.run_with(&arguments).code(0);
        is_clean(&ran);
    }
    let csv = format!(
        "pcid,type,value,date,mail\n{0},sale,canary@a.example,,\n{0},sale,1,canary@a.example,\n\
         {0},sale,1,2026-01-31,canary@a.example\n",
        click.stdout.trim()
    );
    fs::write(sandbox.path("rows.csv"), csv).unwrap();
    let imported = "import --rules rules.toml --db acme.db rows.csv --rejects rejects.csv";
    is_clean(&sandbox.run(imported).code(3));
    let refused = format!("{query}&value=canary@a.example");
    is_clean(&sandbox.run_with(["send", "--db", "acme.db", &refused]).code(3));
    has_no_canary("the database", &bytes_of(&sandbox));
}

#[test]
fn export_and_erase_name_a_visitor_by_any_id() {
    let sandbox = sandbox();
    let click = "click --rules rules.toml --db acme.db shoply-cz/bo?affs1=summer";
    let pcid = sandbox.run(click).code(0).stdout.trim().to_owned();
    let query = format!("pcid={pcid}&type=sale&value=100&external_id=A-1&colour=crimson");
    sandbox.run_with(["send", "--db", "acme.db", &query]).code(0);
    let export = format!("privacy export --db acme.db --pcid {pcid}");
    let known = sandbox.run(&export).code(0).stdout_has("crimson").stdout_has("summer").json();
    assert_eq!(known["conversions"].as_array().unwrap().len(), 2);
    let by_external = "privacy export --db acme.db --external-id A-1 --advertiser shoply";
    assert_eq!(sandbox.run(by_external).code(0).json(), known);
    sandbox
        .run("privacy export --db acme.db --external-id A-2")
        .code(3)
        .stderr_has("nothing is known");
    sandbox.run("privacy erase --db acme.db --external-id A-2").code(3);
    sandbox.run("privacy erase --db acme.db").code(2);

    let erase = "privacy erase --db acme.db --external-id A-1";
    sandbox
        .run(erase)
        .code(0)
        .stdout_has("in 2 conversions, 1 request and ")
        .stderr_has("have not ended");
    let known = sandbox.run(&export).code(0).json();
    assert_eq!(known["conversions"][0]["affs"], serde_json::json!({}));
    assert_eq!(known["conversions"][1]["params"], serde_json::json!({}));
    assert_eq!(known["requests"][0]["query"], "(erased)");
    let again = sandbox.run_with(["send", "--db", "acme.db", &query, "--format", "json"]).code(0);
    assert_eq!(again.json()["outcome"], "duplicate");
    let replayed = sandbox.run("replay --db acme.db").code(0);
    replayed.stderr_has("nothing differs").stderr_has("that are not checked");
}

#[test]
fn what_was_erased_before_is_told_so() {
    let sandbox = Sandbox::with_rules();
    let click = sandbox.run("click --rules rules.toml --db acme.db shoply-cz/bo").code(0);
    let erase = format!("privacy erase --db acme.db --pcid {}", click.stdout.trim());
    sandbox.run(&erase).code(0).stdout_has("erased what is personal in 1 conversion, 0 requests");
    sandbox.run(&erase).code(0).stdout_has("nothing was left to erase: it was erased before in 1");
    let ran = sandbox.run("privacy export --db acme.db").code(2);
    ran.stderr_has("--pcid <ID>").stderr_has("--external-id <ID>");
    sandbox.run(&format!("{erase} --external-id A")).code(2).stderr_has("cannot be used with");
}

#[test]
fn a_server_erases_while_it_serves() {
    let sandbox = Sandbox::with_rules();
    let server = Server::start(&sandbox);
    let pcid = server.click();
    let sale = format!(
        "/api/acme/postbacks/handle?pcid={pcid}&type=sale&value=1&external_id=A&colour=crimson"
    );
    for outcome in ["created", "duplicate", "duplicate"] {
        assert_eq!(server.get(&sale).json()["outcome"], outcome);
    }
    let body = format!("{{\"pcid\":\"{pcid}\"}}");
    let erased = block_on(async {
        let mut client = Client::connect(server.admin).await.unwrap();
        let (target, body) = ("/api/acme/privacy/erase", Content::Json(&body));
        client.ask(hyper::Method::POST, target, Some(ADMIN_TOKEN), body).await.unwrap()
    });
    assert_eq!(erased.json()["requests"], 3);
    let kept =
        server.admin("/api/acme/conversions").body + &server.admin("/api/acme/requests").body;
    assert!(!kept.contains("crimson"), "{kept}");
    assert_eq!(server.get(&sale).json()["outcome"], "duplicate");
    sandbox.run("audit --db acme.db").code(0).stdout_has("erase").stdout_has(&pcid);
    sandbox.run("replay --db acme.db").code(0);
}

/// What is erased cannot be sent again: each way to ask for it says so, and none advises it.
#[test]
fn an_erased_message_is_not_sent_again_and_nothing_advises_to() {
    let told =
        "[[tracking_api]]\nid = \"told\"\nrequest.url = \"http://127.0.0.1:1/?n={param.n}\"\n";
    let sandbox = Sandbox::new().file("rules.toml", &format!("{RULES}{told}"));
    let mut server = Server::start(&sandbox);
    let pcid = server.click();
    server.get(&format!("/api/acme/postbacks/handle?pcid={pcid}&type=sale&value=1&n=crimson"));
    server.wait_for("a message died");
    let dead = || sandbox.run("deliveries --db acme.db --state dead --format json").json();
    wait_until("it is dead", || dead()["items"].as_array().is_some_and(|all| all.len() == 1));
    let id = dead()["items"][0]["id"].as_str().unwrap().to_owned();
    let advised = sandbox.run("doctor --db acme.db --rules rules.toml");
    advised.stdout_has("1 ended undelivered").stdout_has("`deliveries retry`");
    let asked = |target: &str, body: &str| {
        block_on(async {
            let mut client = Client::connect(server.admin).await.unwrap();
            let target = format!("/api/acme/{target}");
            client.ask(hyper::Method::POST, &target, Some(ADMIN_TOKEN), Content::Json(body)).await
        })
        .unwrap()
    };
    let erased = asked("privacy/erase", &format!("{{\"pcid\":\"{pcid}\"}}"));
    assert_eq!(erased.json()["messages"], 1);
    let refused = asked(&format!("deliveries/{id}/retry"), "");
    assert_eq!((refused.status, &refused.json()["code"]), (409, &"forgotten".into()));
    assert_eq!(asked("deliveries/retry?all=true", "").json()["retried"], 0);
    server.signal("TERM");
    assert!(server.wait().success());

    let refused = sandbox.run(&format!("deliveries retry --db acme.db {id}")).code(1);
    refused.stderr_has("erased or pruned").stderr_has("nothing is left to do");
    sandbox.run("deliveries retry --db acme.db --all").code(0).stderr_has("due now: 0");
    let shown = sandbox.run(&format!("deliveries show --db acme.db {id}")).code(0);
    let shown = shown.stdout_has("erased or pruned: it cannot be sent again");
    let listed = sandbox.run("deliveries --db acme.db").code(0);
    let advised = sandbox.run("doctor --db acme.db --rules rules.toml");
    let advised = advised.stdout_has("1 dead, and erased or pruned");
    for ran in [shown, listed, advised] {
        assert!(!ran.stdout.contains("retry") && !ran.stdout.contains("crimson"), "{ran:?}");
    }
}

#[test]
fn the_audit_log_is_listed_and_verified_and_touching_it_is_found() {
    let sandbox = sandbox();
    sandbox.run("click --rules rules.toml --db acme.db shoply-cz/bo").code(0);
    sandbox.run("audit --db acme.db").code(0).stdout_has("rules").stdout_has("version 1");
    let head = sandbox.run("audit verify --db acme.db").code(0).stderr_has("nothing was touched");
    let verify = format!("audit verify --db acme.db --noted {}", head.stdout.trim());
    sandbox.run(&verify).code(0);
    sandbox.run("audit verify --db acme.db --noted 1:ff").code(2).stderr_has("NUMBER:HASH");
    let raw = rusqlite::Connection::open(sandbox.path("acme.db")).unwrap();
    raw.execute("UPDATE rulesets SET text = text || '#'", []).unwrap();
    let changed = sandbox.run("audit verify --db acme.db").code(3).no_stdout();
    changed.stderr_has("row 1 is wrong").stderr_has("rules that it installed were changed");
    raw.execute("UPDATE audit SET detail = 'before: 7'", []).unwrap();
    sandbox.run("audit verify --db acme.db").code(3).stderr_has("row 1 is wrong").no_stdout();
    let broken = sandbox.run("audit verify --db acme.db --format json").code(3).json();
    assert_eq!(broken["broken"]["number"], 1);
    raw.execute("DELETE FROM audit", []).unwrap();
    let said = sandbox.run("audit verify --db acme.db").code(3).no_stdout();
    said.stderr_has("rows are missing: 0 rows here").stderr_has("of 1 version of rules");
    let untold = sandbox.run("audit verify --db acme.db --format json").code(3).json();
    assert_eq!((&untold["rules_untold"], &untold["broken"]), (&1.into(), &().into()));
    sandbox.run(&verify).code(3).stderr_has("it was noted, and is gone");
}

#[test]
fn a_server_holds_its_database_and_prunes_it_by_itself() {
    let sandbox = sandbox();
    sandbox.run("prune --db acme.db --older-than 1d").code(1).stderr_has("acme.db");
    assert!(!sandbox.path("acme.db").exists());
    for _ in 0..3 {
        let ran = sandbox.run("send --rules rules.toml --db acme.db type=sale");
        assert_eq!(ran.code, 3, "{ran:?}");
    }
    thread::sleep(Duration::from_millis(5));
    let dry = "prune --db acme.db --older-than 1ms --dry-run --format json";
    assert_eq!(sandbox.run(dry).code(0).json()["requests"], 2, "the newest stays");
    sandbox.run("prune --db acme.db --older-than 1d").code(0).stdout_has("0 requests");
    sandbox.run("prune --db acme.db --older-than 0d").code(2);
    let mut command = sandbox.command();
    command.args(Server::ARGUMENTS).args(["--prune-older-than", "1ms"]);
    let server = Server::spawn(command);
    server.wait_for("pruned");
    assert_eq!(sandbox.run(dry).code(0).json()["requests"], 0);
    let held = sandbox.run("prune --db acme.db --older-than 1d").code(1);
    held.stderr_has("is in use by counterfoil serve").stderr_has("--prune-older-than");
    sandbox
        .run("privacy erase --db acme.db --external-id A")
        .code(1)
        .stderr_has("/api/acme/privacy/erase");
    drop(server);
    sandbox.run("replay --db acme.db").code(0).stderr_has("was pruned");
}

/// An external id is unique only together with the advertiser (R14).
#[test]
fn an_external_id_of_several_advertisers_asks_for_one_of_them() {
    let other = "[[advertiser]]\nid = 'other'\nname = 'Other'\n\
         [[offer]]\nid = 'other-de'\nname = 'Other'\nadvertiser = 'other'\n\
         url = 'https://other.example/'\n";
    let sandbox = Sandbox::new().file("rules.toml", &format!("{RULES}{other}"));
    for offer in ["shoply-cz", "other-de"] {
        let click = format!("click --rules rules.toml --db acme.db {offer}/bo");
        let pcid = sandbox.run(&click).code(0).stdout.trim().to_owned();
        let query = format!("pcid={pcid}&type=sale&value=100&external_id=A-1");
        sandbox.run_with(["send", "--db", "acme.db", &query]).code(0);
    }
    for command in ["export", "erase"] {
        let command = format!("privacy {command} --db acme.db --external-id A-1");
        let refused = sandbox.run(&command).code(2).no_stdout();
        refused.stderr_has("several advertisers").stderr_has("--advertiser: other, shoply");
        sandbox.run(&format!("{command} --advertiser shoply")).code(0);
    }
}
