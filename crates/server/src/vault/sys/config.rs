//! `sys/config/…`: which web pages may call the server, which headers the log has, and the configuration as it is in force.

use std::{collections::BTreeMap, sync::Arc};

use coffer_core::{Cors, LoggedHeader, Operation};
use serde::Serialize;

use super::super::{
    call::{Failure, Outcome, VaultCall, Verb, done},
    cors::HEADERS,
    envelope::Envelope,
};
use crate::config::Sanitized;

/// Answers below `sys/config/`.
pub(super) async fn answer(call: &mut VaultCall, rest: &str) -> Outcome {
    match rest {
        "cors" => cors(call).await,
        "state/sanitized" => sanitized(call).await,
        "ui/headers" | "ui/headers/" => match call.verb {
            Verb::List => ui_list(call).await,
            Verb::Delete | Verb::Patch | Verb::Read | Verb::Scan | Verb::Write => Err(Failure::unsupported_operation()),
        },
        "auditing/request-headers" => match call.verb {
            Verb::Read => {
                let headers = call.caller.logged_header_read(None).await?;
                Ok(call.envelope(Envelope::data(&Logged { headers: shown(&headers) }).injected()))
            }
            Verb::Delete | Verb::Patch | Verb::Scan | Verb::Write => Err(Failure::unsupported_operation()),
            Verb::List => Err(Failure::unsupported_path()),
        },
        rest => match (rest.strip_prefix("ui/headers/"), rest.strip_prefix("auditing/request-headers/")) {
            (Some(name), _) if is_one(name) => ui_header(call, name).await,
            (_, Some(name)) if !name.is_empty() && !name.ends_with('/') => logged_header(call, name).await,
            (_, _) => Err(Failure::unsupported_path()),
        },
    }
}

async fn cors(call: &mut VaultCall) -> Outcome {
    #[derive(Serialize)]
    struct Shown<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        allow_credentials: Option<bool>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        allowed_headers: Vec<&'a str>,
        #[serde(skip_serializing_if = "<[String]>::is_empty")]
        allowed_origins: &'a [String],
        enabled: bool,
    }
    match call.verb {
        Verb::Read => {
            let cors = call.caller.cors_read().await?;
            let enabled = !cors.origins.is_empty();
            let headers = HEADERS.into_iter().chain(cors.headers.iter().map(String::as_str));
            let shown = Shown {
                allow_credentials: enabled.then_some(false),
                allowed_headers: headers.filter(|_| enabled).collect(),
                allowed_origins: &cors.origins,
                enabled,
            };
            Ok(call.envelope(Envelope::data(&shown).injected()))
        }
        Verb::Write => {
            let params = call.params().await?;
            let fields = params.fields()?;
            let set = Cors {
                origins: fields.list("allowed_origins")?.unwrap_or_default(),
                headers: fields.list("allowed_headers")?.unwrap_or_default(),
            };
            call.caller.cors_write(set, &fields).await?;
            Ok(done())
        }
        Verb::Delete => {
            call.caller.cors_delete().await?;
            Ok(done())
        }
        Verb::List => Err(Failure::unsupported_path()),
        Verb::Patch | Verb::Scan => Err(Failure::unsupported_operation()),
    }
}

#[derive(Serialize)]
struct Logged<'a> {
    headers: BTreeMap<&'a str, How>,
}

#[derive(Serialize)]
struct How {
    hmac: bool,
}

fn shown(headers: &BTreeMap<String, LoggedHeader>) -> BTreeMap<&str, How> {
    headers.iter().map(|(name, how)| (name.as_str(), How { hmac: how.hashed })).collect()
}

async fn logged_header(call: &mut VaultCall, name: &str) -> Outcome {
    match call.verb {
        Verb::Read => {
            let headers = call.caller.logged_header_read(Some(name)).await?;
            let Some(how) = headers.get(&name.to_lowercase()) else {
                return Err(Failure::Recorded(coffer_core::Error::invalid("Could not find header in config")));
            };
            let of_it = BTreeMap::from([(name, How { hmac: how.hashed })]);
            Ok(call.envelope(Envelope::data(&of_it).injected()))
        }
        Verb::Write => {
            let params = call.params().await?;
            let fields = params.fields()?;
            let how = LoggedHeader { hashed: fields.boolean("hmac")?.unwrap_or_default() };
            call.caller.logged_header_set(name, Some(how), &fields).await?;
            Ok(done())
        }
        Verb::Delete => {
            call.caller.logged_header_set(name, None, &()).await?;
            Ok(done())
        }
        Verb::List => Err(Failure::unsupported_path()),
        Verb::Patch | Verb::Scan => Err(Failure::unsupported_operation()),
    }
}

async fn ui_list(call: &mut VaultCall) -> Outcome {
    let found = call.caller.ui_header_read(Operation::List, "").await?;
    call.keys(found.into_iter().map(|header| header.name).collect())
}

async fn ui_header(call: &mut VaultCall, name: &str) -> Outcome {
    #[derive(Serialize)]
    struct One<'a> {
        value: &'a str,
    }
    #[derive(Serialize)]
    struct All<'a> {
        values: &'a [String],
    }
    match call.verb {
        Verb::Read => {
            let params = call.params().await?;
            let all = params.fields()?.boolean("multivalue")?.unwrap_or_default();
            let found = call.caller.ui_header_read(Operation::Read, name).await?;
            let header = found.iter().find(|header| header.name.eq_ignore_ascii_case(name));
            let Some(header) = header else { return Err(Failure::Recorded(coffer_core::Error::not_found())) };
            Ok(match all {
                true => call.data(&All { values: &header.values }),
                false => call.data(&One { value: header.values.first().map(String::as_str).unwrap_or_default() }),
            })
        }
        Verb::Write => {
            let params = call.params().await?;
            let fields = params.fields()?;
            let values = fields.list("values")?.unwrap_or_default();
            call.caller.ui_header_set(name, Some(values), &fields).await?;
            Ok(call.envelope(match name.eq_ignore_ascii_case("content-security-policy") {
                true => Envelope::warning(
                    "overriding default Content-Security-Policy which is secure by default, proceed with caution",
                ),
                false => Envelope::default(),
            }))
        }
        Verb::Delete => {
            call.caller.ui_header_set(name, None, &()).await?;
            Ok(done())
        }
        Verb::List => Err(Failure::unsupported_path()),
        Verb::Patch | Verb::Scan => Err(Failure::unsupported_operation()),
    }
}

/// The configuration as it is in force, without what is secret of it.
async fn sanitized(call: &mut VaultCall) -> Outcome {
    match call.verb {
        Verb::Read => {
            call.caller.system_read("sys/config/state/sanitized").await?;
            let shown = call.parts.extensions.get::<Arc<Sanitized>>().cloned();
            let shown = shown.ok_or_else(|| coffer_core::Error::internal("no configuration came with the request"))?;
            Ok(call.data(&*shown))
        }
        Verb::List => Err(Failure::unsupported_path()),
        Verb::Delete | Verb::Patch | Verb::Scan | Verb::Write => Err(Failure::unsupported_operation()),
    }
}

fn is_one(name: &str) -> bool {
    !name.is_empty() && !name.contains('/')
}
