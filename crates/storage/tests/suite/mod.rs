//! The tests that every engine passes.

pub(crate) mod batches;
pub(crate) mod entries;
pub(crate) mod groups;
pub(crate) mod leadership;
pub(crate) mod lifecycle;
pub(crate) mod model;
pub(crate) mod paging;
pub(crate) mod snapshots;
