//! The one type that carries a secret value over the wire.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroize;

/// A secret value on its way in or out: serialises as its content, prints as `[sensitive]`, wiped on drop.
#[derive(Clone, Deserialize, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String)]
pub struct Sensitive<T: Zeroize>(T);

impl<T: Zeroize> Sensitive<T> {
    /// Wraps a value; the caller's other copies are the caller's to wipe.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself, for the line that needs it.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> Drop for Sensitive<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> fmt::Debug for Sensitive<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[sensitive]")
    }
}

impl From<&str> for Sensitive<String> {
    fn from(value: &str) -> Self {
        Self(value.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_of_sensitive_shows_nothing() {
        assert_eq!(format!("{:?}", Some(Sensitive::from("hunter2"))), "Some([sensitive])");
    }
}
