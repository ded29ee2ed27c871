//! `counterfoil import`: CSV files into a database, cut short and resumed, refused row by row.

mod cut_short;
mod rounds;
mod terminal;

use std::{fs, io::Write as _, process::Stdio};

use counterfoil_core::{
    TenantName,
    view::{Filter, RequestView},
};
use counterfoil_sqlite::Reader;

use crate::{
    sandbox::{Ran, Sandbox},
    server::Server,
};

/// A sandbox with rules and a click; its pcid.
fn clicked() -> (Sandbox, String) {
    let sandbox = Sandbox::with_rules();
    let click = sandbox.run("click --rules rules.toml --db acme.db shoply-cz/bo").code(0);
    let pcid = click.stdout.trim().to_owned();
    (sandbox, pcid)
}

fn import(sandbox: &Sandbox, arguments: &str) -> Ran {
    sandbox.run(&format!("import --db acme.db --format json {arguments}"))
}

/// All log rows of imports.
fn rows(sandbox: &Sandbox) -> Vec<RequestView> {
    let reader = Reader::open(&sandbox.path("acme.db")).expect("the database");
    let tenant = TenantName::new("acme").unwrap();
    let mut filter = Filter { limit: Some(1000), ..Filter::default() };
    let mut all = Vec::new();
    loop {
        let page = reader.requests(&tenant, &filter).expect("a page");
        all.extend(page.items);
        filter.cursor = page.next_cursor;
        if filter.cursor.is_none() {
            return all;
        }
    }
}

#[test]
fn rows_are_requests_at_their_dates_and_their_results_apply() {
    let (sandbox, pcid) = clicked();
    let csv = format!(
        "\u{feff}pcid;type;external_id;value;result;date;note\r\n\
         {pcid};sale;A-1;100;approved;2026-01-31;\"x;\"\"y\"\"\nz\"\r\n\
         \r\n\
         {pcid};sale;A-2;50;;2026-01-31T12:00:00+01:00;\r\n\
         {pcid};sale;A-1;100;;;\r\n\
         {pcid};;A-2;;rejected;;\r\n"
    );
    let sandbox = sandbox.file("a.csv", &csv);
    let dry = import(&sandbox, "a.csv --dry-run").code(0).stderr_has("would import").json();
    assert!(rows(&sandbox).is_empty());
    let done = import(&sandbox, "a.csv")
        .code(0)
        .stderr_has("imported `a.csv`: 4 rows read, 2 created, 1 updated, 1 duplicate; ")
        .json();
    let item = &done["items"][0];
    for (name, count) in
        [("rows", 4), ("created", 2), ("updated", 1), ("duplicate", 1), ("refused", 0)]
    {
        assert_eq!(item[name], count, "{item}");
        assert_eq!(dry["items"][0][name], count, "the dry run tells the same");
    }
    let sales = sandbox.run("transactions --db acme.db --format json").code(0).json();
    let shown: Vec<_> = sales["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|sale| {
            let text = |name: &str| sale[name].as_str().unwrap().to_owned();
            (text("result"), text("revenue"), text("created_at"))
        })
        .collect();
    let sale = |result: &str, revenue: &str, at: &str| (result.into(), revenue.into(), at.into());
    let want = [
        sale("rejected", "5.00", "2026-01-31T11:00:00.000Z"),
        sale("approved", "10.00", "2026-01-31T00:00:00.000Z"),
    ];
    assert_eq!(shown, want);
    let conversions = sandbox.run("conversions --db acme.db --external-id A-1 --format json");
    assert_eq!(conversions.json()["items"][0]["params"]["note"], "x;\"y\"\nz");
    assert!(rows(&sandbox).iter().all(|row| row.method.name() == "import"));
    sandbox.run("replay --db acme.db").code(0);
    assert!(!sandbox.path("a.rejects.csv").exists());
}

