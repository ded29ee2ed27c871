//! What is due, done once by the command line where no server runs.

use counterfoil_fixtures::Delivered;

use crate::{
    engines::receiver::Receiver,
    sandbox::{RULES, Sandbox},
    server::Server,
};

const TOLD: &str = r#"
auto_set = { result = "approved", after = "30d" }

[[tracking_api]]
id      = "first"
owner   = { affiliate = "bo" }
request = { url = "https://first.example/{result}" }

[[tracking_api]]
id      = "second"
owner   = { affiliate = "bo" }
request = { url = "https://second.example/{result}" }
"#;

/// A database with a sale of the new year's first day, and who is told of it.
fn sale() -> (Sandbox, Receiver) {
    let mut receiver = Receiver::default();
    let rules = receiver.redirected(&format!("{}{TOLD}", RULES.trim_end()));
    let sandbox = Sandbox::new().file("rules.toml", &rules);
    let at = "--at 2026-01-01T12:00:00Z";
    let click = format!("click --db acme.db --rules rules.toml {at} shoply-cz/bo");
    let click = sandbox.run(&click).code(0);
    let pcid = click.stdout.trim();
    sandbox.run(&format!("send --db acme.db {at} pcid={pcid}&type=sale&value=100")).code(0);
    (sandbox, receiver)
}

const ALLOWED: &str = "--allow-destination 127.0.0.0/8";

#[test]
fn results_are_set_and_messages_sent_once() {
    let (sandbox, _receiver) = sale();
    let catch_up = |at: &str| sandbox.run(&format!("catch-up --db acme.db --at {at} {ALLOWED}"));
    catch_up("2026-01-01T12:00:00Z")
        .code(0)
        .stdout_has("delivered  first  ")
        .stdout_has("delivered  second  ")
        .stderr_has("results set: 0; messages attempted: 2, failed: 0");
    catch_up("2026-01-30").code(0).no_stdout().stderr_has("set: 0; messages attempted: 0");
    let set = catch_up("2026-02-01").code(0).stdout_has("approved  transaction ");
    set.stdout_has("  200\n").stderr_has("results set: 1; messages attempted: 2, failed: 0");
    catch_up("2026-03-01").code(0).no_stdout().stderr_has("set: 0; messages attempted: 0");
    let row = sandbox.run("requests --db acme.db --limit 1 --format json").code(0).json();
    assert_eq!(row["items"][0]["method"], "auto_set");
    assert_eq!(row["items"][0]["received_at"], "2026-02-01T00:00:00.000Z");
}

#[test]
fn what_fails_is_told_and_waits_for_the_next_time() {
    let (sandbox, receiver) = sale();
    receiver.answers(&Delivered { status: Some(503), ..Delivered::default() });
    let catch_up = |arguments: &str| {
        sandbox.run(&format!("catch-up --db acme.db --at 2026-01-02T00:00:{arguments}"))
    };
    let failed = catch_up(&format!("00Z {ALLOWED} --format json")).code(3).json();
    let deliveries = failed["deliveries"].as_array().expect("deliveries");
    assert_eq!(deliveries.len(), 2);
    for delivery in deliveries {
        assert_eq!(delivery["state"], "due");
        assert_eq!(delivery["due_at"], "2026-01-02T00:00:05.000Z");
        assert_eq!(delivery["attempts"][0]["status"], 503);
    }
    catch_up(&format!("04Z {ALLOWED}")).code(0).stderr_has("messages attempted: 0");
    receiver.answers(&Delivered::default());
    catch_up(&format!("05Z {ALLOWED}")).code(0).stderr_has("messages attempted: 2, failed: 0");
}

#[test]
fn only_what_was_chosen_is_touched() {
    let (sandbox, _receiver) = sale();
    let catch_up = |arguments: &str| {
        sandbox.run(&format!("catch-up --db acme.db --at 2026-02-01 {ALLOWED} {arguments}"))
    };
    catch_up("--tracking-api second --format json").code(0).stdout_has("\"results\": []");
    let rows = sandbox.run("deliveries --db acme.db --format json").code(0).json();
    let states: Vec<(&str, &str, usize)> = rows["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|row| {
            let attempts = row["attempts"].as_array().map_or(0, Vec::len);
            let text = |name: &str| row[name].as_str().unwrap_or_default();
            (text("tracking_api_id"), text("state"), attempts)
        })
        .collect();
    assert_eq!(states, [("second", "delivered", 1), ("first", "due", 0)]);
    catch_up("--only results").code(0).stderr_has("set: 1; messages attempted: 0");
    catch_up("--only messages").code(0).stderr_has("set: 0; messages attempted: 3, failed: 0");
}

#[test]
fn destinations_must_be_allowed_and_a_server_does_it_by_itself() {
    let (sandbox, _receiver) = sale();
    let catch_up = "catch-up --db acme.db --at 2026-01-02 --tracking-api first";
    sandbox.run(catch_up).code(3).stdout_has("dead  first  ").stderr_has("failed: 1");
    sandbox
        .run("catch-up --db new.db")
        .code(1)
        .stderr_has("keeps no rules yet")
        .stderr_has("--rules");
    let server = Server::start(&sandbox);
    sandbox
        .run(catch_up)
        .code(1)
        .stderr_has("counterfoil serve on")
        .stderr_has("a server does it by itself");
    drop(server);
}
