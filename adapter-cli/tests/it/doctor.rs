//! The doctor: of installations that are well and that are not, and of postbacks that were sent.

use std::{
    fs,
    io::{Read, Seek, SeekFrom, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

use serde_json::Value;

use crate::{
    sandbox::{RULES, Ran, Sandbox},
    server::Server,
};

/// The state and the message of each finding of a check.
fn found(ran: &Ran, check: &str) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let report = ran.json();
    let findings = report["findings"].as_array().expect("findings");
    findings
        .iter()
        .filter(|finding| finding["check"] == check)
        .map(|finding| (text(&finding["state"]), text(&finding["message"])))
        .collect()
}

#[track_caller]
fn has(ran: &Ran, check: &str, state: &str, part: &str) {
    let found = found(ran, check);
    let is_there = found.iter().any(|(known, message)| known == state && message.contains(part));
    assert!(is_there, "no {state} `{part}` of {check}: {found:#?}");
}

/// An address on which nobody listens.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The doctor's report on `rules.toml` and `acme.db`, of a server on these addresses.
fn looked(sandbox: &Sandbox, public: SocketAddr, admin: SocketAddr, more: &str) -> Ran {
    sandbox.run(&format!(
        "doctor --rules rules.toml --db acme.db --listen {public} --admin-listen {admin} \
         --format json {more}"
    ))
}

#[test]
fn nothing_is_wrong_beside_a_running_server_and_without_one() {
    let sandbox = Sandbox::with_rules();
    let server = Server::start(&sandbox);
    let pcid = server.click();
    server.get(&format!("/api/acme/postbacks/handle?pcid={pcid}&type=sale"));
    let (public, admin) = (server.public, server.admin);
    let ran = looked(&sandbox, public, admin, "").code(0);
    assert_eq!(ran.json()["fine"], true);
    has(&ran, "rules", "fine", "tenant `acme` are valid");
    has(&ran, "secrets", "fine", "all can be had");
    has(&ran, "database", "fine", "it is whole; schema version ");
    has(&ran, "clock", "fine", "after the newest row");
    has(&ran, "messages", "fine", "none dead");
    has(&ran, "ports", "fine", "is ready");
    has(&ran, "ports", "fine", "a Counterfoil server has it");
    server.kill();
    let ran = looked(&sandbox, public, admin, "").code(0);
    has(&ran, "ports", "fine", "free: no server runs here");
    let table = format!("doctor --db acme.db --listen {public} --admin-listen {admin}");
    let table = sandbox.run(&table).code(0).stderr_has("nothing is wrong");
    table.stdout_has("the stored rules of `acme`: version 1 is valid");
}

#[test]
fn a_server_at_other_addresses_is_found_by_its_database() {
    let sandbox = Sandbox::with_rules();
    let (public, admin) = (free().to_string(), free().to_string());
    let mut command = sandbox.command();
    command.args(["serve", "--rules", "rules.toml", "--db", "acme.db"]);
    command.args(["--listen", &public, "--admin-listen", &admin]);
    let _server = Server::spawn(command);
    let ran = looked(&sandbox, free(), free(), "").code(0);
    has(&ran, "ports", "fine", "free: no server runs here");
    has(&ran, "ports", "fine", "is ready");
    assert!(ran.stdout.contains(&format!("admin {admin}, as the database says")), "{ran:?}");
}

#[test]
fn rules_and_secrets_that_are_wrong() {
    let api = "[[tracking_api]]\nid = \"a\"\n\
               request.url = \"https://127.0.0.1:9/?k={secret:gone}\"\n\
               sign = \"{secret:bad}\"\nrequest.method = \"POST\"\n";
    let sandbox = Sandbox::new()
        .file("rules.toml", &format!("{RULES}{api}"))
        .file("broken.toml", "tenant = \"x\"\ncurrency = 7")
        .file("admin_token", "another\n")
        .file("bad", "\n");
    sandbox.run("doctor --rules broken.toml").code(3).stdout_has("fault    rules");
    let ran = looked(&sandbox, free(), free(), "--secrets .").code(3);
    has(&ran, "secrets", "fault", "there is no secret `gone`");
    has(&ran, "secrets", "fault", "the secret `bad` is empty");
    has(&ran, "secrets", "warning", "differ: the file counts");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let open = fs::Permissions::from_mode(0o604);
        fs::set_permissions(sandbox.path("admin_token"), open).unwrap();
        let ran = looked(&sandbox, free(), free(), "--secrets .");
        has(&ran, "secrets", "warning", "every user of this machine can read");
    }
    assert!(!ran.stdout.contains("another"), "{ran:?}");
    let ran = looked(&sandbox, free(), free(), "--secrets nowhere").code(3);
    has(&ran, "secrets", "fault", "does not exist");
    sandbox.run("doctor").code(2).stderr_has("--rules PATH");
}

