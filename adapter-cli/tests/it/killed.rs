//! P4, P5: whatever matches a tracking API is told at least once under one id, however often and
//! whenever the server is killed.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use counterfoil_core::{
    MessageState, TenantName,
    view::{DeliveryView, Filter},
};
use counterfoil_sqlite::Reader;

use crate::{
    faults::Load,
    sandbox::{RULES, Sandbox},
    server::{Server, wait_until},
};

/// A receiver that answers, or reads and stays silent; it lives as long as the process.
#[derive(Clone)]
struct Hearer {
    address: SocketAddr,
    is_silent: Arc<AtomicBool>,
    /// The ids of messages that it heard, each time.
    heard: Arc<Mutex<Vec<String>>>,
}

impl Hearer {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let hearer = Self { address, is_silent: Arc::default(), heard: Arc::default() };
        let hears = hearer.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let hears = hears.clone();
                thread::spawn(move || hears.serve(stream));
            }
        });
        hearer
    }

    fn serve(&self, mut stream: TcpStream) {
        let mut lines = BufReader::new(stream.try_clone().expect("a stream")).lines();
        while let Some(Ok(first)) = lines.next() {
            let id = first.split(['/', ' ']).nth(2).unwrap_or_default().to_owned();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            self.heard.lock().unwrap().push(id);
            if self.is_silent.load(Ordering::SeqCst) {
                // Until the other side is gone.
                return drop(lines.next());
            }
            if stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").is_err() {
                return;
            }
        }
    }

    fn count(&self) -> usize {
        self.heard.lock().unwrap().len()
    }
}

/// All messages.
fn messages(db: &Path) -> Vec<DeliveryView> {
    let reader = Reader::open(db).expect("the database");
    let mut filter = Filter { limit: Some(1000), ..Filter::default() };
    let mut all = Vec::new();
    loop {
        let page = reader.deliveries(&TenantName::new("acme").unwrap(), &filter).expect("a page");
        all.extend(page.items);
        match page.next_cursor {
            None => return all,
            cursor => filter.cursor = cursor,
        }
    }
}

#[test]
fn a_server_that_is_killed_again_and_again_tells_everything_at_least_once() {
    let hearer = Hearer::start();
    let told = format!(
        "[[tracking_api]]\nid = \"told\"\ntrigger = \"conversion.created\"\ntypes = [\"sale\"]\n\
         request.url = \"http://{}/{{message_id}}\"\n",
        hearer.address
    );
    let sandbox = Sandbox::new().file("rules.toml", &format!("{RULES}{told}"));
    let start = || {
        let mut command = sandbox.command();
        command.args(Server::ARGUMENTS).args(["--allow-destination", "127.0.0.1"]);
        Server::spawn(command)
    };
    let mut acknowledged = BTreeSet::new();
    for round in 0..6 {
        // In turns it is killed while answers come, and while none does.
        hearer.is_silent.store(round % 2 == 1, Ordering::SeqCst);
        let before = hearer.count();
        let server = start();
        let pcid = server.click();
        let load = Load::start(&server, &pcid, round);
        load.wait_for(20 + 23 * round);
        wait_until("something is being told", || hearer.count() > before);
        server.kill();
        acknowledged.extend(load.end().into_iter().map(|sale| sale.conversion));
    }
    hearer.is_silent.store(false, Ordering::SeqCst);
    let server = start();
    let db = sandbox.path("acme.db");
    let has_ended = |message: &DeliveryView| {
        matches!(message.state, MessageState::Delivered | MessageState::Dead)
    };
    wait_until("all messages have ended", || messages(&db).iter().all(has_ended));
    drop(server);

    let mut of_conversions = BTreeMap::new();
    for message in messages(&db) {
        assert_eq!(
            message.state,
            MessageState::Delivered,
            "the receiver answers well: {message:?}"
        );
        assert_eq!(message.attempts.last().and_then(|last| last.status), Some(204));
        let conversion = message.conversion_id.to_string();
        let other = of_conversions.insert(conversion, message.id.to_string());
        assert_eq!(other, None, "one message for each event");
    }
    let missing = acknowledged.iter().find(|id| !of_conversions.contains_key(*id));
    assert_eq!(missing, None, "what was acknowledged is told");
    let known: BTreeSet<_> = of_conversions.into_values().collect();
    let heard: BTreeSet<_> = hearer.heard.lock().unwrap().iter().cloned().collect();
    assert_eq!(heard, known, "what was heard is what is known, each under its one id");
    sandbox.run("replay --db acme.db").code(0).stderr_has("nothing differs");
}
