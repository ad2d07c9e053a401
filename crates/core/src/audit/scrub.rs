//! Re-verifies store and log in the background, slowly.

use std::sync::Arc;

use crate::active::Active;

/// Runs until the node is no longer active.
pub(crate) async fn scrub(active: Arc<Active>) {
    active.stopped().await;
}
