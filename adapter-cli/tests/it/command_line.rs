//! Commands that end by themselves: arguments, files, output, exit codes.

use std::{fs, path::Path};

use crate::sandbox::{RULES, Sandbox};

#[test]
fn the_exit_codes_are_listed() {
    let ran = Sandbox::new().run("help exit-codes").code(0);
    for number in ["0", "1", "2", "3", "130"] {
        let listed = |line: &str| line.trim_start().starts_with(&format!("{number} "));
        assert!(ran.stdout.lines().any(listed), "{number}: {}", ran.stdout);
    }
}

#[test]
fn usage_mistakes_end_with_2_and_typos_get_a_suggestion() {
    let sandbox = Sandbox::new();
    sandbox.run("").code(2).no_stdout();
    sandbox.run("serv").code(2).no_stdout().stderr_has("'serve'");
    sandbox.run("serve --rule x").code(2).no_stdout().stderr_has("'--rules'");
    for given in ["8080", ":8080", "localhost:8080"] {
        let serve = format!("serve --listen {given}");
        sandbox.run(&serve).code(2).stderr_has("write it as 127.0.0.1:8080");
    }
    sandbox.run("serve rules.toml --db x").code(2).stderr_has("`--rules rules.toml`");
    let ran = sandbox.run("conversions rules.toml --db x").code(2);
    assert!(!ran.stderr.contains("--rules"), "{ran:?}");
    sandbox.run("help nothing").code(2).no_stdout().stderr_has("exit-codes");
    let nested = sandbox.run("help requests show").code(0);
    assert_eq!(nested.stdout, sandbox.run("requests show --help").code(0).stdout);
    sandbox.run("help requests shw").code(2).stderr_has("`requests shw`").stderr_has("show");
    sandbox.run("help serve x").code(2).stderr_has("as in `counterfoil help serve`");
    sandbox.run("conversions --db x --limit 1001").code(2).no_stdout();
    sandbox.run("conversions --db x --since monday").code(2).stderr_has("a date as 2026-01-31");
    sandbox.run("requests --db x --reason nonsense").code(2).stderr_has("pairing_failed");
}

#[test]
fn help_goes_to_stdout_and_shows_examples_first() {
    let sandbox = Sandbox::new();
    for command in [
        "serve",
        "doctor",
        "explain",
        "requests",
        "requests show",
        "deliveries",
        "deliveries show",
        "deliveries retry",
        "listen",
    ] {
        let ran = sandbox.run(&format!("{command} --help")).code(0);
        let examples = ran.stdout.find("Examples:").expect(&ran.stdout);
        assert!(examples < ran.stdout.find("Usage:").expect(&ran.stdout));
    }
    let whole = sandbox.run("help").code(0).stdout;
    assert_eq!(whole, sandbox.run("--help").code(0).stdout);
}

#[test]
fn check_tells_all_mistakes_and_ends_with_3() {
    let bad = RULES.replace("percent_of_revenue", "percent").replace("\"bo\"", "\"b o\"");
    let sandbox = Sandbox::with_rules().file("bad.toml", &bad);
    sandbox.run("check rules.toml").code(0).stderr_has("the rules are valid");
    let ran = sandbox.run("check rules.toml bad.toml").code(3);
    let ran = ran.stdout_has("bad.toml:").stdout_has("commission[0].payout");
    assert!(ran.stdout.matches("error").count() >= 2, "{ran:#?}");
    assert!(!ran.stdout.contains("rules.toml"), "{ran:#?}");
    let report = sandbox.run("check bad.toml --format json").code(3).json();
    assert_eq!(report["valid"], false);
    assert!(report["issues"].as_array().expect("issues").len() >= 2);
    assert_eq!(report["issues"][0]["file"], "bad.toml");
}

