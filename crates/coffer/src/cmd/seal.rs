//! `coffer operator init`, `unseal`, `rekey`, `generate-root` and `seal-migrate`: what concerns the seal. Shares come from a
//! hidden prompt or stdin, never from the command line, and go to stdout alone.

use std::path::PathBuf;

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use clap::{Args, Subcommand};
use coffer_api::{
    Sensitive,
    operator::{SealMigrate, SealTarget},
    seal::{SealProgress, SealRekey, SealRootToken, SealRootTokenStart, SealShare, SealSplit},
};
use coffer_client::Client;
use zeroize::Zeroizing;

use super::{
    operator::{Local, refused},
    pgp_key,
};
use crate::{failure::Failure, input, output::Table, session::Session};

/// Options of `operator init`.
#[derive(Args)]
pub(crate) struct Init {
    #[command(flatten)]
    split: Split,
    #[command(flatten)]
    holders: Holders,
    /// Encrypt the root token to the OpenPGP key in this file
    #[arg(long, value_name = "FILE")]
    root_token_pgp_key: Option<PathBuf>,
    #[command(flatten)]
    local: Local,
}

/// Options of `operator unseal`.
#[derive(Args)]
pub(crate) struct Unseal {
    /// Forget the shares given so far
    #[arg(long)]
    reset: bool,
    #[command(flatten)]
    local: Local,
}

/// How many shares.
#[derive(Args, Clone, Copy)]
pub(crate) struct Split {
    /// How many shares to make
    #[arg(long, value_name = "N", default_value_t = 5)]
    shares: u8,
    /// How many of them unseal
    #[arg(long, value_name = "T", default_value_t = 3)]
    threshold: u8,
}

/// Whom the shares are for.
#[derive(Args)]
pub(crate) struct Holders {
    /// Encrypt each share to the OpenPGP key in one of these files, as `gpg --export` writes it
    #[arg(long, value_name = "FILE,…", value_delimiter = ',')]
    pgp_keys: Vec<PathBuf>,
}

/// Commands of `operator rekey`.
#[derive(Subcommand)]
pub(crate) enum Rekey {
    /// End a rekey; the present shares go on to unseal
    Cancel(Local),
    /// Give one of the present shares; with the last one needed come the new ones
    Share(Local),
    /// Begin a rekey
    Start(RekeyStart),
    /// Show how far it is
    Status(Local),
    /// Give back one of the new shares; with the last one needed they count, and the old ones do not
    Verify(Local),
}

/// Options of `operator rekey start`.
#[derive(Args)]
pub(crate) struct RekeyStart {
    #[command(flatten)]
    split: Split,
    #[command(flatten)]
    holders: Holders,
    /// Let the new shares count at once: if they do not reach their holders, nothing unseals any more
    #[arg(long)]
    unverified: bool,
    #[command(flatten)]
    local: Local,
}

/// Commands of `operator generate-root`.
#[derive(Subcommand)]
pub(crate) enum GenerateRoot {
    /// End an attempt
    Cancel(Local),
    /// Take the token from under its pad, which is asked for or read from stdin
    Decode(Decode),
    /// Give a share; with the last one needed comes the token, under its pad
    Share(Local),
    /// Begin an attempt, and print the pad that the token will come under
    Start(RootStart),
    /// Show how far it is
    Status(Local),
}

/// Options of `operator generate-root start`.
#[derive(Args)]
pub(crate) struct RootStart {
    /// Encrypt the token to the OpenPGP key in this file, instead of a pad
    #[arg(long, value_name = "FILE")]
    pgp_key: Option<PathBuf>,
    #[command(flatten)]
    local: Local,
}

/// Options of `operator generate-root decode`.
#[derive(Args)]
pub(crate) struct Decode {
    /// The token as `share` printed it
    #[arg(value_name = "ENCODED")]
    encoded: String,
}

/// Commands of `operator seal-migrate`.
#[derive(Subcommand)]
pub(crate) enum Migrate {
    /// Take back a migration that was begun
    Abandon(Data),
    /// From shares to a key file; so many of the shares are asked for, or read from stdin, one a line
    File(Data),
    /// From the key file to shares, which are printed once
    Shamir(ToShamir),
}

/// Options of `operator seal-migrate shamir`.
#[derive(Args)]
pub(crate) struct ToShamir {
    #[command(flatten)]
    split: Split,
    #[command(flatten)]
    data: Data,
}

