//! The settings of a server: flags, else environment, else file, else defaults.

use std::{fs, net::SocketAddr, path::PathBuf};

use counterfoil_core::Period;
use counterfoil_http::{IpNet, Tls};
use serde::Deserialize;

use super::{Arguments, exposure::Listening, limits::LimitsTable, logging::LogFormat};
use crate::{destinations, failure::Failure, retention};

/// The file of `--config`: the same names as the flags, and the table `[limits]`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(in crate::command) struct File {
    #[serde(default)]
    pub(in crate::command) rules: Vec<PathBuf>,
    #[serde(default)]
    rules_from_db: bool,
    pub(in crate::command) db: Option<PathBuf>,
    pub(in crate::command) listen: Option<SocketAddr>,
    pub(in crate::command) admin_listen: Option<SocketAddr>,
    pub(in crate::command) tls_cert: Option<PathBuf>,
    pub(in crate::command) tls_key: Option<PathBuf>,
    #[serde(default)]
    pub(in crate::command) trusted_proxy: Vec<String>,
    pub(in crate::command) secrets: Option<PathBuf>,
    #[serde(default)]
    pub(in crate::command) allow_destination: Vec<String>,
    ca_file: Option<PathBuf>,
    prune_older_than: Option<String>,
    log: Option<String>,
    log_format: Option<LogFormat>,
    #[serde(default)]
    limits: LimitsTable,
}

/// What a server is going to do.
#[derive(Debug)]
pub(super) struct Settings {
    /// Rules files and folders; empty where the database's rules run.
    pub(super) rules: Vec<PathBuf>,
    /// Whether the database's rules run.
    pub(super) rules_from_db: bool,
    /// The database.
    pub(super) db: PathBuf,
    /// The public address.
    pub(super) listen: SocketAddr,
    /// The admin address.
    pub(super) admin_listen: SocketAddr,
    /// The certificate of the public listener.
    pub(super) tls: Option<Tls>,
    /// The private key of the certificate.
    pub(super) tls_key: Option<PathBuf>,
    /// The proxies that are believed.
    pub(super) trusted_proxies: Vec<IpNet>,
    /// The folder of secrets.
    pub(super) secrets: Option<PathBuf>,
    /// Networks that messages may reach although they are not public.
    pub(super) allowed: Vec<IpNet>,
    /// Certificates that are trusted beside the system's.
    pub(super) ca_file: Option<PathBuf>,
    /// How old what is kept may become; none: it is kept for ever.
    pub(super) prune_older_than: Option<Period>,
    /// What to log.
    pub(super) log: String,
    /// How to log.
    pub(super) log_format: LogFormat,
    /// What it takes at most.
    pub(super) limits: LimitsTable,
}

/// The public address where none is given.
pub(in crate::command) const LISTEN: SocketAddr = loopback(8080);
/// The admin address where none is given.
pub(in crate::command) const ADMIN_LISTEN: SocketAddr = loopback(8081);
const LOG: &str = "info";

impl Settings {
    /// Puts the settings together.
    ///
    /// # Errors
    /// Where the file cannot be read, or rules or database are named nowhere.
    pub(super) fn gather(arguments: &Arguments) -> Result<Self, Failure> {
        let file = match &arguments.config {
            Some(path) => File::read(path)?,
            None => File::default(),
        };
        let from_db = arguments.rules_from_db || arguments.rules.is_empty() && file.rules_from_db;
        let rules = match (from_db, arguments.rules.is_empty()) {
            (true, _) => Vec::new(),
            (false, false) => arguments.rules.clone(),
            (false, true) => file.rules,
        };
        if !from_db && rules.is_empty() {
            return Err(Failure::usage("there are no rules to serve")
                .hint("name them with --rules PATH, or run the stored ones with --rules-from-db"));
        }
        let db = arguments.db.clone().or(file.db).ok_or_else(|| {
            Failure::usage("there is no database to write to").hint("name one with --db FILE")
        })?;
        let networks = |given: &[IpNet], texts: &[String], name| match given.is_empty() {
            true => networks(texts, name),
            false => Ok(given.to_vec()),
        };
        let allowed = networks(
            &arguments.sending.allow_destination,
            &file.allow_destination,
            "allow-destination",
        )?;
        let trusted_proxies =
            networks(&arguments.trusted_proxy, &file.trusted_proxy, "trusted-proxy")?;
        let tls_key = arguments.tls_key.clone().or(file.tls_key);
        let tls = tls(arguments.tls_cert.clone().or(file.tls_cert), tls_key.clone())?;
        let kept = file.prune_older_than.as_deref().map(|text| {
            let mistake = |hint| {
                let what = format_args!("`{text}` of prune-older-than is no period");
                Failure::could_not(what).hint(hint)
            };
            retention::period(text).map_err(mistake)
        });
        let log = || std::env::var("RUST_LOG").ok();
        Ok(Self {
            rules,
            rules_from_db: from_db,
            db,
            listen: arguments.listen.or(file.listen).unwrap_or(LISTEN),
            admin_listen: arguments.admin_listen.or(file.admin_listen).unwrap_or(ADMIN_LISTEN),
            tls,
            tls_key,
            trusted_proxies,
            secrets: arguments.sending.secrets.clone().or(file.secrets),
            allowed,
            ca_file: arguments.sending.ca_file.clone().or(file.ca_file),
            prune_older_than: arguments.prune_older_than.or(kept.transpose()?),
            log: arguments.log.clone().or_else(log).or(file.log).unwrap_or_else(|| LOG.to_owned()),
            log_format: arguments.log_format.or(file.log_format).unwrap_or_default(),
            limits: file.limits,
        })
    }

