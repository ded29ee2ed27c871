//! What answers the operations of the table, a file for each kind.

pub(crate) mod deliveries;
pub(crate) mod edit;
pub(crate) mod erase;
pub(crate) mod explain;
pub(crate) mod link;
pub(crate) mod lists;
mod own;
pub(crate) mod postback;
pub(crate) mod process;
pub(crate) mod root;
pub(crate) mod rules;
pub(crate) mod tracking_apis;