/// Which server: the socket is the only way.
#[derive(Args)]
pub(crate) struct Data {
    /// Data directory that holds the server's unix socket [env: COFFER_DATA]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Initialises an empty store.
///
/// # Errors
/// Where the server refuses.
pub(crate) async fn init(session: &Session, init: &Init) -> Result<(), Failure> {
    let client = init.local.or_anonymous(session)?;
    let mut asked = init.split.asked(Verify::No, &init.holders)?;
    asked.root_token_pgp_key = init.root_token_pgp_key.as_deref().map(pgp_key::read).transpose()?;
    let made = client.seal_init(&asked).await?;
    session.output.show(&made, |made| {
        let mut table = shares_table(&made.keys);
        table.row(["root token".to_owned(), made.root_token.expose().clone()]);
        table
    })?;
    session.output.note(format!(
        "these are not shown again: give each share to another holder. Any {} of the {} unseal",
        init.split.threshold, init.split.shares
    ));
    init.holders.note(session);
    session.output.note("the server is sealed; holders run 'coffer operator unseal'");
    Ok(())
}

/// Gives a share, or opens the key file.
///
/// # Errors
/// Where the server refuses.
pub(crate) async fn unseal(session: &Session, unseal: &Unseal) -> Result<(), Failure> {
    let client = unseal.local.or_anonymous(session)?;
    let before = client.status().await?;
    if before.seal == "file" {
        if unseal.reset {
            return Err(Failure::local("this server's seal is a key file, to which no shares are given"));
        }
        unseal.local.client(session)?.operator_unseal().await.map_err(refused)?;
        session.output.note("unsealed");
        return Ok(());
    }
    let key = if unseal.reset { None } else { Some(input::password("share")?) };
    let progress = client.seal_unseal(&SealShare { key, nonce: String::new(), reset: unseal.reset }).await?;
    let given_before = before.shares.map_or(0, |shares| shares.given);
    session.output.show_or_note(&progress, |SealProgress { sealed, t, progress, .. }| {
        let given = format!("{progress} of the {t} shares needed were given");
        match (sealed, unseal.reset || *progress > given_before) {
            (false, _) => "unsealed".to_owned(),
            (true, true) => format!("sealed: {given}"),
            (true, false) => format!("sealed: this share was among those given already; {given}"),
        }
    })
}

/// Makes new shares.
///
/// # Errors
/// Where the server refuses.
pub(crate) async fn rekey(session: &Session, command: &Rekey) -> Result<(), Failure> {
    match command {
        Rekey::Cancel(local) => {
            local.or_token(session)?.seal_rekey_cancel().await?;
            session.output.note("no rekey is under way; the present shares unseal");
            Ok(())
        }
        Rekey::Share(local) => {
            let client = local.or_token(session)?;
            let nonce = begun(client.seal_rekey().await?)?.nonce;
            let reply = client.seal_rekey_share(&share(nonce)?).await?;
            show_rekey(session, &reply)
        }
        Rekey::Start(start) => {
            let verify = if start.unverified { Verify::No } else { Verify::Yes };
            let asked = start.split.asked(verify, &start.holders)?;
            let reply = start.local.or_token(session)?.seal_rekey_start(&asked).await?;
            show_rekey(session, &reply)
        }
        Rekey::Status(local) => show_rekey(session, &local.or_token(session)?.seal_rekey().await?),
        Rekey::Verify(local) => {
            let client = local.or_token(session)?;
            let nonce = begun(client.seal_rekey().await?)?.verification_nonce;
            if nonce.is_empty() {
                return Err(Failure::local("the new shares are not made yet")
                    .hint("holders of present shares run 'coffer operator rekey share' first"));
            }
            let reply = client.seal_rekey_verify(&share(nonce)?).await?;
            session.output.show_or_note(&reply, |reply| match reply.complete {
                true => "the new shares count from now on, and the old ones unseal nothing".to_owned(),
                false => format!("{} of the {} new shares needed came back", reply.progress, reply.t),
            })
        }
    }
}

/// Makes a root token.
///
/// # Errors
/// Where the server refuses.
pub(crate) async fn generate_root(session: &Session, command: &GenerateRoot) -> Result<(), Failure> {
    match command {
        GenerateRoot::Cancel(local) => {
            local.or_token(session)?.seal_root_token_cancel().await?;
            session.output.note("no attempt at a root token is under way");
        }
        GenerateRoot::Decode(decode) => {
            let token = decoded(&decode.encoded, &input::password("one-time pad")?)?;
            session.output.show_text(&token, |token| token.expose())?;
        }
        GenerateRoot::Share(local) => {
            let client = local.or_token(session)?;
            let status = client.seal_root_token().await?;
            if !status.started {
                return Err(Failure::local("no attempt at a root token is under way")
                    .hint("'coffer operator generate-root start' begins one"));
            }
            let reply = client.seal_root_token_share(&share(status.nonce)?).await?;
            if reply.complete {
                session.output.show_text(&reply, |reply| reply.encoded_root_token.expose())?;
                session.output.note(match reply.pgp_fingerprint.as_str() {
                    "" => "whoever has the pad runs 'coffer operator generate-root decode' with it".to_owned(),
                    key => format!("whoever has the key {key} runs 'base64 -d | gpg --decrypt' with it"),
                });
            } else {
                session.output.show_or_note(&reply, root_progress)?;
            }
        }
        GenerateRoot::Start(start) => {
            let pgp_key = start.pgp_key.as_deref().map(pgp_key::read).transpose()?;
            let asked = SealRootTokenStart { pgp_key };
            let reply = start.local.or_token(session)?.seal_root_token_start(&asked).await?;
            if asked.pgp_key.is_none() {
                session.output.show_text(&reply, |reply| reply.otp.expose())?;
                let note = "this is the pad, which is not shown again: keep it, and have holders of shares run";
                session.output.note(note);
            } else {
                let key = &reply.pgp_fingerprint;
                session
                    .output
                    .note(format!("the token will be encrypted to the key {key}: have holders of shares run"));
            }
            session.output.note("  coffer operator generate-root share");
        }
        GenerateRoot::Status(local) => {
            let reply = local.or_token(session)?.seal_root_token().await?;
            session.output.show_or_note(&reply, root_progress)?;
        }
    }
    Ok(())
}

/// Leads the store to another seal.
///
/// # Errors
/// Where the server refuses.
pub(crate) async fn migrate(session: &Session, command: &Migrate) -> Result<(), Failure> {
    let ask = |data: &Data| session.local_client(data.data.as_ref());
    let migrate = |to, split: Option<Split>, given| SealMigrate {
        given,
        shares: split.map_or(0, |split| split.shares),
        threshold: split.map_or(0, |split| split.threshold),
        to,
    };
    match command {
        Migrate::Abandon(data) => {
            let asked = migrate(SealTarget::Neither, None, Vec::new());
            ask(data)?.operator_seal_migrate(&asked).await.map_err(refused)?;
            session.output.note("the store keeps the seal it has, and what was added opens nothing");
        }
        Migrate::File(data) => {
            let client = ask(data)?;
            let threshold = client.status().await?.shares.map_or(0, |shares| shares.threshold);
            let given = if threshold == 0 { Vec::new() } else { input::passwords("share", threshold)? };
            let asked = migrate(SealTarget::File, None, given);
            let reply = client.operator_seal_migrate(&asked).await.map_err(refused)?;
            session.output.show_text(&reply, |reply| reply.path.as_deref().unwrap_or_default())?;
            session.output.note("this file opens the store too. Start the server again with --seal file;");
            session.output.note("once it has opened the store, the shares unseal nothing");
        }
        Migrate::Shamir(to) => {
            let asked = migrate(SealTarget::Shamir, Some(to.split), Vec::new());
            let reply = ask(&to.data)?.operator_seal_migrate(&asked).await.map_err(refused)?;
            session.output.show(&reply, |reply| shares_table(&reply.keys))?;
            session.output.note(format!(
                "these are not shown again: give each to another holder. Any {} of the {} unseal",
                to.split.threshold, to.split.shares
            ));
            session
                .output
                .note("start the server again with --seal shamir and unseal it with 'coffer operator unseal';");
            session
                .output
                .note("until then the key file opens the store too, and afterwards it is of use to copies made before");
        }
    }
    Ok(())
}

/// Whether new shares are to be given back.
#[derive(Clone, Copy)]
enum Verify {
    No,
    Yes,
}

impl Split {
    fn asked(self, verify: Verify, holders: &Holders) -> Result<SealSplit, Failure> {
        let pgp_keys = holders.pgp_keys.iter().map(|path| pgp_key::read(path)).collect::<Result<_, _>>()?;
        Ok(SealSplit {
            secret_shares: self.shares,
            secret_threshold: self.threshold,
            require_verification: matches!(verify, Verify::Yes),
            pgp_keys,
            root_token_pgp_key: None,
        })
    }
}

impl Holders {
    fn note(&self, session: &Session) {
        if !self.pgp_keys.is_empty() {
            session.output.note("each is encrypted to its holder's key: 'xxd -r -p | gpg --decrypt' gives the share");
        }
    }
}

impl Local {
    /// Over the socket if that is asked for, else with the caller's token.
    fn or_token(&self, session: &Session) -> Result<Client, Failure> {
        if self.is_asked_for() { self.client(session) } else { session.client() }
    }

