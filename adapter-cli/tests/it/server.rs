//! A server as a process of its own.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use hyper::Method;

use crate::{
    client::{Answer, Client, Content, block_on},
    sandbox::{ADMIN_TOKEN, Sandbox},
};

/// How long a test waits for what must happen soon; then it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something holds.
#[track_caller]
pub(crate) fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A running server; it is killed when it goes out of scope.
pub(crate) struct Server {
    child: Child,
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
    said: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Serves `rules.toml` and `acme.db` of the sandbox on free ports.
    pub(crate) fn start(sandbox: &Sandbox) -> Self {
        let mut command = sandbox.command();
        command.args(Self::ARGUMENTS);
        Self::spawn(command)
    }

    /// What [`Server::start`] passes.
    pub(crate) const ARGUMENTS: [&'static str; 9] = [
        "serve",
        "--rules",
        "rules.toml",
        "--db",
        "acme.db",
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
    ];

    /// Starts a command that is a server and waits until it tells its addresses.
    pub(crate) fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the server");
        let said = Arc::new(Mutex::new(Vec::new()));
        let stderr = child.stderr.take().expect("its stderr");
        let lines = Arc::clone(&said);
        thread::spawn(move || keep_lines(stderr, &lines));
        let mut server = Self {
            child,
            public: SocketAddr::from(([127, 0, 0, 1], 0)),
            admin: SocketAddr::from(([127, 0, 0, 1], 0)),
            said,
        };
        server.public = server.address("public");
        server.admin = server.address("admin");
        server
    }

    /// The address behind a word, in a line for people or in one of JSON.
    fn address(&self, word: &str) -> SocketAddr {
        let of = |scheme: &str| format!("{word:<6}  {scheme}://");
        let forms = [of("http"), of("https"), format!("\"{word}\":\"")];
        let line = self.wait_for_any(&forms);
        let after = forms.iter().find_map(|form| line.split_once(form.as_str()));
        let (_, after) = after.expect(&line);
        let address = after.split('"').next().unwrap_or_default();
        address.parse().expect(&line)
    }

    /// Waits until it has said something on stderr.
    pub(crate) fn wait_for(&self, part: &str) -> String {
        self.wait_for_any(&[part.to_owned()])
    }

    pub(crate) fn has_said(&self, part: &str) -> bool {
        self.said.lock().unwrap().iter().any(|line| line.contains(part))
    }

    fn wait_for_any(&self, parts: &[String]) -> String {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let said = self.said.lock().unwrap();
            let has_part = |line: &&String| parts.iter().any(|part| line.contains(part));
            if let Some(line) = said.iter().find(has_part) {
                return line.clone();
            }
            drop(said);
            thread::sleep(Duration::from_millis(5));
        }
        let said = self.said.lock().unwrap();
        panic!("the server never said {parts:?}: {said:#?}");
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(status.expect("kill").success());
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it without a warning: SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("its end");
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().expect("its end") {
                return status;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("the server does not end: {:#?}", self.said.lock().unwrap());
    }

    /// Asks the public listener.
    pub(crate) fn get(&self, target: &str) -> Answer {
        ask(self.public, target, None)
    }

    /// Asks the admin listener.
    pub(crate) fn admin(&self, target: &str) -> Answer {
        ask(self.admin, target, Some(ADMIN_TOKEN))
    }

    /// The status of a page of the admin listener that needs no token.
    pub(crate) fn get_admin_status(&self, target: &str) -> u16 {
        ask(self.admin, target, None).status
    }

    /// Makes a click on the one link of the rules and returns its pcid.
    pub(crate) fn click(&self) -> String {
        let answer = self.get("/c/acme/shoply-cz/bo");
        assert_eq!(answer.status, 302, "{answer:?}");
        let location = answer.location.expect("a location");
        location.split_once("pcid=").expect(&location).1.to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ask(address: SocketAddr, target: &str, token: Option<&str>) -> Answer {
    let answer = block_on(async {
        let mut client = Client::connect(address).await?;
        client.ask(Method::GET, target, token, Content::None).await
    });
    answer.unwrap_or_else(|error| panic!("{target}: {error}"))
}

fn keep_lines(stderr: ChildStderr, said: &Mutex<Vec<String>>) {
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        said.lock().unwrap().push(line);
    }
}
