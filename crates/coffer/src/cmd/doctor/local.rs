//! What a command starts from on this machine: profile, address, authorities, token.

use crate::{failure::Failure, session::Session, token_place::TokenPlace};

use super::Finding;

pub(super) fn look(session: &Session) -> Vec<Finding> {
    let mut findings = vec![match (session.profile_fault(), session.profile()) {
        (Some(fault), _) => Finding::of_failure("profile", fault),
        (None, Some(in_use)) => Finding::fine("profile", format!("{} is in use", in_use.name)),
        (None, None) => Finding::fine("profile", "none is in use"),
    }];
    findings.push(address(session).unwrap_or_else(|failure| Finding::of_failure("address", &failure)));
    findings.push(token(session).unwrap_or_else(|failure| Finding::of_failure("token", &failure)));
    findings
}

fn address(session: &Session) -> Result<Finding, Failure> {
    let (_, source) = session.address_text()?;
    let address = session.address()?;
    let what = format!("{address}, by {source}");
    Ok(match address.is_local() || address.is_encrypted() {
        true => Finding::fine("address", what),
        false => Finding::warning(
            "address",
            format!("{what}: what is sent there is not encrypted"),
            "give the server a certificate (tls.cert_file, tls.key_file) and use https://",
        ),
    })
}

fn token(session: &Session) -> Result<Finding, Failure> {
    let kept = session.token_place()?;
    if let Some(name) = session.token_variable()? {
        let is_hidden = matches!(&kept, TokenPlace::File(path) if path.exists());
        return Ok(match is_hidden {
            false => Finding::fine("token", format!("in {name}")),
            true => Finding::warning(
                "token",
                format!("in {name}, which stands before {kept}"),
                format!("unset {name} where the kept one is meant"),
            ),
        });
    }
    // Whose it is and who else can read it is looked at on the way.
    Ok(match kept.read()? {
        Some(_) => Finding::fine("token", format!("in {kept}")),
        None => Finding::warning("token", format!("none in {kept}"), "log in with 'coffer login', or set COFFER_TOKEN"),
    })
}
