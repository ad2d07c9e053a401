//! `auth/<mount>/…` of the user name and password method: login without a token, users.

use axum::{body::Body, http::request::Parts, response::Response};
use coffer_api::Sensitive;
use coffer_core::{Error, Mount, User};
use serde::Serialize;

use super::{
    call::{Failure, Outcome, VaultCall, Verb, done},
    lenient,
    lenient::Fields,
    token::granted,
};
use crate::app::{App, Origin, text_header};

/// `auth/<mount>/login/<user>`.
pub(crate) struct Login {
    mount: String,
    user: String,
}

impl Login {
    /// The login that a path stands for, whatever method is mounted there.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let (mount, user) = path.strip_prefix("auth/")?.rsplit_once("/login/")?;
        let plain = !mount.is_empty() && !user.is_empty() && !user.contains('/');
        plain.then(|| Self { mount: mount.to_owned(), user: user.to_owned() })
    }

    /// Logs in. A token that is sent along means nothing here.
    pub(crate) async fn answer(self, app: &App, origin: Origin, parts: Parts, body: Body) -> Result<Response, Error> {
        let cx = app.context(origin, &parts);
        let password = match self.password(app, &parts, body).await {
            Ok(password) => password,
            Err(error) => return Err(app.core().refuse_anonymous(cx, error).await),
        };
        let grant = app.core().login_userpass(cx, &self.mount, &self.user, &password).await?;
        Ok(granted(&grant, None).reply(origin.id))
    }

    async fn password(&self, app: &App, parts: &Parts, body: Body) -> Result<Sensitive<String>, Error> {
        let read = app.bodies().read_small(&parts.headers, body).await?;
        let declared = text_header(&parts.headers, &axum::http::header::CONTENT_TYPE);
        let invalid = |error: lenient::LenientError| Error::invalid(error.to_string());
        let body = lenient::Body::of_write(read.bytes, declared).map_err(invalid)?;
        let password = body.fields().and_then(|fields| fields.text("password")).map_err(invalid)?;
        let password = password.filter(|password| !password.is_empty());
        password.map(|password| Sensitive::from(password.as_str())).ok_or_else(|| Error::invalid("missing password"))
    }
}

/// Answers below a user name and password method, for a caller who is known.
pub(crate) async fn answer(call: &mut VaultCall, mount: &Mount, rest: &str) -> Outcome {
    let Some(user) = rest.strip_prefix("users/") else { return Err(Failure::unsupported_path()) };
    match (user.split_once('/'), call.verb) {
        _ if user.is_empty() => match call.verb {
            Verb::List => {
                let page = call.page().await?;
                let names = call.caller.user_list(mount, &page.after, page.limit()).await?;
                call.keys(names)
            }
            Verb::Delete | Verb::Patch | Verb::Read | Verb::Scan | Verb::Write => Err(Failure::unsupported_operation()),
        },
        (None, Verb::Read) => {
            let found = call.caller.user_read(mount, user).await?.ok_or_else(Error::not_found)?;
            Ok(call.data(&ShownUser::of(&found)))
        }
        (None, Verb::Write) => user_write(call, mount, user).await,
        (None, Verb::Delete) => {
            call.caller.user_delete(mount, user).await?;
            Ok(done())
        }
        (Some((user, "password")), Verb::Write) => {
            let params = call.params().await?;
            let fields = params.fields()?;
            let password = password(&fields)?.ok_or_else(|| Failure::invalid("missing password"))?;
            call.caller.user_write(mount, user, Some("password"), Some(&password), &fields, |_| Ok(())).await?;
            Ok(done())
        }
        (Some((user, "policies")), Verb::Write) => {
            let params = call.params().await?;
            let fields = params.fields()?;
            let policies = list(&fields, "token_policies", "policies")?;
            let policies = policies.ok_or_else(|| Failure::invalid("missing token_policies"))?;
            let change = |user: &mut User| {
                user.policies = policies;
                Ok(())
            };
            call.caller.user_write(mount, user, Some("policies"), None, &fields, change).await?;
            Ok(done())
        }
        (None | Some((_, "password" | "policies")), _) => Err(Failure::unsupported_operation()),
        (Some(_), _) => Err(Failure::unsupported_path()),
    }
}

async fn user_write(call: &mut VaultCall, mount: &Mount, user: &str) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let password = password(&fields)?;
    let change = UserChange::parse(&fields)?;
    let written = call.caller.user_write(mount, user, None, password.as_ref(), &fields, |user| change.apply(user));
    written.await?;
    Ok(done())
}

fn password(fields: &Fields<'_>) -> Result<Option<Sensitive<String>>, Failure> {
    if fields.text("password_hash")?.is_some_and(|hash| !hash.is_empty()) {
        return Err(Failure::invalid("password_hash is not supported: send password"));
    }
    Ok(fields.text("password")?.filter(|text| !text.is_empty()).map(|text| Sensitive::from(text.as_str())))
}

