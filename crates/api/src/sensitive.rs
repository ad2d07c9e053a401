//! The one type that carries a secret value over the wire.

use std::{cell::Cell, fmt, marker::PhantomData};

use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;
use zeroize::Zeroize;

/// A secret value on its way in or out: serialises as its content (or while [`HideValues`] is in force as
/// [`HIDDEN_VALUE`]), prints as `[sensitive]`, wiped on drop.
#[derive(Clone, Deserialize, ToSchema)]
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

/// While it lives, no [`Sensitive`] of this thread serialises as its content: for who shows what would be sent.
#[derive(Debug)]
pub struct HideValues(PhantomData<*const ()>);

/// What stands for a value that is hidden.
pub const HIDDEN_VALUE: &str = "<value>";

thread_local! {
    /// How many [`HideValues`] live on this thread.
    static HIDDEN: Cell<usize> = const { Cell::new(0) };
}

impl HideValues {
    /// From now on.
    #[must_use]
    pub fn begin() -> Self {
        HIDDEN.set(HIDDEN.get() + 1);
        Self(PhantomData)
    }
}

impl Drop for HideValues {
    fn drop(&mut self) {
        HIDDEN.set(HIDDEN.get().saturating_sub(1));
    }
}

impl<T: Zeroize + Serialize> Serialize for Sensitive<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match HIDDEN.get() {
            0 => self.0.serialize(to),
            1.. => to.serialize_str(HIDDEN_VALUE),
        }
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
    fn hidden_value_is_serialised_by_nobody_until_the_last_guard_goes() {
        let text = || serde_json::to_string(&[Sensitive::from("hunter2")]).unwrap();
        assert_eq!(text(), r#"["hunter2"]"#);
        let (one, other) = (HideValues::begin(), HideValues::begin());
        assert_eq!(text(), r#"["<value>"]"#);
        drop(one);
        assert_eq!(text(), r#"["<value>"]"#);
        assert_eq!(
            std::thread::spawn(|| serde_json::to_string(&Sensitive::from("x")).unwrap()).join().unwrap(),
            r#""x""#
        );
        drop(other);
        assert_eq!(text(), r#"["hunter2"]"#);
    }

    #[test]
    fn debug_of_sensitive_shows_nothing() {
        assert_eq!(format!("{:?}", Some(Sensitive::from("hunter2"))), "Some([sensitive])");
    }
}
