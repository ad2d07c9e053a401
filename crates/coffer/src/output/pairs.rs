//! Names with values for shells (`env`) and .env files (`dotenv`).

use coffer_api::Sensitive;
use zeroize::Zeroizing;

use crate::{dotenv, failure::Failure};

/// How to write names with values.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Pairs {
    /// `NAME=value` lines with dotenv quoting.
    Dotenv,
    /// `export NAME='value'` lines for a POSIX shell.
    Env,
}

impl Pairs {
    /// All pairs as text.
    ///
    /// # Errors
    /// Where a name cannot be a shell's variable, or a value holds NUL, which neither format can.
    pub(crate) fn text<'a>(
        self,
        pairs: impl IntoIterator<Item = (&'a str, &'a Sensitive<String>)>,
    ) -> Result<Zeroizing<String>, Failure> {
        let mut out = Zeroizing::new(String::new());
        for (name, value) in pairs {
            let value = value.expose();
            if value.contains('\0') {
                return Err(Failure::local(format!("the value of {name} holds a NUL, which this format cannot"))
                    .hint("use --format json"));
            }
            match self {
                Self::Dotenv => {
                    out.push_str(name);
                    out.push('=');
                    dotenv::automatic(value, &mut out);
                    out.push('\n');
                }
                Self::Env if is_variable(name) => shell(name, value, &mut out),
                Self::Env => {
                    return Err(
                        Failure::local(format!("{name} cannot be a shell's variable")).hint("use --format json")
                    );
                }
            }
        }
        Ok(out)
    }
}

/// Whether a POSIX shell takes this as a variable's name.
fn is_variable(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn shell(name: &str, value: &str, out: &mut String) {
    out.push_str("export ");
    out.push_str(name);
    out.push_str("='");
    for c in value.chars() {
        match c {
            '\'' => out.push_str("'\\''"),
            c => out.push(c),
        }
    }
    out.push_str("'\n");
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt, process::Command};

    use proptest::prelude::*;

    use super::*;

    fn text(how: Pairs, pairs: &[(&str, &str)]) -> Result<String, Failure> {
        let pairs: Vec<(&str, Sensitive<String>)> = pairs.iter().map(|(n, v)| (*n, Sensitive::from(*v))).collect();
        how.text(pairs.iter().map(|(name, value)| (*name, value))).map(|text| text.to_string())
    }

    #[test]
    fn dotenv_quotes_as_little_as_is_safe() {
        for (value, line) in [
            ("", "A=\n"),
            ("postgres://u:p@h:1/db", "A=postgres://u:p@h:1/db\n"),
            ("two words", "A='two words'\n"),
            ("{\"a\":\"$b\"}", "A='{\"a\":\"$b\"}'\n"),
            ("it's $5\n", "A=\"it's \\$5\\n\"\n"),
            ("a\\b", "A=\"a\\\\b\"\n"),
            ("it's `id`", "A=\"it's \\`id\\`\"\n"),
            ("#x", "A='#x'\n"),
        ] {
            assert_eq!(text(Pairs::Dotenv, &[("A", value)]).unwrap(), line, "{value:?}");
        }
    }

    #[test]
    fn what_a_format_cannot_hold_is_refused_by_name() {
        for how in [Pairs::Dotenv, Pairs::Env] {
            assert!(text(how, &[("A", "canary\0")]).unwrap_err().what().contains("value of A"));
        }
        assert!(text(Pairs::Env, &[("tls.key", "v")]).is_err());
        assert_eq!(text(Pairs::Dotenv, &[("tls.key", "v")]).unwrap(), "tls.key=v\n");
    }

    #[test]
    fn shell_reads_back_what_env_writes() {
        let value = "it's $HOME `id` \"x\" \\ \n!* \u{e9}\t#";
        let script = text(Pairs::Env, &[("A", value), ("B", "")]).unwrap() + "printf '%s|%s' \"$A\" \"${B-unset}\"";
        let shown = Command::new("/bin/sh").arg("-c").arg(script).output().unwrap();
        assert_eq!(OsStr::from_bytes(&shown.stdout), OsStr::new(&format!("{value}|")));
    }

    /// One line of the grammar above, read strictly.
    fn read(line: &str) -> Option<(String, String)> {
        let (name, rest) = line.strip_suffix('\n')?.split_once('=')?;
        if let Some(quoted) = rest.strip_prefix('\'') {
            let inner = quoted.strip_suffix('\'')?;
            return (!inner.contains('\'')).then(|| (name.to_owned(), inner.to_owned()));
        }
        let Some(quoted) = rest.strip_prefix('"') else {
            return rest
                .bytes()
                .all(|b| b.is_ascii_graphic() && !b"'\"\\#$`".contains(&b))
                .then(|| (name.into(), rest.into()));
        };
        let (mut value, mut chars) = (String::new(), quoted.strip_suffix('"')?.chars());
        while let Some(c) = chars.next() {
            match c {
                '"' | '$' | '`' => return None,
                '\\' => value.push(match chars.next()? {
                    'n' => '\n',
                    'r' => '\r',
                    c @ ('\\' | '"' | '$' | '`') => c,
                    _ => return None,
                }),
                c => value.push(c),
            }
        }
        Some((name.to_owned(), value))
    }

    proptest! {
        #[test]
        fn any_dotenv_value_comes_back_and_stays_on_one_line(value in "[^\0]*|['\"\\\\$\n a]*") {
            let line = text(Pairs::Dotenv, &[("NAME", &value)]).unwrap();
            prop_assert_eq!(line.matches('\n').count(), 1);
            prop_assert_eq!(read(&line), Some(("NAME".to_owned(), value)));
        }
    }
}
