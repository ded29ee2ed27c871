//! `counterfoil dialects`: how other systems write postbacks, and what that means here.

use clap::{Args, Subcommand};
use counterfoil_core::{DIALECTS, Dialect, FactSource, Replies, Row, Word};
use serde::Serialize;

use crate::{
    arguments::HELP_TEMPLATE,
    exit_code::ExitCode,
    failure::Failure,
    output::{self, Column, ListFormat, column},
};

const EXAMPLES: &str = "\
Examples:
  counterfoil dialects
  counterfoil dialects show keitaro
  counterfoil dialects show keitaro --format csv > keitaro.csv";

const LIST_COLUMNS: [Column; 6] = [
    column("name"),
    column("system"),
    column("click_id"),
    column("dedup_key"),
    column("on_repeat"),
    column("default_type"),
];

const FACT_COLUMNS: [Column; 5] =
    [column("kind"), column("name"), column("meaning"), column("certain"), column("source")];

/// List the ways to write postbacks that are understood, or show one with its sources
#[derive(Debug, Args)]
#[command(
    help_template = HELP_TEMPLATE,
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    which: Option<Which>,
    /// How to print them
    #[arg(long, value_enum, default_value_t)]
    format: ListFormat,
}

#[derive(Debug, Subcommand)]
enum Which {
    /// Show all that is known of one
    Show(ShowArguments),
}

#[derive(Debug, Args)]
struct ShowArguments {
    /// The dialect, as rules and paths name it
    #[arg(value_parser = DIALECTS.map(|dialect| dialect.name))]
    name: String,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    format: ListFormat,
}

#[derive(Serialize)]
struct Listed {
    name: &'static str,
    system: &'static str,
    click_id: &'static str,
    dedup_key: &'static str,
    on_repeat: &'static str,
    default_type: Option<&'static str>,
}

/// One fact of a table.
#[derive(Serialize)]
struct Fact {
    kind: &'static str,
    name: &'static str,
    meaning: String,
    certain: &'static str,
    source: &'static str,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    match &arguments.which {
        None => {
            let items = DIALECTS.map(listed);
            output::say_list(arguments.format, &LIST_COLUMNS, &items, &items)?;
        }
        Some(Which::Show(show)) => {
            let items = Dialect::named(&show.name).map(facts).unwrap_or_default();
            output::say_list(show.format, &FACT_COLUMNS, &items, &items)?;
        }
    }
    Ok(ExitCode::Done)
}

fn listed(dialect: &'static Dialect) -> Listed {
    Listed {
        name: dialect.name,
        system: dialect.system,
        click_id: dialect.rows.first().map_or("", |row| row.name),
        dedup_key: dialect.dedup.key.name(),
        on_repeat: dialect.dedup.on_repeat.name(),
        default_type: dialect.default_type.as_ref().map(|known| known.name()),
    }
}

fn facts(dialect: &'static Dialect) -> Vec<Fact> {
    let rows = dialect.rows.iter().map(parameter);
    let words = dialect.words.iter().map(word);
    let repeat = format!("key {}, {}", dialect.dedup.key.name(), dialect.dedup.on_repeat.name());
    let rule = fact("repeats", "", repeat, dialect.dedup_source);
    let answers = answers(dialect);
    let macros = dialect.click_macros.iter().map(|name| {
        fact("url macro", name, "the click id, in the url of an offer".into(), FactSource::Own)
    });
    rows.chain(words).chain([rule]).chain(answers).chain(macros).collect()
}

fn parameter(row: &'static Row) -> Fact {
    fact("parameter", row.name, row.means.words().into(), row.source)
}

fn word(word: &'static Word) -> Fact {
    let result = word.meaning.result.map(|result| format!("result {}", result.name()));
    let conversion_type = word.meaning.conversion_type.as_ref();
    let conversion_type = conversion_type.map(|known| format!("type {}", known.name()));
    let meaning: Vec<String> = conversion_type.into_iter().chain(result).collect();
    fact("status", word.word, meaning.join(", "), word.source)
}

fn answers(dialect: &'static Dialect) -> Vec<Fact> {
    let said = |name, body: &str| fact("answer", name, body.into(), dialect.replies_source);
    match dialect.replies {
        Replies::Json => vec![said("all", "the outcome, as JSON")],
        Replies::Text { success, success_param, duplicate, refusal, .. } => {
            let asked = success_param.map(|name| said("success", &format!("the value of {name}")));
            let others = [said("duplicate", duplicate), said("refused", refusal)];
            [said("success", success)].into_iter().chain(asked).chain(others).collect()
        }
    }
}

fn fact(kind: &'static str, name: &'static str, meaning: String, source: FactSource) -> Fact {
    let (certain, source) = match source {
        FactSource::Own => ("yes", "Counterfoil"),
        FactSource::Page(page) => ("yes", page),
        FactSource::Uncertain(why) => ("no", why),
    };
    Fact { kind, name, meaning, certain, source }
}