#[test]
fn databases_and_clocks_that_are_wrong() {
    let sandbox = Sandbox::with_rules().file("text.db", "this is a text, and no database at all");
    let ran = looked(&sandbox, free(), free(), "").code(0);
    has(&ran, "database", "warning", "there is no database yet");
    let at = |db: &str| {
        let ports = format!("--listen {} --admin-listen {}", free(), free());
        sandbox.run(&format!("doctor --rules rules.toml --db {db} {ports} --format json"))
    };
    has(&at("text.db").code(3), "database", "fault", "is not a Counterfoil database");
    has(&at("none/acme.db").code(3), "database", "fault", "does not exist");
    sandbox.run("click --rules rules.toml --db acme.db shoply-cz/bo").code(0);
    fs::write(sandbox.path("rules.toml"), format!("# changed\n{RULES}")).unwrap();
    has(&at("acme.db").code(0), "rules", "warning", "the database runs version 1");
    fs::write(sandbox.path("rules.toml"), RULES.replace("EUR", "USD")).unwrap();
    has(&at("acme.db").code(3), "rules", "fault", "currency");
    fs::write(sandbox.path("rules.toml"), RULES).unwrap();

    // A row of the year 2100: the clock has gone back since.
    let db = rusqlite::Connection::open(sandbox.path("acme.db")).unwrap();
    let id = (4_102_444_800_000_u128 << 80).to_be_bytes();
    let sql = "INSERT INTO requests \
               (id, tenant, received_at, method, query, ruleset, outcome, more) \
               VALUES (?1, 1, 0, 0, '', 1, 0, x'')";
    db.execute(sql, [&id[..]]).unwrap();
    drop(db);
    has(&at("acme.db").code(3), "clock", "fault", "the newest row is of 2100-01-01");

    damage(&sandbox);
    has(&at("acme.db").code(3), "database", "fault", "");
}

#[test]
fn a_database_that_is_cut_off_is_damaged() {
    let sandbox = Sandbox::with_rules();
    sandbox.run("click --rules rules.toml --db acme.db shoply-cz/bo").code(0);
    let file = fs::OpenOptions::new().write(true).open(sandbox.path("acme.db")).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    let ran = looked(&sandbox, free(), free(), "").code(3);
    has(&ran, "database", "fault", "is damaged");
    assert!(ran.stdout.contains("put a backup in its place"), "{ran:?}");
    let ran = sandbox.run_with(["doctor", "--db", "acme.db", "pcid=1"]).code(1);
    ran.stderr_has("is damaged").stderr_has("write no more to it");
}

/// Overwrites the middle of the database.
fn damage(sandbox: &Sandbox) {
    let path = sandbox.path("acme.db");
    let mut file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let len = file.metadata().unwrap().len();
    for page in 4..len / 4096 {
        file.seek(SeekFrom::Start(page * 4096)).unwrap();
        file.write_all(&[0xa5; 512]).unwrap();
    }
}

#[test]
fn ports_that_are_taken() {
    let sandbox = Sandbox::with_rules();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap();
    thread::spawn(move || {
        for stream in other.incoming().map_while(Result::ok) {
            let mut stream = stream;
            let mut asked = [0; 64];
            let _ = stream.read(&mut asked);
            let _ = stream.write_all(b"220 mail.example ESMTP\r\n");
        }
    });
    let ran = looked(&sandbox, taken, free(), "").code(3);
    has(&ran, "ports", "fault", "something else has it");
    let ran = looked(&sandbox, free(), taken, "").code(3);
    has(&ran, "ports", "fault", "something else has it");
    let ran = looked(&sandbox, "192.0.2.1:8080".parse().unwrap(), free(), "").code(3);
    has(&ran, "ports", "fault", "nobody can listen there");
    let same = free();
    let ran = looked(&sandbox, same, same, "").code(3);
    has(&ran, "ports", "fault", "both listeners have this address");
    let open = SocketAddr::from(([0, 0, 0, 0], free().port()));
    let ran = looked(&sandbox, open, free(), "").code(0);
    has(&ran, "ports", "warning", "plain HTTP on a public address");
    has(&ran, "rules", "warning", "anyone who reaches the public listener");
}

