//! The requests of a full run that are turned away, each with a secret in it: errors and logs get their chance.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use serde_json::json;

use super::requests::{JSON, MERGE, Round, patiently};

impl Round<'_> {
    /// Bodies that cannot be understood, or may not be obeyed, with a secret in the middle.
    pub(super) fn refused_bodies(&mut self) {
        let it = self.canary("secret in a malformed body");
        let kv = self.path("refused");
        let native = "/api/v1/secrets/acme/REFUSED".to_owned();
        let login = "/v1/auth/userpass/login/ada1".to_owned();
        let create = "/v1/auth/token/create".to_owned();
        let lookup = "/v1/auth/token/lookup".to_owned();
        for (method, path, body) in [
            ("POST", &kv, format!(r#"{{"data":{{"value":"{it}""#)),
            ("POST", &kv, format!(r#"{{"data":{{"value":"v"}}}} {it}"#)),
            ("POST", &kv, format!(r#"{{"data":{{"value":{it}}}}}"#)),
            ("POST", &kv, format!(r#"{{"data":"{it}"}}"#)),
            ("POST", &kv, format!(r#"{{"data":["{it}"]}}"#)),
            ("POST", &kv, format!(r#"{{"data":{{}},"options":"{it}"}}"#)),
            ("POST", &kv, format!(r#"{{"data":{{}},"options":{{"cas":"{it}"}}}}"#)),
            ("POST", &kv, format!(r#""{it}""#)),
            ("POST", &kv, it.clone()),
            ("POST", &kv, format!(r#"{{"data":{{"value":"{it}"}},"options":{{"cas":77}}}}"#)),
            ("PUT", &native, format!(r#"{{"value":"{it}""#)),
            ("PUT", &native, format!(r#"{{"value":["{it}"]}}"#)),
            ("PUT", &native, format!(r#"{{"value":{{"{it}":"{it}"}}}}"#)),
            ("PUT", &native, format!(r#"{{"value":"v","value":"{it}"}}"#)),
            ("PUT", &native, format!(r#"{{"value":"v","more":"{it}"}}"#)),
            ("PUT", &native, format!(r#"{{"value":"{it}","options":{{"cas":"{it}"}}}}"#)),
            ("PUT", &native, format!(r#"{{"value":"{it}","options":{{"cas":77}}}}"#)),
            ("PUT", &native, format!(r#""{it}""#)),
            ("PUT", &native, it.clone()),
            ("POST", &login, format!(r#"{{"password":["{it}"]}}"#)),
            ("POST", &login, format!(r#"{{"password":"{it}"#)),
            ("POST", &login, format!(r#"{{"password":"{it}"}}"#)),
            ("POST", &create, format!(r#"{{"id":["{it}"]}}"#)),
            ("POST", &create, format!(r#"{{"id":"hvs.{it}"}}"#)),
            ("POST", &create, format!(r#"{{"id":"{it}\u0000"}}"#)),
            ("POST", &lookup, format!(r#"{{"token":"hvs.{it}"}}"#)),
            ("POST", &lookup, format!(r#"{{"token":["{it}"]}}"#)),
        ] {
            self.refused(method, path, JSON, body.as_bytes());
        }
        self.refused("PATCH", &kv, MERGE, format!(r#"{{"data":{{"value":"{it}"#).as_bytes());
        self.refused("PATCH", &kv, JSON, format!(r#"{{"data":{{"value":"{it}"}}}}"#).as_bytes());
        self.refused("PUT", &native, "text/plain", it.as_bytes());
        self.refused("PUT", &native, "application/x-www-form-urlencoded", format!("value={it}").as_bytes());
        self.refused("PUT", &native, JSON, &[b"{\"value\":\"", it.as_bytes(), b"\xff\"}"].concat());

        // Beyond the limit of a value, and of a body.
        for megabytes in [1, 3] {
            let it = self.canary(&format!("secret in a body of {megabytes} MiB"));
            let value = format!("{it}{}{it}", "x".repeat(megabytes << 20));
            for (method, path, body) in
                [("POST", &kv, json!({ "data": { "value": value } })), ("PUT", &native, json!({ "value": value }))]
            {
                // The server may refuse, and go, before all of it is sent.
                if let Ok(answer) = self.client.another().send(method, path, Some(&body)) {
                    self.run.keep_answer(&answer.expect(413));
                }
            }
        }
    }

    /// Secrets of callers who are unknown, or may not do what they ask for.
    pub(super) fn refused_callers(&mut self) {
        let it = self.canary("value of a caller who is refused");
        let kv = self.path("refused");
        let native = "/api/v1/secrets/acme/REFUSED";
        let mut headers = Vec::new();
        for name in ["X-Vault-Token", "X-Vault-Token: hvs", "Authorization: Bearer", "Authorization: Basic", "Cookie"] {
            let secret = self.canary(&format!("secret in the header {name}"));
            headers.push(match name {
                "X-Vault-Token" => secret,
                "X-Vault-Token: hvs" => format!("hvs.{secret}"),
                _ => format!("x\r\n{}{}{secret}", name, if name == "Cookie" { ": token=" } else { " " }),
            });
        }
        headers.push(format!("hvb.{}", self.canary("secret in a batch token that is none")));
        for policy in ["reader", "limited"] {
            let granted = self.send("POST", "/v1/auth/token/create", Some(&json!({ "policies": [policy] })), 200);
            headers
                .push(self.made(&format!("token with the policy {policy}"), &granted.json()["auth"]["client_token"]));
        }
        for header in headers {
            let mut client = self.client.another().with_token(&header);
            for (method, path, body) in
                [("POST", &kv[..], json!({ "data": { "value": it } })), ("PUT", native, json!({ "value": it }))]
            {
                let answer = patiently(|| client.send(method, path, Some(&body)).unwrap());
                assert!(matches!(answer.status, 401 | 403), "{header}: {answer}");
                self.run.keep_answer(&answer);
            }
        }
    }

    /// Requests that go nowhere, with secrets in them.
    pub(super) fn refused_requests(&mut self) {
        let it = self.canary("secret in a request to nowhere");
        let body = json!({ "data": { "value": it }, "value": it, "password": it, "token": it }).to_string();
        for (method, path) in [
            ("POST", "/v1/secret/data/../up"),
            ("POST", "/v1/secret/data/%zz"),
            ("POST", "/v1/nowhere/data/x"),
            ("POST", "/v1/secret/nonsense/x"),
            ("POST", "/v1/sys/nonsense"),
            ("POST", "/v1/auth/nowhere/login/ada"),
            ("POST", "/nowhere"),
            ("POST", "/api/v1/nowhere"),
            ("PUT", "/api/v1/secrets/NO SCOPE/X"),
            ("PUT", "/api/v1/secrets/NO-SCOPE/X"),
            ("PUT", "/api/v1/secrets/acme/no%20name"),
            ("PUT", "/api/v1/search"),
            ("POST", "/metrics"),
            ("BREW", "/v1/secret/data/x"),
        ] {
            self.refused(method, path, JSON, body.as_bytes());
        }
        let query = self.canary("secret in a query");
        self.refused("GET", &format!("/api/v1/secrets/acme/?token={query}"), JSON, b"");
        self.refused("GET", &format!("{}?version={query}", self.path("plain")), JSON, b"");
        self.client.get(&format!("{}?token={query}", self.path("plain"))).unwrap();

        // No HTTP at all, and requests that end in the middle.
        let cut = self.canary("secret in a request that is cut off");
        let token = self.run.token.clone();
        for request in [
            format!("{cut} {cut}\r\n\r\n"),
            format!("GET /v1/secret/data/{} HTTP/1.1\r\nX-Vault-Token: {cut}", self.number),
            format!("GET / HTTP/1.1\r\nX-Vault-Token: {cut}\r\nContent-Length: {cut}\r\n\r\n"),
            format!(
                "POST {} HTTP/1.1\r\nHost: x\r\nX-Vault-Token: {token}\r\nContent-Type: {JSON}\r\n\
                 Content-Length: 900\r\n\r\n{{\"data\":{{\"value\":\"{cut}",
                self.path("cut")
            ),
        ] {
            let mut stream = TcpStream::connect(self.server.address()).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            self.run.keep("answers", &answer);
        }
    }

    pub(super) fn refused_command_lines(&mut self) {
        let it = self.canary("secret on a command line that is refused");
        let (run, server) = (&*self.run, self.server);
        let token = format!("hvs.{it}");
        for (token, arguments, stdin) in [
            (None, &["secrets", "set", &format!("NO NAME={it}"), "--scope", "acme"][..], ""),
            (None, &["secrets", "set", &format!("={it}"), "--scope", "acme"], ""),
            (None, &["secrets", "set", &format!("A={it}"), &format!("A={it}"), "--scope", "acme"], ""),
            (None, &["secrets", "set", &format!("A={it}"), "--scope", "NO SCOPE"], ""),
            (None, &["secrets", "set", &format!("A={it}"), "--scope", "acme", "--cas", "77"], ""),
            (None, &["secrets", "set", "A=-", "--scope", "acme", "--cas", "77"], &it),
            (None, &["secrets", "set", &format!("A={it}"), "--scope", "acme", "--addr", "http://127.0.0.1:1"], ""),
            (None, &["secrets", "set", "A", &it, "--scope", "acme"], ""),
            (None, &["login", "--method", "userpass", "--username", "grace", "--no-store"], &it),
            (None, &["login", "--no-store"], &token),
            (None, &["token", "lookup", "--ask"], &token),
            (None, &["token", "revoke", "--ask"], &token),
            (Some(&token[..]), &["whoami"], ""),
            (Some(&token[..]), &["secrets", "set", &format!("A={it}"), "--scope", "acme"], ""),
            (None, &["run", "--scope", "acme", "--", &format!("/nowhere/{}", self.number)], ""),
        ] {
            run.cli_fails(server, token, arguments, stdin);
        }
    }
}
