//! What the doctor looks at: flags, else the server's file, else the server's defaults.

use std::{net::SocketAddr, path::PathBuf};

use counterfoil_http::IpNet;

use super::Arguments;
use crate::{
    command::serve::{
        config::{self, ADMIN_LISTEN, File, LISTEN},
        exposure::Listening,
    },
    failure::Failure,
};

/// What is looked at.
pub(super) struct Settings {
    /// Rules files and folders; empty where the database's rules run.
    pub(super) rules: Vec<PathBuf>,
    /// The database, where one is named.
    pub(super) db: Option<PathBuf>,
    /// How the server listens.
    pub(super) listening: Listening,
    /// The public listener, where flags or the file name it.
    pub(super) public: Option<SocketAddr>,
    /// The admin listener, where flags or the file name it.
    pub(super) admin: Option<SocketAddr>,
    /// Whether the server's file was read, which says whether it has a certificate.
    pub(super) has_file: bool,
    /// Why the server's certificate cannot be had.
    pub(super) tls: Option<Failure>,
    /// The private key of the server's certificate.
    pub(super) tls_key: Option<PathBuf>,
    /// The folder of secrets.
    pub(super) secrets: Option<PathBuf>,
    /// Networks that messages may reach although they are not public.
    pub(super) allowed: Vec<IpNet>,
}

impl Settings {
    /// Puts the settings together.
    ///
    /// # Errors
    /// Where the file cannot be read, or neither rules nor a database are named.
    pub(super) fn gather(arguments: &Arguments) -> Result<Self, Failure> {
        let file = match &arguments.config {
            Some(path) => File::read(path)?,
            None => File::default(),
        };
        let db = arguments.db.clone().or(file.db);
        let rules = if arguments.rules.is_empty() { file.rules } else { arguments.rules.clone() };
        if rules.is_empty() && db.is_none() {
            return Err(Failure::usage("there is nothing to look at")
                .hint("name rules with --rules PATH, a database with --db FILE, or both"));
        }
        let allowed = match arguments.allow_destination.as_slice() {
            [] => config::networks(&file.allow_destination, "allow-destination")?,
            given => given.to_vec(),
        };
        let public = arguments.listen.or(file.listen);
        let admin = arguments.admin_listen.or(file.admin_listen);
        let addresses = (public.unwrap_or(LISTEN), admin.unwrap_or(ADMIN_LISTEN));
        let proxies = config::networks(&file.trusted_proxy, "trusted-proxy")?;
        let tls = config::tls(file.tls_cert.clone(), file.tls_key.clone());
        Ok(Self {
            rules,
            db,
            listening: Listening::new(addresses, file.tls_cert.is_some(), &proxies),
            public,
            admin,
            has_file: arguments.config.is_some(),
            tls: tls.err(),
            tls_key: file.tls_key,
            secrets: arguments.secrets.clone().or(file.secrets),
            allowed,
        })
    }
}