#[test]
fn broken_and_refused_rows_are_told_with_their_line_and_the_rest_goes_on() {
    let (sandbox, pcid) = clicked();
    let sandbox = sandbox.file("a.csv", "");
    let mut csv = format!(
        "pcid,type,external_id,value,date\n\
         {pcid},sale,A-1,1,\n\
         {pcid},sale,A-2\n\
         {pcid},sale,\"A-3,1,\n\
         {pcid},sale,A-4,1;5,\n\
         {pcid},sale,A-5,1,2999-01-01\n"
    )
    .into_bytes();
    csv.extend(format!("{pcid},sale,A-6\u{20},1,\n").replace('\u{20}', "?").into_bytes());
    let place = csv.iter().rposition(|byte| *byte == b'?').unwrap();
    csv[place] = 0xff;
    csv.extend(format!("{pcid},sale,A-7,1,\n").into_bytes());
    fs::write(sandbox.path("a.csv"), csv).unwrap();
    let ran = import(&sandbox, "a.csv")
        .code(3)
        .stderr_has("imported `a.csv`: 7 rows read, 2 created, 5 refused; ")
        .stderr_has("refused: 5 rows, in `a.rejects.csv`");
    let item = ran.json()["items"][0].clone();
    assert_eq!(
        (&item["rows"], &item["created"], &item["refused"]),
        (&7.into(), &2.into(), &5.into())
    );
    let reasons = serde_json::json!(
        {"invalid_amount": 1, "invalid_parameter": 1, "malformed": 3}
    );
    assert_eq!(item["reasons"], reasons);
    let rejects = fs::read(sandbox.path("a.rejects.csv")).unwrap();
    let rejects = String::from_utf8_lossy(&rejects).into_owned();
    let lines: Vec<&str> = rejects.lines().collect();
    let want = [
        "rejected_line,rejected_reason,rejected_parameter,rejected_message,rejected_hint,pcid,type",
        "3,malformed,,line 3: the row has 3 fields where the header has 5",
        "4,malformed,,line 4: a quote in the row is not closed",
        "5,invalid_amount,value,",
        "6,invalid_parameter,date,",
        "7,malformed,,line 7: the row is not UTF-8",
    ];
    assert_eq!(lines.len(), want.len(), "{rejects}");
    for (line, want) in lines.iter().zip(want) {
        assert!(line.starts_with(want), "{line}");
    }
    assert!(lines[3].ends_with(&format!("{pcid},sale,A-4,1;5,")), "{}", lines[3]);
    // What is not known to be harmless is not logged.
    let malformed = rows(&sandbox);
    let mut malformed =
        malformed.iter().filter(|row| row.reason.is_some_and(|r| r.code() == "malformed"));
    assert!(malformed.all(|row| row.query.is_empty()));
    // Corrected, the file of refused rows is imported as it is.
    let corrected = format!("{}\n{}\n", lines[0], lines[3].replace("1;5", "1.5"));
    let sandbox = sandbox.file("corrected.csv", &corrected);
    import(&sandbox, "corrected.csv")
        .code(0)
        .stderr_has("imported `corrected.csv`: 1 row read, 1 created; ");
    assert!(
        rows(&sandbox)[0].query.ends_with("A%2D4&value=1.5")
            || rows(&sandbox)[0].query.ends_with("A-4&value=1.5")
    );
    sandbox.run("replay --db acme.db").code(0);
}

#[test]
fn files_of_one_content_are_told_once_and_what_a_folder_has_besides_is_said() {
    let (sandbox, pcid) = clicked();
    fs::create_dir_all(sandbox.path("folder/deeper.csv")).unwrap();
    let csv = format!("pcid,type\n{pcid},sale\n{pcid},lead\n");
    let sandbox = sandbox
        .file("folder/f1.csv", &csv)
        .file("folder/f2.csv", &csv)
        .file("folder/f3.csv", &csv)
        .file("folder/notes.txt", "")
        .file("folder/notes.CSV", "");
    for (arguments, before) in [("folder --dry-run", 0), ("folder", 0), ("folder", 2)] {
        let ran = import(&sandbox, arguments)
            .code(0)
            .stderr_has("skipped in `folder`: 1 folder and 2 other files; ")
            .stderr_has("nothing to do: `folder/f2.csv` has the same content as `folder/f1.csv`")
            .stderr_has("nothing to do: `folder/f3.csv` has the same content as `folder/f1.csv`");
        let shown: Vec<_> = ran.json()["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| {
                let count = |name: &str| item[name].as_u64().unwrap();
                let same_as = item["same_as"].as_str().map(ToOwned::to_owned);
                (count("rows"), count("rows_before"), count("created"), same_as)
            })
            .collect();
        let same = (0, 0, 0, Some("folder/f1.csv".to_owned()));
        assert_eq!(shown, [(2, before, 2, None), same.clone(), same], "{arguments}");
    }
    let again = sandbox.run("import folder --again --db acme.db").code(0);
    let created = again.stdout.lines().filter(|line| line.contains("created"));
    assert_eq!(created.count(), 1, "{}", again.stdout);
    assert_eq!(rows(&sandbox).len(), 4);
}

