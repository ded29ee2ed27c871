//! `counterfoil privacy`: what is known about one visitor, and erasing it.

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args, Subcommand};
use counterfoil_core::{
    ConversionId,
    view::{Erased, Subject},
};
use counterfoil_sqlite::{EraseError, Options};

use crate::{
    arguments::{DatabaseArguments, HELP_TEMPLATE},
    clock, database,
    exit_code::ExitCode,
    failure::Failure,
    output::{self, AnswerFormat, counted},
};

const EXAMPLES: &str = "\
Examples:
  counterfoil privacy export --db acme.db --pcid 01993b2e-7c1a-7f00-8000-0123456789ab
  counterfoil privacy export --db acme.db --external-id A-1 --advertiser shoply
  counterfoil privacy erase --db acme.db --pcid 01993b2e-7c1a-7f00-8000-0123456789ab
  counterfoil privacy erase --db acme.db --external-id A-1 --advertiser shoply
  counterfoil privacy compact --db acme.db";

/// Print everything that is known about one visitor, or erase what is personal of it
#[derive(Debug, Args)]
#[command(help_template = HELP_TEMPLATE, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Privacy,
}

#[derive(Debug, Subcommand)]
enum Privacy {
    /// Print everything that is known, as JSON
    ///
    /// Click, conversions, transactions, requests and messages, those requests among them that were
    /// refused and name the visitor. Nobody is meant: exit 3.
    #[command(help_template = HELP_TEMPLATE, after_help = EXAMPLES)]
    Export {
        #[command(flatten)]
        database: DatabaseArguments,
        #[command(flatten)]
        subject: SubjectArguments,
    },
    /// Erase what is personal, in a database that no server holds
    ///
    /// A server erases by `POST /api/{tenant}/privacy/erase` on its admin listener.
    ///
    /// Goes: params, sub ids and the affiliate's id of the click; the parameters, address and trace
    /// of requests; messages that have ended, with their answers. Stays: ids, the advertiser's id,
    /// amounts and repeat keys, so a resend is answered as before. `replay` leaves out what is
    /// erased. The file is then written anew, as `privacy compact` does; what a server erases needs
    /// that, too, when it has stopped. Copies, such as backups, are not reached.
    #[command(help_template = HELP_TEMPLATE, after_help = EXAMPLES)]
    Erase {
        #[command(flatten)]
        database: DatabaseArguments,
        #[command(flatten)]
        subject: SubjectArguments,
        /// How to tell what was erased
        #[arg(long, value_enum, default_value_t)]
        format: AnswerFormat,
    },
    /// Write a database anew that no server holds, so that nothing is left of what was deleted
    ///
    /// Deleting overwrites rows, but not what earlier writes left of them in unused parts of the
    /// file and in its log. This takes as long as a copy, and as much space.
    #[command(help_template = HELP_TEMPLATE, after_help = EXAMPLES)]
    Compact {
        /// The database
        #[arg(long, value_name = "FILE", env = "COUNTERFOIL_DB")]
        db: PathBuf,
    },
}

/// Who is meant.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("subject").required(true).args(["pcid", "external_id"])))]
struct SubjectArguments {
    /// The id of the click, or of any conversion under it
    #[arg(long, value_name = "ID")]
    pcid: Option<ConversionId>,
    /// The advertiser's id of a lead or an order
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,
    /// The advertiser of that id; must be named where conversions of several carry it
    #[arg(long, value_name = "ID", requires = "external_id")]
    advertiser: Option<String>,
}

impl SubjectArguments {
    fn subject(&self) -> Result<Subject, Failure> {
        match (&self.pcid, &self.external_id) {
            (Some(pcid), _) => Ok(Subject::Pcid(*pcid)),
            (None, Some(external_id)) => Ok(Subject::External {
                external_id: external_id.clone(),
                advertiser: self.advertiser.clone(),
            }),
            (None, None) => {
                Err(Failure::usage("nobody is named").hint("give --pcid or --external-id"))
            }
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    match &arguments.command {
        Privacy::Export { database, subject } => export(database, &subject.subject()?),
        Privacy::Erase { database, subject, format } => {
            erase(database, &subject.subject()?, *format)
        }
        Privacy::Compact { db } => {
            database::look(db)?;
            compact(db)?;
            output::tell("the database was written anew");
            Ok(ExitCode::Done)
        }
    }
}

fn export(arguments: &DatabaseArguments, subject: &Subject) -> Result<ExitCode, Failure> {
    let (reader, tenant) = database::look_at_tenant(arguments)?;
    let known = reader.known_about(&tenant, subject).map_err(database::read_failure)?;
    output::say_json(&known)?;
    if known.conversions.is_empty() && known.requests.is_empty() {
        return Ok(nobody());
    }
    Ok(ExitCode::Done)
}

fn nobody() -> ExitCode {
    output::tell("nothing is known under this id");
    ExitCode::Negative
}

fn erase(
    arguments: &DatabaseArguments,
    subject: &Subject,
    format: AnswerFormat,
) -> Result<ExitCode, Failure> {
    let (_, tenant) = database::look_at_tenant(arguments)?;
    let hint = |admin: &str| {
        let target = format!("http://{admin}/api/{tenant}/privacy/erase");
        format!("ask that server, with its token: POST {target}, as in {{\"pcid\": \"…\"}}")
    };
    let store = database::own_or(&arguments.db, "counterfoil privacy erase".to_owned(), hint)?;
    let erased = store.erase(&tenant, subject, clock::now()).map_err(|error| match error {
        EraseError::Read(error) => database::read_failure(error),
        EraseError::Store(error) => database::submit_failure(error),
        other => Failure::could_not(other),
    })?;
    let Erased { conversions, requests, messages, messages_left, .. } = erased;
    match format {
        AnswerFormat::Json => output::say_json(&erased)?,
        AnswerFormat::Text => output::say(format_args!(
            "{} {}, {} and {}",
            if erased.was_erased_before {
                "nothing was left to erase: it was erased before in"
            } else {
                "erased what is personal in"
            },
            counted(conversions, "conversion"),
            counted(requests, "request"),
            counted(messages, "message")
        ))?,
    }
    if messages_left > 0 {
        output::tell(format_args!(
            "messages that are left, for some have not ended: {messages_left}; erase again when \
             they have"
        ));
    }
    if erased.is_nothing() {
        return Ok(nobody());
    }
    // It is erased whatever comes of this.
    drop(store);
    compact(&arguments.db)?;
    Ok(ExitCode::Done)
}

fn compact(db: &Path) -> Result<(), Failure> {
    let role = "counterfoil privacy compact".to_owned();
    let options = Options { role, ..Options::default() };
    counterfoil_sqlite::compact(db, &options).map_err(database::open_failure)
}
