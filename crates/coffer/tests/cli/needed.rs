//! The policy that `--output-policy` prints for a command is what it needs: with it the command succeeds, and without any
//! rule of it the command is refused.

use crate::server::Server;

/// What is there before.
const FURNITURE: &[&[&str]] = &[
    &["secrets", "set", "KEY=one", "--scope", "acme:prod"],
    &["secrets", "set", "KEY=two", "--scope", "acme:prod"],
    &["secrets", "set", "BACK=one", "--scope", "acme:prod"],
    &["secrets", "set", "BACK=two", "--scope", "acme:prod"],
    &["secrets", "set", "OTHER=x", "--scope", "acme"],
    &["secrets", "set", "KEY=of-dev", "--scope", "acme:dev", "--expires-at", "2020-01-01T00:00:00Z"],
    &["secrets", "set", "REFERRING=${KEY}", "--scope", "acme:ref"],
    &["secrets", "set", "KEY=x", "--scope", "acme:ref"],
    &["keys", "create", "k"],
    &["keys", "rotate", "k"],
    &["keys", "create", "s", "--algorithm", "ed25519"],
    &["keys", "create", "open", "--exportable"],
    &["keys", "create", "curve", "--algorithm", "ecdsa-p256", "--usage", "derive,sign"],
];

/// What is done before each command, so that it finds something to do.
const AGAIN: &[&str] = &["secrets", "set", "KEY=again", "MOVED=again", "--scope", "acme:prod"];

/// Commands that can be run again and again.
const COMMANDS: &[&[&str]] = &[
    &["secrets", "get", "KEY", "--scope", "acme:prod"],
    &["secrets", "set", "KEY=three", "--scope", "acme:prod"],
    &["secrets", "list", "--scope", "acme:prod"],
    &["secrets", "list", "--scope", "acme", "--recursive"],
    &["secrets", "versions", "KEY", "--scope", "acme:prod"],
    &["secrets", "history", "KEY", "--scope", "acme:prod"],
    &["secrets", "rollback", "BACK", "--version", "1", "--scope", "acme:prod"],
    &["run", "--scope", "acme:prod", "--", "true"],
    &["secrets", "set", "KEY=x", "--owner", "me", "--scope", "acme:prod"],
    &["secrets", "set", "--from-file", "in.env", "--scope", "acme:prod"],
    &["secrets", "edit", "KEY", "--yes", "--scope", "acme:prod"],
    &["secrets", "diff", "KEY", "--scope", "acme:prod"],
    &["secrets", "diff", "KEY", "--with-env", "dev", "--scope", "acme:prod"],
    &["secrets", "copy", "KEY", "--as", "COPIED", "--force", "--scope", "acme:prod"],
    &["secrets", "move", "MOVED", "--as", "GONE", "--force", "--scope", "acme:prod"],
    &["secrets", "generate", "MADE", "--scope", "acme:prod"],
    &["secrets", "rotate", "MADE", "--scope", "acme:prod"],
    &["secrets", "describe", "KEY", "--owner", "me", "--scope", "acme:prod"],
    &["secrets", "describe", "KEY", "--scope", "acme:prod"],
    &["secrets", "search", "KE"],
    &["secrets", "due"],
    &["env", "import", "in.env", "--yes", "--scope", "acme:prod"],
    &["env", "import", "in.env", "--yes", "--prune", "--scope", "acme:pruned"],
    &["env", "export", "--scope", "acme:prod"],
    &["env", "export", "--own", "--scope", "acme:prod"],
    &["env", "export", "-f", "docker", "--scope", "acme:ref"],
    &["env", "diff", "acme:prod", "acme:dev"],
    &["env", "diff", "--effective", "acme:prod", "in.env"],
    &["env", "snapshot", "create", "--scope", "acme:prod"],
    &["env", "snapshot", "list", "--scope", "acme:prod"],
    &["env", "snapshot", "restore", "1", "--partial", "--yes", "--scope", "acme:prod"],
    &["inject", "-i", "template"],
    &["read", "coffer://acme/prod/KEY"],
    &["run", "--only", "OTHER", "--scope", "acme", "--", "true"],
    &["run", "--env-file", "template.env", "--", "true"],
    &["backup", "create", "--recipient", RECIPIENT, "--out", "a.backup"],
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

/// A key that anybody may have.
const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";

/// Commands that need some of it only where they find something that asks for it: a snapshot is restored by what changed since.
const BY_WHAT_IS_THERE: [&str; 1] = ["restore"];

/// Commands that show less instead of being refused.
const SILENT: [&str; 2] = ["search", "due"];

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
    let addresses = "A={{ coffer://acme/prod/KEY }} {{ coffer://acme/OTHER }}\n";
    std::fs::write(server.home().join("template"), addresses).unwrap();
    std::fs::write(server.home().join("template.env"), addresses.replace("{{ ", "${").replace(" }}", "}")).unwrap();
    std::fs::write(server.home().join("in.env"), "KEY=imported\n").unwrap();
    std::fs::write(server.home().join("edit.sh"), "date +%s%N > \"$1\"\n").unwrap();
    for args in FURNITURE {
        root(args);
    }
    let peer = root(&["keys", "public", "curve"]);
    std::fs::write(server.home().join("peer.pem"), peer).unwrap();
    for args in COMMANDS {
        let policy = root(&[args[..1].to_vec(), vec!["--output-policy"], args[1..].to_vec()].concat());
        let rules: Vec<&str> = policy.split("\n\n").collect();
        let all = allowed(&server, &root, args, &policy).unwrap_or_else(|said| panic!("{args:?}: {said}\n{policy}"));
        for left_out in 0..rules.len() {
            // What comes with the policy default is no part of this.
            if WITH_DEFAULT.iter().any(|path| rules[left_out].contains(path)) {
                continue;
            }
            let rest: Vec<&str> = rules.iter().enumerate().filter(|(at, _)| *at != left_out).map(|(_, r)| *r).collect();
            match allowed(&server, &root, args, &rest.join("\n\n")) {
                Ok(_) if BY_WHAT_IS_THERE.iter().any(|word| args.contains(word)) => {}
                Err(refused) => assert!(refused.starts_with("4: "), "{args:?} without {}: {refused}", rules[left_out]),
                Ok(less) => {
                    let is_silent = args.get(1).is_some_and(|word| SILENT.contains(word));
                    assert!(is_silent && less != all, "{args:?} needs no {}", rules[left_out]);
                }
            }
        }
    }
}

/// Runs a command under a policy: what it wrote, or its exit code and what it said where it did not succeed.
fn allowed(server: &Server, root: &dyn Fn(&[&str]) -> String, args: &[&str], policy: &str) -> Result<String, String> {
    // A policy has one rule at least.
    let text = format!("{policy}\npath \"nothing/at/all\" {{\n  capabilities = [\"read\"]\n}}\n");
    std::fs::write(server.home().join("needed.hcl"), text).unwrap();
    root(&["policy", "write", "needed", "needed.hcl"]);
    if ["env", "secrets"].contains(&args[0]) {
        root(AGAIN);
        root(&["secrets", "set", "PRUNED=x", "KEY=x", "--scope", "acme:pruned"]);
    }
    let token = root(&["token", "create", "--policy", "needed", "--orphan"]);
    let output = server.command(args).env("COFFER_TOKEN", token.trim()).env("EDITOR", "sh edit.sh").output().unwrap();
    match output.status.code() {
        // Exit code 10 says that something differs.
        Some(0 | 10) => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        code => Err(format!("{}: {}", code.unwrap_or(-1), String::from_utf8_lossy(&output.stderr))),
    }
}