/// What a user's write sets; each field has an old spelling as well.
struct UserChange {
    policies: Option<Vec<String>>,
    bound_cidrs: Option<Vec<String>>,
    no_default_policy: Option<bool>,
    token_type: Option<String>,
    ttl: Option<u64>,
    max_ttl: Option<u64>,
    explicit_max_ttl: Option<u64>,
    period: Option<u64>,
    num_uses: Option<u64>,
}

impl UserChange {
    fn parse(fields: &Fields<'_>) -> Result<Self, Failure> {
        let token_type = fields.text("token_type")?.map(|kind| kind.to_string()).filter(|kind| !kind.is_empty());
        let token_type = match token_type.as_deref() {
            None => None,
            Some("default" | "default-service" | "default-batch") => Some("default".to_owned()),
            Some("service" | "batch") => token_type,
            Some(_) => return Err(Failure::invalid("invalid 'token_type' value")),
        };
        let num_uses = fields.integer("token_num_uses")?.map(u64::try_from).transpose();
        let change = Self {
            policies: list(fields, "token_policies", "policies")?,
            bound_cidrs: list(fields, "token_bound_cidrs", "bound_cidrs")?,
            no_default_policy: fields.boolean("token_no_default_policy")?,
            token_type,
            ttl: seconds(fields, "token_ttl", "ttl")?,
            max_ttl: seconds(fields, "token_max_ttl", "max_ttl")?,
            explicit_max_ttl: seconds(fields, "token_explicit_max_ttl", "explicit_max_ttl")?,
            period: seconds(fields, "token_period", "period")?,
            num_uses: num_uses.map_err(|_| Failure::invalid("token_num_uses must not be negative"))?,
        };
        match (change.ttl, change.max_ttl) {
            (Some(ttl), Some(max)) if max > 0 && ttl > max => {
                Err(Failure::invalid("'token_ttl' cannot be greater than 'token_max_ttl'"))
            }
            _ => Ok(change),
        }
    }

    fn apply(self, user: &mut User) -> Result<(), Error> {
        user.policies = self.policies.unwrap_or_else(|| std::mem::take(&mut user.policies));
        user.bound_cidrs = self.bound_cidrs.unwrap_or_else(|| std::mem::take(&mut user.bound_cidrs));
        user.no_default_policy = self.no_default_policy.unwrap_or(user.no_default_policy);
        user.token_type = self.token_type.unwrap_or_else(|| std::mem::take(&mut user.token_type));
        user.ttl = self.ttl.unwrap_or(user.ttl);
        user.max_ttl = self.max_ttl.unwrap_or(user.max_ttl);
        user.explicit_max_ttl = self.explicit_max_ttl.unwrap_or(user.explicit_max_ttl);
        user.period = self.period.unwrap_or(user.period);
        user.num_uses = self.num_uses.unwrap_or(user.num_uses);
        Ok(())
    }
}

fn list(fields: &Fields<'_>, name: &'static str, old: &'static str) -> Result<Option<Vec<String>>, Failure> {
    match fields.list(name)? {
        Some(list) => Ok(Some(list)),
        None => Ok(fields.list(old)?),
    }
}

fn seconds(fields: &Fields<'_>, name: &'static str, old: &'static str) -> Result<Option<u64>, Failure> {
    let duration = match fields.duration(name)? {
        Some(duration) => Some(duration),
        None => fields.duration(old)?,
    };
    match duration.map(lenient::GoDuration::whole_secs) {
        Some(None) => Err(Failure::invalid(format!("{name} must not be negative"))),
        Some(seconds) => Ok(seconds),
        None => Ok(None),
    }
}

#[derive(Serialize)]
struct ShownUser<'a> {
    token_bound_cidrs: &'a [String],
    token_explicit_max_ttl: u64,
    token_max_ttl: u64,
    token_no_default_policy: bool,
    token_num_uses: u64,
    token_period: u64,
    token_policies: &'a [String],
    token_ttl: u64,
    token_type: &'a str,
}

impl<'a> ShownUser<'a> {
    fn of(user: &'a User) -> Self {
        Self {
            token_bound_cidrs: &user.bound_cidrs,
            token_explicit_max_ttl: user.explicit_max_ttl,
            token_max_ttl: user.max_ttl,
            token_no_default_policy: user.no_default_policy,
            token_num_uses: user.num_uses,
            token_period: user.period,
            token_policies: &user.policies,
            token_ttl: user.ttl,
            token_type: if user.token_type.is_empty() { "default" } else { &user.token_type },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn login_path_is_mount_and_user() {
        let parsed = |path: &str| Login::parse(path).map(|login| (login.mount, login.user));
        assert_eq!(parsed("auth/userpass/login/ada"), Some(("userpass".into(), "ada".into())));
        assert_eq!(parsed("auth/a/b/login/ada"), Some(("a/b".into(), "ada".into())));
        assert_eq!(parsed("auth/a/login/login/ada"), Some(("a/login".into(), "ada".into())));
        for other in
            ["auth/userpass/login", "auth/userpass/login/", "auth/login/ada", "auth/x/login/a/b", "secret/data/login/a"]
        {
            assert_eq!(parsed(other), None, "{other}");
        }
    }
}