/// `serve` could not listen there, whatever its lock file says of those that had it before.
#[test]
fn ports_that_a_server_on_another_database_has() {
    let sandbox = Sandbox::with_rules();
    let server = Server::start(&sandbox);
    let (public, admin) = (server.public, server.admin);
    let flags = format!("--rules rules.toml --db other.db --listen {public}");
    let flags = format!("{flags} --admin-listen {admin}");
    let is_told = || {
        let ran = sandbox.run(&format!("doctor {flags} --format json")).code(3);
        has(&ran, "ports", "fault", "another Counterfoil server has it");
        let told = found(&ran, "ports");
        assert_eq!(told.iter().filter(|(state, _)| state == "fault").count(), 2, "{told:?}");
    };
    is_told();
    sandbox.run(&format!("serve {flags}")).code(1);
    // One that had both before, and has ended.
    let owner = format!("counterfoil serve on {public} and admin {admin} (process 1)\n");
    fs::write(sandbox.path("other.db.lock"), owner).unwrap();
    is_told();
    looked(&sandbox, public, admin, "").code(0);
}

#[test]
fn destinations_are_reached_and_sent_nothing() {
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let (alive, dead) = (receiver.local_addr().unwrap(), free());
    let received = thread::spawn(move || {
        let mut asked = Vec::new();
        let (mut stream, _) = receiver.accept().unwrap();
        stream.read_to_end(&mut asked).unwrap();
        asked
    });
    let api = |id: &str, host: &str| {
        format!("[[tracking_api]]\nid = \"{id}\"\nrequest.url = \"http://{host}/\"\n")
    };
    let rules = [
        RULES.to_owned(),
        api("alive", &alive.to_string()),
        api("dead", &dead.to_string()),
        api("private", "10.1.2.3"),
        api("nobody", "nobody.invalid"),
        api("off", "10.1.2.4") + "active = false\n",
    ];
    let sandbox = Sandbox::new().file("rules.toml", &rules.concat());
    let ran = looked(&sandbox, free(), free(), "--allow-destination 127.0.0.1").code(3);
    has(&ran, "destinations", "fine", "it is reached at 127.0.0.1");
    has(&ran, "destinations", "fault", "nobody lets us in at 127.0.0.1");
    has(&ran, "destinations", "fault", "`10.1.2.3` is private");
    has(&ran, "destinations", "fault", "its name ");
    assert_eq!(found(&ran, "destinations").len(), 4, "{ran:?}");
    assert_eq!(received.join().unwrap(), b"", "no request is sent");
}

/// What was sent to whom, what the doctor is asked, and the codes of what it finds.
const POSTBACKS: &[(&str, &str, &[&str])] = &[
    // It arrived and was accepted.
    ("pcid=ID&type=sale&external_id=Order-1", "pcid=ID&type=sale&external_id=Order-1", &[]),
    ("", "external_id=Order-1&type=sale&pcid=ID", &[]),
    ("", "GET /api/acme/postbacks/handle?pcid=ID&type=sale&external_id=Order-1 HTTP/1.1", &[]),
    // It arrived and was refused.
    ("cid=ID&type=sale", "cid=ID&type=sale", &["arrived_refused", "wrong_name"]),
    (
        "pcid={clickid}&type=sale",
        "pcid={clickid}&type=sale",
        &["arrived_refused", "unreplaced_macro"],
    ),
    ("pcid=ID&type=sale&value=5%", "pcid=ID&type=sale&value=5%", &["not_arrived", "malformed"]),
    // It never came.
    ("", "pcid=ID&type=lead", &["not_arrived"]),
    ("", "https://x/api/acme/postback?pcid=ID&type=lead", &["not_arrived", "wrong_path"]),
    (
        "",
        "https://x/api/rival/postbacks/handle?pcid=ID&type=lead",
        &["not_arrived", "other_tenant"],
    ),
    (
        "",
        "https://x/api/nobody/postbacks/handle?pcid=ID&type=lead",
        &["not_arrived", "unknown_tenant"],
    ),
    ("", "pcid=CUT&type=lead", &["not_arrived", "truncated"]),
    ("", "pcid=ID&amp;type=lead", &["not_arrived", "escaped_ampersand"]),
    ("", "pcid=%257Bclickid%257D&type=lead", &["not_arrived", "encoded_twice"]),
    ("", "pcid=01930000-0000-7000-8000-000000000000&type=lead", &["not_arrived", "not_stored"]),
    ("", "advertiser_id=shoply&external_id=order-1&action=update", &["not_arrived", "other_case"]),
    ("", "advertiser_id=shoply&external_id=Order&action=update", &["not_arrived", "truncated"]),
    ("", "pcid=ID&type=sale&external_id=order-1", &["not_arrived", "other_case"]),
    ("", "pcid=ID&type=sale&external_id=Order-2", &["not_arrived"]),
];

