//! What must hold when things go wrong: a server is killed, stopped, or has no room on its disk,
//! under load.

use std::{
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use counterfoil_core::{TenantName, view::ConversionView};
use counterfoil_sqlite::Reader;
use serde_json::Value;

use crate::{
    client::{Client, block_on},
    sandbox::{Sandbox, command_in},
    server::{Server, wait_until},
};

/// Clients that send at the same time.
const SENDERS: usize = 8;

/// A sale that was acknowledged.
pub(crate) struct Acknowledged {
    order: String,
    pub(crate) conversion: String,
    request: String,
}

/// Senders that create sales under one click, each with an external id of its own, until they are
/// stopped or the server is gone.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<Vec<Acknowledged>>>,
    refused: Arc<AtomicU64>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Load {
    pub(crate) fn start(server: &Server, pcid: &str, round: usize) -> Self {
        let load = Self {
            stop: Arc::default(),
            acknowledged: Arc::default(),
            refused: Arc::default(),
            threads: Vec::new(),
        };
        let threads = (0..SENDERS).map(|sender| {
            let prefix = format!("/api/acme/postbacks/handle?pcid={pcid}&type=sale&value=100");
            let (address, stop) = (server.public, Arc::clone(&load.stop));
            let (acknowledged, refused) =
                (Arc::clone(&load.acknowledged), Arc::clone(&load.refused));
            thread::spawn(move || {
                block_on(async {
                    let Ok(mut client) = Client::connect(address).await else {
                        return;
                    };
                    for number in 0.. {
                        let order = format!("{round}-{sender}-{number}");
                        let target = format!("{prefix}&external_id={order}");
                        let Ok(answer) = client.get(&target).await else {
                            return;
                        };
                        match answer.status {
                            200 => {
                                let created = created(order, &answer.json());
                                acknowledged.lock().unwrap().push(created);
                            }
                            503 => drop(refused.fetch_add(1, Ordering::Relaxed)),
                            other => panic!("{other}: {answer:?}"),
                        }
                        if stop.load(Ordering::Relaxed) {
                            return;
                        }
                    }
                });
            })
        });
        let threads = threads.collect();
        Self { threads, ..load }
    }

    /// Waits until so many were acknowledged.
    pub(crate) fn wait_for(&self, count: usize) {
        wait_until("the senders make progress", || {
            self.acknowledged.lock().unwrap().len() >= count
        });
    }

    pub(crate) fn end(self) -> Vec<Acknowledged> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("a sender");
        }
        std::mem::take(&mut self.acknowledged.lock().unwrap())
    }
}

fn created(order: String, answer: &Value) -> Acknowledged {
    assert_eq!(answer["outcome"], "created", "{answer}");
    let id = |name: &str| answer[name].as_str().expect("an id").to_owned();
    Acknowledged { order, conversion: id("conversion_id"), request: id("request_id") }
}

/// Asserts that each acknowledged sale is stored: log row, conversion, its one transaction.
fn assert_found(db: &Path, acknowledged: &[Acknowledged]) {
    let reader = Reader::open(db).expect("the database");
    let tenant = TenantName::new("acme").unwrap();
    for Acknowledged { order, conversion, request } in acknowledged {
        let found = reader.conversion(&tenant, conversion.parse().unwrap());
        let found: Option<ConversionView> = found.expect("a read");
        let found = found.unwrap_or_else(|| panic!("{order} ({conversion}) is lost"));
        assert_eq!(found.external_id.as_deref(), Some(order.as_str()));
        assert_eq!(found.transactions.len(), 1, "{order} ({conversion})");
        assert_eq!(found.transactions[0].revenue, "10.00");
        let row = reader.request(&tenant, request.parse().unwrap());
        let row = row.expect("a read").expect("a log row");
        assert_eq!(row.conversion_id.map(|id| id.to_string()).as_ref(), Some(conversion));
        assert_eq!(row.transaction_ids, [found.transactions[0].id]);
    }
}

