//! `counterfoil explain`: the decision about a request, step by step. Nothing is written.

use std::{collections::BTreeMap, path::PathBuf};

use clap::Args;
use counterfoil_core::{
    ConversionId, Decision, FactQuery, Facts, Found, Receipt, RequestId, Ruleset, view::Explanation,
};

use crate::{
    address::{self, Address},
    arguments::{HELP_TEMPLATE, TenantArgument},
    clock, database,
    exit_code::ExitCode,
    explained,
    failure::Failure,
    output::{self, AnswerFormat},
    rules_files::{self, RulesFile},
};

const EXAMPLES: &str = "\
Examples:
  counterfoil explain --rules rules.toml --root shoply-cz/bo 'type=sale&value=100'
  counterfoil explain --rules rules.toml --db acme.db 'pcid=01993b2e-…&type=sale&value=100'
  counterfoil explain --rules rules/ --db acme.db 'https://x.example/api/acme/pixel.gif?pcid=…'";

/// The receipts of what is only assumed: the click, and the request that comes after it.
const CLICK: RequestId = RequestId::from_bytes(*b"\0\0\0\0\0\0\x70\0\x80\0\0\0\0\x01\0\0");
const REQUEST: RequestId = RequestId::from_bytes(*b"\0\0\0\0\0\0\x70\0\x80\0\0\0\0\x02\0\0");

/// The names under which a request may say what it pairs with.
const PCID: [&str; 3] = ["pcid", "eid", "pldk_conversion_id"];

/// Decide about a request and show how, without writing anything
#[derive(Debug, Args)]
#[command(help_template = HELP_TEMPLATE, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Rules to decide with
    #[arg(long, value_name = "PATH", env = "COUNTERFOIL_RULES", required = true)]
    rules: Vec<PathBuf>,
    /// A database with what is stored; a server may be running on it
    #[arg(
        long,
        value_name = "FILE",
        env = "COUNTERFOIL_DB",
        conflicts_with = "root"
    )]
    db: Option<PathBuf>,
    /// Without a database: assume a click on this link; a missing `pcid` is filled in
    #[arg(long, value_name = "OFFER/AFFILIATE")]
    root: Option<String>,
    #[command(flatten)]
    tenant: TenantArgument,
    /// The URL of a postback, or only its query
    #[arg(value_name = "URL_OR_QUERY")]
    request: String,
    /// How to print the decision
    #[arg(long, value_enum, default_value_t)]
    format: AnswerFormat,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let mut address = Address::read(&arguments.request)?;
    let files = rules_files::load(&arguments.rules)?;
    let rulesets: Vec<&Ruleset> = files.iter().filter_map(RulesFile::rules).collect();
    let wanted = arguments.tenant.tenant.as_deref();
    let wanted = wanted.or(address.tenant.as_deref());
    let ruleset = *database::choose(wanted, &rulesets, |ruleset| ruleset.tenant())?;
    let decision = match (&arguments.db, &arguments.root) {
        (Some(db), _) => {
            let reader = database::look(db)?;
            let request = address.arrival(ruleset).request;
            let now = clock::now();
            let explained = reader.explain(ruleset.tenant(), ruleset, &request, now);
            explained.map_err(database::read_failure)?.decision
        }
        (None, Some(link)) => after_click(ruleset, link, &mut address)?,
        (None, None) => {
            output::tell(
                "nothing is stored: name a database with --db, or assume a click with --root",
            );
            decide(ruleset, &address, |_| Facts::default())
        }
    };
    let explanation = Explanation::of(&decision, ruleset);
    explained::say(&explanation, arguments.format)
}

/// Decides as if nothing were stored but one click, made just now.
fn after_click(ruleset: &Ruleset, link: &str, address: &mut Address) -> Result<Decision, Failure> {
    let named = address.parameter(&PCID);
    let id = match named.as_deref().map(str::parse::<ConversionId>) {
        Some(Ok(pcid)) => RequestId::from_bytes(*pcid.as_bytes()),
        _ => CLICK,
    };
    let receipt = Receipt {
        id,
        at: clock::now(),
    };
    let click = address::click(ruleset, link)?.request;
    let click = click.decide(ruleset, &Facts::default(), receipt);
    if named.is_none() {
        address.add(PCID[0], &id.conversion_id().to_string());
    }
    Ok(decide(ruleset, address, |query| facts_of(&click, query)))
}

fn decide(
    ruleset: &Ruleset,
    address: &Address,
    facts: impl FnOnce(&FactQuery) -> Facts,
) -> Decision {
    let request = address.arrival(ruleset).request;
    let receipt = Receipt {
        id: REQUEST,
        at: clock::now(),
    };
    request.decide(ruleset, &facts(&request.query(ruleset)), receipt)
}

/// What a store would answer that holds nothing but a click.
fn facts_of(click: &Decision, query: &FactQuery) -> Facts {
    let (Some(conversion), Some(root)) = (&click.conversion, &click.root) else {
        return Facts::default();
    };
    if query.pcid != Some(conversion.id) {
        return Facts::default();
    }
    let mut counters = BTreeMap::new();
    for transaction in &click.transactions {
        if query.counters.contains(&transaction.commission_id) {
            *counters
                .entry(transaction.commission_id.clone())
                .or_default() += 1;
        }
    }
    Facts {
        root: Some((**root).clone()),
        root_row: query.target.as_ref().map(|_| Found {
            root: (**root).clone(),
            conversion: (**conversion).clone(),
            transactions: click.transactions.clone(),
        }),
        counters,
        ..Facts::default()
    }
}
