//! `auth/<mount>/…` of AppRole: login without a token, roles, their settings one by one, secret ids.

mod secret_id;
mod setting;

use axum::{body::Body, http::request::Parts, response::Response};
use coffer_api::{Code, Sensitive};
use coffer_core::{AppRole, Core, Error, Mount, MountKind, OldSpelling};
use serde::Serialize;

use self::setting::Setting;
use super::{
    call::{Failure, Outcome, VaultCall, Verb, done, small_body},
    envelope::Envelope,
    ignored, lenient,
    lenient::Fields,
    token::granted,
    token_parameters::{Defaults, Dialect, Shown, TokenChange, Uses, count, seconds},
};
use crate::app::{App, Origin};

/// How AppRole takes the parameters of tokens.
const DIALECT: Dialect =
    Dialect { old: &[OldSpelling::Period, OldSpelling::Policies], defaults: Defaults::Adjusted, uses: Uses::Counted };

/// `auth/<mount>/login`, where AppRole is mounted.
pub(crate) struct Login {
    verb: Verb,
    mount: String,
}

impl Login {
    /// The login that a path stands for.
    pub(crate) fn parse(core: &Core, verb: Verb, path: &str) -> Option<Self> {
        let mount = core.resolve(path).filter(|mount| mount.kind == MountKind::Approle)?;
        (path.strip_prefix(mount.path.as_str()) == Some("login")).then(|| Self { verb, mount: mount.path.clone() })
    }

    /// Logs in. A token that is sent along means nothing here.
    pub(crate) async fn answer(
        self,
        app: &App,
        origin: Origin,
        parts: Box<Parts>,
        body: Body,
    ) -> Result<Response, Error> {
        let cx = app.context(origin, &parts);
        let (role_id, secret_id, warnings) = match self.credential(app, &parts, body).await {
            Ok(credential) => credential,
            Err(error) => return Err(app.core().refuse_anonymous(cx, error).await),
        };
        let mount = self.mount.strip_prefix("auth/").unwrap_or_default();
        let grant = app.core().login_approle(cx, mount, &role_id, secret_id.as_ref()).await?;
        Ok(granted(&grant, None).with_warnings(warnings).reply(origin.id))
    }

    /// Role id and secret id, and what is to be said of what came with them.
    async fn credential(
        &self,
        app: &App,
        parts: &Parts,
        body: Body,
    ) -> Result<(String, Option<Sensitive<String>>, Vec<String>), Error> {
        let body = match self.verb {
            Verb::Patch | Verb::Write => small_body(app, parts, body).await?,
            Verb::Delete | Verb::List | Verb::Read | Verb::Scan => lenient::Body::of_query(parts.uri.query())?,
        };
        let fields = body.fields()?;
        if self.verb != Verb::Write {
            // The role is looked for before anything else is.
            return Err(match fields.text("role_id")?.is_some_and(|id| !id.is_empty()) {
                true => Error::new(Code::MethodNotAllowed, "unsupported operation"),
                false => Error::invalid("missing role_id"),
            });
        }
        let (role_id, secret_id) = (fields.text("role_id")?, fields.text("secret_id")?);
        let role_id = role_id.map_or_else(String::new, |id| id.to_string());
        let warnings = ignored::warnings(MountKind::Approle, "login", fields.names());
        Ok((role_id, secret_id.map(|id| Sensitive::from(id.as_str())), warnings))
    }
}

/// Answers below an AppRole mount, for a caller who is known.
pub(crate) async fn answer(call: &mut VaultCall, mount: &Mount, rest: &str) -> Outcome {
    let Some(role) = rest.strip_prefix("role/") else {
        return match (rest, call.verb) {
            ("tidy/secret-id", Verb::Write) => secret_id::tidy(call, mount).await,
            ("tidy/secret-id" | "login" | "role", _) => Err(Failure::unsupported_operation()),
            _ => Err(Failure::unsupported_path()),
        };
    };
    let (name, field) = role.split_once('/').map_or((role, None), |(name, field)| (name, Some(field)));
    match (name, field) {
        ("", None) => match call.verb {
            Verb::List => {
                let page = call.page().await?;
                let names = call.caller.approle_list(mount, page.part()).await?;
                call.keys(names)
            }
            Verb::Delete | Verb::Patch | Verb::Read | Verb::Scan | Verb::Write => Err(Failure::unsupported_operation()),
        },
        (name, _) if !AppRole::is_name(name) => Err(Failure::unsupported_path()),
        (name, None) => match call.verb {
            Verb::Read => {
                let found = call.caller.approle_read(mount, name, None).await?.ok_or_else(Error::not_found)?;
                Ok(call.data(&ShownRole::of(&found)))
            }
            Verb::Write => write(call, mount, name).await,
            Verb::Delete => {
                call.caller.approle_delete(mount, name).await?;
                Ok(done())
            }
            Verb::List | Verb::Patch | Verb::Scan => Err(Failure::unsupported_operation()),
        },
        (name, Some(field)) => match field {
            "secret-id"
            | "secret-id/"
            | "custom-secret-id"
            | "secret-id/lookup"
            | "secret-id/destroy"
            | "secret-id-accessor/lookup"
            | "secret-id-accessor/destroy" => secret_id::answer(call, mount, name, field).await,
            field => match Setting::parse(field) {
                Some(setting) => setting::answer(call, mount, name, setting).await,
                None => Err(Failure::unsupported_path()),
            },
        },
    }
}