#[test]
fn postbacks_that_were_sent_and_that_were_not() {
    let sandbox = Sandbox::with_rules();
    let rival = RULES.replace("\"acme\"", "\"rival\"");
    let sandbox = sandbox.file("rival.toml", &rival);
    let mut command = sandbox.command();
    command.args(Server::ARGUMENTS).args(["--rules", "rival.toml"]);
    let server = Server::spawn(command);
    let pcid = server.click();
    for (sent, asked, expected) in POSTBACKS {
        let cut: String = pcid.chars().take(24).collect();
        let fill = |text: &str| text.replace("=ID", &format!("={pcid}")).replace("CUT", &cut);
        if !sent.is_empty() {
            let sent = fill(sent).replace('{', "%7B").replace('}', "%7D");
            server.get(&format!("/api/acme/postbacks/handle?{sent}"));
        }
        let asked = fill(asked);
        let doctor = ["doctor", "--db", "acme.db", "--tenant", "acme", "--format", "json"];
        let ran = sandbox.run_with(doctor.into_iter().chain([&*asked]));
        let report = ran.json();
        let codes: Vec<&str> = report["findings"]
            .as_array()
            .expect("findings")
            .iter()
            .map(|finding| finding["code"].as_str().expect("a code"))
            .collect();
        assert_eq!(codes, *expected, "{asked}: {report:#}");
        assert_eq!(ran.code, if expected.is_empty() { 0 } else { 3 }, "{asked}");
    }
    let ran =
        sandbox.run_with(["doctor", "--db", "acme.db", "--tenant", "acme", "pcid=7&token=canary"]);
    assert!(!ran.stdout.contains("canary") && !ran.stderr.contains("canary"), "{ran:?}");
    // What leaves no row may have come all the same.
    let ran = sandbox.run_with(["doctor", "--db", "acme.db", "--tenant", "acme", "pcid=7"]).code(3);
    ran.stdout_has("429").stdout_has("counterfoil_requests_unlogged_total");
    // Without a database the text alone is looked at.
    let ran = sandbox.run_with(["doctor", "--rules", "rules.toml", "clickid=1&type=sale"]).code(3);
    ran.stdout_has("call it `pcid`");
    sandbox.run("doctor --rules rules.toml --format csv pcid=1").code(2);
    // Whose click it is says whose postback it is; nothing else does.
    let ours = format!("pcid={pcid}&type=lead");
    let ran = sandbox.run_with(["doctor", "--db", "acme.db", "--format", "json", &ours]).code(3);
    assert_eq!(ran.json()["now"]["outcome"], "created");
    let nobody = sandbox.run_with(["doctor", "--db", "acme.db", "type=sale"]).code(3);
    nobody.stderr_has("name the tenant with --tenant");
    sandbox.run("doctor --db acme.db --tenant nobody type=sale").code(1).stderr_has("`nobody`");
}

/// What is asked, the secrets at hand, the status that it would be answered without a decision
/// (0: it would be decided), and whether its secret is wrong.
const NOT_DECIDED: &[(&str, &str, u64, Option<&str>)] = &[
    ("https://x/api/acme/postbacks/handle?pcid=ID&type=sale", "", 0, None),
    ("https://x/api/acme/postback?pcid=ID&type=sale", "", 404, None),
    ("https://x/api/nobody/postbacks/handle?pcid=ID&type=sale", "", 404, None),
    ("id=locked&pcid=ID&type=sale", "--secrets .", 401, None),
    ("id=locked&pcid=ID&type=sale&token=canary", "", 401, None),
    ("id=locked&pcid=ID&type=sale&token=canary", "--secrets .", 401, Some("wrong_token")),
    ("id=locked&pcid=ID&type=sale&Token=s3cret", "--secrets .", 401, None),
    ("id=locked&pcid=ID&type=sale&token=s3cret", "--secrets .", 0, None),
    ("id=half&pcid=ID&type=sale&token=canary", "--secrets .", 401, None),
    ("id=signed&pcid=ID&type=sale&ts=1&sig=00", "--secrets .", 401, Some("wrong_signature")),
    ("id=hooked&pcid=ID&type=sale", "--secrets .", 401, None),
    ("id=near&pcid=ID&type=sale", "", 403, None),
    ("http://x/api/acme/postbacks/handle?id=tls&pcid=ID&type=sale", "", 403, None),
    ("https://x/api/acme/postbacks/handle?id=tls&pcid=ID&type=sale", "", 0, None),
    // It is not found before anyone asks for proof.
    ("https://x/api/acme/postbacks/nothing?id=locked&pcid=ID&type=sale", "", 0, None),
];