/// R2: of a postback it is a note; here every row would be an update of the newest conversion.
#[test]
fn a_misspelt_column_is_refused_before_the_first_row() {
    let (sandbox, pcid) = clicked();
    sandbox.run(&format!("send --db acme.db pcid={pcid}&type=sale&value=5")).code(0);
    let before = rows(&sandbox).len();
    assert!(before > 0);
    let table: [(&str, &[&str]); 10] = [
        (
            "pcid,typ,extenal_id,value",
            &[
                "`typ` is no parameter; did you mean `type`?",
                "`extenal_id` is no parameter; did you mean `external_id`?",
                "nothing was imported",
                "rename the column",
            ],
        ),
        ("pcid,type,external_id,Value", &["did you mean `value`?"]),
        ("pcid,type,value,data", &["`data` is no parameter; did you mean `date`?"]),
        ("pcdi,type,value,x", &["did you mean `pcid`?"]),
        // Where the parameter is there, the other is something else.
        ("pcid,type,types,value", &[]),
        ("eid,type,PCID,value", &[]),
        ("pcid,type,date,data", &[]),
        ("pcid,type,rate,update", &[]),
        ("pcid,type,ID,note", &[]),
        ("pcid,type,donate,day", &[]),
    ];
    for (header, says) in table {
        let cells = if header.contains(",date,") { "2026-01-31,x" } else { "1,2" };
        let csv = format!("{header}\n{pcid},sale,{cells}\n");
        fs::write(sandbox.path("a.csv"), csv).unwrap();
        let dry = import(&sandbox, "a.csv --dry-run");
        if says.is_empty() {
            assert!(!dry.stderr.contains("did you mean"), "{header}: {}", dry.stderr);
            continue;
        }
        let ran = import(&sandbox, "a.csv").code(1);
        let dry = dry.code(1);
        for says in says {
            assert!(ran.stderr.contains(says), "{header}: {}", ran.stderr);
            assert!(dry.stderr.contains(says), "{header}: {}", dry.stderr);
        }
        assert_eq!(rows(&sandbox).len(), before, "{header}");
    }
    // Where the pair says which conversion a row is about, what is like `pcid` is something else.
    fs::write(sandbox.path("a.csv"), "external_id,advertiser_id,type,pid,cid\nA,shoply,lead,7,8\n")
        .unwrap();
    import(&sandbox, "a.csv --dry-run").stdout_has("pairing_failed");
}

#[test]
fn what_cannot_be_imported_is_refused_before_anything_is_written() {
    let (sandbox, pcid) = clicked();
    let sandbox = sandbox
        .file("none.csv", "")
        .file("columns.csv", "type,value\nsale,1\n")
        .file("advertiser.csv", "external_id,type\nA-1,sale\n")
        .file("twice.csv", "pcid,type,value,Value,value\n")
        .file("twice-dated.csv", "pcid,date,date,,\n")
        .file("good.csv", &format!("eid\ttype\n{pcid}\tsale\n"));
    fs::write(sandbox.path("wide.csv"), b"\xff\xfep\0c\0").unwrap();
    fs::write(sandbox.path("wide-without-mark.csv"), b"p\0c\0").unwrap();
    fs::write(sandbox.path("zero.csv"), b"p\0id,type\n").unwrap();
    fs::write(sandbox.path("latin-1.csv"), b"pcid,type,pozn\xe1mka\n").unwrap();
    fs::create_dir(sandbox.path("folder")).unwrap();
    let table = [
        ("none.csv", 1, "is empty"),
        ("columns.csv", 1, "no column that says which conversion"),
        ("good.csv advertiser.csv", 1, "none for its advertiser"),
        ("wide.csv", 1, "iconv -f UTF-16"),
        ("latin-1.csv", 1, "the header of `latin-1.csv`: the row is not UTF-8"),
        ("wide-without-mark.csv", 1, "iconv -f UTF-16"),
        ("zero.csv", 1, "`zero.csv` is no text: a zero byte is in it"),
        ("twice.csv", 1, "names the column `value` twice"),
        ("good.csv twice-dated.csv", 1, "names the column `date` twice"),
        ("missing.csv", 1, "missing.csv"),
        ("folder", 1, "no CSV file"),
        ("good.csv good.csv --rejects x.csv", 2, "--rejects names one file"),
        ("good.csv --delimiter ab", 2, "one ASCII character"),
        ("", 2, "Usage"),
    ];
    for (arguments, code, says) in table {
        import(&sandbox, arguments).code(code).stderr_has(says);
        assert!(rows(&sandbox).is_empty(), "{arguments}");
    }
    import(&sandbox, "good.csv").code(0).stderr_has("imported `good.csv`: 1 row read, 1 created; ");
    for command in ["import good.csv", "import good.csv --dry-run", "send pcid=1"] {
        let ran = sandbox.run(&format!("{command} --db new.db"));
        ran.code(1).stderr_has("there is no database `new.db`").stderr_has("--rules PATH");
        assert!(!sandbox.path("new.db").exists(), "{command}");
    }
}

