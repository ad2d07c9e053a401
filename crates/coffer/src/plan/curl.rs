//! A call as a command of curl: the token by its variable, values as placeholders in what stdin brings.

use std::path::Path;

use coffer_api::HIDDEN_VALUE;
use coffer_client::Plan;

/// The command, ended by a line break.
pub(super) fn command(call: &Plan, authorities: Option<&Path>) -> String {
    let mut words = vec![format!("curl --silent --show-error --request {}", call.method)];
    if let Some(path) = call.address.socket() {
        words.push(format!("--unix-socket {}", quoted(&path.display().to_string())));
    }
    if let Some(path) = authorities.filter(|_| call.address.is_encrypted()) {
        words.push(format!("--cacert {}", quoted(&path.display().to_string())));
    }
    if call.has_token {
        words.push(r#"--header "X-Vault-Token: $COFFER_TOKEN""#.to_owned());
    }
    let mut input = String::new();
    if let Some(body) = &call.body {
        words.push("--header 'Content-Type: application/json'".to_owned());
        match body.contains(HIDDEN_VALUE) {
            // What stands for a value is filled in there, and so is on no command line.
            true => {
                words.push("--data @-".to_owned());
                input = format!(" <<'BODY'\n{body}\nBODY");
            }
            false => words.push(format!("--data {}", quoted(body))),
        }
    }
    let base = match call.address.socket() {
        Some(_) => "http://localhost".to_owned(),
        None => call.address.to_string(),
    };
    words.push(quoted(&format!("{base}{}", call.path)));
    format!("{}{input}\n", words.join(" \\\n  "))
}

/// One word to a shell, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: &str, address: &str, body: Option<&str>) -> Plan {
        Plan {
            address: address.parse().unwrap(),
            method: method.to_owned(),
            path: "/api/v1/keys/it's?a=b".to_owned(),
            body: body.map(str::to_owned),
            has_token: true,
        }
    }

    #[test]
    fn call_is_a_command_that_a_shell_takes_apart_again() {
        let shown = command(&call("DELETE", "https://a:1", None), Some(Path::new("/ca pem")));
        assert_eq!(
            shown,
            "curl --silent --show-error --request DELETE \\\n  --cacert '/ca pem' \\\n  \
             --header \"X-Vault-Token: $COFFER_TOKEN\" \\\n  'https://a:1/api/v1/keys/it'\\''s?a=b'\n"
        );
        let shown = command(&call("POST", "unix:///run/coffer.sock", Some(r#"{"a":"it's"}"#)), Some(Path::new("/x")));
        assert!(
            shown.contains("--unix-socket '/run/coffer.sock'") && shown.contains("'http://localhost/api"),
            "{shown}"
        );
        assert!(shown.contains(r#"--data '{"a":"it'\''s"}'"#) && !shown.contains("--cacert"), "{shown}");
    }

    #[test]
    fn body_with_a_value_comes_from_stdin() {
        let shown = command(&call("PUT", "http://a:1", Some(r#"{"value":"<value>"}"#)), None);
        assert!(shown.contains("--data @- \\\n"), "{shown}");
        assert!(shown.ends_with("' <<'BODY'\n{\"value\":\"<value>\"}\nBODY\n"), "{shown}");
    }
}
