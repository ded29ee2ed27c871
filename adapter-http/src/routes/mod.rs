//! What answers the operations of the table, a file for each kind.

pub(crate) mod edit;
pub(crate) mod explain;
pub(crate) mod link;
pub(crate) mod lists;
pub(crate) mod postback;
pub(crate) mod process;
pub(crate) mod root;
pub(crate) mod rules;
