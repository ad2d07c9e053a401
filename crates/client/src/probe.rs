//! What tells whether the way to a server is sound: its clock, its certificates.

use coffer_api::operator::Status;

use crate::{
    Client, Error,
    call::{Accept, Call},
    route::Route,
};

/// What TLS came to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Handshake {
    /// As `TLSv1_3`.
    pub version: String,
    /// The certificates that the server sent, its own first.
    pub chain: Vec<Validity>,
}

/// When a certificate holds, as RFC 3339 writes times.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Validity {
    /// From then on.
    pub not_before: String,
    /// Until then.
    pub not_after: String,
}

impl Client {
    /// Speaks TLS with the server, sends nothing and hangs up; `None` where the address is not of TLS. A certificate that is
    /// not believed is an error as for every call.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn handshake(&self) -> Result<Option<Handshake>, Error> {
        self.transport.handshake(&self.address).await
    }

    /// As [`Client::status`], with the time by the server's clock as its `Date` header tells it.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn status_dated(&self) -> Result<(Status, Option<String>), Error> {
        self.reply_dated(Call::get(Route::root("/readyz")), Accept::SuccessOrUnavailable).await
    }
}

impl Validity {
    /// Of a certificate in DER; `None` where that is not one.
    pub(crate) fn of(certificate: &[u8]) -> Option<Self> {
        let (body, _) = element(certificate, SEQUENCE)?;
        let (mut rest, _) = element(body, SEQUENCE)?;
        // The version may be left out; then come serial number, algorithm and issuer.
        if let Some((_, after)) = element(rest, VERSION) {
            rest = after;
        }
        for tag in [INTEGER, SEQUENCE, SEQUENCE] {
            (_, rest) = element(rest, tag)?;
        }
        let (validity, _) = element(rest, SEQUENCE)?;
        let (not_before, rest) = time(validity)?;
        let (not_after, _) = time(rest)?;
        Some(Self { not_before, not_after })
    }
}

/// The content of the first element, if it has this tag, and what follows it.
fn element(bytes: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    if *tag != wanted {
        return None;
    }
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x0f))?;
            (digits.iter().fold(0, |length: usize, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// The time that stands first, and what follows it.
fn time(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (text, century, rest) = match element(bytes, UTC_TIME) {
        Some((text, rest)) => {
            let text = std::str::from_utf8(text).ok()?;
            (text, if text.get(..2)? < "50" { "20" } else { "19" }, rest)
        }
        None => {
            let (text, rest) = element(bytes, GENERAL_TIME)?;
            (std::str::from_utf8(text).ok()?, "", rest)
        }
    };
    let text = format!("{century}{}", text.strip_suffix('Z')?);
    if text.len() != 14 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    let date = format!("{}-{}-{}", part(0, 4), part(4, 6), part(6, 8));
    Some((format!("{date}T{}:{}:{}Z", part(8, 10), part(10, 12), part(12, 14)), rest))
}

const GENERAL_TIME: u8 = 0x18;
const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const VERSION: u8 = 0xa0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_a_certificate_are_read_in_both_forms() {
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(1975, 1, 2);
        params.not_after = rcgen::date_time_ymd(4096, 12, 31);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let validity = Validity::of(certificate.der()).unwrap();
        assert_eq!(validity.not_before, "1975-01-02T00:00:00Z");
        assert_eq!(validity.not_after, "4096-12-31T00:00:00Z");
        for end in 0..certificate.der().len() {
            // Cut off anywhere it is none, or says the same.
            let cut = certificate.der().get(..end).and_then(Validity::of);
            assert!(cut.is_none_or(|cut| cut == validity), "{end}");
        }
    }
}
