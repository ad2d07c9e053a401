//! `sys/capabilities`, `sys/capabilities-accessor` and `sys/capabilities-self`.

use std::collections::BTreeMap;

use coffer_api::token::TokenRef;

use super::{
    call::{Failure, Outcome, VaultCall},
    envelope::Envelope,
    lenient::Fields,
};

/// Answers a write to one of the three, whose name is `whose`.
pub(crate) async fn answer(call: &mut VaultCall, whose: &str) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let of = match whose {
        "capabilities" => Some(token(&fields)?),
        "capabilities-accessor" => Some(accessor(&fields)?),
        _ => None,
    };
    let paths = paths(&fields)?;
    let found = match of {
        Some(of) => call.caller.capabilities(&of, &paths, &fields).await?,
        None => call.caller.capabilities_self(&paths, &fields).await?,
    };
    let mut shown: BTreeMap<&str, &[&'static str]> =
        found.iter().map(|(path, names)| (path.as_str(), names.as_slice())).collect();
    if let [(_, names)] = found.as_slice() {
        shown.insert("capabilities", names);
    }
    Ok(call.envelope(Envelope::data(&shown).injected()))
}

fn token(fields: &Fields<'_>) -> Result<TokenRef, Failure> {
    let token = fields.secret("token")?;
    let token = token.ok_or_else(|| Failure::invalid("1 error occurred:\n\t* no token found\n\n"))?;
    Ok(TokenRef { token: Some(token), accessor: None })
}

fn accessor(fields: &Fields<'_>) -> Result<TokenRef, Failure> {
    let accessor = fields.given("accessor")?;
    let accessor = accessor.ok_or_else(|| Failure::invalid("missing accessor"))?;
    Ok(TokenRef { token: None, accessor: Some(accessor.to_string()) })
}

fn paths(fields: &Fields<'_>) -> Result<Vec<String>, Failure> {
    let mut paths = fields.list("paths")?.unwrap_or_default();
    if paths.is_empty() {
        paths = fields.list("path")?.unwrap_or_default();
    }
    if paths.is_empty() {
        return Err(Failure::invalid("paths must be supplied"));
    }
    Ok(paths)
}