#[test]
fn check_tells_of_every_file_where_one_cannot_be_read() {
    let bad = RULES.replace("percent_of_revenue", "percent");
    let sandbox = Sandbox::with_rules().file("bad.toml", &bad).file("broken.json", "{");
    fs::write(sandbox.path("latin.toml"), b"tenant = \"caf\xe9\"\n").expect("a file");
    let ran = sandbox.run("check latin.toml nowhere.toml bad.toml broken.json").code(1);
    let ran = ran.stdout_has("bad.toml:").stdout_has("commission[0].payout");
    let ran = ran.stdout_has("broken.json:1:1").stderr_has("`latin.toml`").stderr_has("as UTF-8");
    ran.stderr_has("`nowhere.toml`").stderr_has("not all rules could be read: 2 files, 2 mistakes");
    let ran = sandbox.run("check latin.toml rules.toml").code(1);
    assert!(!ran.stderr.contains("the rules are valid"), "{ran:#?}");
    let report = sandbox.run("check latin.toml rules.toml --format json").code(1).json();
    assert_eq!(report["valid"], false);
    assert_eq!(report["issues"].as_array().expect("issues").len(), 1);
    assert_eq!(report["issues"][0]["file"], "latin.toml");
    assert_eq!(report["issues"][0]["severity"], "error");
    let report = sandbox.run("check latin.toml --format json").code(1).json();
    assert_eq!(report["issues"][0]["hint"], "save the file as UTF-8");
    sandbox.run("check bad.toml broken.json").code(3);
}

#[test]
fn check_reads_folders_and_refuses_one_tenant_twice() {
    let sandbox = Sandbox::with_rules().file("again.toml", RULES);
    sandbox.run("check .").code(3).stdout_has("the tenant `acme` is in");
    sandbox.run("check nowhere.toml").code(1).no_stdout().stderr_has("`nowhere.toml`");
    let empty = Sandbox::new();
    empty.run("check .").code(2).stderr_has("no rules file");
}

#[test]
fn rules_and_scenarios_may_share_a_folder() {
    let scenarios = "rules = \"rules.toml\"\n[[scenario]]\ntitle = \"a click\"\n\
                     [[scenario.step]]\nclick = \"shoply-cz/bo\"\n";
    let sandbox = Sandbox::with_rules().file("clicks.toml", scenarios);
    let told = |path: &str, kind: &str| format!("skipped `./{path}`: it holds {kind}");
    let tested = sandbox.run("test .").code(0).stderr_has("1 passed");
    tested.stderr_has(&told("rules.toml", "rules"));
    let checked = sandbox.run("check .").code(0).stderr_has("1 file,");
    checked.stderr_has(&told("clicks.toml", "scenarios"));
    sandbox.run("test rules.toml").code(2).stderr_has("`counterfoil check rules.toml`");
    for command in ["check clicks.toml", "serve --db acme.db --rules clicks.toml"] {
        sandbox.run(command).code(2).stderr_has("`counterfoil test clicks.toml`");
    }
    for command in ["check nowhere", "test nowhere", "serve --db acme.db --rules nowhere"] {
        sandbox.run(command).code(1).stderr_has("`nowhere`").stderr_has("try: ");
    }
}

#[test]
fn a_failed_step_tells_why_it_was_refused_and_which_names_are_unknown() {
    let scenarios = "rules = \"rules.toml\"\n[[scenario]]\ntitle = \"a sale\"\n\
                     [[scenario.step]]\nclick = \"shoply-cz/bo\"\nas = \"click\"\n\
                     [[scenario.step]]\nsend = \"pcid={clik}&x={click}&type=sale\"\n\
                     expect = { outcome = \"created\" }\n";
    let sandbox = Sandbox::with_rules().file("sale.toml", scenarios);
    let ran = sandbox.run("test sale.toml").code(3).stdout_has("at step 2");
    let ran = ran
        .stdout_has("it was refused: unresolved_macro (parameter `pcid`)")
        .stdout_has("no step before it says `as = \"clik\"`, so `{clik}` was sent");
    assert!(!ran.stdout.contains("`{click}`"), "{ran:?}");
    let mended = sandbox.file("sale.toml", &scenarios.replace("{clik}", "{click}"));
    mended.run("test sale.toml").code(0).stderr_has("1 passed");
    mended.run("test --help").code(0).stdout_has("those of steps that have none");
}

#[test]
fn a_missing_secret_is_a_warning_in_check_and_stops_a_start() {
    let of_requests = "[[tracking_api]]\nid = \"x\"\n\
                       request.url = \"https://shoply.example/?key={secret:acme_api}\"\n";
    for rules in [
        format!("api_tokens = [\"{{secret:acme_api}}\"]\n{RULES}"),
        format!("{RULES}{of_requests}"),
    ] {
        let sandbox = Sandbox::new().file("rules.toml", &rules);
        sandbox
            .run("check rules.toml")
            .code(0)
            .stdout_has("warning")
            .stdout_has("COUNTERFOIL_SECRET_ACME_API");
        sandbox
            .run("serve --rules rules.toml --db acme.db")
            .code(1)
            .stderr_has("no secret `acme_api`");
    }
}

