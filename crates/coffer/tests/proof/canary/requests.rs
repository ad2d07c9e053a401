//! The requests of a full run: every way in which a secret comes in and goes out. Those that are turned away are in
//! `refusals`.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{CONTROL_NAME, Run, process::Process};
use crate::{
    http::{Answer, Client},
    wait::{PATIENCE, until},
};

pub(super) const MERGE: &str = "application/merge-patch+json";
pub(super) const JSON: &str = "application/json";

/// One round of everything, with canaries of its own.
pub fn make_all(run: &mut Run, server: &Process, number: u32) {
    let client = server.client().with_token(&run.token);
    let mut round = Round { run, server, client, number };
    if number == 1 {
        round.prepare();
    }
    round.kv();
    round.native();
    round.key_operations();
    round.tokens_and_passwords();
    round.command_line();
    round.cubbyholes_and_wrapping();
    round.secret_ids_and_hashes();
    round.transit();
    round.env_files();
    round.references();
    round.made_values();
    round.snapshots_values_and_backups();
    round.refused_bodies();
    round.refused_callers();
    round.refused_requests();
    round.refused_command_lines();
    round.rotations();
    round.kv_after_rotation();
    round.questions();
}

/// Writes until the server is killed in the middle of it.
pub fn write_until_killed(run: &mut Run, server: Process) {
    let canary = run.needles.canary("value written when the server is killed");
    let body = json!({ "data": { "value": canary } });
    let answered = AtomicU64::new(0);
    let mut client = server.client().with_token(&run.token);
    thread::scope(|scope| {
        scope.spawn(|| {
            while let Ok(answer) = client.post("/v1/secret/data/killed", &body) {
                answered.fetch_add(u64::from(answer.status == 200), Ordering::SeqCst);
            }
        });
        until("writes", PATIENCE, || (answered.load(Ordering::SeqCst) >= 20).then_some(()));
        server.end(Signal::KILL);
    });
    run.kept.get_mut().push("value written when the server is killed".to_owned());
}

/// Values come out again after an unseal.
pub fn read_again(run: &Run, server: &Process) {
    let mut client = server.client().with_token(&run.token);
    for path in ["/v1/secret/data/canary/3/plain", "/api/v1/secrets/acme:prod:r3/?view=effective"] {
        patiently(|| client.get(path).unwrap()).expect(200);
    }
}

/// Requests with secrets that a sealed server turns away.
pub fn knock_while_sealed(run: &mut Run, server: &Process) {
    let value = run.needles.canary("value sent while sealed");
    let password = run.needles.canary("password sent while sealed");
    let token = run.needles.canary("token sent while sealed");
    for token in [run.token.clone(), format!("hvs.{token}")] {
        let mut client = server.client().with_token(&token);
        let body = json!({ "data": { "value": value } });
        for (method, path) in [("POST", "/v1/secret/data/sealed"), ("PUT", "/api/v1/secrets/acme/SEALED")] {
            run.keep_answer(&client.send(method, path, Some(&body)).unwrap().expect(503));
        }
        let login = client.post("/v1/auth/userpass/login/ada", &json!({ "password": password })).unwrap();
        run.keep_answer(&login.expect(503));
    }
    run.cli_fails(server, None, &["secrets", "set", &format!("SEALED={value}"), "--scope", "acme"], "");
}

/// Asks until the server is sure that it leads: on a loaded machine it may doubt it for a while.
pub(super) fn patiently(mut ask: impl FnMut() -> Answer) -> Answer {
    until("a leader", PATIENCE, || Some(ask()).filter(|answer| answer.status != 503))
}

/// One round, its connection and its number.
pub(super) struct Round<'a> {
    pub(super) run: &'a mut Run,
    pub(super) server: &'a Process,
    pub(super) client: Client,
    pub(super) number: u32,
}

