//! `counterfoil deliveries retry`: straight into a database that no server holds (R42).

use clap::Args;
use counterfoil_core::{MessageId, MessageState, TenantName, view::Filter};
use counterfoil_sqlite::Retried;
use url::form_urlencoded;

use super::{super::write::MomentArgument, MessageArguments};
use crate::{
    arguments::{DatabaseArguments, HELP_TEMPLATE},
    database,
    exit_code::ExitCode,
    failure::Failure,
    output,
};

const EXAMPLES: &str = "\
Examples:
  counterfoil deliveries retry --db acme.db 01993b2e-7c1a-7f00-8000-0123456789ab
  counterfoil deliveries retry --db acme.db --tracking-api bo-sales
  counterfoil deliveries retry --db acme.db --all";

/// Make messages due now, under their old ids: one, or all that match
///
/// This works on a database that no server holds; the next server on it sends them. Where one runs,
/// it is asked over HTTP, and this command prints the line of curl for it.
///
/// Of many the dead ones are meant, unless --state names others.
#[derive(Debug, Args)]
#[command(help_template = HELP_TEMPLATE, after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    database: DatabaseArguments,
    /// The message
    #[arg(conflicts_with_all = ["all", "state", "tracking_api", "postback", "conversion", "owner"])]
    id: Option<MessageId>,
    #[command(flatten)]
    of: MessageArguments,
    /// All of them, where nothing else says which
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    moment: MomentArgument,
}

/// What is to be sent again.
enum Wanted {
    One(MessageId),
    Matching(Box<Filter>),
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let wanted = wanted(arguments)?;
    // Reading works beside a server, which is then asked for the tenant by its name.
    let (reader, tenant) = database::look_at_tenant(&arguments.database)?;
    drop(reader);
    let role = "counterfoil deliveries retry".to_owned();
    let store = database::own_or(&arguments.database.db, role, |admin| {
        let curl = curl(admin, &tenant, &wanted);
        format!("ask it, with the secret `admin_token` in that variable: {curl}")
    })?;
    let now = arguments.moment.moment();
    match wanted {
        Wanted::One(id) => match store.retry(&tenant, id, now) {
            Ok(Retried::Due) => output::tell(format_args!("due now: {id}")),
            Ok(Retried::NotFound) => {
                let what = format_args!("the tenant `{tenant}` has no delivery `{id}`");
                return Err(Failure::could_not(what).hint("`counterfoil deliveries` lists them"));
            }
            Ok(Retried::Forgotten) => {
                let what = format_args!("what `{id}` told was erased or pruned: nothing is sent");
                return Err(Failure::could_not(what)
                    .hint("nothing is left to do; a new event makes a new message"));
            }
            Ok(Retried::InHand) => {
                let what = format_args!("`{id}` is held or being sent: it goes its way by itself");
                return Err(Failure::could_not(what)
                    .hint(format_args!("look at it: `counterfoil deliveries show {id}`")));
            }
            Err(error) => return Err(database::submit_failure(error)),
        },
        Wanted::Matching(filter) => {
            let retried = store.retry_all(&tenant, &filter, now);
            let retried = retried.map_err(database::submit_failure)?;
            output::tell(format_args!("due now: {retried}"));
        }
    }
    Ok(ExitCode::Done)
}

/// Nobody sends again by accident: some message must be meant, and what has arrived is meant only
/// where `--state` says so.
fn wanted(arguments: &Arguments) -> Result<Wanted, Failure> {
    if let Some(id) = arguments.id {
        return Ok(Wanted::One(id));
    }
    let mut filter = arguments.of.narrow(Filter::default());
    if filter == Filter::default() && !arguments.all {
        return Err(Failure::usage("nothing says which messages to send again")
            .hint("name one by its id, narrow them with --tracking-api or --state, or say --all"));
    }
    match filter.state.get_or_insert(MessageState::Dead) {
        state @ (MessageState::Held | MessageState::Sending) => Err(Failure::usage(format_args!(
            "messages that are `{}` go their way by themselves",
            state.name()
        ))
        .hint("one of dead, delivered, due, polling")),
        _ => Ok(Wanted::Matching(Box::new(filter))),
    }
}

/// What asks a running server for the same.
fn curl(admin: &str, tenant: &TenantName, wanted: &Wanted) -> String {
    let path = match wanted {
        Wanted::One(id) => format!("{id}/retry"),
        Wanted::Matching(filter) => {
            let state = filter.state.map(|state| state.name().to_owned());
            let given = [
                ("state", state),
                ("tracking_api", filter.tracking_api.clone()),
                ("postback", filter.postback.clone()),
                ("conversion", filter.conversion.clone()),
                ("owner", filter.owner.clone()),
            ];
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.extend_pairs(given.into_iter().filter_map(|(name, value)| Some((name, value?))));
            format!("retry?{}", query.finish())
        }
    };
    format!(
        "curl -X POST -H \"authorization: Bearer $COUNTERFOIL_SECRET_ADMIN_TOKEN\" \
         'http://{admin}/api/{tenant}/deliveries/{path}'"
    )
}
