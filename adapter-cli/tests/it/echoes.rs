//! Receivers that say personal values in their answers: none of it stays in the database, and none
//! comes out of the log, a command or an answer to an administrator (P10).

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

use crate::{
    canaries::{CANARIES, has_no_canary, is_clean},
    sandbox::{RULES, Sandbox},
    server::{Server, wait_until},
};

/// What each receiver says, by the first segment of the path: a status, headers and a body.
const ANSWERS: [(&str, &str, &str, &str); 5] = [
    (
        "/json",
        "200",
        "x-first-name: canary-header\r\n",
        "{\"FIRST_NAME\":\"canary-json\",\"Who\":{\"x\":[\"canary-deep\"]},\
         \"d\":\"{\\\"first_name\\\":\\\"canary-within\\\"}\",\"m\":\"canary@a.example\",\
         \"phone\":\"777 000 111\",\"state\":\"canary@a.example\",\"note\":\"canary@b.example\",\
         \"first\":\"kept-word\"}",
    ),
    (
        "/query",
        "410",
        "",
        "First_Name=canary-query&who=canary%20who&x=canary%40a.example&tel=777000111&y=kept-word",
    ),
    ("/moved", "302", "location: /?first_name=canary-location\r\n", "First-Name: canary-moved"),
    ("/failed", "500", "", "<first_name>canary-xml</first_name> call +420 777 000 111 kept-word"),
    ("/broken", "canary@a.example", "first_name: canary-status\r\n", ""),
];

fn receiver() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(&stream));
        }
    });
    address
}

fn answer(mut stream: &TcpStream) {
    let mut lines = BufReader::new(stream.take(16 * 1024)).lines().map_while(Result::ok);
    let Some(asked) = lines.next() else {
        return;
    };
    lines.find(String::is_empty);
    let found = ANSWERS.iter().find(|(path, ..)| asked.contains(path)).expect("a known path");
    let (_, status, headers, body) = found;
    let head = format!("HTTP/1.1 {status} x\r\n{headers}content-length: {}\r\n", body.len());
    // Whoever asked may be gone.
    let _ = stream.write_all(format!("{head}connection: close\r\n\r\n{body}").as_bytes());
}

/// Rules that tell each receiver of each sale once; from the first, they take what it answers.
fn rules(receiver: SocketAddr) -> String {
    let mut rules = RULES.to_owned();
    for (path, ..) in ANSWERS {
        let id = path.trim_start_matches('/');
        rules += &format!(
            "[[tracking_api]]\nid = \"{id}\"\nretry.max = 0\nretry.every = \"1s\"\n\
             trigger = \"transaction\"\n\
             request.url = \"http://{receiver}{path}?n={{sequence}}\"\n"
        );
        if id == "json" {
            rules += "set.\"param.note\" = { path = \"/note\" }\n\
                      set.\"param.first_name\" = { path = \"/FIRST_NAME\" }\n\
                      set.result = { path = \"/state\", map = { paid = \"approved\" } }\n";
        }
    }
    rules + "[privacy]\nphone = \"drop\"\ndrop = [\"first_name\"]\nhash = [\"who\"]\n"
}

#[test]
fn no_personal_value_of_an_answer_is_kept_or_shown() {
    let sandbox = Sandbox::new().file("rules.toml", &rules(receiver()));
    let mut command = sandbox.command();
    command.args(Server::ARGUMENTS).args(["--log", "trace"]);
    command.args(["--allow-destination", "127.0.0.1/32"]);
    let mut server = Server::spawn(command);
    let sale = format!("pcid={}&type=sale&value=100&external_id=A-1", server.click());
    let request = server.get(&format!("/api/acme/postbacks/handle?{sale}")).json();
    let request = request["request_id"].as_str().expect("an id");
    let list = "deliveries --db acme.db --format json";
    let ended = || {
        let listed = sandbox.run(list).code(0).json();
        let all = listed["items"].as_array().expect("items").clone();
        all.iter().filter(|one| one["state"] == "dead" || one["state"] == "delivered").count()
    };
    // What the first answer sets is an update, which is told to the others.
    wait_until("all have ended", || ended() == 2 * ANSWERS.len() - 1);
    for target in ["conversions", "requests", "deliveries", &format!("requests/{request}/timeline")]
    {
        let answer = server.admin(&format!("/api/acme/{target}"));
        assert_eq!(answer.status, 200);
        has_no_canary(target, &answer.body);
    }
    has_no_canary("metrics", &server.admin("/metrics").body);
    let shown = sandbox.run(list).code(0);
    assert!(shown.stdout.matches("kept-word").count() >= 3, "excerpts are seen: {shown:?}");
    is_clean(&shown);
    for delivery in shown.json()["items"].as_array().expect("items") {
        let id = delivery["id"].as_str().expect("an id");
        is_clean(&sandbox.run(&format!("deliveries show --db acme.db {id}")).code(0));
        has_no_canary(id, &server.admin(&format!("/api/acme/deliveries/{id}")).body);
    }
    is_clean(&sandbox.run(&format!("requests show --db acme.db {request}")).code(0));
    is_clean(&sandbox.run("deliveries --db acme.db --format csv").code(0));
    is_clean(&sandbox.run("deliveries --db acme.db").code(0));
    // What the answer set is there, as the policy has it.
    is_clean(&sandbox.run("requests --db acme.db").code(0).stdout_has("first_name=***"));
    is_clean(&sandbox.run_with(["doctor", "--db", "acme.db", &sale]));
    is_clean(&sandbox.run("doctor --db acme.db --rules rules.toml"));
    server.signal("TERM");
    assert!(server.wait().success());
    server.wait_for("an attempt ended");
    for canary in CANARIES {
        assert!(!server.has_said(canary), "{canary} in the log");
    }
    is_clean(&sandbox.run("replay --db acme.db").code(0));
    let files = fs::read_dir(sandbox.path("")).expect("the folder").flatten();
    let ours = files.filter(|file| file.file_name().to_string_lossy().contains("acme.db"));
    let bytes: Vec<u8> = ours.flat_map(|file| fs::read(file.path()).expect("a file")).collect();
    let bytes = String::from_utf8_lossy(&bytes);
    assert!(bytes.contains("kept-word"), "excerpts are stored");
    has_no_canary("the database", &bytes);
}
