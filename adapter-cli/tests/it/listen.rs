//! The receiver for trying things out, from outside.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, ChildStdout, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use hyper::Method;

use crate::{
    client::{Answer, Client, Content, block_on},
    sandbox::Sandbox,
};

/// How long a test waits for what must happen soon; then it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running `counterfoil listen`; it is killed when it goes out of scope.
pub(crate) struct Listening {
    child: Child,
    pub(crate) address: SocketAddr,
    lines: Receiver<String>,
}

impl Listening {
    /// Listens on a free port, with more arguments.
    pub(crate) fn start(sandbox: &Sandbox, arguments: &[&str]) -> Self {
        let mut command = sandbox.command();
        command.args(["listen", "--listen", "127.0.0.1:0"]).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the receiver");
        let stderr = BufReader::new(child.stderr.take().expect("its stderr"));
        let mut told = stderr.lines().map_while(Result::ok);
        let line = told.find_map(|line| Some(line.split_once("http://")?.1.to_owned()));
        let line = line.expect("an address");
        let address = line.split(' ').next().unwrap_or_default().parse().expect(&line);
        let lines = lines_of(child.stdout.take().expect("its stdout"));
        Self { child, address, lines }
    }

    /// Waits until it has printed a line with this in it, and hands on what came before and it.
    #[track_caller]
    pub(crate) fn wait_for(&self, part: &str) -> String {
        let mut told = String::new();
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|error| panic!("no `{part}`, {error}: {told}"));
            told.push_str(&line);
            told.push('\n');
            if line.contains(part) {
                return told;
            }
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines_of(stdout: ChildStdout) -> Receiver<String> {
    let (told, lines) = channel();
    thread::spawn(move || {
        let all = BufReader::new(stdout).lines().map_while(Result::ok);
        // Nobody may listen any more.
        all.map(|line| told.send(line)).take_while(Result::is_ok).for_each(drop);
    });
    lines
}

fn ask(listening: &Listening, target: &str, content: Content<'_>) -> Answer {
    let method = match content {
        Content::None => Method::GET,
        _ => Method::POST,
    };
    let answer = block_on(async {
        let mut client = Client::connect(listening.address).await?;
        client.ask(method, target, Some("canary"), content).await
    });
    answer.expect("an answer")
}

#[test]
fn what_arrives_is_printed_and_answered() {
    let listening = Listening::start(&Sandbox::new(), &[]);
    let answer = ask(&listening, "/pb?sum=5.00&name=Caf%C3%A9", Content::None);
    assert_eq!((answer.status, &*answer.body), (200, ""));
    let told = listening.wait_for("answered 200");
    for part in
        ["GET /pb  20", "sum = 5.00\n", "name = Café\n", "authorization: Bearer (not shown)"]
    {
        assert!(told.contains(part), "no `{part}` in {told}");
    }
    assert!(!told.contains("canary"), "{told}");
    ask(&listening, "/orders", Content::Json("{\"id\": 1}"));
    let told = listening.wait_for("answered 200");
    assert!(told.contains("POST /orders  20") && told.contains("{\"id\": 1}"), "{told}");
}

#[test]
fn it_answers_as_it_is_told_and_bounds_what_it_reads() {
    let arguments = ["--status", "503", "--body", "{\"state\": \"paid\"}"];
    let listening = Listening::start(&Sandbox::new(), &arguments);
    let answer = ask(&listening, "/", Content::None);
    assert_eq!((answer.status, &*answer.body), (503, "{\"state\":\"paid\"}"));
    listening.wait_for("answered 503");
    let long = "x".repeat(64 * 1024 + 1);
    assert_eq!(ask(&listening, "/", Content::Form(&long)).status, 413);
}

#[test]
fn an_unsigned_message_is_told_so_where_a_secret_is_named() {
    let sandbox = Sandbox::new().file("signing", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n");
    let arguments = ["--secrets", ".", "--secret-name", "signing"];
    let listening = Listening::start(&sandbox, &arguments);
    assert_eq!(ask(&listening, "/", Content::Json("{}")).status, 401);
    let told = listening.wait_for("answered 401");
    assert!(told.contains("the header `webhook-id` is missing"), "{told}");
    assert!(!told.contains("whsec_"), "{told}");
}

#[test]
fn what_it_cannot_do_is_told_at_once() {
    let sandbox = Sandbox::new().file("short", "whsec_AAAA");
    let listen = "listen --listen 127.0.0.1:0";
    let ran = sandbox.run(&format!("{listen} --secret-name nobody")).code(1).no_stdout();
    ran.stderr_has("no secret `nobody`").stderr_has("COUNTERFOIL_SECRET_NOBODY");
    let ran = sandbox.run(&format!("{listen} --secrets . --secret-name short")).code(1);
    let ran =
        ran.stderr_has("`short` is no signing key: it has 3 bytes").stderr_has("openssl rand");
    assert!(!ran.stderr.contains("AAAA"));
    sandbox.run(&format!("{listen} --body nonsense")).code(2).stderr_has("it is no JSON");
    sandbox.run(&format!("{listen} --status 100")).code(2);
    let held = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = held.local_addr().expect("an address");
    let ran = sandbox.run(&format!("listen --listen {taken}")).code(1);
    ran.stderr_has("cannot listen on").stderr_has("--listen");
}