#[test]
fn a_secret_that_cannot_sign_is_a_mistake_in_check_and_stops_a_start() {
    let signed = "[[tracking_api]]\nid = \"x\"\nsign = \"{secret:signing}\"\n\
                  request = { url = \"https://shoply.example/\", body = { json = {} } }\n";
    let mut sandbox = Sandbox::new().file("rules.toml", &format!("{RULES}{signed}"));
    for (key, why) in [("canary!", "no base64"), ("whsec_AAAA", "3 bytes")] {
        sandbox = sandbox.file("signing", key);
        let ran = sandbox.run("check rules.toml --secrets .").code(3);
        let ran = ran.stdout_has("`signing` is no signing key").stdout_has(why);
        assert!(!ran.stdout_has("openssl rand -base64 32").stdout.contains("canary"));
        let ran = sandbox.run("serve --rules rules.toml --db acme.db --secrets .").code(1);
        ran.stderr_has(why).stderr_has("openssl rand -base64 32");
    }
    let key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    sandbox.file("signing", key).run("check rules.toml --secrets .").code(0);
}

#[test]
fn a_folder_of_secrets_that_is_none_is_refused() {
    let sandbox = Sandbox::with_rules();
    for command in ["check rules.toml", "serve --rules rules.toml --db acme.db"] {
        let ran = sandbox.run(&format!("{command} --secrets nope"));
        ran.code(1).stderr_has("`nope` does not exist").stderr_has("try");
        let ran = sandbox.run(&format!("{command} --secrets rules.toml"));
        ran.code(1).stderr_has("`rules.toml` is no folder");
    }
    assert!(!sandbox.path("acme.db").exists());
    let help = sandbox.run("serve --help").code(0);
    help.stdout_has("`admin_token`").stdout_has("COUNTERFOIL_SECRET_ADMIN_TOKEN");
}

#[test]
fn rules_with_mistakes_never_start_a_server() {
    let sandbox = Sandbox::new().file("bad.toml", "tenant = 7");
    sandbox
        .run("serve --rules bad.toml --db acme.db")
        .code(3)
        .no_stdout()
        .stderr_has("bad.toml:1:");
    assert!(!sandbox.path("acme.db").exists());
}

#[test]
fn a_click_and_a_request_straight_into_a_database() {
    let sandbox = Sandbox::with_rules();
    let click = sandbox.run("click --db acme.db --rules rules.toml shoply-cz/bo?affs1=mail");
    let pcid = click.code(0).stdout.trim().to_owned();
    assert_eq!(pcid.len(), 36);

    let sale = format!("send --db acme.db pcid={pcid}&type=sale&value=100&external_id=A-1");
    let ran = sandbox.run(&sale).code(0);
    ran.stdout_has("created").stdout_has("revenue 10.00 EUR, payout 5.00 EUR");
    let repeat = sandbox.run(&format!("{sale} --format json")).code(0).json();
    assert_eq!(repeat["outcome"], "duplicate");
    assert_eq!(repeat["transactions"][0]["payout"], "5.00");

    sandbox
        .run("send --db acme.db type=sale&external_id=A-2")
        .code(3)
        .stdout_has("advertiser_id_required");
    lists_show_what_was_stored(&sandbox, &pcid);
}

#[test]
fn a_click_that_the_rules_do_not_know_is_refused_and_logged() {
    let sandbox = Sandbox::with_rules();
    let click = "click --db acme.db --rules rules.toml";
    let table = [
        ("shoply-cs/bo", "unknown_offer", "no offer `shoply-cs`", "did you mean `shoply-cz`?"),
        ("shoply-cz/ann", "unknown_affiliate", "no affiliate `ann`", "add it to the rules"),
    ];
    for (link, reason, message, hint) in table {
        let ran = sandbox.run(&format!("{click} {link}?affs1=mail")).code(3).no_stdout();
        ran.stderr_has(reason).stderr_has(message).stderr_has(hint);
        let told = sandbox.run(&format!("{click} {link} --format json")).code(3).json();
        assert_eq!((&told["outcome"], &told["reason"]), (&"refused".into(), &reason.into()));
    }
    let rows = sandbox.run("requests --db acme.db --outcome refused --format json").code(0).json();
    let rows = rows["items"].as_array().expect("rows");
    assert_eq!(rows.len(), 4);
    assert_eq!(rows[3]["method"], "link");
    assert_eq!(rows[3]["query"], "offer_id=shoply-cs&affiliate_id=bo&affs1=mail");
    assert_eq!(rows[3]["reason"], "unknown_offer");

    sandbox.run(&format!("{click} shoply-cz")).code(2).stderr_has("no offer/affiliate");
    sandbox
        .run(&format!("{click} shoply-cz/bo?affs1=%"))
        .code(2)
        .stderr_has("percent sign without two");
    let explain = "explain --rules rules.toml --root shoply-cs/bo type=sale";
    sandbox.run(explain).code(1).no_stdout().stderr_has("`shoply-cs`").stderr_has("did you mean");
}