    /// How the server listens.
    pub(super) fn listening(&self) -> Listening {
        let addresses = (self.listen, self.admin_listen);
        Listening::new(addresses, self.tls.is_some(), &self.trusted_proxies)
    }
}

/// The certificate of the public listener, where one is named.
///
/// # Errors
/// Where half of it is named, or it cannot be read.
pub(in crate::command) fn tls(
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
) -> Result<Option<Tls>, Failure> {
    match (certificate, key) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => {
            let tls = Tls::load(certificate, key).map_err(|error| {
                let hint = "both are files in PEM: the certificate with those that vouch for it, \
                            and its private key";
                Failure::could_not(error).hint(hint)
            })?;
            Ok(Some(tls))
        }
        (given, _) => {
            let (there, missing) = match given {
                Some(_) => ("certificate", "--tls-key FILE"),
                None => ("key", "--tls-cert FILE"),
            };
            Err(Failure::usage(format_args!("TLS has a {there} alone"))
                .hint(format_args!("name the other half with {missing}")))
        }
    }
}

/// Reads networks that a file names.
///
/// # Errors
/// Where one is none.
pub(in crate::command) fn networks(texts: &[String], name: &str) -> Result<Vec<IpNet>, Failure> {
    let read = |text: &String| {
        destinations::network(text).map_err(|hint| {
            let what = format_args!("`{text}` of {name} is no network");
            Failure::could_not(what).hint(hint)
        })
    };
    texts.iter().map(read).collect()
}

impl File {
    /// Reads it.
    ///
    /// # Errors
    /// Where it cannot be read, or has a mistake.
    pub(in crate::command) fn read(path: &PathBuf) -> Result<Self, Failure> {
        let text = fs::read_to_string(path).map_err(|error| Failure::file("read", path, &error))?;
        toml::from_str(&text).map_err(|error| {
            let path = path.display();
            Failure::could_not(format_args!("`{path}` has a mistake: {error}"))
                .hint("the names are those of the flags, without the dashes in front, and [limits]")
        })
    }
}

const fn loopback(port: u16) -> SocketAddr {
    use std::net::{IpAddr, Ipv4Addr};
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

#[cfg(test)]
mod tests {
    use counterfoil_http::Limits;
    use counterfoil_sqlite::Options;

    use super::*;
    use crate::command::serve::CONFIG_EXAMPLE;

    #[test]
    fn the_example_has_every_key_and_the_default_limits() {
        let example: File = toml::from_str(CONFIG_EXAMPLE).unwrap();
        assert_eq!(example.limits.of_listeners(), Limits::default());
        let (mut waiting, default) = (0, Options::default().queue_len);
        example.limits.of_the_writer(&mut waiting);
        assert_eq!(waiting, default);
        assert_eq!((example.listen, example.admin_listen), (Some(LISTEN), Some(ADMIN_LISTEN)));
        let whole: String = CONFIG_EXAMPLE
            .lines()
            .map(|line| line.strip_prefix("# ").filter(|rest| rest.contains(" = ")).unwrap_or(line))
            .map(|line| format!("{line}\n"))
            .collect();
        let whole: File = toml::from_str(&whole).unwrap();
        assert!(whole.tls_cert.is_some() && whole.prune_older_than.is_some());
        assert_eq!(whole.limits.of_listeners().requests_per_credential_max, Some(100));
    }
}
