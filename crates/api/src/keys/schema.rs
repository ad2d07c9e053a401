//! How the OpenAPI document describes bodies for one item or many: either form whole, with the options in it.

use std::borrow::Cow;

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Object, RefOr, Schema,
        schema::{AdditionalProperties, ArrayBuilder, OneOfBuilder},
    },
};

use super::batch::KeyBatch;

impl<I: ToSchema, O: ToSchema> PartialSchema for KeyBatch<I, O> {
    fn schema() -> RefOr<Schema> {
        let options = object(O::schema());
        let mut one = object(I::schema());
        one.properties.extend(options.properties.clone());
        one.description = Some("One item.".to_owned());
        let mut many = options;
        let items = ArrayBuilder::new().items(I::schema()).description(Some("At most 100,000."));
        many.properties.insert("items".to_owned(), items.into());
        many.required = vec!["items".to_owned()];
        many.description = Some("A list of items.".to_owned());
        many.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
        OneOfBuilder::new().item(Schema::Object(one)).item(Schema::Object(many)).into()
    }
}

impl<I: ToSchema, O: ToSchema> ToSchema for KeyBatch<I, O> {
    /// As the type is called: `KeyEncrypt` for items called `KeyEncryptItem`.
    fn name() -> Cow<'static, str> {
        I::name().trim_end_matches("Item").to_owned().into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        I::schemas(schemas);
        O::schemas(schemas);
    }
}

/// The fields of a struct.
fn object(schema: RefOr<Schema>) -> Object {
    match schema {
        RefOr::T(Schema::Object(object)) => object,
        RefOr::Ref(_) | RefOr::T(_) => Object::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::keys::{KeyEncrypt, KeyVerifyMac};

    #[test]
    fn either_form_has_the_options_and_nothing_unknown() {
        assert_eq!((KeyEncrypt::name(), KeyVerifyMac::name()), ("KeyEncrypt".into(), "KeyVerifyMac".into()));
        let schema = serde_json::to_value(KeyVerifyMac::schema()).unwrap();
        let fields = |form: usize| -> Vec<String> {
            schema["oneOf"][form]["properties"].as_object().unwrap().keys().cloned().collect()
        };
        assert_eq!(
            (fields(0), fields(1)),
            (
                vec!["hash".to_owned(), "input".to_owned(), "mac".to_owned()],
                vec!["hash".to_owned(), "items".to_owned()],
            )
        );
        for (form, required) in [(0, json!(["input", "mac"])), (1, json!(["items"]))] {
            assert_eq!(schema["oneOf"][form]["required"], required);
            assert_eq!(schema["oneOf"][form]["additionalProperties"], false);
        }
    }
}
