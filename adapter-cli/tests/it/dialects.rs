//! How other systems write postbacks, from the command line: listed, shown, and written by hand.

use crate::sandbox::{RULES, Sandbox};

/// Rules with a dialect of their own, one that extends another, and a definition in it.
const OWN: &str = r#"
[[dialect]]
id     = "acmetrack"
system = "AcmeTrack"
names  = { click = "pcid", total = "value", state = "result", goal = "event" }
status = { ok = { result = "approved" } }
events = { 2 = { type = "lead" } }
fixed  = { currency = "EUR" }
answer = { success = "OK", refusal = "ERROR {message}" }

[[dialect]]
id      = "games"
extends = "voluum"
names   = { click = "pcid" }
macros  = { click = "[CLICK]", currency = "" }

[[postback]]
id          = "from-games"
dialect     = "games"
advertisers = ["shoply"]
"#;

fn with_own() -> Sandbox {
    Sandbox::new().file("rules.toml", &format!("{RULES}{OWN}"))
}

#[test]
fn dialects_are_listed_and_shown_with_their_sources() {
    let sandbox = Sandbox::with_rules();
    sandbox.run("dialects").code(0).stdout_has("keitaro").stdout_has("click+external");
    let facts = sandbox.run("dialects show keitaro --format json").code(0).json();
    let facts = facts.as_array().unwrap();
    let fact = |name: &str| facts.iter().find(|fact| fact["name"] == name).unwrap();
    assert_eq!(fact("tid")["meaning"], "external_id");
    assert_eq!(fact("lead")["meaning"], "type lead, result pending");
    assert_eq!(fact("sale_status")["meaning"], "kept, words that mean `sale` here");
    assert_eq!(
        (&fact("refused")["certain"], &fact("lead")["certain"]),
        (&"no".into(), &"yes".into())
    );
    assert!(facts.iter().all(|fact| fact["source"] != ""));
    sandbox.run("dialects show keitar").code(2).stderr_has("keitaro");
}

#[test]
fn those_of_the_rules_are_listed_and_shown_beside_them() {
    let sandbox = with_own();
    let listed = sandbox.run("dialects --rules rules.toml --format json").code(0).json();
    let listed = listed.as_array().unwrap();
    let names: Vec<_> = listed.iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!((names.len(), &names[9..]), (12, &["affise", "acmetrack", "games"][..]));
    assert_eq!(
        (&listed[11]["click_id"], &listed[11]["system"], &listed[11]["dedup_key"]),
        (&"click".into(), &"games".into(), &"click+external".into())
    );
    let shown = sandbox.run("dialects show acmetrack --rules rules.toml --format csv").code(0);
    let want = "kind,name,meaning,certain,source\n\
                parameter,click,pcid,yes,the rules\n\
                parameter,total,value,yes,the rules\n\
                parameter,state,result,yes,the rules\n\
                parameter,goal,\"kept, the word of an event\",yes,the rules\n\
                status,ok,result approved,yes,the rules\n\
                event,2,type lead,yes,the rules\n\
                fixed,currency,EUR,yes,the rules\n\
                repeats,,\"key click+external, refuse\",yes,the rules\n\
                answer,success,OK,yes,the rules\n\
                answer,duplicate,OK,yes,the rules\n\
                answer,refused,ERROR {message},yes,the rules\n\
                url macro,pcid,\"the click id, in the url of an offer\",yes,Counterfoil\n";
    assert_eq!(shown.stdout.replace("\r\n", "\n"), want);
    sandbox.run("dialects show acmetrack").code(2).stderr_has("--rules PATH");
    sandbox.run("dialects show acmetrac --rules rules.toml").code(2).stderr_has("acmetrack");
}

#[test]
fn the_address_for_a_partner_is_printed_whole() {
    let sandbox = with_own();
    let url = |id: &str| {
        let command = format!("postback-url {id} --rules rules.toml --base https://pb.example");
        sandbox.run(&command).code(0)
    };
    url("global")
        .stdout_has("https://pb.example/api/acme/postbacks/handle?id=global&pcid={pcid}")
        .stderr_has("Counterfoil");
    let games = url("from-games").stderr_has("games").stdout;
    let want = "https://pb.example/api/acme/postbacks/games?id=from-games&click=[CLICK]\
                &payout={payout}&txid={txid}&et={event}\n";
    assert_eq!(games, want);
    let unheard = "postback-url unheard --rules rules.toml";
    sandbox.run(unheard).code(1).stderr_has("try: one of ").stderr_has("global");
    sandbox
        .run("postback-url globl --rules rules.toml")
        .code(1)
        .stderr_has("did you mean `global`? one of ");
    // The address works as it is, once the partner has put in its values.
    let click = sandbox.run("click --rules rules.toml --db acme.db shoply-cz/bo").code(0).stdout;
    let sent = games.trim().replace("[CLICK]", click.trim());
    let sent = sent.replace("{payout}", "3").replace("{txid}", "t1").replace("{event}", "");
    sandbox
        .run_with(["send", &sent, "--rules", "rules.toml", "--db", "acme.db"])
        .code(0)
        .stdout_has("created");
}

