//! `coffer token`: create, look up, renew, revoke, list. A token is never taken from the command line.

use std::collections::BTreeMap;

use clap::{Args, Subcommand, ValueEnum};
use coffer_api::{
    Code, Sensitive,
    token::{TokenCreate, TokenGrant, TokenInfo, TokenKind, TokenRef, TokenRenew},
};
use coffer_client::Error;

use crate::{duration, failure::Failure, input, output::Table, paging::PageArguments, session::Session};

/// Commands of `token`.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Create a token below your own; it goes to stdout, what belongs to it to stderr
    Create(Create),
    /// List accessors
    List(PageArguments),
    /// Show what is known of a token, by default your own
    #[command(override_usage = "coffer token lookup [--accessor ACCESSOR | --ask]")]
    Lookup(Which),
    /// Renew a token, by default your own
    #[command(override_usage = "coffer token renew [--accessor ACCESSOR | --ask] [--increment TIME]")]
    Renew(Renew),
    /// Revoke a token and all tokens below it
    #[command(override_usage = "coffer token revoke <--accessor ACCESSOR | --ask | --self>")]
    Revoke(Revoke),
}

/// Options of `token create`.
#[derive(Args)]
pub(crate) struct Create {
    /// A policy of the token; repeat for more [default: your own policies]
    #[arg(long = "policy", value_name = "NAME")]
    policies: Vec<String>,
    /// Leave out the policy `default`
    #[arg(long)]
    no_default_policy: bool,
    /// A name for logs
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    /// A note; repeat for more
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// How long it lives, as 30m, 12h, 30d [default, and for 0: the lifetime that the server gives]
    #[arg(long, value_name = "TIME", value_parser = duration::parse_seconds)]
    ttl: Option<u64>,
    /// How long it lives at most, renewals included
    #[arg(long, value_name = "TIME", value_parser = duration::parse_seconds)]
    explicit_max_ttl: Option<u64>,
    /// Make it periodic: each renewal gives this time again
    #[arg(long, value_name = "TIME", value_parser = duration::parse_seconds)]
    period: Option<u64>,
    /// How many times it can be used [default: without limit]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    uses: u64,
    /// Let it outlive yours
    #[arg(long)]
    orphan: bool,
    /// Refuse its renewal
    #[arg(long)]
    not_renewable: bool,
    /// How it lives
    #[arg(long = "type", value_enum, value_name = "TYPE", default_value_t = Kind::Service)]
    kind: Kind,
    /// The token role whose rules apply
    #[arg(long, value_name = "NAME")]
    role: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// Sealed claims, stored nowhere
    Batch,
    /// Stored, renewable, revocable
    Service,
}

/// Names a token.
#[derive(Args)]
pub(crate) struct Which {
    /// By its accessor
    #[arg(long, value_name = "ACCESSOR")]
    accessor: Option<String>,
    /// By itself, asked for or read from stdin
    #[arg(long, conflicts_with = "accessor")]
    ask: bool,
}

/// Options of `token renew`.
#[derive(Args)]
pub(crate) struct Renew {
    #[command(flatten)]
    which: Which,
    /// How much time to ask for [default: the token's own lifetime]
    #[arg(long, value_name = "TIME", value_parser = duration::parse_seconds)]
    increment: Option<u64>,
}

/// Options of `token revoke`.
#[derive(Args)]
pub(crate) struct Revoke {
    #[command(flatten)]
    which: Which,
    /// Your own token
    #[arg(long = "self", conflicts_with_all = ["accessor", "ask"])]
    own: bool,
}

/// Runs the command.
///
/// # Errors
/// Where the server refuses.
pub(crate) async fn run(session: &Session, command: &Command) -> Result<(), Failure> {
    match command {
        Command::Create(create) => {
            let grant = session.client()?.token_create(&create.request()?).await?;
            show_grant(session, &grant)
        }
        Command::List(page) => {
            let client = session.client()?;
            let accessors = page.gather(&session.output, async |paging| client.token_list(&paging).await).await?;
            session.output.show(&accessors, |accessors| {
                let mut table = Table::new(&[]);
                accessors.items.iter().for_each(|accessor| table.row([accessor.clone()]));
                table
            })
        }
        Command::Lookup(which) => {
            let client = session.client()?;
            let info = match which.reference()? {
                None => client.token_lookup_self().await?,
                Some(reference) => client.token_lookup(&reference).await.map_err(missing)?,
            };
            session.output.show(&info, table)
        }
        Command::Renew(renew) => {
            let reference = renew.which.reference()?.unwrap_or_default();
            let TokenRef { token, accessor } = reference;
            let request = TokenRenew { token, accessor, increment: renew.increment };
            let grant = session.client()?.token_renew(&request).await?;
            warn(session, &grant);
            session.output.show_or_note(&Renewed::of(&grant), |renewed| {
                format!("renewed for {}", lifetime(renewed.lease_duration))
            })
        }
        Command::Revoke(revoke) => {
            let client = session.client()?;
            match (revoke.which.reference()?, revoke.own) {
                (Some(reference), _) => client.token_revoke(&reference).await.map_err(missing)?,
                (None, true) => client.token_revoke_self().await?,
                (None, false) => {
                    return Err(Failure::local("no token named").hint("add --accessor ACCESSOR, --ask or --self"));
                }
            }
            session.output.note("revoked");
            Ok(())
        }
    }
}

