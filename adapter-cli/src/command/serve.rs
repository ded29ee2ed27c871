//! `counterfoil serve`: both listeners and the dispatcher on one database, until it is told to
//! stop.

pub(super) mod config;
pub(super) mod exposure;
mod limits;
mod logging;
mod reload;

use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
};

use clap::{Args, builder::BoolishValueParser};
use counterfoil_core::Period;
use counterfoil_http::{BindError, Config, DispatchMetrics, Dispatcher, IpNet, Secret, Server};
use counterfoil_sqlite::Options;

use self::{config::Settings, logging::LogFormat};
use crate::{
    arguments::HELP_TEMPLATE,
    auto_sets::AutoSetTimer,
    database, destinations,
    exit_code::ExitCode,
    failure::Failure,
    output::{self, HINT, STRONG, SUSPICIOUS},
    retention::{self, RetentionTimer},
    rules_files,
    secrets::Secrets,
    sending::{self, SendingArguments},
    signals::{self, Asked, Signals},
    store::EmbeddedStore,
};

/// A file of `--config` with every key.
pub(super) const CONFIG_EXAMPLE: &str = include_str!("serve/config.toml");

const EXAMPLES: &str = "\
Examples:
  counterfoil serve --rules rules.toml --db acme.db
  counterfoil serve --rules rules/ --db acme.db --listen 0.0.0.0:8080 --secrets /etc/counterfoil
  counterfoil serve --config /etc/counterfoil.toml
  counterfoil serve --rules rules.toml --db acme.db --allow-destination 127.0.0.1/32
  counterfoil serve --config counterfoil.toml --tls-cert chain.pem --tls-key key.pem
  kill -HUP $(pidof counterfoil)                    read rules and certificate again
  kill -TERM $(pidof counterfoil)                   finish what runs, then stop";

