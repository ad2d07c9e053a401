//! What is done with the secrets of whole scopes: `.env` files and their layout, references, values that the server makes,
//! copies, snapshots, search by value, backups.

use serde_json::json;

use super::requests::Round;
use crate::wait::{PATIENCE, until};

/// Whom backups are encrypted to; nobody in the test needs the other half.
const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";

impl Round<'_> {
    pub(super) fn env_files(&mut self) {
        let scope = format!("acme:file:r{}", self.number);
        let first = self.kept("value in a .env file");
        let quoted = self.kept("quoted value in a .env file");
        let comment = self.canary("comment in a .env file");
        let replaced = self.kept("value in a second .env file");
        let file = format!("# {comment}\nFIRST={first}\n\nexport QUOTED=\"{quoted}\"  # {comment}\n");
        let (run, server) = (&*self.run, self.server);
        run.cli(server, None, &["env", "import", "-", "--dry-run", "--scope", &scope], &file);
        run.cli(server, None, &["env", "import", "-", "--scope", &scope], &file);
        let export = run.cli_gives(server, None, &["env", "export", "--scope", &scope], "").stdout;
        let export = String::from_utf8(export).unwrap();
        assert!(export.contains(&comment) && export.contains(&first) && export.contains(&quoted), "{export}");
        let second = format!("FIRST={replaced}\n");
        run.cli(server, None, &["env", "import", "-", "--prune", "--scope", &scope], &second);
        run.cli(server, None, &["env", "snapshot", "list", "--scope", &scope], "");
        run.cli(server, None, &["env", "snapshot", "restore", "2", "--scope", &scope], "");
        // A line that cannot be read is named without its text.
        let broken = self.canary("value in a .env file that is refused");
        let file = format!("FIRST={broken}\nSECOND=\"{broken}\n");
        self.run.cli_fails(self.server, None, &["env", "import", "-", "--scope", &scope], &file);
    }

    pub(super) fn references(&mut self) {
        let scope = format!("acme:refs:r{}", self.number);
        let password = self.kept("value that others refer to");
        let (run, server) = (&*self.run, self.server);
        let set = ["PASSWORD=-", "--scope", &scope];
        run.cli(server, None, &[&["secrets", "set"], &set[..]].concat(), &password);
        run.cli(server, None, &["secrets", "set", "URL=pg://u:${PASSWORD}@h/db", "--scope", &scope], "");
        let url = format!("pg://u:{password}@h/db");
        let got = run.cli_gives(server, None, &["secrets", "get", "URL", "--scope", &scope], "").stdout;
        assert_eq!(got, url.as_bytes());
        let place = format!("coffer://acme/refs/r{}/URL", self.number);
        let read = run.cli_gives(server, None, &["read", &place], "").stdout;
        assert!(String::from_utf8(read).unwrap().contains(&url));
        let filled = run.cli_gives(server, None, &["inject"], &format!("url: {{{{{place}}}}}\n")).stdout;
        assert!(String::from_utf8(filled).unwrap().contains(&url));
        run.cli(server, None, &["secrets", "set", "LOST=${NOWHERE}${PASSWORD}", "--scope", &scope], "");
        run.cli_fails(server, None, &["secrets", "get", "LOST", "--scope", &scope], "");
    }

    pub(super) fn made_values(&mut self) {
        let scope = format!("acme:made:r{}", self.number);
        let path = format!("/api/v1/secrets/{scope}/MADE");
        let steps: [&[&str]; 3] = [&["generate", "MADE"], &["rotate", "MADE"], &["rotate", "MADE", "hex"]];
        for (step, words) in steps.into_iter().enumerate() {
            self.run.cli(self.server, None, &[&["secrets"], words, &["--scope", &scope]].concat(), "");
            let value = self.send("GET", &path, None, 200).json()["value"].take();
            self.made(&format!("value that the server made, {step}"), &value);
        }
        let password = self.kept("value that is copied and moved");
        let (run, server) = (&*self.run, self.server);
        let other = format!("{scope}b");
        run.cli(server, None, &["secrets", "set", "OLD=-", "--scope", &scope], &password);
        run.cli(server, None, &["secrets", "copy", "OLD", "--scope", &scope, "--to", &other], "");
        run.cli(server, None, &["secrets", "move", "OLD", "--as", "NEW", "--scope", &scope], "");
        run.cli_fails(server, None, &["env", "diff", &scope, &other], "");
    }

    pub(super) fn snapshots_values_and_backups(&mut self) {
        let scope = format!("acme:snap:r{}", self.number);
        if self.number == 1 {
            self.run.cli(self.server, None, &["operator", "value-search", "on"], "");
        }
        let (before, after) = (self.kept("value before a snapshot"), self.kept("value after a snapshot"));
        let (run, server) = (&*self.run, self.server);
        let says = |words: &[&str], stdin: &str| {
            run.cli(server, None, &[words, &["--scope", &scope]].concat(), stdin);
        };
        says(&["secrets", "set", "SNAPPED=-"], &before);
        says(&["env", "snapshot", "create", "--reason", "canary"], "");
        says(&["secrets", "set", "SNAPPED=-"], &after);
        says(&["env", "snapshot", "restore", "1"], "");
        // What is there by now has a fingerprint of its plaintext in the store.
        until("a secret found by its value", PATIENCE, || {
            let wanted = json!({ "values": [before] });
            let found = self.send("POST", "/api/v1/search/values", Some(&wanted), 200);
            self.run.keep_answer(&found);
            found.json()["matches"].as_array().is_some_and(|matches| !matches.is_empty()).then_some(())
        });
        let (run, server) = (&*self.run, self.server);
        run.cli(server, None, &["secrets", "search", "--by-value"], &before);
        let absent = self.canary("value that is searched and nowhere");
        self.run.cli_fails(self.server, None, &["secrets", "search", "--by-value"], &absent);

        let backup = self.run.outputs.path().join(format!("backup-{}", self.number));
        let out = ["--out", backup.to_str().unwrap(), "--recipient", RECIPIENT];
        self.run.cli(self.server, None, &[&["backup", "create"], &out[..]].concat(), "");
        assert!(backup.exists(), "no backup at {}", backup.display());
    }
}