#[test]
fn what_would_not_be_decided_is_not_told_as_if_it_were() {
    let asking = "\n[[postback]]\nid = \"locked\"\nauth.tokens = [\"{secret:shop}\"]\n\
        [[postback]]\nid = \"half\"\nauth.tokens = [\"{secret:shop}\", \"{secret:gone}\"]\n\
        [[postback]]\nid = \"signed\"\nauth.signed_query = { secrets = [\"{secret:shop}\"] }\n\
        [[postback]]\nid = \"hooked\"\nauth.standard_webhooks = { secrets = [\"{secret:shop}\"] }\n\
        [[postback]]\nid = \"near\"\nauth.addresses = [\"192.0.2.0/24\"]\n\
        [[postback]]\nid = \"tls\"\nhttps_only = true\n";
    let sandbox =
        Sandbox::new().file("rules.toml", &format!("{RULES}{asking}")).file("shop", "s3cret\n");
    let click = "click --rules rules.toml --db acme.db shoply-cz/bo";
    let pcid = sandbox.run(click).code(0).stdout.trim().to_owned();
    for (asked, secrets, status, wrong) in NOT_DECIDED {
        let asked = asked.replace("=ID", &format!("={pcid}"));
        let doctor = ["doctor", "--rules", "rules.toml", "--db", "acme.db", "--tenant", "acme"];
        let arguments = || doctor.into_iter().chain(secrets.split_whitespace());
        let ran = sandbox.run_with(arguments().chain(["--format", "json", &*asked])).code(3);
        let report = ran.json();
        let answered = report["not_decided"]["status"].as_u64().unwrap_or_default();
        assert_eq!(answered, *status, "{asked}: {report:#}");
        assert_eq!(report["now"].is_null(), *status != 0, "{asked}: {report:#}");
        let findings = report["findings"].as_array().expect("findings");
        let wrongs = ["wrong_token", "wrong_signature"];
        let found = findings.iter().filter_map(|finding| finding["code"].as_str());
        let found: Vec<&str> = found.filter(|code| wrongs.contains(code)).collect();
        assert_eq!(found, wrong.iter().copied().collect::<Vec<_>>(), "{asked}: {report:#}");
        let ran = sandbox.run_with(arguments().chain([&*asked]));
        assert_eq!(report["not_decided"].is_null(), *status == 0, "{asked}: {report:#}");
        assert_eq!(ran.stdout.contains("created"), *status == 0 && !asked.contains("nothing"));
        assert!(!ran.stdout.contains("canary") && !ran.stdout.contains("s3cret"), "{ran:?}");
    }
    for other in ["https://x/c/acme/shoply-cz/bo", "https://x/api/acme/conversions"] {
        let doctor = ["doctor", "--rules", "rules.toml", "--db", "acme.db", "--format", "json"];
        let report = sandbox.run_with(doctor.into_iter().chain([other])).code(3).json();
        assert!(report["now"].is_null() && report["not_decided"].is_object(), "{report:#}");
    }
}

#[test]
fn what_was_pruned_may_have_arrived() {
    let sandbox = Sandbox::with_rules();
    let past = "--rules rules.toml --db acme.db --at 2020-01-01T00:00:00Z";
    let pcid = sandbox.run(&format!("click {past} shoply-cz/bo")).code(0).stdout;
    let lead = format!("pcid={}&type=lead", pcid.trim());
    sandbox.run(&format!("send {past} {lead}")).code(0);
    let ask = || sandbox.run_with(["doctor", "--db", "acme.db", "--format", "json", &lead]);
    let before = ask().code(0).json();
    assert!(before["examined"]["log_begins"].is_null());
    sandbox.run("prune --db acme.db --older-than 30d").code(0);
    let report = ask().code(3).json();
    assert!(report["examined"]["log_begins"].is_string(), "{report:#}");
    let message = report["findings"][0]["message"].as_str().unwrap();
    assert!(message.contains("since the log begins"), "{message}");
}