    /// Over the socket if that is asked for, else without a token.
    fn or_anonymous(&self, session: &Session) -> Result<Client, Failure> {
        if self.is_asked_for() { self.client(session) } else { session.anonymous_client() }
    }
}

fn share(nonce: String) -> Result<SealShare, Failure> {
    Ok(SealShare { key: Some(input::password("share")?), nonce, reset: false })
}

fn begun(status: SealRekey) -> Result<SealRekey, Failure> {
    if status.started {
        return Ok(status);
    }
    Err(Failure::local("no rekey is under way").hint("'coffer operator rekey start' begins one"))
}

fn show_rekey(session: &Session, reply: &SealRekey) -> Result<(), Failure> {
    if reply.keys.is_empty() {
        return session.output.show_or_note(reply, |reply| {
            match (reply.started, reply.verification_nonce.is_empty()) {
                (false, _) => "no rekey is under way".to_owned(),
                (true, true) => format!("{} of the {} shares needed were given", reply.progress, reply.required),
                (true, false) => {
                    "the new shares were told and are to be given back: 'coffer operator rekey verify'".to_owned()
                }
            }
        });
    }
    session.output.show(reply, |reply| shares_table(&reply.keys))?;
    if reply.verification_nonce.is_empty() {
        session.output.note("these are not shown again, and the old shares unseal nothing");
    } else {
        session
            .output
            .note("these are not shown again, and count only once holders ran 'coffer operator rekey verify'");
    }
    Ok(())
}

fn root_progress(reply: &SealRootToken) -> String {
    match reply.started {
        true => format!("{} of the {} shares needed were given", reply.progress, reply.required),
        false => "no attempt at a root token is under way".to_owned(),
    }
}

fn shares_table(shares: &[Sensitive<String>]) -> Table {
    Table::of_pairs(
        shares.iter().zip(1..).map(|(share, number): (_, u16)| (format!("share {number}"), share.expose().clone())),
    )
}

fn decoded(encoded: &str, otp: &Sensitive<String>) -> Result<Sensitive<String>, Failure> {
    let wrong = || Failure::local("this token was not under that pad");
    let bytes = STANDARD_NO_PAD.decode(encoded.trim()).map(Zeroizing::new).map_err(|_| wrong())?;
    let otp = otp.expose().as_bytes();
    if bytes.len() != otp.len() {
        return Err(wrong());
    }
    let token: String = bytes.iter().zip(otp).map(|(byte, pad)| char::from(byte ^ pad)).collect();
    let is_token = token.strip_prefix("hvs.").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_alphanumeric()));
    if is_token { Ok(Sensitive::new(token)) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_comes_from_under_its_own_pad_alone() {
        let (token, pad) = ("hvs.abcdefghijklmnopqrstuvwx", "A1B2C3D4E5F6G7H8I9J0K1L2M3N4");
        let bytes: Vec<u8> = token.bytes().zip(pad.bytes()).map(|(a, b)| a ^ b).collect();
        let encoded = STANDARD_NO_PAD.encode(bytes);
        assert_eq!(decoded(&encoded, &pad.into()).unwrap().expose(), token);
        for (encoded, pad) in
            [(encoded.as_str(), "short"), ("!", pad), ("", pad), (encoded.as_str(), &"\u{7f}".repeat(28))]
        {
            assert!(decoded(encoded, &pad.into()).is_err(), "{encoded} {pad}");
        }
    }
}