fn lists_show_what_was_stored(sandbox: &Sandbox, pcid: &str) {
    let sales = sandbox.run("conversions --db acme.db --type sale --format json");
    let sales = sales.code(0).json();
    assert_eq!(sales["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(sales["items"][0]["root_id"], pcid);
    assert_eq!(sales["items"][0]["affs"]["affs1"], "mail");
    sandbox
        .run("transactions --db acme.db --format csv")
        .code(0)
        .stdout_has("id,created_at,result,revenue,payout")
        .stdout_has(",pending,10.00,5.00,EUR,bo,shoply-cz,tenth,");
    let made = sandbox.run(&format!("requests show --db acme.db {pcid}")).code(1);
    let (_, request) = made.stderr.split_once("`counterfoil requests show ").expect("a hint");
    let request = request.get(..pcid.len()).expect("an id");
    let show = format!("requests show --db acme.db {request}");
    sandbox.run(&show).code(0).stdout_has("a click on an affiliate link (R51)");
    let refused = sandbox.run("requests --db acme.db --outcome refused --format json");
    let refused = refused.code(0).json();
    let id = refused["items"][0]["id"].as_str().expect("an id").to_owned();
    sandbox
        .run(&format!("requests show --db acme.db {id}"))
        .code(0)
        .stdout_has("advertiser_id_required");
    sandbox.run("send --db acme.db type=sale&pcid=%zz").code(3).stdout_has("malformed");
    let malformed = sandbox.run("requests --db acme.db --reason malformed --format json");
    let malformed = malformed.code(0).json();
    let malformed = &malformed["items"][0];
    let id = malformed["id"].as_str().expect("an id");
    let shown = sandbox.run(&format!("requests show --db acme.db {id}")).code(0);
    shown.stdout_has(malformed["hint"].as_str().expect("a hint"));
    let table = sandbox.run("requests --db acme.db --since 2026-01-01 --until 9999-01-01").code(0);
    assert!(table.stdout.lines().next().expect("a header").contains(" notes "), "{table:?}");
    sandbox.run("requests --db acme.db --until 2026-01-01").code(0).stderr_has("no rows");
    let first = sandbox.run("requests --db acme.db --limit 1");
    let first = first.code(0).stderr_has("--cursor ");
    let (_, cursor) = first.stderr.split_once("--cursor ").expect("a cursor");
    let next = format!("requests --db acme.db --limit 1 --cursor {}", cursor.trim());
    assert_ne!(sandbox.run(&next).code(0).stdout, first.stdout);
    sandbox.run("replay --db acme.db").code(0).stderr_has("nothing differs");
    sandbox.run("backup --db acme.db --to copy.db").code(0).stderr_has("copied and verified");
    let touched = rusqlite::Connection::open(sandbox.path("copy.db")).expect("the copy");
    touched
        .execute("UPDATE conversions SET channel = 'x' WHERE root IS NOT NULL", [])
        .expect("a row");
    let differs = sandbox.run("replay --db copy.db").code(3);
    differs.stdout_has("\n  stored:  channel x\n  decided: channel NULL\n");
    touched.execute("UPDATE conversions SET channel = NULL", []).expect("a row");
    sandbox.run("backup --db acme.db --to copy.db").code(1);
    sandbox.run("replay --db copy.db").code(0);
}

#[test]
fn what_is_no_database_is_told_so() {
    let sandbox = Sandbox::with_rules().file("text.db", &"no database ".repeat(1000));
    sandbox
        .run("conversions --db text.db")
        .code(1)
        .no_stdout()
        .stderr_has("not a Counterfoil database");
    sandbox.run("conversions --db nowhere.db").code(1).stderr_has("no database at `nowhere.db`");
    sandbox
        .run("click --db text.db --rules rules.toml shoply-cz/bo")
        .code(1)
        .stderr_has("not a Counterfoil database");
}

/// Takes a database as another program may, alone.
fn hold_alone(path: &Path) -> rusqlite::Connection {
    let db = rusqlite::Connection::open(path).expect("the database");
    // In WAL mode an exclusive transaction alone leaves readers be.
    db.execute_batch("PRAGMA locking_mode = exclusive; BEGIN EXCLUSIVE").expect("a free database");
    db
}

#[test]
fn a_database_that_another_process_holds_is_told_as_that() {
    let sandbox = Sandbox::with_rules();
    let held = ["acme.db", "served.db"].map(|db| {
        sandbox.run(&format!("click --db {db} --rules rules.toml shoply-cz/bo")).code(0);
        hold_alone(&sandbox.path(db))
    });
    let serve = "serve --rules rules.toml --db served.db --listen 127.0.0.1:0 \
                 --admin-listen 127.0.0.1:0";
    let commands = [
        ("conversions --db acme.db", 1),
        ("send --db acme.db type=sale", 1),
        ("doctor --rules rules.toml --db acme.db", 3),
        (serve, 1),
    ];
    // Each waits a few seconds for the other process, so they do it together.
    std::thread::scope(|scope| {
        for (command, code) in commands {
            let sandbox = &sandbox;
            scope.spawn(move || {
                let ran = sandbox.run(command).code(code);
                let told = format!("{}{}", ran.stdout, ran.stderr);
                assert!(told.contains(".db` is held by another process"), "{ran:#?}");
                assert!(told.contains("wait until it is done, or end it"), "{ran:#?}");
                assert!(!told.contains("permissions"), "{ran:#?}");
            });
        }
    });
    drop(held);
    sandbox.run("send --db acme.db type=sale").code(3).stdout_has("missing_identifier");
}

#[test]
fn a_place_for_no_database_is_told_in_plain_words() {
    let sandbox = Sandbox::with_rules();
    fs::create_dir(sandbox.path("folder")).expect("a folder");
    let missing = "the folder `nodir` does not exist";
    let serve = "serve --rules rules.toml --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0";
    for command in ["conversions", serve] {
        sandbox.run(&format!("{command} --db nodir/x.db")).code(1).stderr_has(missing);
        sandbox.run(&format!("{command} --db folder")).code(1).stderr_has("`folder` is a folder");
    }
    sandbox.run("click --db acme.db --rules rules.toml shoply-cz/bo").code(0);
    for (to, told) in [("nodir/copy.db", missing), ("folder", "`folder` is a folder")] {
        let ran = sandbox.run(&format!("backup --db acme.db --to {to}")).code(1);
        ran.stderr_has(&format!("the copy `{to}` cannot be written")).stderr_has(told);
    }
}

#[test]
fn a_database_of_a_newer_version_is_left_alone() {
    let sandbox = Sandbox::with_rules();
    sandbox.run("click --db acme.db --rules rules.toml shoply-cz/bo").code(0);
    // A copy has everything in one file.
    sandbox.run("backup --db acme.db --to copy.db").code(0);
    let mut bytes = fs::read(sandbox.path("copy.db")).expect("the database");
    // SQLite keeps `user_version` in these bytes of its header.
    bytes[60..64].copy_from_slice(&9999_u32.to_be_bytes());
    fs::write(sandbox.path("copy.db"), &bytes).expect("the database");
    for command in ["conversions --db copy.db", "click --db copy.db shoply-cz/bo"] {
        sandbox.run(command).code(1).no_stdout().stderr_has("9999").stderr_has("newer version");
    }
}

#[test]
fn the_tenant_is_asked_for_where_there_are_two() {
    let sandbox = Sandbox::with_rules().file("two.toml", &RULES.replace("acme", "other"));
    let click = "click --db both.db --rules rules.toml --rules two.toml shoply-cz/bo";
    sandbox.run(click).code(2).stderr_has("--tenant: acme, other");
    sandbox.run(&format!("{click} --tenant other")).code(0);
    let rows = |tenant: &str| {
        let list = format!("conversions --db both.db --tenant {tenant} --format json");
        sandbox.run(&list).code(0).json()["items"].as_array().map(Vec::len)
    };
    assert_eq!((rows("acme"), rows("other")), (Some(0), Some(1)));
    sandbox
        .run("conversions --db both.db --tenant nobody")
        .code(1)
        .stderr_has("one of acme, other");
    // The path of a URL names the tenant too.
    let url = "http://localhost/api/other/postbacks/handle?type=sale&pcid=x";
    sandbox.run(&format!("send --db both.db {url}")).code(3).stdout_has("invalid_identifier");
}

#[test]
fn explain_assumes_a_click_and_writes_nothing() {
    let sandbox = Sandbox::with_rules();
    let explain = "explain --rules rules.toml --root shoply-cz/bo";
    sandbox
        .run(&format!("{explain} type=sale&value=50"))
        .code(0)
        .stdout_has("revenue 5.00 EUR, payout 2.50 EUR")
        .stdout_has("(R15)");
    let url = "https://x.example/api/acme/postbacks/handle?pcid=nonsense&type=sale&value=19.99";
    let answer = sandbox.run(&format!("{explain} --format json {url}")).code(0).json();
    assert_eq!(answer["outcome"], "created");
    assert_eq!(answer["transactions"][0]["revenue"], "2.00");
    assert_eq!(answer["events"][0], "conversion.created");
    assert!(answer["trace"].as_array().is_some_and(|steps| steps.len() > 5));
    // The click takes the place that the dialect of the path has for it.
    sandbox
        .run(&format!("{explain} https://x.example/api/acme/postbacks/voluum?cid=x&payout=3"))
        .code(0)
        .stdout_has("in the dialect `voluum`")
        .stdout_has("revenue 3.00 EUR");
    sandbox
        .run("explain --rules rules.toml pcid=01930000-0000-7000-8000-000000000000&type=sale")
        .code(3)
        .stdout_has("pairing_failed")
        .stderr_has("--root");
    sandbox
        .run("explain --rules rules.toml --root shoply-cz type=sale")
        .code(2)
        .stderr_has("shoply-cz/bo");
    assert_eq!(fs::read_dir(sandbox.path(".")).unwrap().count(), 1);
}

/// Every command that the README shows is one: its names and flags exist.
fn readme() -> String {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    fs::read_to_string(readme).expect("README.md")
}

#[test]
fn the_readme_embeds_the_library_in_25_lines() {
    let readme = readme();
    let (_, example) = readme.split_once("```rust\n").expect("an example");
    let (example, _) = example.split_once("\n```").expect("its end");
    assert!(example.contains("Store::open"));
    assert!(example.lines().count() <= 25, "{}", example.lines().count());
}

#[test]
fn the_commands_of_the_readme_exist() {
    let readme = readme();
    let sandbox = Sandbox::new();
    let mut found = 0;
    for line in readme.lines() {
        // A prompt and variables may stand before the command.
        let before = |word: &&str| *word == "$" || word.contains('=');
        let command: Vec<&str> = line.split_whitespace().skip_while(before).collect();
        let command = command.join(" ");
        let ours = ["counterfoil ", "cargo run --release -- "];
        let Some(arguments) = ours.iter().find_map(|start| command.strip_prefix(start)) else {
            continue;
        };
        let words = arguments.split(['#', '>', '|']).next().unwrap_or_default();
        // What is quoted is one word, and JSON to whoever asks for it.
        let quoted = |(place, part)| if place % 2 == 0 { part } else { "{}" };
        let words: String = words.split('\'').enumerate().map(quoted).collect();
        // A variable stands for an id.
        let id = "01993b2e-7c1a-7f00-8000-0123456789ab";
        let filled = |word| if word == "\"$ID\"" { id } else { word };
        let words = words.split_whitespace().map(filled).chain(["--help"]);
        sandbox.run_with(words).code(0);
        found += 1;
    }
    assert!(found > 5, "the README shows {found} commands");
}

#[test]
fn completions_and_man_pages_are_written() {
    let sandbox = Sandbox::new();
    for shell in ["bash", "zsh", "fish"] {
        sandbox.run(&format!("completions {shell}")).code(0).stdout_has("rules-from-db");
    }
    sandbox.run("man").code(0).stdout_has(".TH counterfoil 1");
    sandbox.run("man pages").code(0).no_stdout();
    assert!(sandbox.path("pages/counterfoil-serve.1").exists());
    assert!(sandbox.path("pages/counterfoil-requests-show.1").exists());
}
