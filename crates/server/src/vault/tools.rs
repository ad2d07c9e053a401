//! Random bytes and hashes: below `sys/tools/`, and below every mount of transit.

use base64::{Engine, engine::general_purpose::STANDARD};
use coffer_core::{HashAlgorithm, MAX_RANDOM};
use serde::Serialize;
use zeroize::Zeroizing;

use super::{
    call::{Failure, Outcome, VaultCall, Verb},
    envelope::Envelope,
    lenient::Fields,
};

/// Where the tools are asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Tools {
    /// At `sys/tools/`, where a hash of nothing is one of no bytes.
    System,
    /// At a mount of transit, where a hash needs an input.
    Transit,
}

/// Answers `random…` and `hash…`.
pub(super) async fn answer(call: &mut VaultCall, tools: Tools, rest: &str) -> Outcome {
    let (tool, rest) = rest.split_once('/').unwrap_or((rest, ""));
    match (tool, call.verb) {
        ("random" | "hash", Verb::List | Verb::Scan) => Err(Failure::unsupported_path()),
        ("random", Verb::Write) => random(call, tools, rest).await,
        ("hash", Verb::Write) => hash(call, tools, rest).await,
        ("random" | "hash", _) => Err(Failure::unsupported_operation()),
        _ => Err(Failure::unsupported_path()),
    }
}

/// How bytes become text.
#[derive(Clone, Copy)]
pub(crate) enum Format {
    Base64,
    Hex,
}

/// `random[/<bytes>]` and `random/<source>[/<bytes>]`. All sources are the one there is.
async fn random(call: &mut VaultCall, tools: Tools, rest: &str) -> Outcome {
    #[derive(Serialize)]
    struct Random<'a> {
        random_bytes: &'a str,
    }
    let params = call.params().await?;
    let fields = params.fields()?;
    let (source, count) = match rest.split_once('/') {
        Some((source, count)) if matches!(source, "all" | "platform" | "seal") => (source, count),
        Some((source, _)) if tools == Tools::Transit || source.parse::<i64>().is_err() => {
            let shown: String = source.chars().take(100).collect();
            return Err(Failure::invalid(format!(
                "unsupported entropy source {shown:?}; must be \"platform\" or \"seal\", or \"all\""
            )));
        }
        None if matches!(rest, "all" | "platform" | "seal") => (rest, ""),
        Some(_) | None => ("platform", rest),
    };
    let count = if count.is_empty() {
        fields.integer("bytes")?.unwrap_or(DEFAULT_BYTES)
    } else {
        let wrong = || {
            let shown: String = count.chars().take(100).collect();
            Failure::invalid(format!("error parsing url-set byte count: {shown:?} is no number"))
        };
        count.parse().map_err(|_| wrong())?
    };
    let count = usize::try_from(count).ok().filter(|count| *count > 0);
    let count = count.ok_or_else(|| Failure::invalid("'bytes' cannot be less than 1"))?;
    if count > MAX_RANDOM {
        return Err(Failure::invalid(format!("'bytes' should be less than {MAX_RANDOM}")));
    }
    let format = format(&fields, Format::Base64)?;
    let bytes = call.caller.random(&call.path, count, &fields).await?;
    let text = format.text(&bytes);
    let mut reply = Envelope::data(&Random { random_bytes: &text });
    if source == "seal" {
        let warning = "no seal/entropy augmentation available, using platform entropy source";
        reply = reply.with_warnings(vec![warning.to_owned()]);
    }
    Ok(call.envelope(reply))
}

/// `hash[/<algorithm>]`; the one in the path counts.
async fn hash(call: &mut VaultCall, tools: Tools, rest: &str) -> Outcome {
    #[derive(Serialize)]
    struct Sum<'a> {
        sum: &'a str,
    }
    let params = call.params().await?;
    let fields = params.fields()?;
    let named = fields.given("algorithm")?;
    let named = match (rest, &named) {
        ("", Some(name)) => name.as_str(),
        ("", None) => "sha2-256",
        (rest, _) => rest,
    };
    let shown = || named.chars().take(100).collect::<String>();
    // What is broken can still be verified by those who must, and is not handed out.
    let algorithm = HashAlgorithm::parse(named).filter(|algorithm| *algorithm != HashAlgorithm::Sha1);
    let algorithm = algorithm.ok_or_else(|| Failure::invalid(format!("unsupported algorithm {}", shown())))?;
    let format = format(&fields, Format::Hex)?;
    if tools == Tools::Transit && fields.raw("input").is_none() {
        return Err(Failure::invalid("input missing"));
    }
    let input = fields.text("input")?.unwrap_or_default();
    let input = STANDARD.decode(input.as_bytes()).map(Zeroizing::new);
    let input = input.map_err(|_| Failure::invalid("unable to decode input as base64: illegal base64 data"))?;
    let sum = call.caller.hash(&call.path, algorithm, &input, &fields).await?;
    Ok(call.data(&Sum { sum: &format.text(&sum) }))
}

fn format(fields: &Fields<'_>, default: Format) -> Result<Format, Failure> {
    match fields.text("format")?.as_ref().map(|format| format.as_str()) {
        None => Ok(default),
        Some(name) => Format::parse(name).ok_or_else(|| {
            let shown: String = name.chars().take(100).collect();
            Failure::invalid(format!("unsupported encoding format {shown:?}; must be \"hex\" or \"base64\""))
        }),
    }
}

impl Format {
    /// The format of that name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name {
            "base64" => Some(Self::Base64),
            "hex" => Some(Self::Hex),
            _ => None,
        }
    }

    /// Bytes as text.
    pub(crate) fn text(self, bytes: &[u8]) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(bytes.len() * 2 + 4));
        match self {
            Self::Base64 => STANDARD.encode_string(bytes, &mut text),
            Self::Hex => bytes.iter().for_each(|byte| {
                for digit in [byte >> 4, byte & 15] {
                    text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
                }
            }),
        }
        text
    }
}

/// Random bytes where nobody says how many.
const DEFAULT_BYTES: i64 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_text_in_place() {
        let bytes: Vec<u8> = (0..=255).collect();
        for (format, len) in [(Format::Hex, 512), (Format::Base64, 344)] {
            let text = format.text(&bytes);
            assert_eq!(text.len(), len);
            assert!(text.capacity() >= len && format.text(&[]).is_empty());
        }
        assert_eq!(Format::Hex.text(&[0, 255, 16]).as_str(), "00ff10");
    }
}
