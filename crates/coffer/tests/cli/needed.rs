//! The policy that `--output-policy` prints for a command is what it needs: with it the command succeeds, and without any
//! rule of it the command is refused.

use crate::server::Server;

/// What is there before.
const FURNITURE: &[&[&str]] = &[
    &["secrets", "set", "KEY=one", "--scope", "acme:prod"],
    &["secrets", "set", "KEY=two", "--scope", "acme:prod"],
    &["secrets", "set", "OTHER=x", "--scope", "acme"],
    &["keys", "create", "k"],
    &["keys", "rotate", "k"],
    &["keys", "create", "s", "--algorithm", "ed25519"],
    &["keys", "create", "open", "--exportable"],
    &["keys", "create", "curve", "--algorithm", "ecdsa-p256", "--usage", "derive,sign"],
];

/// Commands that can be run again and again.
const COMMANDS: &[&[&str]] = &[
    &["secrets", "get", "KEY", "--scope", "acme:prod"],
    &["secrets", "set", "KEY=three", "--scope", "acme:prod"],
    &["secrets", "list", "--scope", "acme:prod"],
    &["secrets", "list", "--scope", "acme", "--recursive"],
    &["secrets", "versions", "KEY", "--scope", "acme:prod"],
    &["secrets", "history", "KEY", "--scope", "acme:prod"],
    &["secrets", "rollback", "KEY", "--version", "1", "--scope", "acme:prod"],
    &["run", "--scope", "acme:prod", "--", "true"],
    &["keys", "show", "k"],
    &["keys", "list"],
    &["keys", "encrypt", "k", "--value", "x"],
    &["keys", "data-key", "k"],
    &["keys", "data-key", "k", "--plaintext"],
    &["keys", "sign", "s", "--value", "x"],
    &["keys", "sign", "s", "--in", "file"],
    &["keys", "public", "s"],
    &["keys", "export", "open", "--kind", "encryption-key", "--version", "1"],
    &["keys", "set", "k", "--description", "d"],
    &["keys", "agree", "agreed", "--base", "curve", "--peer", "peer.pem"],
    &["keys", "random", "8"],
    &["keys", "hash", "--value", "x"],
    &["policy", "list"],
    &["policy", "read", "default"],
    &["policy", "write", "written", "any.hcl"],
    &["token", "create", "--policy", "default"],
    &["whoami"],
    &["audit", "query"],
];

/// What the policy default grants: a token's look at itself, and what needs no key.
const WITH_DEFAULT: [&str; 2] = ["auth/token/lookup-self", "sys/tools/hash"];

#[test]
fn command_needs_the_policy_that_is_printed_for_it_and_no_less() {
    let server = Server::dev();
    std::fs::create_dir_all(server.home().join(".config/coffer")).unwrap();
    let root = |args: &[&str]| {
        let mut child = server.command(args);
        let output = child.env("COFFER_TOKEN", "root").output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    std::fs::write(server.home().join("file"), "of some length").unwrap();
    std::fs::write(server.home().join("any.hcl"), "path \"x\" { capabilities = [\"read\"] }\n").unwrap();
    for args in FURNITURE {
        root(args);
    }
    let peer = root(&["keys", "public", "curve"]);
    std::fs::write(server.home().join("peer.pem"), peer).unwrap();
    for args in COMMANDS {
        let policy = root(&[args[..1].to_vec(), vec!["--output-policy"], args[1..].to_vec()].concat());
        let rules: Vec<&str> = policy.split("\n\n").collect();
        assert_eq!(allowed(&server, &root, args, &policy), Ok(()), "{args:?}:\n{policy}");
        for left_out in 0..rules.len() {
            // What comes with the policy default is no part of this.
            if WITH_DEFAULT.iter().any(|path| rules[left_out].contains(path)) {
                continue;
            }
            let rest: Vec<&str> = rules.iter().enumerate().filter(|(at, _)| *at != left_out).map(|(_, r)| *r).collect();
            let refused = allowed(&server, &root, args, &rest.join("\n\n")).err().unwrap_or_default();
            assert!(refused.starts_with("4: "), "{args:?} without {}: {refused}", rules[left_out]);
        }
    }
}

/// Runs a command under a policy: its exit code and what it said, where it did not succeed.
fn allowed(server: &Server, root: &dyn Fn(&[&str]) -> String, args: &[&str], policy: &str) -> Result<(), String> {
    // A policy has one rule at least.
    let text = format!("{policy}\npath \"nothing/at/all\" {{\n  capabilities = [\"read\"]\n}}\n");
    std::fs::write(server.home().join("needed.hcl"), text).unwrap();
    root(&["policy", "write", "needed", "needed.hcl"]);
    let token = root(&["token", "create", "--policy", "needed", "--orphan"]);
    let output = server.command(args).env("COFFER_TOKEN", token.trim()).output().unwrap();
    match output.status.code() {
        Some(0) => Ok(()),
        code => Err(format!("{}: {}", code.unwrap_or(-1), String::from_utf8_lossy(&output.stderr))),
    }
}
