//! Handing in by the command line whatever a server would take: bodies, roots, edits, moments.

use crate::sandbox::Sandbox;

const WRITE: &str = "--db acme.db --rules rules.toml --format json";

fn clicked() -> (Sandbox, String) {
    let sandbox = Sandbox::with_rules();
    let click = sandbox.run("click --db acme.db --rules rules.toml shoply-cz/bo").code(0);
    let pcid = click.stdout.trim().to_owned();
    (sandbox, pcid)
}

#[test]
fn a_body_comes_as_text_from_a_file_or_from_standard_input() {
    let (sandbox, pcid) = clicked();
    let form = format!("pcid={pcid}&type=sale&value=100");
    let sandbox = sandbox.file("sale.json", &format!(r#"{{"pcid":"{pcid}","type":"sale"}}"#));
    let by_text = sandbox.run(&format!("send {WRITE} external_id=1 --form {form}")).code(0).json();
    assert_eq!(by_text["conversion"]["value"], "100.00");
    let url = "https://x.example/api/acme/postbacks/handle?external_id=2";
    let by_file = sandbox.run(&format!("send {WRITE} {url} --json @sale.json")).code(0).json();
    assert_eq!(by_file["conversion"]["external_id"], "2");
    let json = format!("send {WRITE} external_id=2 --json @-");
    let ran = sandbox.run_fed(&json, &format!(r#"{{"pcid":"{pcid}","type":"sale"}}"#));
    assert_eq!(ran.code(0).json()["outcome"], "duplicate");
    sandbox.run(&format!("send {WRITE} x=1 --json [1]")).code(3).stdout_has("malformed");
    sandbox.run(&format!("send {WRITE} x=1 --json @none")).code(1).stderr_has("cannot read `none`");
    sandbox.run(&format!("send {WRITE} x=1 --json a --form b")).code(2);
}

#[test]
fn roots_come_by_the_url_of_roots() {
    let sandbox = Sandbox::with_rules().file(
        "root.json",
        r#"{"type":"lead","source":"api","offer_id":"shoply-cz","affiliate_id":"bo"}"#,
    );
    let url = "https://x.example/api/acme/conversions";
    let made = sandbox.run(&format!("send {WRITE} {url} --json @root.json")).code(0).json();
    assert_eq!(made["conversion"]["type"], "lead");
    assert_eq!(made["conversion"]["method"], "api");
    sandbox.run(&format!("send {WRITE} {url}")).code(2).stderr_has("--json @root.json");
    sandbox.run(&format!("send {WRITE} {url} --json {{}}")).code(3);
    let log = sandbox.run("replay --db acme.db").code(0);
    log.stderr_has("2");
}

#[test]
fn a_moment_that_is_named_is_the_time_of_the_request() {
    let sandbox = Sandbox::with_rules();
    let at = |at: &str| sandbox.run(&format!("click {WRITE} --at {at} shoply-cz/bo"));
    let made = at("2026-01-31T12:00:00Z").code(0).json();
    assert_eq!(made["conversion"]["created_at"], "2026-01-31T12:00:00.000Z");
    assert_eq!(
        at("2026-02-01").code(0).json()["conversion"]["created_at"].as_str(),
        Some("2026-02-01T00:00:00.000Z")
    );
    at("yesterday").code(2).stderr_has("2026-01-31");
}

#[test]
fn a_transaction_is_edited_with_a_reason() {
    let (sandbox, pcid) = clicked();
    let sale = sandbox.run(&format!("send {WRITE} pcid={pcid}&type=sale&value=100")).code(0).json();
    let id = sale["transactions"][0]["id"].as_str().expect("a transaction").to_owned();
    let edit = |arguments: &str| sandbox.run(&format!("transactions edit {WRITE} {arguments}"));
    let edited = edit(&format!("{id} --result approved --payout 1.5 --reason agreed")).code(0);
    let edited = &edited.json()["transactions"][0];
    assert_eq!((&edited["result"], &edited["payout"]), (&"approved".into(), &"1.50".into()));
    assert_eq!(edited["revenue"], "10.00");
    edit(&format!("{id} --result approved")).code(2).stderr_has("--reason");
    edit(&format!("{id} --reason agreed")).code(3).stdout_has("at least one of result");
    edit(&format!("{id} --revenue much --reason agreed")).code(3).stdout_has("invalid_amount");
    edit("01993b2e-7c1a-7f00-8000-0123456789ab --payout 1 --reason agreed").code(3);
    let log = sandbox.run("requests --db acme.db --format json").code(0).json();
    assert_eq!(log["items"].as_array().map(Vec::len), Some(5), "clicks have no row");
    assert_eq!(log["items"][0]["method"], "admin");
    sandbox.run("replay --db acme.db").code(0);
}
