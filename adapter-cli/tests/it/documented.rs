//! The OpenAPI document against a live server: whatever is sent to any operation, made of what the
//! document says and against it, is answered with a status, a media type and a body that the
//! document knows, and never with 5xx. `PROPTEST_CASES` says how many requests each operation gets.

mod inputs;
mod schemas;

use std::{cell::RefCell, collections::BTreeMap, ops::Range, thread, time::Duration};

use hyper::Method;
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};
use serde_json::Value;

use self::{
    inputs::{Input, Known, Operation},
    schemas::Schemas,
};
use crate::{
    client::{Answer, Client, Content, block_on},
    sandbox::{ADMIN_TOKEN, RULES, Sandbox},
    server::Server,
};

/// Rules with something of every kind that an operation can show.
fn rules() -> String {
    format!(
        "api_tokens = [\"{{secret:acme_api}}\"]\n{RULES}
[[tracking_api]]
id = \"ask\"
types = [\"sale\"]
[tracking_api.request]
url = \"http://127.0.0.1:9/{{conversion_id}}\"

[[postback]]
id = \"strict\"
answer = \"strict\"
dedup = {{ key = \"click\", on_repeat = \"update\" }}

[[postback]]
id = \"guarded\"
auth.tokens = [\"{{secret:acme_api}}\"]

[[postback]]
id = \"office\"
auth.addresses = [\"203.0.113.0/24\"]
"
    )
}

const TENANT_TOKEN: &str = "token-of-the-tenant";

/// Statuses of problems that the document tells for all operations at once: it is not known yet
/// which one is asked for.
const BEFORE_ANY: [u16; 4] = [400, 404, 405, 431];

#[test]
fn every_answer_is_one_that_the_document_knows() {
    let rules = rules();
    let sandbox = Sandbox::new().file("rules.toml", &rules);
    let mut command = sandbox.command();
    command.args(Server::ARGUMENTS).env("COUNTERFOIL_SECRET_ACME_API", TENANT_TOKEN);
    let server = Server::spawn(command);
    let document = server.admin("/openapi.json").json();
    let known = known(&server, rules);
    let tester = Tester {
        operations: Operation::all(&document),
        schemas: Schemas::of(&document),
        server,
        seen: RefCell::default(),
    };
    assert!(tester.operations.len() >= 26, "{}", tester.operations.len());
    for operation in &tester.operations {
        // Some do what they are for with few of the inputs, and by chance with none.
        for _ in 0..ROUNDS_MAX {
            tester.explore(operation, &document, &known);
            if tester.has_seen_both(operation) {
                break;
            }
        }
    }
    tester.assert_all_was_seen();
}

/// Makes rows of every kind, and gathers what they are called.
fn known(server: &Server, rules: String) -> Known {
    for n in 0..3 {
        let pcid = server.click();
        let sale = format!("pcid={pcid}&type=sale&value=100&external_id=A-{n}");
        server.get(&format!("/api/acme/postbacks/handle?{sale}"));
    }
    let ids = |list: &str| {
        let page = server.admin(&format!("/api/acme/{list}")).json();
        let rows = page["items"].as_array().expect("rows");
        assert!(rows.len() >= 3, "{list}");
        rows.iter().map(|row| row["id"].as_str().expect("an id").to_owned()).collect()
    };
    let ids = ["conversions", "transactions", "requests", "deliveries"].map(|l| (l, ids(l)));
    Known { ids: ids.into(), rules }
}

struct Tester {
    server: Server,
    operations: Vec<Operation>,
    schemas: Schemas,
    /// How often each operation answered with each status.
    seen: RefCell<BTreeMap<String, BTreeMap<u16, usize>>>,
}

impl Tester {
    fn explore(&self, operation: &Operation, document: &Value, known: &Known) {
        let config = Config { cases: cases(), failure_persistence: None, ..Config::default() };
        let inputs = inputs::of(operation, document, known);
        let explored = TestRunner::new(config)
            .run(&inputs, |input| self.check(operation, &input).map_err(TestCaseError::fail));
        match explored {
            Ok(()) => {}
            Err(TestError::Fail(why, input)) => panic!("{}: {why}\n{input:#?}", operation.name),
            Err(error) => panic!("{}: {error}", operation.name),
        }
    }

    fn check(&self, operation: &Operation, input: &Input) -> Result<(), String> {
        let answer = self.ask_in_time(operation, input);
        // Another method of the path may be another operation, and is none most of the time.
        let nothing = BTreeMap::new();
        let answering = self.operations.iter().find(|other| other.is_asked(operation, input));
        let answers = answering.map_or(&nothing, |answering| &answering.answers);
        let status = answer.status;
        let name = operation.name.clone();
        *self.seen.borrow_mut().entry(name).or_default().entry(status).or_default() += 1;
        if status >= 500 {
            return Err(format!("answered {answer:?}"));
        }
        let media_type = answer.media_type.as_deref().map(|whole| {
            let (bare, _) = whole.split_once(';').unwrap_or((whole, ""));
            bare.trim().to_owned()
        });
        let schema = match (answers.get(&status), &media_type) {
            (Some(answers), None) if answers.is_empty() && answer.body.is_empty() => return Ok(()),
            (Some(answers), Some(media_type)) if answers.contains_key(media_type) => {
                answers[media_type].clone()
            }
            (None, Some(media_type))
                if BEFORE_ANY.contains(&status) && media_type == "application/problem+json" =>
            {
                "/components/schemas/Problem".to_owned()
            }
            _ => return Err(format!("{status} {media_type:?} is not documented: {answer:?}")),
        };
        // The body of an answer to HEAD is only announced.
        let has_body = input.method != "HEAD";
        if has_body && media_type.is_some_and(|media_type| media_type.ends_with("json")) {
            let body = serde_json::from_str(&answer.body).map_err(|error| error.to_string())?;
            self.schemas
                .validate_answer(&schema, &body)
                .map_err(|why| format!("{status}: {why}"))?;
        }
        answering.map_or(Ok(()), |answering| self.is_refused_if_wrong(answering, input, &answer))
    }

    /// A body that is not as documented is told so; parameters of postbacks are answered 200, and
    /// what is wrong with rules no schema says.
    fn is_refused_if_wrong(
        &self,
        operation: &Operation,
        input: &Input,
        answer: &Answer,
    ) -> Result<(), String> {
        let Some(schema) = operation.closed_body() else {
            return Ok(());
        };
        let body: Result<Value, _> = serde_json::from_slice(&input.body);
        let is_right = body.is_ok_and(|body| self.schemas.validate_request(schema, &body).is_ok());
        match answer.status {
            200..300 if !is_right => Err(format!("a wrong body was taken: {answer:?}")),
            _ => Ok(()),
        }
    }

    /// Who has failed too often is told so for a while, with the right token too: that is not what
    /// is explored here.
    fn ask_in_time(&self, operation: &Operation, input: &Input) -> Answer {
        let mut answer = self.ask(operation, input);
        for _ in 0..100 {
            if answer.status != 429 {
                break;
            }
            thread::sleep(Duration::from_millis(50));
            answer = self.ask(operation, input);
        }
        answer
    }

    fn ask(&self, operation: &Operation, input: &Input) -> Answer {
        let address = if operation.is_public { self.server.public } else { self.server.admin };
        let token = match input.token {
            inputs::Token::Right if operation.is_public => Some(TENANT_TOKEN),
            inputs::Token::Right => Some(ADMIN_TOKEN),
            inputs::Token::Wrong => Some("token-of-nobody"),
            inputs::Token::None => None,
        };
        let method: Method = input.method.parse().expect("a method");
        let content = match &input.media_type {
            Some(media_type) => Content::Bytes(media_type, &input.body),
            None => Content::None,
        };
        let asked = block_on(async {
            let mut client = Client::connect(address).await?;
            client.ask(method, &input.target, token, content).await
        });
        asked.unwrap_or_else(|error| panic!("{input:?}: {error}"))
    }

    /// Every operation has done what it is for, and has said that something was wrong.
    fn assert_all_was_seen(&self) {
        let seen = self.seen.borrow();
        for operation in &self.operations {
            let statuses = &seen[&operation.name];
            eprintln!("{}: {statuses:?}", operation.name);
            assert!(self.has_seen_both(operation), "{}: {statuses:?}", operation.name);
        }
    }

    /// Whether an operation has succeeded, and, where it takes anything, has refused something.
    fn has_seen_both(&self, operation: &Operation) -> bool {
        let seen = self.seen.borrow();
        let statuses = &seen[&operation.name];
        let has = |range: Range<u16>| statuses.keys().any(|status| range.contains(status));
        has(200..400) && (!operation.takes_anything() || has(400..500))
    }
}

/// How often an operation gets as many requests anew that has not done all that it can.
const ROUNDS_MAX: usize = 10;

/// How many requests each operation gets at once.
fn cases() -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok();
    asked.map_or(100, |cases| cases.parse().expect("a number"))
}
