//! `counterfoil send`: hand in a request, straight into a database.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use clap::Args;
use counterfoil_core::view::Explanation;

use super::write::{self, WriteArguments};
use crate::{
    address::{Address, Content},
    arguments::HELP_TEMPLATE,
    exit_code::ExitCode,
    explained,
    failure::Failure,
    output::AnswerFormat,
};

const EXAMPLES: &str = "\
Examples:
  counterfoil send --db acme.db 'pcid=01993b2e-7c1a-7f00-8000-0123456789ab&type=sale&value=100'
  counterfoil send --db acme.db 'advertiser_id=shoply&external_id=A-1&result=approved'
  counterfoil send --db acme.db 'https://x.example/api/acme/pixel.gif?pcid=…' --format json
  counterfoil send --db acme.db https://x.example/api/acme/postbacks/handle --json @order.json
  counterfoil send --db acme.db https://x.example/api/acme/conversions --json @root.json
  counterfoil send --db acme.db --at 2026-01-31T12:00:00Z 'pcid=…&type=sale'   it comes late";

/// Hand in a request, straight into a database that no server holds
///
/// The URL is the one that a server would be called by: that of postbacks, of the pixel, or of
/// roots. Who owns the database needs no token.
#[derive(Debug, Args)]
#[command(help_template = HELP_TEMPLATE, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    write: WriteArguments,
    /// The URL of a postback or of roots, or only the query of a postback
    #[arg(value_name = "URL_OR_QUERY")]
    request: String,
    /// The body, form-encoded: the text itself, @FILE, or @- for standard input
    #[arg(long, value_name = "BODY", conflicts_with = "json")]
    form: Option<String>,
    /// The body, as JSON: the text itself, @FILE, or @- for standard input
    #[arg(long, value_name = "BODY")]
    json: Option<String>,
    /// How to print the decision
    #[arg(long, value_enum, default_value_t)]
    format: AnswerFormat,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let address = Address::read(&arguments.request, content(arguments)?)?;
    let mut write = arguments.write.clone();
    if write.database.tenant.tenant.is_none() {
        write.database.tenant.tenant.clone_from(&address.tenant);
    }
    let opened = write::open(&write, "counterfoil send")?;
    let decided = opened.submit(address.arrival(opened.rules.ruleset()))?;
    let ruleset = decided.rules.ruleset();
    let explanation = Explanation::of(&decided.decision, ruleset);
    explained::say(&explanation, arguments.format)
}

fn content(arguments: &Arguments) -> Result<Option<Content>, Failure> {
    Ok(match (&arguments.form, &arguments.json) {
        (Some(form), _) => Some(Content::Form(bytes(form)?)),
        (None, Some(json)) => Some(Content::Json(bytes(json)?)),
        (None, None) => None,
    })
}

/// The bytes of a body: the text itself, or where it begins with `@` those of the file it names.
fn bytes(text: &str) -> Result<Vec<u8>, Failure> {
    let Some(name) = text.strip_prefix('@') else {
        return Ok(text.as_bytes().to_vec());
    };
    let path = Path::new(name);
    let mut bytes = Vec::new();
    let read = match name {
        "-" => io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes),
        _ => fs::read(path),
    };
    read.map_err(|error| Failure::file("read", path, &error))
}
