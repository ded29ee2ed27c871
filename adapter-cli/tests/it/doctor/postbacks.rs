//! The doctor of postbacks that were sent, and of such as somebody says were sent.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use serde_json::Value;

use crate::{
    sandbox::{RULES, Ran, Sandbox},
    server::Server,
};

/// What was sent to whom, what the doctor is asked, and the codes of what it finds.
const POSTBACKS: &[(&str, &str, &[&str])] = &[
    // It arrived and was accepted.
    ("pcid=ID&type=sale&external_id=Order-1", "pcid=ID&type=sale&external_id=Order-1", &[]),
    ("", "external_id=Order-1&type=sale&pcid=ID", &[]),
    ("", "GET /api/acme/postbacks/handle?pcid=ID&type=sale&external_id=Order-1 HTTP/1.1", &[]),
    // A value may hold a URL.
    (
        "pcid=ID&type=lead&from=https://shop.example/",
        "/api/acme/postbacks/handle?pcid=ID&type=lead&from=https://shop.example/",
        &[],
    ),
    ("", "pcid=ID&type=lead&from=https://shop.example/", &[]),
    ("", "x/api/acme/postbacks/handle?pcid=ID&type=lead&from=https://shop.example/", &[]),
    (
        "",
        "GET /api/acme/postbacks/handle?pcid=ID&type=lead&from=https://shop.example/ HTTP/1.1",
        &[],
    ),
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
        // An id in another case is wrong for certain where nothing else pairs.
        let other_case = report["findings"][1]["state"].as_str();
        let state = if asked.contains("pcid") { "warning" } else { "fault" };
        assert!(!codes.contains(&"other_case") || other_case == Some(state), "{report:#}");
        assert!(!expected.is_empty() || report["now"].is_object(), "{asked}: {report:#}");
    }
    for asked in ["pcid=7&token=canary", "/api/acme/postbacks/handle&pcid=7&token=canary"] {
        let ran = sandbox.run_with(["doctor", "--db", "acme.db", "--tenant", "acme", asked]);
        assert!(!ran.stdout.contains("canary") && !ran.stderr.contains("canary"), "{ran:?}");
    }
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

/// The code and the state of each thing that is told.
type Told = &'static [(&'static str, &'static str)];

/// The origin of the URL, the settings, and the code and the state of what is told of it.
const ORIGINS: &[(&str, &str, Told)] = &[
    ("http://127.0.0.1:28180", "flags", &[]),
    ("http://localhost:28180", "flags", &[]),
    ("http://127.0.0.1:28181", "flags", &[("admin_listener", "fault")]),
    ("http://localhost:28181", "--admin-listen 0.0.0.0:28181", &[("admin_listener", "fault")]),
    ("http://127.0.0.1:28181", "", &[]),
    ("https://127.0.0.1:28180", "flags", &[("wrong_scheme", "warning")]),
    ("https://127.0.0.1:28180", "--config plain.toml", &[("wrong_scheme", "fault")]),
    ("http://127.0.0.1:28180", "--config tls.toml", &[("wrong_scheme", "fault")]),
    ("https://127.0.0.1:28180", "--config tls.toml", &[]),
    ("http://127.0.0.1:9999", "flags", &[("other_port", "warning")]),
    ("http://127.0.0.1", "flags", &[("other_port", "warning")]),
    ("http://127.0.0.1:9999", "", &[]),
    // A port that is chosen at each start.
    ("http://127.0.0.1:9999", "--listen 127.0.0.1:0 --admin-listen 127.0.0.1:0", &[]),
    // One address of loopback is not another.
    ("http://127.0.0.2:28181", "flags", &[("other_port", "warning")]),
    (
        "http://127.0.0.1:28181",
        "--listen 127.0.0.2:28181 --admin-listen 127.0.0.1:28181",
        &[("admin_listener", "fault")],
    ),
    // A proxy has a name, a port and a scheme of its own.
    ("https://x.example", "flags", &[]),
    ("https://x.example:28180", "flags", &[]),
    ("https://x.example:28181", "flags", &[("other_port", "warning")]),
    ("https://x.example:9999", "flags", &[("other_port", "warning")]),
];

#[test]
fn urls_that_go_elsewhere() {
    let listen = "listen = \"127.0.0.1:28180\"\n";
    let sandbox = Sandbox::with_rules()
        .file("plain.toml", listen)
        .file("tls.toml", &format!("{listen}tls-cert = \"c\"\ntls-key = \"k\"\n"));
    let click = sandbox.run("click --rules rules.toml --db acme.db shoply-cz/bo").code(0).stdout;
    let asked = |origin: &str, settings: &str, value: u32| {
        let flags = "--listen 127.0.0.1:28180 --admin-listen 127.0.0.1:28181";
        let settings = settings.replace("flags", flags);
        let path = "/api/acme/postbacks/handle";
        let query = format!("pcid={}&type=sale&value={value}", click.trim());
        let url = format!("{origin}{path}?{query}");
        let doctor = ["doctor", "--db", "acme.db", "--format", "json", &*url];
        sandbox.run_with(doctor.into_iter().chain(settings.split_whitespace())).json()
    };
    for (origin, settings, expected) in ORIGINS {
        let report = asked(origin, settings, 5);
        let findings = report["findings"].as_array().expect("findings");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let told = findings.iter().map(|told| (text(&told["code"]), text(&told["state"])));
        let told: Vec<(String, String)> = told.filter(|(code, _)| code != "not_arrived").collect();
        let told: Vec<(&str, &str)> =
            told.iter().map(|(code, state)| (&**code, &**state)).collect();
        assert_eq!(told, *expected, "{origin} {settings}: {report:#}");
        let is_decided = expected.iter().all(|(_, state)| *state == "warning");
        assert_eq!(report["now"].is_object(), is_decided, "{origin} {settings}: {report:#}");
        assert_eq!(report["not_decided"].is_object(), !is_decided, "{origin}: {report:#}");
    }
    // What arrived found its way.
    let sent = format!("pcid={}&type=sale&value=6", click.trim());
    sandbox.run_with(["send", "--db", "acme.db", &sent]).code(0);
    let report = asked("https://x.example:9999", "flags", 6);
    assert_eq!(report["findings"].as_array().map(Vec::len), Some(0), "{report:#}");
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

/// What is stored of it came from a report, and not from the partner.
#[test]
fn a_row_of_an_import_is_no_postback_that_arrived() {
    let sandbox = Sandbox::with_rules();
    let click = sandbox.run("click --rules rules.toml --db acme.db shoply-cz/bo").code(0).stdout;
    let pcid = click.trim();
    let csv = format!("pcid,type,value,external_id\n{pcid},sale,100,A\n");
    let sandbox = sandbox.file("a.csv", &csv);
    sandbox.run("import a.csv --db acme.db").code(0);
    let asked = format!("pcid={pcid}&type=sale&value=100&external_id=A");
    let ran = sandbox.run_with(["doctor", "--db", "acme.db", &asked]).code(3);
    ran.stdout_has("it has not arrived").stdout_has("nor is any like it").stdout_has("duplicate");
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