/// What is known of a token, for people.
pub(crate) fn table(info: &TokenInfo) -> Table {
    let entity = info.entity_id.map_or_else(|| "none".to_owned(), |id| id.0.to_string());
    let metadata: Vec<String> = info.metadata.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let uses = match info.num_uses {
        0 => "without limit".to_owned(),
        count => count.to_string(),
    };
    Table::of_pairs([
        ("display name", info.display_name.clone()),
        ("accessor", info.accessor.clone()),
        ("entity", entity),
        ("policies", info.policies.join(", ")),
        ("identity policies", info.identity_policies.join(", ")),
        ("type", kind(info.kind).to_owned()),
        ("created", info.issue_time.clone()),
        ("expires", info.expire_time.clone().unwrap_or_else(|| "never".to_owned())),
        ("renewable", if info.renewable { "yes" } else { "no" }.to_owned()),
        ("uses left", uses),
        ("metadata", metadata.join(", ")),
    ])
}

/// A renewal, for programs: no token in it.
#[derive(serde::Serialize)]
struct Renewed<'a> {
    accessor: &'a str,
    lease_duration: i64,
    renewable: bool,
}

impl<'a> Renewed<'a> {
    fn of(grant: &'a TokenGrant) -> Self {
        Self { accessor: &grant.accessor, lease_duration: grant.lease_duration, renewable: grant.renewable }
    }
}

impl Create {
    fn request(&self) -> Result<TokenCreate, Failure> {
        let mut metadata = BTreeMap::new();
        for (key, value) in &self.metadata {
            if metadata.insert(key.clone(), value.clone()).is_some() {
                return Err(Failure::local(format!("metadata {key} is given twice")));
            }
        }
        Ok(TokenCreate {
            policies: self.policies.clone(),
            no_default_policy: self.no_default_policy,
            display_name: self.display_name.clone(),
            metadata,
            ttl: self.ttl,
            explicit_max_ttl: self.explicit_max_ttl,
            period: self.period,
            num_uses: self.uses,
            orphan: self.orphan,
            renewable: self.not_renewable.then_some(false),
            kind: match self.kind {
                Kind::Batch => TokenKind::Batch,
                Kind::Service => TokenKind::Service,
            },
            role: self.role.clone(),
            id: None,
        })
    }
}

impl Which {
    /// `None` = the caller's own.
    fn reference(&self) -> Result<Option<TokenRef>, Failure> {
        match (&self.accessor, self.ask) {
            (Some(accessor), _) => Ok(Some(TokenRef { token: None, accessor: Some(accessor.clone()) })),
            (None, true) => {
                let token: Sensitive<String> = input::password("token")?;
                Ok(Some(TokenRef { token: Some(token), accessor: None }))
            }
            (None, false) => Ok(None),
        }
    }
}

fn show_grant(session: &Session, grant: &TokenGrant) -> Result<(), Failure> {
    session.output.show_text(grant, |grant| grant.token.expose())?;
    warn(session, grant);
    session.output.note(format!(
        "{} token for {}, policies {}, accessor {}",
        kind(grant.kind),
        lifetime(grant.lease_duration),
        grant.policies.join(", "),
        if grant.accessor.is_empty() { "none" } else { &grant.accessor },
    ));
    Ok(())
}

fn warn(session: &Session, grant: &TokenGrant) {
    for warning in &grant.warnings {
        session.output.note(format!("warning: {warning}"));
    }
}

fn missing(error: Error) -> Failure {
    Failure::hinted(error, Code::NotFound, "check the token or accessor; 'coffer token list' shows the accessors")
}

fn kind(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::Batch => "batch",
        TokenKind::Service => "service",
    }
}

fn lifetime(seconds: i64) -> String {
    match u64::try_from(seconds) {
        Ok(0) => "ever".to_owned(),
        Ok(seconds) => duration::show(seconds),
        Err(_) => "no time".to_owned(),
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => Err("not of the form KEY=VALUE".to_owned()),
    }
}
