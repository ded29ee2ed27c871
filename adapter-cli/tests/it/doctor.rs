//! The doctor of installations that are well and that are not.

mod postbacks;

use std::{
    fs,
    io::{Read, Seek, SeekFrom, Write},
    net::{SocketAddr, TcpListener},
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
        let mode = |path: &str, mode: u32| {
            fs::set_permissions(sandbox.path(path), fs::Permissions::from_mode(mode)).unwrap();
        };
        let is_told = || {
            let ran = looked(&sandbox, free(), free(), "--secrets .");
            ran.stdout.contains("every user of this machine can read")
        };
        mode("admin_token", 0o604);
        mode(".", 0o701);
        assert!(is_told());
        // Nobody else gets at what is in this folder.
        mode(".", 0o700);
        assert!(!is_told());
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
    // Nor is a server there the one of this database, where other addresses are looked at.
    let flags = format!("--rules rules.toml --db other.db --listen {}", free());
    let ran = sandbox.run(&format!("doctor {flags} --admin-listen {}", free()));
    assert!(!ran.stdout.contains("as the database says"), "{ran:?}");
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
