//! Sending messages: what a server and `catch-up` share of it.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use counterfoil_http::{DispatchConfig, DispatchError, IpNet, Secret, SecretLookup};

use crate::{destinations, failure::Failure, secrets::Secrets};

/// Where messages may go, and what they are sent with.
#[derive(Clone, Debug, Args)]
pub(crate) struct SendingArguments {
    /// The folder with the secrets, one file each, `admin_token` among them
    #[arg(long, value_name = "DIR", env = "COUNTERFOIL_SECRETS")]
    pub(crate) secrets: Option<PathBuf>,
    /// Networks that messages may reach although they are not public, as in 10.0.0.0/8
    #[arg(long, value_name = "CIDR", num_args = 1.., env = "COUNTERFOIL_ALLOW_DESTINATION",
          value_delimiter = ',', value_parser = destinations::network)]
    pub(crate) allow_destination: Vec<IpNet>,
    /// Certificates (PEM) that are trusted beside the system's
    #[arg(long, value_name = "FILE", env = "COUNTERFOIL_CA_FILE")]
    pub(crate) ca_file: Option<PathBuf>,
}

/// How a dispatcher sends.
pub(crate) fn config(
    secrets: &Secrets,
    allowed: &[IpNet],
    ca_file: Option<&PathBuf>,
) -> DispatchConfig {
    let mut config = DispatchConfig::new(look_up(secrets));
    config.allowed = allowed.to_vec();
    config.ca_file = ca_file.cloned();
    config
}

/// Secrets by their names, at the moment of use.
pub(crate) fn look_up(secrets: &Secrets) -> SecretLookup {
    let values = secrets.clone();
    Arc::new(move |name| values.value(name).ok().as_deref().map(Secret::new))
}

/// What is told where a dispatcher cannot start.
pub(crate) fn failure(error: DispatchError) -> Failure {
    let hint = match &error {
        DispatchError::CaFile { .. } | DispatchError::NoCertificate(_) => {
            "name a file of certificates in PEM with --ca-file, or leave it out"
        }
        _ => "look at the limits of this user: threads, open files, memory",
    };
    Failure::could_not(error).hint(hint)
}
