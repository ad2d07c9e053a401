//! `sys/policies/password`: what passwords look like, and passwords that do.

use base64::{Engine, engine::general_purpose::STANDARD};
use coffer_api::Sensitive;
use serde::Serialize;

use super::super::{
    call::{Failure, Outcome, VaultCall, Verb, done},
    envelope::Envelope,
};

/// Answers what follows `sys/policies/password`: nothing, or a slash and a policy's name.
pub(super) async fn answer(call: &mut VaultCall, rest: &str) -> Outcome {
    let Some(name) = rest.strip_prefix('/').or_else(|| rest.is_empty().then_some("")) else {
        return Err(Failure::unsupported_path());
    };
    if let Some(name) = name.strip_suffix("/generate").filter(|name| !name.is_empty()) {
        return match call.verb {
            Verb::Read => generate(call, name).await,
            Verb::Delete | Verb::List | Verb::Patch | Verb::Scan | Verb::Write => Err(Failure::unsupported_operation()),
        };
    }
    match (name, call.verb) {
        ("", Verb::List) => list(call).await,
        ("", _) => Err(Failure::unsupported_operation()),
        (_, Verb::List | Verb::Patch | Verb::Scan) => Err(Failure::unsupported_operation()),
        (name, _) if name.ends_with('/') => Err(Failure::unsupported_path()),
        (name, Verb::Read) => read(call, name).await,
        (name, Verb::Write) => write(call, name).await,
        (name, Verb::Delete) => {
            call.caller.password_policy_delete(name).await?;
            Ok(done())
        }
    }
}

async fn list(call: &mut VaultCall) -> Outcome {
    let page = call.page().await?;
    let names = call.caller.password_policy_list(&call.path, page.part()).await?.items;
    call.keys(names)
}

async fn read(call: &mut VaultCall, name: &str) -> Outcome {
    #[derive(Serialize)]
    struct Shown {
        policy: String,
    }
    let policy = call.caller.password_policy_read(name).await?;
    Ok(call.data(&Shown { policy }))
}

async fn write(call: &mut VaultCall, name: &str) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let given = fields.given("policy")?.ok_or_else(|| Failure::invalid("1 error occurred:\n\t* missing policy\n\n"))?;
    let decoded = STANDARD.decode(given.as_bytes()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let text = decoded.unwrap_or_else(|| given.to_string());
    match call.caller.password_policy_write(name, &text, &fields).await? {
        None => Ok(done()),
        Some(warning) => Ok(call.envelope(Envelope::warning(&warning))),
    }
}

async fn generate(call: &mut VaultCall, name: &str) -> Outcome {
    #[derive(Serialize)]
    struct Made {
        password: Sensitive<String>,
    }
    let password = call.caller.password_generate(name).await?;
    Ok(call.data(&Made { password }))
}