#[test]
fn what_the_doctor_says_of_one_that_arrived() {
    let sandbox = Sandbox::with_rules();
    let server = Server::start(&sandbox);
    let pcid = server.click();
    let sale = format!("pcid={pcid}&type=sale&value=100&external_id=A-1");
    let answer = server.get(&format!("/api/acme/postbacks/handle?{sale}")).json();
    let report = sandbox.run_with(["doctor", "--db", "acme.db", "--format", "json", &sale]).code(0);
    let report = report.json();
    let arrival = &report["arrivals"][0];
    assert_eq!(arrival["tenant"], "acme");
    assert_eq!(arrival["likeness"], "same");
    assert_eq!(arrival["request"]["id"], answer["request_id"]);
    assert_eq!(report["examined"]["requests"], 1);
    assert_eq!(report["now"]["outcome"], "duplicate");
    sandbox
        .run_with(["doctor", "--db", "acme.db", &sale])
        .code(0)
        .stdout_has("the same: created")
        .stdout_has("if it came now");
}

#[test]
fn one_that_arrived_written_in_another_way_is_the_same_in_meaning() {
    let sandbox = Sandbox::with_rules();
    let click = sandbox.run("click --rules rules.toml --db acme.db shoply-cz/bo").code(0).stdout;
    let pcid = click.trim();
    let sent = format!("pcid={pcid}&type=sale&value=100&external_id=A");
    sandbox.run_with(["send", "--db", "acme.db", &sent]).code(0);
    let upper = pcid.to_uppercase();
    for asked in [
        format!("pcid={pcid}&type=sale&value=100.00&external_id=A"),
        format!("external_id=A&pcid={upper}&type=SALE&value=100"),
    ] {
        let ran = sandbox.run_with(["doctor", "--db", "acme.db", &asked]).code(0);
        ran.stdout_has("the same in meaning: created");
    }
    let other = format!("pcid={pcid}&type=sale&value=100.01&external_id=A");
    let ran = sandbox.run_with(["doctor", "--db", "acme.db", &other]).code(3);
    // What is only like it is not said to have arrived.
    let ran = ran.stdout_has("it has not arrived").stdout_has("what was found is only like it");
    let ran = ran.stdout_has("similar  ");
    assert!(!ran.stdout.contains("arrived  "), "{ran:?}");
}

/// Such a request leaves no trace: nothing but its text can tell why.
#[test]
fn characters_with_which_no_request_is_read() {
    let sandbox = Sandbox::with_rules();
    let server = Server::start(&sandbox);
    let target = |value: &str| format!("/api/acme/postbacks/handle?pcid={value}&type=sale");
    let is_unread = |target: &str, header: &str| {
        let mut stream = TcpStream::connect(server.public).unwrap();
        let request = format!("GET {target} HTTP/1.1\r\nhost: x\r\nx: {header}\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400") && answer.ends_with("\r\n\r\n"), "{answer}");
    };
    for (c, encoded) in [("<", "%3C"), (">", "%3E"), ("\"", "%22"), ("\u{7f}", "%7F"), (" ", "%20")]
    {
        is_unread(&target(&format!("a{c}z")), "x");
        let mut command = sandbox.command();
        let pasted = format!("https://host{}", target(&format!("a{c}z")));
        command.args(["doctor", &pasted, "--rules", "rules.toml", "--db", "acme.db"]);
        let told = Ran::of(&command.output().unwrap()).code(3);
        told.stdout_has("without a body").stdout_has(encoded);
    }
    is_unread(&target("a"), "a header\u{1}");
    let rows = sandbox.run("requests --db acme.db --format json").json();
    assert_eq!(rows["items"].as_array().map(Vec::len), Some(0));
}

/// The log keeps what is personal only masked.
#[test]
fn one_that_arrived_with_a_personal_value_is_the_same() {
    let sandbox = Sandbox::with_rules();
    let click = sandbox.run("click --rules rules.toml --db acme.db shoply-cz/bo").code(0).stdout;
    let sale = format!("pcid={}&type=sale&value=1&external_id=A", click.trim());
    let sent = format!("{sale}&mail=jan@shop.example&phone=777000111");
    sandbox.run_with(["send", "--db", "acme.db", &sent]).code(0);
    let told = |query: &str| sandbox.run_with(["doctor", "--db", "acme.db", query]);
    told(&sent).code(0).stdout_has("the same: created");
    let other = format!("{sale}&mail=eva@shop.example&phone=777000111");
    told(&other).code(3).stdout_has("it has not arrived");
}
