//! The other parties of the demo, on one address of this machine: the shop, which is asked about
//! orders, and the affiliate, who is told of sales.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use bytes::Bytes;
use hyper::StatusCode;
use tokio::runtime;

use crate::{
    failure::Failure,
    receiver::{self, Received, Reply},
};

/// The most requests of the affiliate that are remembered.
const REMEMBERED_MAX: usize = 1000;

/// Both of them. They listen until the process ends. Clones are the same.
#[derive(Clone)]
pub(super) struct Others {
    /// Where they listen.
    pub(super) address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// Whether the shop says that its orders are paid.
    paid: AtomicBool,
    /// What the affiliate was told, as path and query.
    told: Mutex<Vec<String>>,
}

impl Others {
    /// Listens on a free port, on a thread of its own.
    ///
    /// # Errors
    /// Where the system gives no port, thread or event queue.
    pub(super) fn start() -> Result<Self, Failure> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(Failure::could_not)?;
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = runtime.block_on(receiver::bind(any_port))?;
        let address = listener.local_addr().map_err(Failure::could_not)?;
        let others = Self { address, state: Arc::default() };
        let state = Arc::clone(&others.state);
        let take = Arc::new(move |received: &Received| state.answer(received));
        let receive = move || runtime.block_on(receiver::receive(listener, take));
        thread::Builder::new().spawn(receive).map_err(Failure::could_not)?;
        Ok(others)
    }

    /// From now on the shop says that its orders are paid.
    pub(super) fn settle(&self) {
        self.state.paid.store(true, Ordering::SeqCst);
    }

    /// What the affiliate was told so far, oldest first.
    pub(super) fn told(&self) -> Vec<String> {
        self.state.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl State {
    fn answer(&self, received: &Received) -> Reply {
        let json = |text: &'static str| Reply {
            status: StatusCode::OK,
            json: Bytes::from_static(text.as_bytes()),
        };
        if received.path != "/bo" {
            let is_paid = self.paid.load(Ordering::SeqCst);
            return json(if is_paid { r#"{"state":"paid"}"# } else { r#"{"state":"open"}"# });
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < REMEMBERED_MAX {
            told.push(format!("{}?{}", received.path, received.query));
        }
        json("{}")
    }
}
