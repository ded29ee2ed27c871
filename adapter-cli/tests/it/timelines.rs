//! The timeline of a request, on the command line and over HTTP.

use crate::{
    listen::Listening,
    sandbox::{RULES, Sandbox},
    server::{Server, wait_until},
};

#[test]
fn the_timeline_of_a_request_is_in_the_order_of_time() {
    let listening = Listening::start(&Sandbox::new(), &[]);
    let told = format!(
        "[[tracking_api]]\nid = \"told\"\nrequest.url = \"http://{}/pb?order={{external_id}}\"\n",
        listening.address
    );
    let sandbox = Sandbox::new().file("rules.toml", &format!("{RULES}{told}"));
    let mut command = sandbox.command();
    command.args(Server::ARGUMENTS).args(["--allow-destination", "127.0.0.1/32"]);
    let server = Server::spawn(command);
    let pcid = server.click();
    let sale = format!("pcid={pcid}&type=sale&value=100&external_id=A-1&token=canary");
    let request = server.get(&format!("/api/acme/postbacks/handle?{sale}")).json();
    let id = request["request_id"].as_str().expect("an id");
    listening.wait_for("answered 200");
    let delivered = || sandbox.run("deliveries --db acme.db --state delivered --format csv");
    wait_until("it is delivered", || delivered().stdout.lines().count() == 2);
    let update = "advertiser_id=shoply&external_id=A-1&result=approved";
    let later = server.get(&format!("/api/acme/postbacks/handle?{update}")).json();

    let show = format!("requests show --db acme.db {id}");
    let row = sandbox.run(&format!("{show} --format json")).code(0).json();
    assert_eq!(row["id"], id);
    assert!(row["query"].as_str().expect("a query").contains("token=***"), "{row:#}");
    let timeline = &row["timeline"];
    assert_eq!(timeline["complete"], true);
    let items = timeline["items"].as_array().expect("items");
    let kinds: Vec<&str> = items.iter().filter_map(|item| item["what"].as_str()).collect();
    assert_eq!(
        kinds,
        ["received", "decided", "transaction", "message", "attempt", "delivered", "later"],
        "{row:#}"
    );
    assert!(items.is_sorted_by_key(|item| item["at"].as_str().expect("a time").to_owned()));
    assert_eq!(items[2]["id"], request["transactions"][0]["id"]);
    assert_eq!(items[6]["id"], later["request_id"]);
    assert!(items[4]["message"].as_str().expect("words").contains("attempt 1: 200 after"));
    let text = sandbox.run(&show).code(0).stdout_has("timeline\n").stdout_has("by s2s: updated");
    assert!(!text.stdout.contains("canary"), "{text:?}");

    let target = format!("/api/acme/requests/{id}");
    let over_http = server.admin(&format!("{target}/timeline")).json();
    assert_eq!(over_http["items"], timeline["items"]);
    assert_eq!(server.admin(&target).json().get("timeline"), None);
    assert_eq!(server.admin("/api/acme/requests/7/timeline").status, 404);
}

#[test]
fn who_proved_what_is_in_the_timeline_and_found_by_the_doctor() {
    let auth = "[[postback]]\nid = \"global\"\nauth.tokens = [\"{secret:shop}\"]\n";
    let sandbox = Sandbox::new().file("rules.toml", &format!("{RULES}{auth}"));
    let mut command = sandbox.command();
    command.args(Server::ARGUMENTS).env("COUNTERFOIL_SECRET_SHOP", "right");
    let server = Server::spawn(command);
    let sale = format!("pcid={}&type=sale&external_id=A-1", server.click());
    let send =
        |token: &str| server.get(&format!("/api/acme/postbacks/handle?{sale}&token={token}"));
    let shown = |outcome: &str| {
        let list = format!("requests --db acme.db --outcome {outcome} --format json");
        let list = sandbox.run(&list).code(0).json();
        let id = list["items"][0]["id"].as_str().expect("an id").to_owned();
        sandbox.run(&format!("requests show --db acme.db {id}")).code(0)
    };
    assert_eq!(send("wrong").status, 401);
    wait_until("it is logged", || {
        sandbox.run("requests --db acme.db --reason unauthorized").code(0).stdout.contains("A-1")
    });
    shown("refused").stdout_has("authenticated").stdout_has("failed: the token is none");
    let pasted = format!("{sale}&token=wrong");
    let asked = ["doctor", "--db", "acme.db", "--format", "json", &pasted];
    let report = sandbox.run_with(asked).code(3).json();
    assert_eq!(report["findings"][0]["code"], "arrived_refused");
    assert_eq!(report["arrivals"][0]["request"]["reason"], "unauthorized");
    assert!(report["findings"][0]["hint"].as_str().expect("a hint").contains("token"));

    assert_eq!(send("right").status, 200);
    shown("created").stdout_has("passed: tokens");
    // It needs no token in the URL any more: it was accepted.
    let report = sandbox.run_with(["doctor", "--db", "acme.db", &sale]).code(0);
    report.stderr_has("nothing is wrong with it");
}
