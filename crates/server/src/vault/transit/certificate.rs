//! `keys/:name/csr` and `keys/:name/set-certificate`.

use coffer_api::Code;
use coffer_core::{Caller, Error, Mount};
use serde::Serialize;

use super::{
    super::{
        call::{Failure, Outcome, VaultCall},
        lenient::Fields,
    },
    fault,
    kind::type_name,
};

/// `keys/:name/csr`.
pub(super) async fn request(call: &mut VaultCall, mount: &Mount, name: &str) -> Outcome {
    #[derive(Serialize)]
    struct Shown<'a> {
        csr: &'a str,
        name: &'a str,
        #[serde(rename = "type")]
        kind: &'a str,
    }
    let params = call.params().await?;
    let fields = params.fields()?;
    let version = version(&fields, "could not create the csr: no such key version")?;
    let template = fields.text("csr")?;
    let template = template.as_ref().map_or("", |text| text.as_str());
    let csr = call.caller.key_csr(mount, name, version, template, &fields).await;
    let csr = match csr {
        Ok(csr) => csr,
        Err(error) => return Err(refused(&call.caller, mount, name, error).await),
    };
    let kind = type_name(call.caller.key_algorithm(mount, name).await?);
    Ok(call.data(&Shown { csr: &csr, name, kind }))
}

/// `keys/:name/set-certificate`.
pub(super) async fn set(call: &mut VaultCall, mount: &Mount, name: &str) -> Outcome {
    #[derive(Serialize)]
    struct Shown<'a> {
        certificate_chain: &'a str,
        name: &'a str,
        #[serde(rename = "type")]
        kind: &'a str,
    }
    let params = call.params().await?;
    let fields = params.fields()?;
    let version = version(&fields, "failed to persist certificate chain: no such key version")?;
    let chain = fields.text("certificate_chain")?;
    let chain = chain.as_ref().map_or("", |text| text.as_str());
    let set = call.caller.key_set_certificate(mount, name, version, chain, &fields).await;
    if let Err(error) = set {
        return Err(refused(&call.caller, mount, name, error).await);
    }
    let kind = type_name(call.caller.key_algorithm(mount, name).await?);
    Ok(call.data(&Shown { certificate_chain: chain, name, kind }))
}

fn version(fields: &Fields<'_>, absent: &'static str) -> Result<Option<u32>, Failure> {
    match fields.integer("version")? {
        None => Ok(None),
        Some(number) => match u32::try_from(number) {
            Ok(number @ 1..) => Ok(Some(number)),
            Ok(0) | Err(_) => Err(Failure::invalid(absent)),
        },
    }
}

async fn refused(caller: &Caller, mount: &Mount, name: &str, error: Error) -> Failure {
    match error.code() {
        Code::NotFound => Failure::Recorded(Error::invalid(format!("key with provided name '{name}' not found"))),
        _ => fault::in_transits_words(caller, mount, name, error).await,
    }
}