/// Serve postbacks, pixels, affiliate links and the admin API
///
/// A flag beats its environment variable, that beats the file of --config (TOML, the same names,
/// and the limits), and that beats the default. `counterfoil help config` prints such a file.
///
/// The admin listener asks for the secret `admin_token` as a bearer token: the file `admin_token`
/// in the folder of --secrets, else the variable COUNTERFOIL_SECRET_ADMIN_TOKEN. Without it a token
/// is made for the run and told once.
#[derive(Debug, Args)]
#[command(help_template = HELP_TEMPLATE, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Rules files, one for each tenant, or folders of them
    #[arg(long, value_name = "PATH", num_args = 1.., env = "COUNTERFOIL_RULES")]
    rules: Vec<PathBuf>,
    /// Run the rules that the database keeps, whatever files are named
    #[arg(
        long,
        env = "COUNTERFOIL_RULES_FROM_DB",
        value_parser = BoolishValueParser::new()
    )]
    rules_from_db: bool,
    /// The database; it is made where it is missing
    #[arg(long, value_name = "FILE", env = "COUNTERFOIL_DB")]
    db: Option<PathBuf>,
    /// Where senders and visitors come in [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS", env = "COUNTERFOIL_LISTEN", value_parser = address)]
    listen: Option<SocketAddr>,
    /// Where administrators come in [default: 127.0.0.1:8081]
    #[arg(long, value_name = "ADDRESS", env = "COUNTERFOIL_ADMIN_LISTEN", value_parser = address)]
    admin_listen: Option<SocketAddr>,
    /// The certificate of the public listener (PEM), with those that vouch for it
    #[arg(long, value_name = "FILE", env = "COUNTERFOIL_TLS_CERT")]
    tls_cert: Option<PathBuf>,
    /// The private key of the certificate (PEM)
    #[arg(long, value_name = "FILE", env = "COUNTERFOIL_TLS_KEY")]
    tls_key: Option<PathBuf>,
    /// Proxies whose X-Forwarded-For and X-Forwarded-Proto are believed, as in 10.0.0.0/8
    #[arg(long, value_name = "CIDR", num_args = 1.., env = "COUNTERFOIL_TRUSTED_PROXY",
          value_delimiter = ',', value_parser = destinations::network)]
    trusted_proxy: Vec<IpNet>,
    #[command(flatten)]
    sending: SendingArguments,
    /// Delete requests, messages and idle clicks that are older than this, every hour; see `prune`
    #[arg(long, value_name = "PERIOD", env = "COUNTERFOIL_PRUNE_OLDER_THAN",
          value_parser = retention::period)]
    prune_older_than: Option<Period>,
    /// A file with these settings
    #[arg(long, value_name = "FILE", env = "COUNTERFOIL_CONFIG")]
    config: Option<PathBuf>,
    /// What to log, as in `info` or `counterfoil_http=debug` [default: info]
    #[arg(long, value_name = "FILTER", env = "COUNTERFOIL_LOG")]
    log: Option<String>,
    /// How to log [default: text]
    #[arg(long, value_enum, value_name = "FORMAT", env = "COUNTERFOIL_LOG_FORMAT")]
    log_format: Option<LogFormat>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let settings = Arc::new(Settings::gather(arguments)?);
    logging::start(&settings.log, settings.log_format)?;
    let secrets = Secrets::new(settings.secrets.clone())?;
    let files = match settings.rules_from_db {
        true => Vec::new(),
        false => rules_files::load(&settings.rules)?,
    };
    refuse_taken_ports(&settings)?;
    let role = database::serving_role(settings.listen, settings.admin_listen);
    let mut options = Options { role, ..Options::default() };
    settings.limits.of_the_writer(&mut options.queue_len);
    let store = EmbeddedStore::new(database::own_with(&settings.db, options)?);
    let store = Arc::new(store);
    let mut open = exposure::of_listeners(settings.listening());
    open.extend(settings.tls_key.as_deref().and_then(exposure::of_key));
    exposure::warn_of(&open);
    reload::start_rules(store.store(), &files, &settings, &secrets)?;
    let dispatcher = dispatcher(&settings, &secrets, &store)?;
    let server = bind(&settings, &secrets, &store, dispatcher.metrics())?;
    serve(server, dispatcher, &store, &settings, &secrets)
}

/// Reads an address to listen on.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        let port: Option<u16> = text.trim_start_matches(':').parse().ok();
        format!("write it as 127.0.0.1:{}", port.unwrap_or(8080))
    })
}

/// Listens on both addresses and lets go of them, before anything is written: a start that is bound
/// to fail leaves the database alone.
fn refuse_taken_ports(settings: &Settings) -> Result<(), Failure> {
    // Both are held at once, so that one address given twice is seen too.
    let mut held = Vec::new();
    for (option, address) in
        [("--listen", settings.listen), ("--admin-listen", settings.admin_listen)]
    {
        let listener = TcpListener::bind(address).map_err(|error| {
            Failure::could_not(format_args!("cannot listen on `{address}` (`{option}`): {error}"))
                .hint(format_args!("choose another address with `{option}`, or stop what has it"))
        })?;
        held.push(listener);
    }
    Ok(())
}

fn dispatcher(
    settings: &Settings,
    secrets: &Secrets,
    store: &Arc<EmbeddedStore>,
) -> Result<Dispatcher, Failure> {
    let mut config = sending::config(secrets, &settings.allowed, settings.ca_file.as_ref());
    settings.limits.of_sending(&mut config);
    Dispatcher::new(config, Arc::clone(store) as _).map_err(sending::failure)
}

fn bind(
    settings: &Settings,
    secrets: &Secrets,
    store: &Arc<EmbeddedStore>,
    metrics: DispatchMetrics,
) -> Result<Server, Failure> {
    let mut config = Config::new(admin_token(secrets)?);
    config.listen = settings.listen;
    config.admin_listen = settings.admin_listen;
    config.tls.clone_from(&settings.tls);
    config.trusted_proxies.clone_from(&settings.trusted_proxies);
    config.secrets = sending::look_up(secrets);
    config.limits = settings.limits.of_listeners();
    config.dispatch = Some(metrics);
    Server::bind(config, Arc::clone(store) as _).map_err(|error: BindError| {
        Failure::could_not(error).hint("choose other addresses with --listen and --admin-listen")
    })
}