/// Nothing in the file of refused rows is a formula, and corrected it still brings what was there.
#[test]
fn refused_rows_hold_no_formulas_and_come_back_as_they_were() {
    let (sandbox, pcid) = clicked();
    let ids = ["=1+1", "+x", "-Ab", "@me", "'=y", "-5", "'quoted"];
    let mut csv = "pcid,type,external_id,value,=note\n".to_owned();
    for id in ids {
        csv += &format!("{pcid},sale,{id},x,=n\n");
    }
    let sandbox = sandbox.file("a.csv", &csv);
    import(&sandbox, "a.csv").code(3);
    let rejects = fs::read_to_string(sandbox.path("a.rejects.csv")).unwrap();
    assert!(rejects.lines().next().unwrap().ends_with(",pcid,type,external_id,value,'=note"));
    let shown = ["'=1+1", "'+x", "'-Ab", "'@me", "''=y", "-5", "'quoted"];
    for (line, id) in rejects.lines().skip(1).zip(shown) {
        assert!(line.ends_with(&format!(",sale,{id},x,'=n")), "{line}");
    }
    // Once more refused, they gain nothing.
    fs::copy(sandbox.path("a.rejects.csv"), sandbox.path("b.csv")).unwrap();
    import(&sandbox, "b.csv").code(3);
    let again = fs::read_to_string(sandbox.path("b.rejects.csv")).unwrap();
    let cells = |text: &str| {
        text.lines()
            .map(|line| line.split_once(",invalid_").map(|(_, rest)| rest.to_owned()))
            .collect::<Vec<_>>()
    };
    assert_eq!(cells(&again), cells(&rejects));
    let sandbox = sandbox.file("c.csv", &rejects.replace(",x,", ",1,"));
    import(&sandbox, "c.csv").code(0);
    let page = sandbox.run("conversions --db acme.db --type sale --format json").json();
    let mut stored: Vec<_> = page["items"].as_array().unwrap().iter().collect();
    stored.reverse();
    let of = |name: &str| stored.iter().map(|one| one[name].as_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(of("external_id"), ids);
    assert!(stored.iter().all(|one| one["params"]["=note"] == "=n"), "{stored:?}");
}

/// A dry run leaves a file alone that is being corrected, and shows what was refused.
#[test]
fn a_dry_run_writes_refused_rows_only_where_it_is_told() {
    let (sandbox, pcid) = clicked();
    let csv = format!("pcid,type,value\n{pcid},sale,x\n{pcid},sale,1\n");
    let sandbox = sandbox.file("a.csv", &csv).file("a.rejects.csv", "being corrected");
    let kept = || fs::read_to_string(sandbox.path("a.rejects.csv")).unwrap() == "being corrected";
    let told = import(&sandbox, "a.csv --dry-run").code(3).stderr_has(
        "refused: 1 row; --rejects FILE writes all of them:\n  line 2: invalid_amount: ",
    );
    assert!(told.json()["items"][0]["rejects"].is_null());
    import(&sandbox, "a.csv --dry-run --rejects told.csv").code(3).stderr_has("in `told.csv`");
    assert!(kept() && sandbox.path("told.csv").exists());
}

#[test]
fn a_file_is_imported_once_unless_it_is_asked_for_again() {
    let (sandbox, pcid) = clicked();
    let csv = format!("pcid,type\n{pcid},sale\n{pcid},sale\n");
    fs::create_dir(sandbox.path("folder")).unwrap();
    let sandbox = sandbox
        .file("folder/a.csv", &csv)
        .file("folder/b.csv", &format!("{csv}{pcid},sale\n"))
        .file("folder/b.rejects.csv", "left out");
    let both = import(&sandbox, "folder").code(0).stderr_has("skipped `folder/b.rejects.csv`");
    assert_eq!(both.json()["items"].as_array().unwrap().len(), 2);
    assert_eq!(rows(&sandbox).len(), 5);
    // By its content it is known under another name, and through standard input.
    fs::copy(sandbox.path("folder/a.csv"), sandbox.path("c.csv")).unwrap();
    import(&sandbox, "c.csv").code(0).stderr_has("nothing to do");
    let mut child = sandbox.command();
    child.args(["import", "-", "--db", "acme.db"]).stdin(Stdio::piped());
    child.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    child.stdin.take().unwrap().write_all(csv.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("nothing to do"), "{output:?}");
    assert_eq!(rows(&sandbox).len(), 5);
    let sandbox = sandbox.file("folder/a.csv", &format!("{csv}{pcid},lead\n"));
    import(&sandbox, "folder/a.csv")
        .code(1)
        .stderr_has("has changed since its import on ")
        .stderr_has("--again");
    assert_eq!(rows(&sandbox).len(), 5);
    import(&sandbox, "folder/a.csv --again")
        .code(0)
        .stderr_has("imported `folder/a.csv`: 3 rows read, 3 created; ");
    assert_eq!(rows(&sandbox).len(), 8);
}

#[test]
fn a_database_that_a_server_holds_is_left_alone() {
    let sandbox = Sandbox::with_rules();
    let server = Server::start(&sandbox);
    let sandbox = sandbox.file("a.csv", &format!("pcid,type\n{},sale\n", server.click()));
    import(&sandbox, "a.csv")
        .code(1)
        .no_stdout()
        .stderr_has("counterfoil serve on")
        .stderr_has("stop that server");
    import(&sandbox, "a.csv --dry-run")
        .code(0)
        .stderr_has("would import `a.csv`: 1 row read, 1 created; ");
    assert!(rows(&sandbox).is_empty());
}

/// Nothing names the file again, but its content and where the refused rows go.
#[test]
fn standard_input_is_a_file_like_any_other() {
    let (sandbox, pcid) = clicked();
    let csv = format!("\u{feff}pcid,type,value\n{pcid},sale,1\n{pcid},sale,x\n\"{pcid},sale,1\n");
    let import = |arguments: &[&str]| {
        let mut child = sandbox.command();
        child.args(["import", "-", "--db", "acme.db", "--format", "json"]).args(arguments);
        child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = child.spawn().unwrap();
        child.stdin.take().unwrap().write_all(csv.as_bytes()).unwrap();
        Ran::of(&child.wait_with_output().unwrap())
    };
    let refused = |name: &str| {
        let text = fs::read_to_string(sandbox.path(name)).unwrap();
        let reasons = text.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().to_owned());
        reasons.collect::<Vec<_>>()
    };
    let named = || {
        fs::read_dir(sandbox.path("."))
            .unwrap()
            .filter_map(|file| {
                let name = file.unwrap().file_name().into_string().unwrap();
                (name.starts_with("stdin") && name.ends_with(".rejects.csv")).then_some(name)
            })
            .collect::<Vec<_>>()
    };
    let told = import(&["--dry-run"])
        .code(3)
        .stderr_has("would import `standard input`: 3 rows read, 1 created, 2 refused; ")
        .json();
    assert!(named().is_empty() && rows(&sandbox).is_empty());
    let done = import(&["--rejects", "no.csv"])
        .code(3)
        .stderr_has("imported `standard input`: 3 rows read, 1 created, 2 refused; ")
        .json();
    assert_eq!(refused("no.csv"), ["invalid_amount", "malformed"]);
    for item in [&told["items"][0], &done["items"][0]] {
        assert_eq!((&item["created"], &item["refused"]), (&1.into(), &2.into()), "{item}");
        assert_eq!(item["file"], "standard input");
    }
    // By its content, so that no other stream's are taken for them.
    let again =
        import(&[]).code(3).stderr_has("nothing to do: `standard input` was imported on ").json();
    let [name] = &named()[..] else { panic!("{:?}", named()) };
    assert_eq!(again["items"][0]["rejects"], name.as_str());
    assert!(name.len() > "stdin.rejects.csv".len(), "{name}");
    assert_eq!(refused(name), ["invalid_amount", "malformed"]);
    assert_eq!(rows(&sandbox).len(), 3);
}