async fn write(call: &mut VaultCall, mount: &Mount, name: &str) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let mut change = RoleChange::parse(&fields)?;
    let mut warnings = std::mem::take(&mut change.token.warnings);
    let told = call.caller.approle_write(mount, name, None, &fields, |role| {
        change.apply(role);
        Ok(())
    });
    warnings.extend(told.await?);
    Ok(written(call, warnings))
}

/// Done, with what there is to be told.
fn written(call: &VaultCall, warnings: Vec<String>) -> axum::response::Response {
    match warnings.is_empty() {
        true => done(),
        false => call.envelope(Envelope::default().with_warnings(warnings)),
    }
}

/// What a write of a role sets.
#[derive(Default)]
struct RoleChange {
    role_id: Option<String>,
    bind_secret_id: Option<bool>,
    secret_id_bound_cidrs: Option<Vec<String>>,
    secret_id_num_uses: Option<u64>,
    secret_id_ttl: Option<u64>,
    local_secret_ids: Option<bool>,
    token: TokenChange,
}

impl RoleChange {
    fn parse(fields: &Fields<'_>) -> Result<Self, Failure> {
        let bound = match fields.list("secret_id_bound_cidrs")? {
            Some(list) => Some(list),
            None => fields.list("bound_cidr_list")?,
        };
        Ok(Self {
            role_id: fields.text("role_id")?.map(|id| id.to_string()),
            bind_secret_id: fields.boolean("bind_secret_id")?,
            secret_id_bound_cidrs: bound,
            secret_id_num_uses: count(fields, "secret_id_num_uses", "secret_id_num_uses cannot be negative")?,
            secret_id_ttl: seconds(fields, "secret_id_ttl")?,
            local_secret_ids: fields.boolean("local_secret_ids")?,
            token: TokenChange::parse(fields, &DIALECT)?,
        })
    }

    fn apply(self, role: &mut AppRole) {
        if let Some(role_id) = self.role_id {
            role.role_id = role_id;
        }
        if let Some(blocks) = self.secret_id_bound_cidrs {
            role.secret_id_bound_cidrs = blocks;
        }
        role.bind_secret_id = self.bind_secret_id.unwrap_or(role.bind_secret_id);
        role.secret_id_num_uses = self.secret_id_num_uses.unwrap_or(role.secret_id_num_uses);
        role.secret_id_ttl = self.secret_id_ttl.unwrap_or(role.secret_id_ttl);
        role.local_secret_ids = self.local_secret_ids.unwrap_or(role.local_secret_ids);
        self.token.apply(&mut role.token);
    }
}

#[derive(Serialize)]
struct ShownRole<'a> {
    bind_secret_id: bool,
    local_secret_ids: bool,
    secret_id_bound_cidrs: Option<&'a [String]>,
    secret_id_num_uses: u64,
    secret_id_ttl: u64,
    #[serde(flatten)]
    token: Shown<'a>,
}

impl<'a> ShownRole<'a> {
    fn of(role: &'a AppRole) -> Self {
        Self {
            bind_secret_id: role.bind_secret_id,
            local_secret_ids: role.local_secret_ids,
            secret_id_bound_cidrs: filled(&role.secret_id_bound_cidrs),
            secret_id_num_uses: role.secret_id_num_uses,
            secret_id_ttl: role.secret_id_ttl,
            token: Shown::of(&role.token),
        }
    }
}

/// A list that is absent where it is empty.
fn filled(list: &[String]) -> Option<&[String]> {
    Some(list).filter(|list| !list.is_empty())
}
