//! `counterfoil demo`: everything at once, on a temporary database with sample rules.

mod others;
mod story;

use std::{fs, io, net::SocketAddr, path::Path, sync::Arc, thread};

use clap::Args;
use counterfoil_http::{
    BindError, Config, DispatchConfig, DispatchMetrics, Dispatcher, Secret, Server,
};
use counterfoil_sqlite::RulesFormat;

use self::{others::Others, story::Story};
use crate::{
    arguments::HELP_TEMPLATE,
    auto_sets::AutoSetTimer,
    clock, database,
    exit_code::ExitCode,
    failure::Failure,
    output, secrets,
    signals::{Asked, Signals},
    store::EmbeddedStore,
};

const EXAMPLES: &str = "\
Examples:
  counterfoil demo                                  and try its URLs while it serves
  counterfoil demo --exit                           stop when the story is told";

/// The rules of the demo.
const SAMPLE_RULES: &str = include_str!("demo/shoply.toml");
/// What is told to others in the demo, and where these listen in it.
const TOLD: (&str, &str) = (include_str!("demo/told.toml"), "127.0.0.1:9000");

/// See a click, its postback, the money and the reasons, in a minute
#[derive(Debug, Args)]
#[command(help_template = HELP_TEMPLATE, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Stop when the story is told; else go on serving until Ctrl-C
    #[arg(long)]
    exit: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let folder = tempfile::tempdir().map_err(|error| {
        Failure::could_not(format_args!("cannot make a temporary folder: {error}"))
            .hint("make room in it, or name another one in TMPDIR")
    })?;
    let db = folder.path().join("demo.db");
    let rules = folder.path().join("rules.toml");
    let others = Others::start()?;
    let text = rules_for(&others);
    fs::write(&rules, &text).map_err(|error| Failure::file("write", &rules, &error))?;
    let store = open(&db, &text)?;
    let token = secrets::random_token()?;
    let dispatcher = dispatcher(&store, &others)?;
    let server = bind(&store, &token, dispatcher.metrics())?;
    let story = Story {
        public: server.public_addr().map_err(Failure::could_not)?,
        admin: server.admin_addr().map_err(Failure::could_not)?,
        token,
        db,
        rules,
        others,
        serves_on: !arguments.exit,
    };
    let timer = AutoSetTimer::start(Arc::clone(&store)).map_err(Failure::could_not)?;
    let dispatching = dispatcher.start().map_err(Failure::could_not)?;
    let told = tell_while_serving(server, story);
    dispatching.join();
    drop(timer);
    told.map(|()| ExitCode::Done)
}

/// The sample rules, and what is told to the others where they listen.
fn rules_for(others: &Others) -> String {
    let (told, listens) = TOLD;
    format!("{SAMPLE_RULES}{}", told.replace(listens, &others.address.to_string()))
}

/// Sends to public addresses and to the others.
fn dispatcher(store: &Arc<EmbeddedStore>, others: &Others) -> Result<Dispatcher, Failure> {
    let mut config = DispatchConfig::new(Arc::new(|_| None));
    config.allowed = vec![others.address.ip().into()];
    Dispatcher::new(config, Arc::clone(store) as _).map_err(Failure::could_not)
}

fn open(db: &Path, rules: &str) -> Result<Arc<EmbeddedStore>, Failure> {
    let store = database::own(db, "counterfoil demo".to_owned())?;
    store
        .install_rules(None, rules, RulesFormat::Toml, clock::now())
        .map_err(database::install_failure)?;
    Ok(Arc::new(EmbeddedStore::new(store)))
}

/// Listens where a server does by default, or on free ports where these are taken.
fn bind(
    store: &Arc<EmbeddedStore>,
    token: &str,
    metrics: DispatchMetrics,
) -> Result<Server, Failure> {
    let mut config = Config::new(Secret::new(token));
    config.dispatch = Some(metrics);
    loop {
        match Server::bind(config.clone(), Arc::clone(store) as _) {
            Ok(server) => return Ok(server),
            Err(BindError { address, source }) if address.port() == 0 => {
                let what = format_args!("cannot listen on any port of `{address}`: {source}");
                return Err(Failure::could_not(what));
            }
            Err(BindError { address, .. }) if address == config.listen => {
                config.listen = any_port(config.listen);
            }
            Err(_) => config.admin_listen = any_port(config.admin_listen),
        }
    }
}

fn any_port(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), 0)
}

/// Tells the story on a thread of its own while the server serves on this one.
fn tell_while_serving(server: Server, story: Story) -> Result<(), Failure> {
    let handle = server.handle();
    let serves_on = story.serves_on;
    let teller = thread::spawn(move || {
        let told = story.tell();
        if told.is_err() || !serves_on {
            handle.stop();
        }
        told
    });
    let served: io::Result<_> = server.run(until_asked_to_stop());
    served.map_err(Failure::could_not)?;
    if !teller.is_finished() && serves_on {
        output::tell("stopped before the story was told");
        return Ok(());
    }
    teller.join().unwrap_or_else(|_| Err(Failure::could_not("the demo broke off")))
}

async fn until_asked_to_stop() {
    let Ok(mut signals) = Signals::listen() else {
        return;
    };
    while signals.next().await != Asked::ToStop {}
}
