//! The URL of a database: the driver's options, and ours beside them.

use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use super::session::STEP_TIMEOUT;
use super::tls::{Mode, Tls};
use crate::error::Error;

/// Where the database is, and how to speak to it.
pub(super) struct Database {
    pub(super) config: Config,
    pub(super) tls: Tls,
}

impl Database {
    /// Reads a URL. [`Error::Invalid`] if it is not one, or if what it says of TLS cannot be done; no part of it is
    /// repeated in the error, because it may hold a password.
    pub(super) fn parse(url: &str) -> Result<Database, Error> {
        let options = Options::take(url)?;
        let mut config: Config = options.rest.parse().map_err(|_| malformed())?;
        let mode = options.mode.unwrap_or_default();
        let tls = Tls::new(mode, options.authorities.as_deref())?;
        // No server speaks TLS on a unix socket, and libpq does not ask for it there either.
        let is_local = config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)));
        config.ssl_mode(if is_local { SslMode::Disable } else { mode.of_driver() });
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        config.keepalives(true).keepalives_idle(Duration::from_secs(10));
        config.keepalives_interval(Duration::from_secs(3)).keepalives_retries(3);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(STEP_TIMEOUT);
        }
        if config.get_application_name().is_none() {
            config.application_name("coffer");
        }
        Ok(Database { config, tls })
    }
}

/// The options that the driver does not know, and the URL without them.
#[derive(Debug, Default)]
struct Options {
    mode: Option<Mode>,
    authorities: Option<String>,
    rest: String,
}

impl Options {
    fn take(url: &str) -> Result<Options, Error> {
        // The driver takes what stands in front of the first '@' for user and password, question marks included.
        let after_user = url.find('@').unwrap_or(0);
        let query =
            url.get(after_user..).and_then(|rest| rest.find('?')).and_then(|at| url.split_at_checked(after_user + at));
        let Some((base, query)) = query else { return Ok(Options { rest: url.to_owned(), ..Options::default() }) };
        let mut options = Options::default();
        let mut others = Vec::new();
        for option in query.trim_start_matches('?').split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').ok_or_else(malformed)?;
            let doubled = match decoded(name)?.as_str() {
                "sslmode" => options.mode.replace(Mode::parse(&decoded(value)?)?).is_some(),
                "sslrootcert" => options.authorities.replace(decoded(value)?).is_some(),
                _ => {
                    others.push(option);
                    false
                }
            };
            if doubled {
                return Err(Error::Invalid("the database URL sets sslmode or sslrootcert twice".to_owned()));
            }
        }
        let mark = if others.is_empty() { "" } else { "?" };
        options.rest = format!("{base}{mark}{}", others.join("&"));
        Ok(options)
    }
}

/// Percent-decodes.
fn decoded(text: &str) -> Result<String, Error> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (hex, rest) = part.split_at_checked(2).ok_or_else(malformed)?;
        if !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(malformed());
        }
        bytes.push(u8::from_str_radix(hex, 16).map_err(|_| malformed())?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).map_err(|_| malformed())
}

fn malformed() -> Error {
    Error::Invalid(
        "the database URL is not valid: postgres://user:password@host:port/database?option=value, percent-encoded"
            .to_owned(),
    )
}

/// For the connection itself, to each host.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(url: &str) -> SslMode {
        Database::parse(url).unwrap_or_else(|e| panic!("{url}: {e}")).config.get_ssl_mode()
    }

    #[test]
    fn sslmode_is_read_in_every_spelling_and_refused_where_it_is_none() {
        for (query, expected) in [
            ("", SslMode::Prefer),
            ("?", SslMode::Prefer),
            ("?sslmode=disable", SslMode::Disable),
            ("?user=v&sslmode=prefer", SslMode::Prefer),
            ("?sslmode=require&user=v", SslMode::Require),
            ("?ssl%6dode=requir%65", SslMode::Require),
            ("?sslmode=verify-full&sslrootcert=system", SslMode::Require),
        ] {
            // A machine without authorities cannot verify, and says so.
            match Database::parse(&format!("postgres://u@h/d{query}")) {
                Ok(database) => assert_eq!(database.config.get_ssl_mode(), expected, "{query}"),
                Err(error) => assert!(query.contains("system") && error.to_string().contains("sslrootcert"), "{error}"),
            }
        }
        for query in [
            "sslmode=allow",
            "sslmode=REQUIRE",
            "sslmode=",
            "sslmode",
            "sslmode=prefer&sslmode=require",
            "sslmode=verify-full",
            "sslmode=verify-ca",
            "sslmode=verify-ca&sslrootcert=/nonexistent",
            "sslmode=require&sslrootcert=/dev/null",
            "sslmode=%zz",
            "sslmode=%",
            "sslmode=%f",
            "sslrootcert=a&sslrootcert=b",
        ] {
            assert!(matches!(Database::parse(&format!("postgres://u@h/d?{query}")), Err(Error::Invalid(_))), "{query}");
        }
    }

    #[test]
    fn unix_socket_is_never_asked_for_tls() {
        assert_eq!(mode("postgres://u@%2Frun%2Fpostgresql/d?sslmode=require"), SslMode::Disable);
        assert_eq!(mode("postgres:///d?host=/run/postgresql&sslmode=require"), SslMode::Disable);
        assert_eq!(mode("postgres://u@%2Frun%2Fpostgresql,h/d?sslmode=require"), SslMode::Require);
    }

    #[test]
    fn question_mark_in_a_password_does_not_begin_the_options() {
        let database = Database::parse("postgres://u:a?sslmode=b@h/d?sslmode=require").unwrap();
        assert_eq!(database.config.get_ssl_mode(), SslMode::Require);
        assert_eq!(database.config.get_password(), Some(b"a?sslmode=b".as_slice()));
    }

    #[test]
    fn url_that_is_not_valid_is_refused_without_repeating_it() {
        for url in [
            "postgres://u:canary@h:port/d",
            "postgres://u:x@h?canary=1",
            "postgres://u:canary@h/d?port=canary",
            "postgres://u:canary@h/d?sslmode=canary",
            "postgres://u:canary@h/d?canary",
        ] {
            let error = Database::parse(url).err().unwrap();
            assert!(matches!(error, Error::Invalid(_)));
            assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
        }
    }
}
