//! Text that says something: a field that is empty counts as one that was not sent.

use coffer_api::Sensitive;
use zeroize::Zeroizing;

use super::{Fields, LenientError};

impl Fields<'_> {
    /// A field's text, as [`Fields::text`] takes it.
    pub(crate) fn given(&self, field: &'static str) -> Result<Option<Zeroizing<String>>, LenientError> {
        Ok(self.text(field)?.filter(|text| !text.is_empty()))
    }

    /// A field's text that nobody may see: a token, a password, a share.
    pub(crate) fn secret(&self, field: &'static str) -> Result<Option<Sensitive<String>>, LenientError> {
        Ok(self.given(field)?.map(|text| Sensitive::from(text.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_text_counts_as_none() {
        let fields = Fields::parse(br#"{"a": "", "b": null, "c": "x", "d": 0, "e": []}"#).unwrap();
        let given = |field| fields.given(field).unwrap().map(|text| text.to_string());
        assert_eq!([given("a"), given("b"), given("z")], [None, None, None]);
        assert_eq!((given("c").as_deref(), given("d").as_deref()), (Some("x"), Some("0")));
        assert_eq!(fields.secret("c").unwrap().unwrap().expose(), "x");
        assert!(fields.secret("a").unwrap().is_none() && fields.secret("e").is_err());
    }
}