/// P1: what was acknowledged is found after a kill, and nothing is half applied.
#[test]
fn a_killed_server_has_kept_all_that_it_acknowledged() {
    let sandbox = Sandbox::with_rules();
    let mut all: Vec<Acknowledged> = Vec::new();
    for round in 0..4 {
        let server = Server::start(&sandbox);
        if let Some(last) = all.last() {
            let again = repeat_of(&server, &last.order);
            assert_eq!(again["conversion_id"], last.conversion);
        }
        let pcid = server.click();
        let load = Load::start(&server, &pcid, round);
        load.wait_for(40 + 37 * round);
        server.kill();
        all.extend(load.end());
        assert_found(&sandbox.path("acme.db"), &all);
    }
    sandbox.run("replay --db acme.db").code(0).stderr_has("nothing differs");
}

/// P3: a repeat names the first also after a restart.
fn repeat_of(server: &Server, order: &str) -> Value {
    let target = format!(
        "/api/acme/postbacks/handle?advertiser_id=shoply&external_id={order}&type=sale&value=1"
    );
    let answer = server.get(&target).json();
    assert_eq!(answer["outcome"], "duplicate", "{answer}");
    answer
}

/// P11: a graceful stop under load loses nothing and ends well.
#[test]
fn a_stopped_server_finishes_what_it_accepted() {
    let sandbox = Sandbox::with_rules();
    let mut server = Server::start(&sandbox);
    let pcid = server.click();
    let load = Load::start(&server, &pcid, 0);
    load.wait_for(100);
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    let acknowledged = load.end();
    assert_found(&sandbox.path("acme.db"), &acknowledged);

    let sales = sandbox.run("conversions --db acme.db --type sale --limit 1000 --format json");
    let stored = sales.code(0).json()["items"].as_array().map(Vec::len);
    // All that was stored was answered, too, but for a page that is full.
    assert_eq!(stored, Some(acknowledged.len().min(1000)));
}

/// P12: a copy that is made under load is whole.
#[test]
fn a_copy_that_is_made_under_load_is_whole() {
    let sandbox = Sandbox::with_rules();
    let server = Server::start(&sandbox);
    let pcid = server.click();
    let load = Load::start(&server, &pcid, 0);
    load.wait_for(50);
    let before = load.acknowledged.lock().unwrap().len();
    sandbox.run("backup --db acme.db --to copy.db").code(0);
    let acknowledged = load.end();
    assert_found(&sandbox.path("copy.db"), &acknowledged[..before]);
    sandbox.run("replay --db copy.db").code(0);
    // A copy is a database like any other: it takes the next request.
    sandbox
        .run(&format!("send --db copy.db pcid={pcid}&type=sale&external_id=0-0-0"))
        .code(0)
        .stdout_has("duplicate");
}

/// P8: without room nothing false is acknowledged, reads go on, and it recovers alone.
#[test]
fn a_full_disk_is_told_survived_and_recovered_from() {
    if !Command::new("prlimit").arg("--version").output().is_ok_and(|o| o.status.success()) {
        eprintln!("SKIPPED: there is no prlimit to lift the limit on the size of files with");
        return;
    }
    let sandbox = Sandbox::with_rules();
    // A limit on the size of files stands for a full disk; ignored, its signal becomes an error.
    let wrapper = "trap '' XFSZ; ulimit -S -f 2048; exec \"$0\" \"$@\"";
    let mut command = command_in(&sandbox.path("."), "sh");
    command.args(["-c", wrapper, env!("CARGO_BIN_EXE_counterfoil")]);
    command.args(Server::ARGUMENTS);
    let server = Server::spawn(command);
    let pcid = server.click();
    let load = Load::start(&server, &pcid, 0);
    wait_until("the disk is full", || load.refused.load(Ordering::Relaxed) > 20);
    assert_eq!(server.get_admin_status("/readyz"), 503);
    let listed = server.admin("/api/acme/conversions?type=sale&limit=1");
    assert_eq!(listed.status, 200, "{listed:?}");

    let before = load.acknowledged.lock().unwrap().len();
    let lifted = Command::new("prlimit")
        .args(["--pid", &server.pid().to_string(), "--fsize=unlimited"])
        .status();
    assert!(lifted.expect("prlimit").success());
    load.wait_for(before + 50);
    wait_until("it is ready again", || server.get_admin_status("/readyz") == 200);
    let acknowledged = load.end();
    assert_found(&sandbox.path("acme.db"), &acknowledged);
    drop(server);
    assert_found(&sandbox.path("acme.db"), &acknowledged);
    sandbox.run("replay --db acme.db").code(0);
}