/// The token of the admin listener: the secret, or one that is made and told once.
fn admin_token(secrets: &Secrets) -> Result<Secret, Failure> {
    if let Some(value) = secrets.admin_token()? {
        return Ok(Secret::new(&value));
    }
    let made = crate::secrets::random_token()?;
    output::tell(format_args!(
        "{SUSPICIOUS}there is no secret `admin_token`{SUSPICIOUS:#}; for this run it is \
         {STRONG}{made}{STRONG:#}"
    ));
    output::tell(format_args!(
        "  {HINT}try{HINT:#}: to keep one, set COUNTERFOIL_SECRET_ADMIN_TOKEN, or write it to a \
         file `admin_token` in the folder of --secrets"
    ));
    Ok(Secret::new(&made))
}

/// Where a server listens.
struct Addresses {
    scheme: &'static str,
    public: SocketAddr,
    admin: SocketAddr,
}

impl Addresses {
    fn of(server: &Server, settings: &Settings) -> Result<Self, Failure> {
        Ok(Self {
            scheme: if settings.tls.is_some() { "https" } else { "http" },
            public: server.public_addr().map_err(Failure::could_not)?,
            admin: server.admin_addr().map_err(Failure::could_not)?,
        })
    }

    /// Tells them: for people at the start of their log, or as a line of JSON like others.
    fn announce(&self, log_format: LogFormat) {
        let Self { scheme, public, admin } = self;
        match log_format {
            LogFormat::Json => tracing::info!(%public, %admin, "listening"),
            LogFormat::Text => {
                output::tell(format_args!("public  {scheme}://{public}"));
                output::tell(format_args!("admin   http://{admin}"));
            }
        }
    }
}

/// Serves and sends. When it is to stop, nobody is let in but who waits already, and no attempt
/// begins (P11); what runs ends, first the requests, then the attempts; the store comes last, with
/// its owner.
fn serve(
    server: Server,
    dispatcher: Dispatcher,
    store: &Arc<EmbeddedStore>,
    settings: &Arc<Settings>,
    secrets: &Secrets,
) -> Result<ExitCode, Failure> {
    let timer = AutoSetTimer::start(Arc::clone(store)).map_err(Failure::could_not)?;
    let retention = settings.prune_older_than;
    let retention = retention.map(|period| RetentionTimer::start(Arc::clone(store), period));
    let retention = retention.transpose().map_err(Failure::could_not)?;
    let addresses = Addresses::of(&server, settings)?;
    let dispatching = dispatcher.start().map_err(sending::failure)?;
    let until_stopped = async {
        let Ok(mut signals) = Signals::listen() else {
            return tracing::error!("cannot listen for signals; stopping");
        };
        // Whoever reads this may send a signal at once.
        addresses.announce(settings.log_format);
        while signals.next().await == Asked::ToReload {
            let (store, settings) = (Arc::clone(store), Arc::clone(settings));
            let secrets = secrets.clone();
            let again = move || reload::again(store.store(), &settings, &secrets);
            // A panic of the task was reported when it happened.
            let _ = tokio::task::spawn_blocking(again).await;
        }
        tracing::info!("stopping: finishing what runs");
        dispatching.stop();
        tokio::spawn(signals::end_at_the_next(signals));
    };
    let stopped = server.run(until_stopped).map_err(Failure::could_not)?;
    if !dispatching.join() {
        tracing::error!("sending broke off; what was under way is sent again after a start");
    }
    drop((timer, retention));
    if stopped.cut {
        tracing::warn!("connections that did not end in time were cut");
    }
    tracing::info!("stopped");
    Ok(ExitCode::Done)
}
