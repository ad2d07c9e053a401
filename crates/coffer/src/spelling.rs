//! Options of `server` as Vault's command line spells them: `-config=FILE`, `-dev`.

use std::ffi::OsString;

/// Gives the options that Vault writes with one dash their second one. Everything else stays as it is.
pub(crate) fn with_two_dashes(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.collect();
    if arguments.get(1).is_some_and(|command| command == "server") {
        for argument in arguments.iter_mut().skip(2) {
            // What follows a lone pair of dashes is no option.
            if argument == "--" {
                break;
            }
            if argument.to_str().is_some_and(is_single_dashed) {
                let mut doubled = OsString::from("-");
                doubled.push(&*argument);
                *argument = doubled;
            }
        }
    }
    arguments
}

fn is_single_dashed(argument: &str) -> bool {
    let name = argument.split_once('=').map_or(argument, |(name, _)| name);
    name.strip_prefix('-').is_some_and(|name| OPTIONS.contains(&name))
}

const OPTIONS: [&str; 4] = ["config", "dev", "dev-listen-address", "dev-root-token-id"];

#[cfg(test)]
mod tests {
    use super::*;

    fn doubled(arguments: &[&str]) -> Vec<String> {
        let doubled = with_two_dashes(arguments.iter().map(OsString::from));
        doubled.into_iter().map(|argument| argument.into_string().unwrap()).collect()
    }

    #[test]
    fn only_options_of_server_that_vault_has_get_a_second_dash() {
        assert_eq!(
            doubled(&[
                "coffer",
                "server",
                "-dev",
                "-config=/a",
                "-config",
                "-dev-listen-address=x",
                "--dev",
                "-q",
                "-x"
            ]),
            ["coffer", "server", "--dev", "--config=/a", "--config", "--dev-listen-address=x", "--dev", "-q", "-x"]
        );
        for same in [&["coffer", "run", "-dev"][..], &["coffer"], &[], &["coffer", "server", "--", "-dev"]] {
            assert_eq!(doubled(same), same);
        }
    }
}
