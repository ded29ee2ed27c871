//! `counterfoil dialects`: how other systems write postbacks, and what that means here.

use std::{path::PathBuf, sync::Arc};

use clap::{Args, Subcommand};
use counterfoil_core::{DIALECTS, Dialect, FactSource, Replies, Row, Ruleset, Word};
use serde::Serialize;

use super::list;
use crate::{
    arguments::{HELP_TEMPLATE, TenantArgument},
    database,
    exit_code::ExitCode,
    failure::Failure,
    output::{self, Column, ListFormat, column},
    rules_files::{self, RulesFile},
};

const EXAMPLES: &str = "\
Examples:
  counterfoil dialects
  counterfoil dialects show keitaro
  counterfoil dialects show keitaro --format csv > keitaro.csv
  counterfoil dialects --rules rules.toml
  counterfoil dialects show acmetrack --rules rules.toml";

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
    #[command(flatten)]
    rules: RulesArguments,
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
    name: String,
    #[command(flatten)]
    rules: RulesArguments,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    format: ListFormat,
}

#[derive(Debug, Args)]
struct RulesArguments {
    /// Rules files, or folders of them, whose own dialects are meant too
    #[arg(long, value_name = "PATH")]
    rules: Vec<PathBuf>,
    #[command(flatten)]
    tenant: TenantArgument,
}

#[derive(Serialize)]
struct Listed<'d> {
    name: &'d str,
    system: &'d str,
    click_id: &'d str,
    dedup_key: &'static str,
    on_repeat: &'static str,
    default_type: Option<&'d str>,
}

/// One fact of a table.
#[derive(Serialize)]
struct Fact<'d> {
    kind: &'static str,
    name: &'d str,
    meaning: String,
    certain: &'static str,
    source: &'static str,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    match &arguments.which {
        None => {
            let dialects = arguments.rules.dialects()?;
            let items: Vec<_> = dialects.iter().map(|dialect| listed(dialect)).collect();
            output::say_list(arguments.format, &LIST_COLUMNS, &items, &items)?;
        }
        Some(Which::Show(show)) => {
            let dialects = show.rules.dialects()?;
            let items = facts(named(&dialects, &show.name)?);
            output::say_list(show.format, &FACT_COLUMNS, &items, &items)?;
        }
    }
    Ok(ExitCode::Done)
}

impl RulesArguments {
    /// The built-in dialects, and those of the rules where some are given.
    fn dialects(&self) -> Result<Vec<Arc<Dialect>>, Failure> {
        if self.rules.is_empty() {
            return Ok(DIALECTS.into_iter().map(|dialect| Arc::new(dialect.clone())).collect());
        }
        let files = rules_files::load(&self.rules)?;
        let rulesets: Vec<&Ruleset> = files.iter().filter_map(RulesFile::rules).collect();
        let wanted = self.tenant.tenant.as_deref();
        let ruleset = *database::choose(wanted, &rulesets, |ruleset| ruleset.tenant())?;
        Ok(ruleset.dialects().to_vec())
    }
}

fn named<'d>(dialects: &'d [Arc<Dialect>], name: &str) -> Result<&'d Dialect, Failure> {
    let found = dialects.iter().find(|dialect| dialect.name == name);
    found.map(|dialect| &**dialect).ok_or_else(|| {
        let known: Vec<&str> = dialects.iter().map(|dialect| &*dialect.name).collect();
        Failure::usage(format_args!("`{}` is no dialect", output::visible(name)))
            .hint(format_args!("{}; those of rules with --rules PATH", list::one_of(name, &known)))
    })
}

fn listed(dialect: &Dialect) -> Listed<'_> {
    Listed {
        name: &dialect.name,
        system: &dialect.system,
        click_id: dialect.click_id_names().next().unwrap_or_default(),
        dedup_key: dialect.dedup.key.name(),
        on_repeat: dialect.dedup.on_repeat.name(),
        default_type: dialect.default_type.as_ref().map(|known| known.name()),
    }
}

fn facts(dialect: &Dialect) -> Vec<Fact<'_>> {
    let rows = dialect.rows.iter().map(parameter);
    let words = dialect.words.iter().map(|known| word("status", known));
    let events = dialect.events.iter().map(|known| word("event", known));
    let fixed = dialect.fixed.iter().map(|fixed| {
        fact("fixed", fixed.parameter.name(), fixed.value.to_string(), FactSource::Rules)
    });
    let repeat = format!("key {}, {}", dialect.dedup.key.name(), dialect.dedup.on_repeat.name());
    let rule = fact("repeats", "", repeat, dialect.dedup_source);
    let answers = answers(dialect);
    let macros = dialect.click_macros.iter().map(|name| {
        fact("url macro", name, "the click id, in the url of an offer".into(), FactSource::Own)
    });
    let names = rows.chain(words).chain(events).chain(fixed);
    names.chain([rule]).chain(answers).chain(macros).collect()
}

fn parameter(row: &Row) -> Fact<'_> {
    fact("parameter", &row.name, row.means.words().into(), row.source)
}

fn word<'d>(kind: &'static str, word: &'d Word) -> Fact<'d> {
    let result = word.meaning.result.map(|result| format!("result {}", result.name()));
    let conversion_type = word.meaning.conversion_type.as_ref();
    let conversion_type = conversion_type.map(|known| format!("type {}", known.name()));
    let meaning: Vec<String> = conversion_type.into_iter().chain(result).collect();
    fact(kind, &word.word, meaning.join(", "), word.source)
}

fn answers(dialect: &Dialect) -> Vec<Fact<'_>> {
    let said = |name, body: &str| fact("answer", name, body.into(), dialect.replies_source);
    match &dialect.replies {
        Replies::Json => vec![said("all", "the outcome, as JSON")],
        Replies::Text { success, success_param, duplicate, refusal, .. } => {
            let asked = success_param.iter();
            let asked = asked.map(|name| said("success", &format!("the value of {name}")));
            let others = [said("duplicate", duplicate), said("refused", refusal)];
            [said("success", success)].into_iter().chain(asked).chain(others).collect()
        }
    }
}

fn fact<'d>(kind: &'static str, name: &'d str, meaning: String, source: FactSource) -> Fact<'d> {
    let (certain, source) = match source {
        FactSource::Own => ("yes", "Counterfoil"),
        FactSource::Rules => ("yes", "the rules"),
        FactSource::Page(page) => ("yes", page),
        FactSource::Uncertain(why) => ("no", why),
    };
    Fact { kind, name, meaning, certain, source }
}
