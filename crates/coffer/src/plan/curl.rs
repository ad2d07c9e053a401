//! A call as a command of curl: the token by its variable, in what a descriptor of its own brings, values as placeholders in
//! what stdin brings. Neither is on a command line, which others on the machine can read.

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
    let (mut input, mut texts) = (String::new(), String::new());
    if call.has_token {
        words.push("--header @/dev/fd/3".to_owned());
        input.push_str(" 3<<TOKEN");
        texts.push_str("\nX-Vault-Token: $COFFER_TOKEN\nTOKEN");
    }
    if let Some(body) = &call.body {
        words.push("--header 'Content-Type: application/json'".to_owned());
        match body.contains(HIDDEN_VALUE) {
            // What stands for a value is filled in there, and so is on no command line.
            true => {
                words.push("--data-binary @-".to_owned());
                input.push_str(" <<'BODY'");
                texts.push_str(&format!("\n{body}\nBODY"));
            }
            false => words.push(format!("--data {}", quoted(body))),
        }
    }
    let base = match call.address.socket() {
        Some(_) => "http://localhost".to_owned(),
        None => call.address.to_string(),
    };
    words.push(quoted(&format!("{base}{}", call.path)));
    format!("{}{input}{texts}\n", words.join(" \\\n  "))
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
             --header @/dev/fd/3 \\\n  'https://a:1/api/v1/keys/it'\\''s?a=b' 3<<TOKEN\n\
             X-Vault-Token: $COFFER_TOKEN\nTOKEN\n"
        );
        let shown = command(&call("POST", "unix:///run/coffer.sock", Some(r#"{"a":"it's"}"#)), Some(Path::new("/x")));
        assert!(
            shown.contains("--unix-socket '/run/coffer.sock'") && shown.contains("'http://localhost/api"),
            "{shown}"
        );
        assert!(shown.contains(r#"--data '{"a":"it'\''s"}'"#) && !shown.contains("--cacert"), "{shown}");
    }

    #[test]
    fn token_and_value_reach_curl_and_no_command_line() {
        use std::os::unix::fs::PermissionsExt;

        let directory = tempfile::tempdir().unwrap();
        let fake = directory.path().join("curl");
        let script = "#!/bin/sh\nprintf '%s|' \"$@\"\necho\ncat /dev/fd/3\ncat\n";
        std::fs::write(&fake, script).unwrap();
        std::fs::set_permissions(&fake, std::fs::Permissions::from_mode(0o755)).unwrap();
        let shown = command(&call("PUT", "http://a:1", Some(r#"{"value":"<value>$COFFER_TOKEN"}"#)), None);
        let path = format!("{}:{}", directory.path().display(), std::env::var("PATH").unwrap());
        let output = std::process::Command::new("sh")
            .args(["-c", &shown])
            .env("PATH", path)
            .env("COFFER_TOKEN", "canary $x")
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let (arguments, rest) = said.split_once('\n').unwrap();
        assert!(arguments.contains("|@/dev/fd/3|") && arguments.contains("|--data-binary|@-|"), "{arguments}");
        assert!(!arguments.contains("canary") && !arguments.contains("value"), "{arguments}");
        assert_eq!(rest, "X-Vault-Token: canary $x\n{\"value\":\"<value>$COFFER_TOKEN\"}\n");
    }
}
