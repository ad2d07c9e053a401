//! Calls that are shown instead of sent.

use std::sync::{Arc, Mutex, PoisonError};

use coffer_api::HideValues;

use crate::{Address, Client};

/// A call as it would be sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Plan {
    /// To whom.
    pub address: Address,
    /// As `GET`.
    pub method: String,
    /// With its query.
    pub path: String,
    /// JSON, in which [`coffer_api::HIDDEN_VALUE`] stands for every value.
    pub body: Option<String>,
    /// Whether a token would go with it.
    pub has_token: bool,
}

/// The calls of clients that send none. As long as it lives, this thread serialises no value.
#[derive(Debug)]
pub struct Plans {
    list: List,
    _hidden: HideValues,
}

/// Shared with the clients.
pub(crate) type List = Arc<Mutex<Vec<Plan>>>;

impl Plans {
    /// None yet.
    #[must_use]
    pub fn begin() -> Self {
        Self { list: List::default(), _hidden: HideValues::begin() }
    }

    /// Those that there were.
    pub fn calls(&self) -> Vec<Plan> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Client {
    /// From now on no call is sent: each is added to the plans and fails with [`crate::Error::Planned`].
    #[must_use]
    pub fn planning(mut self, plans: &Plans) -> Self {
        self.plans = Some(Arc::clone(&plans.list));
        self
    }
}