#[test]
fn the_address_says_how_the_sender_proves_itself() {
    let asking = "\n[[postback]]\nid = \"locked\"\nhttps_only = true\n\
        auth.tokens = [\"{secret:shop}\"]\nauth.addresses = [\"192.0.2.0/24\"]\n\
        [[postback]]\nid = \"signed\"\nauth.signed_query = { secrets = [\"{secret:shop}\"] }\n\
        [[postback]]\nid = \"hooked\"\nauth.standard_webhooks = { secrets = [\"{secret:shop}\"] }\n\
        [[postback]]\nid = \"spoken\"\ndialect = \"acmetrack\"\n";
    let sandbox = Sandbox::new()
        .file("rules.toml", &format!("{RULES}{OWN}{asking}"))
        .file("shop", "canary\n");
    let url = |id: &str, base: &str| {
        sandbox.run(&format!("postback-url {id} --rules rules.toml --base {base}"))
    };
    let locked = url("locked", "https://pb.example/track/").code(0);
    locked.stdout_has("https://pb.example/track/api/acme/postbacks/handle?id=locked&pcid={pcid}");
    let locked = url("locked", "https://pb.example").code(0);
    assert!(locked.stdout.trim().ends_with("&token={secret:shop}"), "{locked:?}");
    let locked = locked.stderr_has("`shop`").stderr_has("Authorization: Bearer");
    locked.stderr_has("over https").stderr_has("192.0.2.0/24");
    let signed = url("signed", "https://pb.example").code(0);
    assert!(!signed.stdout.contains("token"), "{signed:?}");
    let signed = signed.stderr_has("`sig`").stderr_has("`shop`");
    let hooked = url("hooked", "https://pb.example").code(0).stderr_has("webhook-signature");
    assert_eq!(hooked.stdout, "https://pb.example/api/acme/postbacks/handle?id=hooked\n");
    hooked.stderr_has("in the signed body, not in the query: pcid={pcid}");
    // A base that the definition refuses, or that is nobody else's.
    url("locked", "http://pb.example").code(0).stderr_has("refused over http").stderr_has("--base");
    sandbox.run("postback-url locked --rules rules.toml").code(0).stderr_has("refused over http");
    sandbox.run("postback-url global --rules rules.toml").code(0).stderr_has("this machine alone");
    assert!(!url("global", "http://pb.example").code(0).stderr.contains("--base"));
    // One cause of warnings is told once, however many definitions it touches.
    assert_eq!(signed.stderr.matches("reach the same offers").count(), 1, "{signed:?}");
    assert_eq!(signed.stderr.matches("is got round").count(), 1, "{signed:?}");
    // A word for what happened is shown, too.
    let spoken = url("spoken", "https://pb.example").code(0).stdout_has("&goal={goal}");
    assert!(!spoken.stderr.contains("prove"), "{spoken:?}");
    for base in
        ["pb.example", "ftp://pb.example", "https://pb.example?a=1", "https://pb.example/#x"]
    {
        url("global", base).code(2).stderr_has("https://pb.example");
    }
}

#[test]
fn check_tells_what_is_wrong_with_a_dialect() {
    let clash = OWN.replace("id     = \"acmetrack\"", "id     = \"keitaro\"");
    let unknown = OWN.replace("extends = \"voluum\"", "extends = \"volum\"");
    for (own, says, hint) in [
        (clash, "at: dialect[0].id\n", "`keitaro` is a built-in dialect"),
        (unknown, "at: dialect[1].extends\n", "did you mean `voluum`?"),
    ] {
        let sandbox = Sandbox::new().file("rules.toml", &format!("{RULES}{own}"));
        let ran = sandbox.run("check rules.toml").code(3);
        let told = format!("{}{}", ran.stdout, ran.stderr);
        assert!(told.contains(says) && told.contains(hint), "{told}");
    }
}
