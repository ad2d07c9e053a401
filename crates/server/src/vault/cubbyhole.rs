//! `cubbyhole/…`: a private store of each token.

use coffer_core::Error;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    call::{Failure, Outcome, VaultCall, Verb, done},
    envelope::Envelope,
    lenient::Fields,
};

/// Answers below `cubbyhole/`.
pub(crate) async fn answer(call: &mut VaultCall, rest: &str) -> Outcome {
    match call.verb {
        Verb::Read if rest == "response" && call.caller.is_wrapping() => response(call).await,
        Verb::Read if rest.is_empty() => Err(missing_path()),
        Verb::Read if rest.ends_with('/') => Err(Failure::Request(Error::not_found())),
        Verb::Read => {
            let data = call.caller.cubbyhole_read(rest).await?;
            Ok(call.data(&raw(data.expose())?))
        }
        Verb::Write if rest.is_empty() => Err(missing_path()),
        Verb::Write => {
            let params = call.params().await?;
            let fields = params.fields()?;
            if fields.iter().next().is_none() {
                return Err(Failure::invalid("1 error occurred:\n\t* missing data fields\n\n"));
            }
            let data = Envelope::data(&Object(&fields)).into_data();
            let data = std::str::from_utf8(&data).map_err(Error::internal)?;
            call.caller.cubbyhole_write(rest, raw(data)?, &fields).await?;
            Ok(done())
        }
        Verb::Delete => {
            call.caller.cubbyhole_delete(rest).await?;
            Ok(done())
        }
        Verb::List => {
            let page = call.page().await?;
            let names = call.caller.cubbyhole_list(rest, page.part()).await?;
            call.keys(names)
        }
        Verb::Patch | Verb::Scan => Err(Failure::unsupported_operation()),
    }
}

/// The top level of a request as one object, its values as they came.
pub(crate) struct Object<'a>(pub(crate) &'a Fields<'a>);

impl Serialize for Object<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter())
    }
}

/// What a wrapping token wraps, by the path that old clients know.
async fn response(call: &mut VaultCall) -> Outcome {
    #[derive(Serialize)]
    struct Response<'a> {
        response: &'a str,
    }
    let unwrapped = call.caller.cubbyhole_response().await?;
    let envelope = Envelope::data(&Response { response: unwrapped.payload.expose() });
    Ok(call.envelope(envelope.with_warnings(vec![DEPRECATED.to_owned()])))
}

fn raw(json: &str) -> Result<&RawValue, Error> {
    serde_json::from_str(json).map_err(Error::internal)
}

fn missing_path() -> Failure {
    Failure::invalid("1 error occurred:\n\t* missing path\n\n")
}

const DEPRECATED: &str = "Reading from 'cubbyhole/response' is deprecated. Please use sys/wrapping/unwrap to unwrap \
                          responses, as it provides additional security checks and other benefits.";
