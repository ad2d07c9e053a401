//! `auth/<mount>/…` of the user name and password method: login without a token, users.

use axum::{body::Body, http::request::Parts, response::Response};
use coffer_api::{Code, Sensitive};
use coffer_core::{AppRole, Core, Error, Mount, MountKind, OldSpelling, Password, User};

use super::{
    call::{Failure, Outcome, VaultCall, Verb, done, small_body},
    ignored,
    lenient::Fields,
    token::granted,
    token_parameters::{Defaults, Dialect, Shown, TokenChange, Uses},
};
use crate::app::{App, Origin};

/// `auth/<mount>/login/<user>`.
pub(crate) struct Login {
    verb: Verb,
    /// With `auth/` and its final slash.
    mount: String,
    user: String,
}

impl Login {
    /// The login that a request stands for, whatever its verb and the user's name: below a mount of this method,
    /// whatever other paths look like.
    pub(crate) fn of(core: &Core, verb: Verb, path: &str) -> Option<Self> {
        let mount = core.resolve(path).filter(|mount| mount.kind == MountKind::Userpass)?;
        let user = path.strip_prefix(mount.path.as_str())?.strip_prefix("login/")?;
        (!user.is_empty()).then(|| Self { verb, mount: mount.path.clone(), user: user.to_owned() })
    }

    /// Why it is none, whoever asks.
    fn refused(&self) -> Option<Error> {
        if !AppRole::is_name(&self.user) {
            return Some(Error::new(Code::NotFound, "unsupported path"));
        }
        (self.verb != Verb::Write).then(|| Error::new(Code::MethodNotAllowed, "unsupported operation"))
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
        if let Some(refused) = self.refused() {
            return Err(app.core().refuse_anonymous(cx, refused).await);
        }
        let (password, warnings) = match self.password(app, &parts, body).await {
            Ok(sent) => sent,
            Err(error) => return Err(app.core().refuse_anonymous(cx, error).await),
        };
        let grant = app
            .core()
            .login_userpass(cx, self.mount.strip_prefix("auth/").unwrap_or_default(), &self.user, &password)
            .await?;
        Ok(granted(&grant, None).with_warnings(warnings).reply(origin.id))
    }

    /// The password, and what is to be said of what came with it.
    async fn password(&self, app: &App, parts: &Parts, body: Body) -> Result<(Sensitive<String>, Vec<String>), Error> {
        let body = small_body(app, parts, body).await?;
        let fields = body.fields()?;
        let password = fields.secret("password")?;
        let password = password.ok_or_else(|| Error::invalid("missing password"))?;
        let warnings = ignored::warnings(MountKind::Userpass, &format!("login/{}", self.user), fields.names());
        Ok((password, warnings))
    }
}

/// Answers below a user name and password method, for a caller who is known.
pub(crate) async fn answer(call: &mut VaultCall, mount: &Mount, rest: &str) -> Outcome {
    let Some(user) = rest.strip_prefix("users/") else { return Err(Failure::unsupported_path()) };
    let name = user.split('/').next().unwrap_or_default();
    match (user.split_once('/'), call.verb) {
        _ if !user.is_empty() && !AppRole::is_name(name) => Err(Failure::unsupported_path()),
        _ if user.is_empty() => match call.verb {
            Verb::List => {
                let page = call.page().await?;
                let names = call.caller.user_list(mount, page.part()).await?;
                call.keys(names)
            }
            Verb::Delete | Verb::Patch | Verb::Read | Verb::Scan | Verb::Write => Err(Failure::unsupported_operation()),
        },
        (None, Verb::Read) => {
            let found = call.caller.user_read(mount, user).await?.ok_or_else(Error::not_found)?;
            Ok(call.data(&Shown::of(&found.token)))
        }
        (None, Verb::Write) => user_write(call, mount, user).await,
        (None, Verb::Delete) => {
            call.caller.user_delete(mount, user).await?;
            Ok(done())
        }
        (Some((user, "password")), Verb::Write) => {
            let params = call.params().await?;
            let fields = params.fields()?;
            let sent = NewPassword::parse(&fields)?.ok_or_else(|| Failure::invalid(NO_PASSWORD))?;
            call.caller.user_write(mount, user, Some("password"), Some(sent.given()), &fields, |_| Ok(())).await?;
            Ok(done())
        }
        (Some((user, "policies")), Verb::Write) => {
            let params = call.params().await?;
            let fields = params.fields()?;
            let policies = TokenChange::parse(&fields, &DIALECT)?.policies;
            let change = |user: &mut User| {
                TokenChange { policies, ..TokenChange::default() }.apply(&mut user.token);
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
    let password = NewPassword::parse(&fields)?;
    let change = TokenChange::parse(&fields, &DIALECT)?;
    let written =
        call.caller.user_write(mount, user, None, password.as_ref().map(NewPassword::given), &fields, |user| {
            change.apply(&mut user.token);
            Ok(())
        });
    written.await?;
    Ok(done())
}

/// A password as it was sent.
enum NewPassword {
    Bcrypt(Sensitive<String>),
    Plain(Sensitive<String>),
}

impl NewPassword {
    fn parse(fields: &Fields<'_>) -> Result<Option<Self>, Failure> {
        match (fields.secret("password")?, fields.secret("password_hash")?) {
            (Some(_), Some(_)) => Err(Failure::invalid("only one of password or password_hash may be provided")),
            (Some(password), None) => Ok(Some(Self::Plain(password))),
            (None, Some(hash)) => Ok(Some(Self::Bcrypt(hash))),
            (None, None) => Ok(None),
        }
    }

    fn given(&self) -> Password<'_> {
        match self {
            Self::Bcrypt(hash) => Password::Bcrypt(hash),
            Self::Plain(password) => Password::Plain(password),
        }
    }
}

const NO_PASSWORD: &str = "must provide either password or password_hash";
/// How this method takes the parameters of tokens.
const DIALECT: Dialect = Dialect {
    old: &[OldSpelling::BoundCidrs, OldSpelling::MaxTtl, OldSpelling::Policies, OldSpelling::Ttl],
    defaults: Defaults::Refused,
    uses: Uses::Counted,
};
