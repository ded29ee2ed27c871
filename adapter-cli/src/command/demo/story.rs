//! The story that the demo tells: each chapter does something over HTTP and shows what came of it.

use std::{
    env,
    net::SocketAddr,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::others::Others;
use crate::{
    client::{Answer, Client},
    explained,
    failure::Failure,
    output::{self, GOOD, HINT, MISTAKE, QUIET, STRONG, SUSPICIOUS},
};

/// What the story is told about.
pub(super) struct Story {
    /// The public listener.
    pub(super) public: SocketAddr,
    /// The admin listener.
    pub(super) admin: SocketAddr,
    /// The token of the admin listener.
    pub(super) token: String,
    /// The database.
    pub(super) db: PathBuf,
    /// The rules, as a file to play with.
    pub(super) rules: PathBuf,
    /// The shop and the affiliate.
    pub(super) others: Others,
    /// Whether the server goes on when the story is told.
    pub(super) serves_on: bool,
}

/// How long a message may take that is sent within moments.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked for.
const PAUSE: Duration = Duration::from_millis(20);

const POSTBACK: &str = "/api/acme/postbacks/handle";

impl Story {
    /// Tells it.
    ///
    /// # Errors
    /// Where the server does not answer as it should, or stdout cannot be written to.
    pub(super) fn tell(&self) -> Result<(), Failure> {
        let client = Client::new()?;
        say(format_args!(
            "{STRONG}Counterfoil{STRONG:#} in a minute: the shop Shoply pays 10 % of an order, \
             half of it goes to Blogger Bo.\nNothing is staged: this is real HTTP and a real \
             database, with 45 lines of rules; shop and blogger listen on {}.",
            self.others.address
        ))?;
        let pcid = self.click(&client)?;
        let sale = format!("{POSTBACK}?pcid={pcid}&type=sale&value=100&external_id=ORDER-1");
        self.sale(&client, &sale)?;
        self.repeat(&client, &sale)?;
        self.refusal(&client)?;
        self.informed(&client)?;
        self.asked(&client)?;
        self.next_steps(&pcid)
    }

    fn click(&self, client: &Client) -> Result<String, Failure> {
        chapter(1, "A visitor of Bo's blog follows the affiliate link")?;
        let answer = self.get(client, "/c/acme/shoply-cz/bo?affs1=newsletter")?;
        let location = answer.location.unwrap_or_default();
        say(format_args!("   {GOOD}{}{GOOD:#} to {location}", answer.status))?;
        let pcid = location.split_once("pcid=").map(|(_, pcid)| pcid.to_owned());
        let pcid = pcid.ok_or_else(|| Failure::could_not("the link led nowhere"))?;
        say("   The click is stored, and its pcid travels with the visitor into the shop.")?;
        Ok(pcid)
    }

    fn sale(&self, client: &Client, sale: &str) -> Result<(), Failure> {
        chapter(2, "The visitor orders for 100 EUR, and the shop reports it: a postback")?;
        let answer = self.get(client, sale)?;
        show_answer(&answer)?;
        say(format_args!("   {QUIET}{}{QUIET:#}", answer.text.trim_end()))?;

        chapter(3, "What is stored now: a conversion, and the money in a transaction")?;
        self.show_money(client, text(&answer.body, "conversion_id"))?;

        chapter(4, "Why it came out so, step by step; every request keeps this for ever")?;
        let target = format!("/api/acme/requests/{}", text(&answer.body, "request_id"));
        let request = client.get(self.admin, &target, Some(&self.token))?;
        let steps: Vec<String> = list(&request.body, "trace");
        for line in explained::steps(&steps) {
            say(format_args!(" {line}"))?;
        }
        Ok(())
    }

    fn repeat(&self, client: &Client, sale: &str) -> Result<(), Failure> {
        chapter(5, "The shop sends the same postback again, as shops do")?;
        show_answer(&self.get(client, sale)?)?;
        say("   One order, one conversion: the answer names the first, nothing is paid twice.")
    }

    fn refusal(&self, client: &Client) -> Result<(), Failure> {
        chapter(6, "Another shop forgets to fill in its macro")?;
        // `{pcid}`, written so that it can be pasted behind curl, which takes braces for lists.
        let target = format!("{POSTBACK}?pcid=%7Bpcid%7D&type=sale&value=30");
        let answer = self.get(client, &target)?;
        show_answer(&answer)?;
        say("   A refusal says why and what to try; it is logged like every request.")
    }

    fn informed(&self, client: &Client) -> Result<(), Failure> {
        chapter(7, "Bo was told of the sale meanwhile, by a postback of his own")?;
        self.show_told(client, 1)?;
        say("   Once, although the shop told of it twice. Of the money he learns his own share.")
    }

    fn asked(&self, client: &Client) -> Result<(), Failure> {
        chapter(8, "Shoply is asked about the order, until it says that it was paid for")?;
        // It is asked before and after: what is told is the same however fast the machine is.
        self.wait_for(client, "tracking_api=ask-shoply&state=polling", 1)?;
        self.others.settle();
        self.wait_for(client, "tracking_api=bo-sales&state=delivered", 2)?;
        let asked = self.wait_for(client, "tracking_api=ask-shoply&state=delivered", 1)?;
        for message in &asked {
            say(format_args!("   {QUIET}GET{QUIET:#} {}", url(message)))?;
            for attempt in items(message, "attempts") {
                let status = attempt.get("status").and_then(Value::as_u64).unwrap_or_default();
                say(format_args!(
                    "   {GOOD}{status}{GOOD:#} {}",
                    output::visible(text(attempt, "response"))
                ))?;
            }
        }
        say("   Its word was mapped to a result, and decided about like any request:")?;
        let target = "/api/acme/requests?outcome=updated&limit=1";
        let log = client.get(self.admin, target, Some(&self.token))?.body;
        for request in items(&log, "items") {
            let (method, query) = (text(request, "method"), text(request, "query"));
            say(format_args!("   {QUIET}{method}{QUIET:#} {query}"))?;
            self.show_money(client, text(request, "conversion_id"))?;
        }

        chapter(9, "So Bo is told again. All that he has heard:")?;
        self.show_told(client, 2)
    }

    /// What the affiliate was told, as it arrived, with the message that brought it.
    fn show_told(&self, client: &Client, count: usize) -> Result<(), Failure> {
        let messages = self.wait_for(client, "tracking_api=bo-sales&state=delivered", count)?;
        // The list has the newest first.
        for (message, arrived) in messages.iter().rev().zip(self.others.told()) {
            let status = items(message, "attempts").last();
            let status = status.and_then(|attempt| attempt.get("status")).and_then(Value::as_u64);
            say(format_args!(
                "   {QUIET}GET{QUIET:#} http://{}{arrived}\n   {GOOD}{}{GOOD:#} message {}",
                self.others.address,
                status.unwrap_or_default(),
                text(message, "id")
            ))?;
        }
        Ok(())
    }

    /// Waits until there are so many messages of these filters; they are sent within moments.
    fn wait_for(&self, client: &Client, filter: &str, count: usize) -> Result<Vec<Value>, Failure> {
        let target = format!("/api/acme/deliveries?{filter}");
        let began = Instant::now();
        loop {
            let page = client.get(self.admin, &target, Some(&self.token))?.body;
            let messages: Vec<Value> = items(&page, "items").cloned().collect();
            if messages.len() >= count {
                return Ok(messages);
            }
            if began.elapsed() > PATIENCE {
                let address = self.others.address;
                return Err(Failure::could_not(format_args!("nothing was sent to {address}"))
                    .hint("see whether this machine may connect to itself"));
            }
            thread::sleep(PAUSE);
        }
    }

    fn next_steps(&self, pcid: &str) -> Result<(), Failure> {
        let program = env::args().next().unwrap_or_else(|| "counterfoil".to_owned());
        let Self { public, admin, token, db, .. } = self;
        let (db, rules) = (db.display(), self.rules.display());
        if !self.serves_on {
            say(format_args!(
                "\n{STRONG}That was all.{STRONG:#} `{program} demo` goes on serving, for you to \
                 try; `{program} help` lists the rest."
            ))?;
            return Ok(());
        }
        say(format_args!("\n{STRONG}Now you{STRONG:#}"))?;
        say(format_args!(
            "  {QUIET}# a second order of the same visitor{QUIET:#}\n  curl \
             'http://{public}{POSTBACK}?pcid={pcid}&type=sale&value=49.90&external_id=ORDER-2'\n  \
             {QUIET}# a click of your own, in a browser{QUIET:#}\n  \
             http://{public}/c/acme/shoply-cz/bo\n  \
             {QUIET}# what administrators see{QUIET:#}\n  \
             curl -H 'Authorization: Bearer {token}' 'http://{admin}/api/acme/transactions'\n  \
             {QUIET}# the same from the command line, beside the running server{QUIET:#}\n  \
             {program} requests --db {db}\n  \
             {program} conversions --db {db}\n  \
             {program} deliveries --db {db}\n  \
             {QUIET}# what if? Decided without a trace in any database; edit the rules{QUIET:#}\n  \
             {program} explain --rules {rules} --root shoply-cz/bo 'type=sale&value=100'"
        ))?;
        output::tell(format_args!(
            "\nserving until Ctrl-C; then the temporary database is removed"
        ));
        Ok(())
    }

    /// Gets a public target, and shows that it does.
    fn get(&self, client: &Client, target: &str) -> Result<Answer, Failure> {
        say(format_args!("   {QUIET}GET{QUIET:#} http://{}{target}", self.public))?;
        client.get(self.public, target, None)
    }

    /// A conversion, as administrators see it.
    fn show_money(&self, client: &Client, id: &str) -> Result<(), Failure> {
        let target = format!("/api/acme/conversions/{id}");
        let row = client.get(self.admin, &target, Some(&self.token))?.body;
        say(format_args!(
            "   {} of {} {}, brought by {}: conversion {id}",
            text(&row, "type"),
            text(&row, "value"),
            text(&row, "currency"),
            text(&row, "affiliate_id")
        ))?;
        for transaction in items(&row, "transactions") {
            say(format_args!(
                "   {STRONG}{}{STRONG:#}: Shoply owes you {STRONG}{}{STRONG:#}, you owe Bo \
                 {STRONG}{}{STRONG:#} {}",
                text(transaction, "result"),
                text(transaction, "revenue"),
                text(transaction, "payout"),
                text(transaction, "currency")
            ))?;
        }
        Ok(())
    }
}

fn url(message: &Value) -> &str {
    message.get("request").map_or("", |request| text(request, "url"))
}

fn chapter(number: u8, title: &str) -> Result<(), Failure> {
    say(format_args!("\n{STRONG}{number}. {title}{STRONG:#}"))
}

/// The parts of a postback's answer that tell the most.
fn show_answer(answer: &Answer) -> Result<(), Failure> {
    let body = &answer.body;
    let outcome = text(body, "outcome");
    let style = match outcome {
        "created" | "updated" => GOOD,
        "refused" => MISTAKE,
        _ => SUSPICIOUS,
    };
    let status = answer.status;
    let mut line = format!("   {GOOD}{status}{GOOD:#} {style}{outcome}{style:#}");
    match outcome {
        "refused" => {
            let (reason, message) = (text(body, "reason"), text(body, "message"));
            line.push_str(&format!(" ({reason}): {message}"));
            line.push_str(&format!("\n   {HINT}try{HINT:#}: {}", text(body, "hint")));
        }
        "duplicate" => line.push_str(&format!(" of conversion {}", text(body, "conversion_id"))),
        _ => line.push_str(&format!(": {}", list(body, "events").join(", "))),
    }
    say(line)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn items<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    let items = value.get(name).and_then(Value::as_array);
    items.into_iter().flatten()
}

fn list(value: &Value, name: &str) -> Vec<String> {
    let texts = items(value, name).filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

fn say(line: impl std::fmt::Display) -> Result<(), Failure> {
    output::say(line)
}
