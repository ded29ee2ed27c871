//! How names become addresses: as the system does it, so that its files and its ways hold here as
//! in every other program.

use std::{
    io,
    net::{IpAddr, ToSocketAddrs},
    pin::Pin,
    sync::Arc,
};

use tokio::{sync::Semaphore, task::spawn_blocking};

/// Lookups at once. One that hangs holds a thread until the system gives it up, even where its
/// attempt has long ended.
pub(super) const LOOKUPS_MAX: usize = 128;

/// The addresses of a name, once they are known.
pub type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Looks names up. What it answers is vetted for each connection anew.
pub type Resolver = Arc<dyn Fn(Box<str>) -> Resolving + Send + Sync>;

/// The system's resolver.
pub(super) fn system() -> Resolver {
    let lookups = Arc::new(Semaphore::new(LOOKUPS_MAX));
    Arc::new(move |host| {
        let lookups = lookups.clone();
        Box::pin(async move {
            let held = lookups.acquire_owned().await.map_err(io::Error::other)?;
            let looked_up = spawn_blocking(move || {
                let addresses = (&*host, 0).to_socket_addrs()?;
                drop(held);
                Ok(addresses.map(|address| address.ip()).collect())
            });
            looked_up.await.map_err(io::Error::other)?
        })
    })
}