impl Round<'_> {
    /// A canary of this round.
    pub(super) fn canary(&mut self, name: &str) -> String {
        self.run.needles.canary(&format!("round {}: {name}", self.number))
    }

    /// A canary that stays in the store.
    pub(super) fn kept(&mut self, name: &str) -> String {
        self.run.kept.get_mut().push(format!("round {}: {name}", self.number));
        self.canary(name)
    }

    /// A secret that the server made.
    pub(super) fn made(&mut self, name: &str, secret: &Value) -> String {
        let secret = secret.as_str().unwrap().to_owned();
        self.run.needles.add(&format!("round {}: {name}", self.number), secret.as_bytes());
        secret
    }

    #[track_caller]
    pub(super) fn send(&mut self, method: &str, path: &str, body: Option<&Value>, status: u16) -> Answer {
        patiently(|| self.client.send(method, path, body).unwrap()).expect(status)
    }

    /// A request whose answer holds no secret.
    #[track_caller]
    pub(super) fn says(&mut self, method: &str, path: &str, body: Option<&Value>, status: u16) -> Answer {
        let answer = self.send(method, path, body, status);
        self.run.keep_answer(&answer);
        answer
    }

    /// A request that must be refused, in words that hold no secret.
    #[track_caller]
    pub(super) fn refused(&mut self, method: &str, path: &str, media: &str, body: &[u8]) {
        let mut client = self.client.another();
        let answer = patiently(|| client.send_bytes(method, path, media, body).unwrap());
        assert!((400..500).contains(&answer.status), "{method} {path} {}: {answer}", String::from_utf8_lossy(body));
        self.run.keep_answer(&answer);
    }

    pub(super) fn path(&self, name: &str) -> String {
        format!("/v1/secret/data/canary/{}/{name}", self.number)
    }

    fn prepare(&mut self) {
        self.says("POST", "/v1/sys/auth/userpass", Some(&json!({ "type": "userpass" })), 204);
        for (name, policy) in [
            ("reader", r#"path "secret/data/*" { capabilities = ["read"] }"#),
            (
                "limited",
                r#"path "secret/data/*" { capabilities = ["create", "update"]
                   denied_parameters = { "data" = [] } }"#,
            ),
            // Administrators use no keys.
            (
                "wielder",
                r#"path "transit/*" { capabilities = ["read", "update"] }
                   path "sys/tools/*" { capabilities = ["update"] }"#,
            ),
        ] {
            self.says("PUT", &format!("/v1/sys/policies/acl/{name}"), Some(&json!({ "policy": policy })), 204);
        }
    }

    fn kv(&mut self) {
        let name = self.run.controls.text(CONTROL_NAME);
        self.says("POST", &self.path(&name), Some(&json!({ "data": { "value": "no secret" } })), 200);

        let plain = format!("say \"{}\" \\ again\n", self.kept("value of a KV write"));
        let path = self.path("plain");
        self.says("POST", &path, Some(&json!({ "data": { "value": plain } })), 200);
        let read = self.send("GET", &path, None, 200).json();
        assert_eq!(read["data"]["data"]["value"], plain);

        let path = self.path("fields");
        let (field, key) = (self.kept("nested field of a KV write"), self.kept("name of a field of a KV write"));
        let data = json!({ "user": "ada", "deep": { "list": [{ "it": field }] }, key: 1 });
        self.says("POST", &path, Some(&json!({ "data": data })), 200);
        let patch = json!({ "data": { "patched": self.kept("field of a KV patch") } });
        let patch = serde_json::to_vec(&patch).unwrap();
        let patched = patiently(|| self.client.send_bytes("PATCH", &path, MERGE, &patch).unwrap());
        self.run.keep_answer(&patched.expect(200));
        let number = self.number;
        self.send("GET", &format!("/v1/secret/subkeys/canary/{number}/fields"), None, 200);

        for (name, options) in [("versions", json!({})), ("shredded", json!({ "shred": true }))] {
            let path = self.path(name);
            for version in ["first", "second", "third"] {
                let value = self.canary(&format!("{version} value of {name}"));
                let body = json!({ "data": { "value": value }, "options": options });
                self.says("POST", &path, Some(&body), 200);
            }
            self.send("GET", &format!("{path}?version=2"), None, 200);
            self.says("DELETE", &path, None, 204);
            self.says("GET", &path, None, 404);
            for (area, versions) in [("delete", [1]), ("undelete", [3]), ("destroy", [2])] {
                let path = format!("/v1/secret/{area}/canary/{number}/{name}");
                self.says("POST", &path, Some(&json!({ "versions": versions })), 204);
            }
            self.send("GET", &path, None, 200);
            self.says("GET", &format!("/v1/secret/metadata/canary/{number}/{name}"), None, 200);
        }
        self.says("DELETE", &format!("/v1/secret/metadata/canary/{number}/versions"), None, 204);
        self.says("LIST", &format!("/v1/secret/metadata/canary/{number}/"), None, 200);
        // Half a character is replaced, as in Go, so the text is written again.
        let half = format!(r#"{{"data":{{"value":"{}\ud800"}}}}"#, self.kept("value with half a character"));
        let path = self.path("half");
        let answer = patiently(|| self.client.send_bytes("POST", &path, JSON, half.as_bytes()).unwrap());
        self.run.keep_answer(&answer.expect(200));
    }

    fn kv_after_rotation(&mut self) {
        let value = self.kept("value under a new term");
        let path = self.path("new-term");
        self.says("POST", &path, Some(&json!({ "data": { "value": value } })), 200);
        for name in ["plain", "new-term"] {
            let path = self.path(name);
            self.send("GET", &path, None, 200);
        }
    }

    fn native(&mut self) {
        let base = format!("/api/v1/secrets/acme:prod:r{}/", self.number);
        let first = json!({ "value": self.kept("first value of a native secret") });
        self.says("PUT", &format!("{base}NATIVE"), Some(&first), 200);
        let second = json!({ "value": self.kept("second value of a native secret"), "options": { "cas": 1 } });
        self.says("PUT", &format!("{base}NATIVE"), Some(&second), 200);
        let created = json!({ "name": "CREATED", "value": self.kept("value of a native creation") });
        self.says("POST", &base, Some(&created), 200);
        let shred = json!({ "shred": true });
        let many = json!({ "secrets": [
            { "name": "MANY", "value": self.kept("value among many") },
            { "name": "SHREDDED", "value": self.canary("shredded value among many"), "options": shred },
            { "name": "NATIVE", "value": self.canary("value among many, stale"), "options": { "cas": 77 } },
        ] });
        self.says("PATCH", &base, Some(&many), 200);
        self.send("GET", &format!("{base}NATIVE"), None, 200);
        self.send("GET", &format!("{base}NATIVE?version=1"), None, 200);
        self.says("POST", &format!("{base}NATIVE/rollback"), Some(&json!({ "version": 1 })), 200);
        self.says("DELETE", &format!("{base}NATIVE"), None, 204);
        self.says("POST", &format!("{base}NATIVE/undelete"), Some(&json!({ "versions": [3] })), 204);
        self.says("POST", &format!("{base}SHREDDED/destroy"), Some(&json!({ "versions": [1] })), 204);
        for path in ["", "?recursive=true", "NATIVE/versions", "NATIVE/history"] {
            self.says("GET", &format!("{base}{path}"), None, 200);
        }
        for path in ["NATIVE/versions/1", "?view=effective"] {
            self.send("GET", &format!("{base}{path}"), None, 200);
        }
        self.says("GET", "/api/v1/search?name=NATIVE", None, 200);
    }

    fn tokens_and_passwords(&mut self) {
        let user = format!("/v1/auth/userpass/users/ada{}", self.number);
        let login = format!("/v1/auth/userpass/login/ada{}", self.number);
        let (old, new) = (self.canary("old password"), self.canary("new password"));
        let policies = json!({ "password": old, "policies": "default" });
        self.says("POST", &user, Some(&policies), 204);
        self.says("POST", &format!("{user}/password"), Some(&json!({ "password": new })), 204);
        self.says("GET", &user, None, 200);
        self.says("POST", &login, Some(&json!({ "password": old })), 400);
        let granted = self.send("POST", &login, Some(&json!({ "password": new })), 200).json();
        self.made("token of a login", &granted["auth"]["client_token"]);
        let native = json!({ "username": format!("ada{}", self.number), "password": new });
        let granted = self.send("POST", "/api/v1/login/userpass", Some(&native), 200).json();
        self.made("token of a native login", &granted["token"]);

        let chosen = self.canary("token of the caller's choice");
        for (name, wanted) in [
            ("service token", json!({ "policies": ["default"], "ttl": "1h" })),
            ("batch token", json!({ "policies": ["default"], "ttl": "1h", "type": "batch" })),
            ("token with uses", json!({ "policies": ["default"], "num_uses": 3 })),
            ("periodic token", json!({ "policies": ["default"], "period": "1h" })),
            ("token of the caller's choice", json!({ "policies": ["default"], "id": chosen })),
        ] {
            let granted = self.send("POST", "/v1/auth/token/create", Some(&wanted), 200).json();
            let token = self.made(name, &granted["auth"]["client_token"]);
            let mut own = self.client.another().with_token(&token);
            patiently(|| own.get("/v1/auth/token/lookup-self").unwrap()).expect(200);
            patiently(|| own.get("/v1/secret/data/canary/1/plain").unwrap()).expect(403);
            if !name.starts_with("batch") {
                let named = json!({ "token": token });
                self.send("POST", "/v1/auth/token/lookup", Some(&named), 200);
                self.send("POST", "/v1/auth/token/renew", Some(&named), 200);
                self.says("POST", "/v1/auth/token/revoke", Some(&named), 204);
                let answer = patiently(|| own.get("/v1/auth/token/lookup-self").unwrap());
                self.run.keep_answer(&answer.expect(403));
            }
        }
        let granted = self.send("POST", "/api/v1/tokens", Some(&json!({ "policies": ["default"] })), 200).json();
        let token = self.made("native token", &granted["token"]);
        for verb in ["lookup", "renew", "revoke"] {
            let path = format!("/api/v1/tokens/{verb}");
            let answer = patiently(|| self.client.post(&path, &json!({ "token": token })).unwrap());
            assert!(answer.is_success(), "{verb}: {answer}");
        }
    }

    fn command_line(&mut self) {
        let scope = format!("acme:dev:r{}", self.number);
        let at = |arguments: &[&'static str]| [arguments, &["--scope"]].concat();
        let inline = self.kept("value on a command line");
        let piped = self.kept("value on stdin");
        let shredded = self.canary("shredded value on stdin");
        let (run, server) = (&*self.run, self.server);
        let says = |arguments: &[&str], stdin: &str| {
            run.cli(server, None, &[arguments, &["--scope", &scope]].concat(), stdin);
        };
        says(&["secrets", "set", &format!("INLINE={inline}")], "");
        says(&["secrets", "set", "PIPED=-"], &piped);
        says(&["secrets", "set", "SHREDDED=-", "--shred"], &shredded);
        says(&["secrets", "set", "PIPED=-", "--cas", "1"], &inline);
        says(&["secrets", "rollback", "PIPED", "--version", "1"], "");
        says(&["secrets", "delete", "PIPED"], "");
        says(&["secrets", "undelete", "PIPED", "--version", "3"], "");
        says(&["secrets", "destroy", "SHREDDED", "--version", "1"], "");
        for about in ["list", "versions", "history", "history --access"] {
            let words = about.split(' ').chain(["PIPED"].into_iter().filter(|_| about != "list"));
            says(&[&["secrets"], &words.collect::<Vec<_>>()[..]].concat(), "");
        }
        says(&["secrets", "list", "--effective"], "");
        let gives = |arguments: &[&str]| run.cli_gives(server, None, arguments, "").stdout;
        let got = gives(&[&at(&["secrets", "get", "PIPED"])[..], &[&scope]].concat());
        assert_eq!(got, piped.as_bytes());
        let ran = gives(&["run", "--scope", &scope, "--", "sh", "-c", "printf %s \"$INLINE\""]);
        assert_eq!(ran, inline.as_bytes());
        run.cli(server, None, &["secrets", "search", "PIPED"], "");
        let token = gives(&["token", "create", "--policy", "reader", "--ttl", "1h"]);
        let token = String::from_utf8(token).unwrap().trim().to_owned();
        let password = self.canary("password on a command line's stdin");
        let user = json!({ "password": password, "policies": "default" });
        self.says("POST", "/v1/auth/userpass/users/grace", Some(&user), 204);
        let token = self.made("token on a command line", &json!(token));
        let (run, server) = (&*self.run, self.server);
        run.cli(server, Some(&token), &["whoami"], "");
        run.cli(server, None, &["token", "lookup", "--ask"], &token);
        let login = ["login", "--method", "userpass", "--username", "grace", "--no-store"];
        let granted = run.cli_gives(server, None, &login, &format!("{password}\n")).stdout;
        let granted = String::from_utf8(granted).unwrap();
        self.made("token of a command line's login", &json!(granted.trim()));
        self.run.cli(self.server, None, &["token", "revoke", "--ask"], &token);
    }

    fn rotations(&mut self) {
        for key in ["audit", "barrier", "batch", "log", "token"] {
            self.run.cli(self.server, None, &["operator", "rotate", "--key", key], "");
        }
    }

    /// What anybody may look at, and what an auditor sees.
    fn questions(&mut self) {
        for path in ["/metrics", "/healthz", "/readyz", "/openapi.json", "/v1/sys/health", "/v1/sys/seal-status"] {
            self.says("GET", path, None, 200);
        }
        for path in ["/v1/sys/mounts", "/v1/sys/auth", "/api/v1/tokens/self"] {
            self.says("GET", path, None, 200);
        }
        let mut after = String::new();
        loop {
            let page = self.send("GET", &format!("/api/v1/audit/entries?limit=1000{after}"), None, 200);
            self.run.keep_answer(&page);
            let Some(next) = page.json()["next"].as_str().map(str::to_owned) else { break };
            after = format!("&after={next}");
        }
        for arguments in [
            &["status"][..],
            &["whoami"],
            &["token", "list"],
            &["policy", "list"],
            &["policy", "read", "limited"],
            &["audit", "tail"],
            &["audit", "query", "--outcome", "denied"],
            &["audit", "query", "--outcome", "error"],
            &["audit", "prove", "6"],
        ] {
            self.run.cli(self.server, None, arguments, "");
        }
    }
}
