//! The policy that a call needs, by the table of docs/API.md, "What a call needs". The server's own table of endpoints
//! (`server/tests/it/endpoints/native.txt`, which is tried on a server) holds this one in a test.

use coffer_client::Plan;
use serde_json::Value;

use crate::failure::Failure;

/// What a policy says of one path.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Rule {
    path: String,
    capabilities: Vec<&'static str>,
}

/// The policy, as text.
///
/// # Errors
/// Where the call is not in the table.
pub(super) fn needed(calls: &[Plan]) -> Result<String, Failure> {
    let mut needed: Vec<Rule> = Vec::new();
    for call in calls.iter().filter(|call| call.has_token) {
        let rules = rules(call).ok_or_else(|| {
            Failure::local(format!("it is not known here what {} {} needs", call.method, call.path))
                .hint("a refusal by the server names the path and the capability that were missing")
        })?;
        for rule in rules {
            // A list of a folder is one with or without the slash behind it.
            let is_same = |known: &&mut Rule| known.path.trim_end_matches('/') == rule.path.trim_end_matches('/');
            match needed.iter_mut().find(is_same) {
                Some(known) => known.capabilities.extend(rule.capabilities),
                None => needed.push(rule),
            }
        }
    }
    for rule in &mut needed {
        rule.capabilities.sort_by_key(|capability| ORDER.iter().position(|known| known == capability));
        rule.capabilities.dedup();
    }
    // What a rule for all names grants needs none for one of them.
    let all = needed.clone();
    needed.retain(|rule| {
        let of_all = rule.path.rsplit_once('/').map(|(folder, _)| format!("{folder}/+"));
        let is_wider = |other: &Rule| {
            Some(&other.path) == of_all.as_ref() && rule.capabilities.iter().all(|c| other.capabilities.contains(c))
        };
        rule.path.ends_with('+') || !all.iter().any(is_wider)
    });
    match needed.is_empty() {
        true => Ok("# No policy: the call is made without a token.\n".to_owned()),
        false => Ok(text(&needed)),
    }
}

fn text(rules: &[Rule]) -> String {
    let rule = |Rule { path, capabilities }: &Rule| {
        let quoted: Vec<String> = capabilities.iter().map(|capability| format!("{capability:?}")).collect();
        format!("path {path:?} {{\n  capabilities = [{}]\n}}\n", quoted.join(", "))
    };
    rules.iter().map(rule).collect::<Vec<_>>().join("\n")
}

fn rules(call: &Plan) -> Option<Vec<Rule>> {
    let (path, query) = call.path.split_once('?').unwrap_or((&call.path, ""));
    let below = path.strip_prefix("/api/v1/")?;
    let segments = below.trim_end_matches('/').split('/').map(decoded).collect::<Option<Vec<String>>>()?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let body = call.body.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null);
    let asked = Asked { method: &call.method, query, body: &body };
    match segments.as_slice() {
        ["secrets", rest @ ..] => of_secrets(&asked, rest),
        ["search"] => Some(one("secret/metadata/*", LIST)),
        // Whose value it may not read the caller is not told.
        ["search", "values"] if asked.method == "POST" => Some(one("secret/data/*", READ)),
        ["search", "values"] => Some(one("sys/mounts/secret/tune", UPDATE)),
        ["due"] => Some(one("secret/metadata/*", &["list", "read"])),
        ["layouts", scope] => Some(one(&format!("secret/data/{}/.env", scope.replace(':', "/")), READ)),
        ["secret-copies"] => of_copies(&asked),
        ["snapshots", rest @ ..] => of_snapshots(&asked, rest),
        ["backup"] if asked.is_on("with_seal_key") => {
            Some([one("sys/backup", &["read", "sudo"]), one("sys/backup/seal-key", &["read", "sudo"])].concat())
        }
        ["backup"] => Some(one("sys/backup", &["read", "sudo"])),
        ["keys" | "deleted-keys", ..] => of_keys(&asked, &segments),
        ["tokens", rest @ ..] => of_tokens(&asked, rest),
        ["policies"] => Some(one("sys/policies/acl", LIST)),
        ["policies", name] => Some(one(
            &format!("sys/policies/acl/{name}"),
            match asked.method {
                "GET" => READ,
                "PUT" => UPDATE,
                "DELETE" => DELETE,
                _ => return None,
            },
        )),
        ["audit", "entries"] => Some(one("sys/audit-log/entries", &["read", "list"])),
        ["audit", "checkpoint"] => Some(one("sys/audit-log/checkpoint", READ)),
        ["audit", "proofs", index] => Some(one(&format!("sys/audit-log/proofs/{index}"), READ)),
        ["operator", "seal"] => Some(one("sys/seal", SUDO)),
        ["operator", "rotate"] => Some(one("sys/rotate", SUDO)),
        ["operator", "keys"] => Some(one("sys/key-status", READ)),
        ["operator", "keys", "retire"] => Some(one("sys/rotate/retire", SUDO)),
        ["key-imports"] => Some(one("transit/import-keys", UPDATE)),
        ["key-wrapping-key"] => Some(one("transit/wrapping_key", READ)),
        ["key-settings"] => Some(one("transit/config/keys", if asked.method == "GET" { READ } else { UPDATE })),
        ["key-restore"] => Some(match (asked.text("name"), asked.is_on("force")) {
            (Some(name), false) => one(&format!("transit/restore/{name}"), UPDATE),
            (None, false) => one("transit/restore", UPDATE),
            (Some(name), true) => {
                [one(&format!("transit/restore/{name}"), UPDATE), one(&format!("transit/keys/{name}"), DELETE)].concat()
            }
            // The name is in the backup.
            (None, true) => [one("transit/restore", UPDATE), one("transit/keys/+", DELETE)].concat(),
        }),
        ["random"] => Some(one("sys/tools/random", UPDATE)),
        ["hash"] => Some(one("sys/tools/hash", UPDATE)),
        _ => None,
    }
}

/// A call, apart from its path.
struct Asked<'a> {
    method: &'a str,
    query: &'a str,
    body: &'a Value,
}

impl Asked<'_> {
    fn text(&self, field: &str) -> Option<&str> {
        self.body.get(field).and_then(Value::as_str)
    }

    fn is_on(&self, field: &str) -> bool {
        self.body.get(field) == Some(&Value::Bool(true))
    }

    /// `/VERSION`, where one is named.
    fn version(&self) -> String {
        self.body
            .get("version")
            .filter(|version| !version.is_null())
            .map_or_else(String::new, |version| format!("/{version}"))
    }

    fn has(&self, query: &str) -> bool {
        self.query.split('&').any(|pair| pair == query)
    }
}

fn of_secrets(asked: &Asked<'_>, rest: &[&str]) -> Option<Vec<Rule>> {
    let (scope, rest) = rest.split_first()?;
    let place = scope.replace(':', "/");
    let data = |name: &str| format!("secret/data/{place}/{name}");
    Some(match (asked.method, rest) {
        ("GET", []) if asked.has("view=effective") => {
            // What is in force comes from every level up to the scope's own.
            let levels = scope.split(':').scan(String::new(), |so_far, level| {
                so_far.push_str(level);
                so_far.push('/');
                Some(so_far.clone())
            });
            let only = asked.query.split('&').find_map(|pair| pair.strip_prefix("only=")).and_then(decoded);
            let names: Vec<&str> = only.as_deref().map_or_else(|| vec!["+"], |only| only.split(',').collect());
            let reads = levels.flat_map(|level| {
                names.iter().flat_map(move |name| one(&format!("secret/data/{level}{name}"), READ)).collect::<Vec<_>>()
            });
            one(&format!("secret/metadata/{place}/"), LIST).into_iter().chain(reads).collect()
        }
        ("GET", []) if asked.has("view=own") => {
            [one(&format!("secret/metadata/{place}/"), LIST), one(&data("+"), READ)].concat()
        }
        ("GET", []) if asked.has("recursive=true") => one(&format!("secret/metadata/{place}/*"), LIST),
        ("GET", []) => one(&format!("secret/metadata/{place}"), LIST),
        ("POST", []) => one(&data(asked.text("name")?), WRITE),
        ("PATCH", []) => {
            let deletes = |change: &Value| change.get("delete") == Some(&Value::Bool(true));
            let changes = asked.body.get("secrets").and_then(Value::as_array);
            let deletes = changes.is_some_and(|changes| changes.iter().any(deletes));
            let changed = one(&data("+"), if deletes { &["create", "update", "delete"] } else { WRITE });
            match asked.body.get("snapshot").filter(|reason| !reason.is_null()) {
                None => changed,
                Some(_) => [changed, one(&format!("secret/metadata/{place}/"), LIST)].concat(),
            }
        }
        ("GET", [name]) => one(&data(name), READ),
        ("PUT", [name]) => one(&data(name), WRITE),
        ("DELETE", [name]) => one(&data(name), DELETE),
        ("POST", [name, "rotate"]) => {
            [one(&data(name), UPDATE), one(&format!("secret/rotate/{place}/{name}"), UPDATE)].concat()
        }
        ("GET", [name, "metadata"]) => one(&format!("secret/metadata/{place}/{name}"), READ),
        ("PATCH", [name, "metadata"]) => one(&format!("secret/metadata/{place}/{name}"), &["patch"]),
        ("POST", [name, "rollback"]) => one(&data(name), &["read", "update"]),
        ("POST", [name, verb @ ("destroy" | "undelete")]) => one(&format!("secret/{verb}/{place}/{name}"), UPDATE),
        ("GET", [name, "versions"]) => one(&format!("secret/metadata/{place}/{name}"), READ),
        ("GET", [name, "versions", _]) => one(&data(name), READ),
        ("GET", [name, "history"]) => one(&format!("sys/audit-log/secret/{place}/{name}"), READ),
        _ => return None,
    })
}

fn of_copies(asked: &Asked<'_>) -> Option<Vec<Rule>> {
    let place = |field| asked.text(field).map(|scope| scope.replace(':', "/"));
    let (from, to) = (place("from")?, place("to")?);
    let source: &[&str] = if asked.is_on("move") { &["read", "delete"] } else { READ };
    let names = asked.body.get("names")?.as_array()?;
    let rules = names.iter().filter_map(Value::as_str).flat_map(|name| {
        let target = asked.text("rename").unwrap_or(name);
        [one(&format!("secret/data/{from}/{name}"), source), one(&format!("secret/data/{to}/{target}"), WRITE)].concat()
    });
    Some(rules.collect())
}

fn of_snapshots(asked: &Asked<'_>, rest: &[&str]) -> Option<Vec<Rule>> {
    let (scope, rest) = rest.split_first()?;
    let place = scope.replace(':', "/");
    let (data, names) = (|below: &str| format!("secret/data/{place}/{below}"), format!("secret/metadata/{place}/"));
    Some(match (asked.method, rest) {
        ("POST", []) => [one(&data(".snapshots"), WRITE), one(&names, LIST)].concat(),
        ("GET", []) => one(&format!("secret/metadata/{place}/.snapshots"), READ),
        ("GET", [_]) => one(&data(".snapshots"), READ),
        ("GET", [_, "values"]) => one(&data("+"), READ),
        ("POST", [_, "restore"]) => [
            one(&data("+"), &["create", "read", "update", "delete"]),
            one(&format!("secret/undelete/{place}/+"), UPDATE),
            one(&names, LIST),
        ]
        .concat(),
        _ => return None,
    })
}

fn of_keys(asked: &Asked<'_>, segments: &[&str]) -> Option<Vec<Rule>> {
    let (mount, keys) = (|below: &str| format!("transit/{below}"), |below: &str| format!("transit/keys/{below}"));
    Some(match (asked.method, segments) {
        ("GET", ["keys" | "deleted-keys"]) => one("transit/keys", LIST),
        ("POST", ["keys"]) => {
            let name = asked.text("name")?;
            match asked.body.get("source") {
                None => one(&keys(name), UPDATE),
                Some(source) => [one(&keys(&format!("{name}/import")), UPDATE), wrapped_by(source)].concat(),
            }
        }
        // By the name that the key had, which the call does not say.
        ("GET", ["deleted-keys", _]) => one(&keys("+"), READ),
        ("POST", ["deleted-keys", _, "recover"]) => match asked.text("name") {
            None => one(&keys("+/recover"), UPDATE),
            Some(name) => [one(&keys("+/recover"), UPDATE), one(&keys(name), UPDATE)].concat(),
        },
        ("GET", ["keys", name]) => one(&keys(name), READ),
        ("PATCH", ["keys", name]) => one(&keys(&format!("{name}/config")), UPDATE),
        ("DELETE", ["keys", name]) => one(&keys(name), DELETE),
        ("GET", ["keys", name, "public"]) => {
            let version = asked.query.split('&').find_map(|pair| pair.strip_prefix("version="));
            let version = version.map_or_else(String::new, |version| format!("/{version}"));
            one(&mount(&format!("export/public-key/{name}{version}")), READ)
        }
        ("PUT", ["keys", name, "certificate"]) => one(&keys(&format!("{name}/set-certificate")), UPDATE),
        ("POST", ["keys", name, verb]) => match *verb {
            "encrypt" | "decrypt" | "rewrap" | "sign" | "verify" => one(&mount(&format!("{verb}/{name}")), UPDATE),
            "mac" => one(&mount(&format!("hmac/{name}")), UPDATE),
            "verify-mac" => one(&mount(&format!("verify/{name}")), UPDATE),
            "data-key" => {
                let how = if asked.is_on("plaintext") { "plaintext" } else { "wrapped" };
                one(&mount(&format!("datakey/{how}/{name}")), UPDATE)
            }
            "agree" => {
                let base = asked.text("base")?;
                [one(&mount(&format!("derive-key/{name}")), UPDATE), one(&keys(&format!("{base}/agree")), UPDATE)]
                    .concat()
            }
            "backup" => one(&mount(&format!("backup/{name}")), READ),
            "export" => one(&mount(&format!("export/{}/{name}{}", asked.text("kind")?, asked.version())), READ),
            "wrap" => {
                let wrapped = asked.text("key")?;
                one(&mount(&format!("byok-export/{name}/{wrapped}{}", asked.version())), READ)
            }
            "import-version" => {
                let import = one(&keys(&format!("{name}/import_version")), UPDATE);
                [import, asked.body.get("source").map(wrapped_by).unwrap_or_default()].concat()
            }
            "activate" | "cancel-destroy" | "compromise" | "csr" | "deactivate" | "decapsulate" | "destroy"
            | "disable" | "enable" | "encapsulate" | "resume" | "rollback" | "rotate" | "suspend" => {
                one(&keys(&format!("{name}/{verb}")), UPDATE)
            }
            _ => return None,
        },
        _ => return None,
    })
}

/// What it takes to unwrap a key that comes wrapped under one here.
fn wrapped_by(source: &Value) -> Vec<Rule> {
    let key = source.pointer("/wrapped/by/key").and_then(Value::as_str);
    key.map(|key| one(&format!("transit/keys/{key}/unwrap"), UPDATE)).unwrap_or_default()
}

fn of_tokens(asked: &Asked<'_>, rest: &[&str]) -> Option<Vec<Rule>> {
    Some(match (asked.method, rest) {
        ("GET", []) => one("auth/token/accessors", &["list", "sudo"]),
        ("POST", []) => one("auth/token/create", UPDATE),
        ("GET", ["self"]) => one("auth/token/lookup-self", READ),
        ("DELETE", ["self"]) => one("auth/token/revoke-self", UPDATE),
        ("POST", [verb @ ("lookup" | "renew" | "revoke")]) => {
            let by = match (asked.body.get("token"), asked.body.get("accessor")) {
                (Some(_), _) => "",
                (None, Some(_)) => "-accessor",
                (None, None) => "-self",
            };
            one(&format!("auth/token/{verb}{by}"), UPDATE)
        }
        _ => return None,
    })
}

fn one(path: &str, capabilities: &'static [&'static str]) -> Vec<Rule> {
    vec![Rule { path: path.to_owned(), capabilities: capabilities.to_vec() }]
}

/// A segment of a path without its percent signs.
fn decoded(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit =
                    |byte: Option<u8>| char::from(byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                digit(rest.next())? << 4 | digit(rest.next())?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// As policies are usually written.
const ORDER: [&str; 7] = ["create", "read", "update", "patch", "delete", "list", "sudo"];

const DELETE: &[&str] = &["delete"];
const LIST: &[&str] = &["list"];
const READ: &[&str] = &["read"];
const SUDO: &[&str] = &["update", "sudo"];
const UPDATE: &[&str] = &["update"];
const WRITE: &[&str] = &["create", "update"];

#[cfg(test)]
mod tests {
    use super::*;

    /// The endpoints with the policy that each needs, as the server's tests try them.
    const ENDPOINTS: &str = include_str!("../../../server/tests/it/endpoints/native.txt");

    fn call(method: &str, path: &str, body: Option<&str>) -> Plan {
        Plan {
            address: "http://a:1".parse().unwrap(),
            method: method.to_owned(),
            path: path.to_owned(),
            body: body.map(str::to_owned),
            has_token: true,
        }
    }

    /// Whether a path of a rule is what was granted. Who is deleted is known to the server alone.
    fn fits(path: &str, granted: &str) -> bool {
        let is_like = |one: &str, other: &str| one == other || one == "+" || other == "+";
        let (ours, theirs): (Vec<&str>, Vec<&str>) = (path.split('/').collect(), granted.split('/').collect());
        match theirs.split_last() {
            Some((&"*", start)) => ours.len() >= start.len() && ours.iter().zip(start).all(|(a, b)| is_like(a, b)),
            _ => ours.len() == theirs.len() && ours.iter().zip(&theirs).all(|(a, b)| is_like(a, b)),
        }
    }

    #[test]
    fn table_is_that_of_the_servers_endpoints() {
        let mut seen = 0;
        for line in ENDPOINTS.lines().filter(|line| !line.starts_with('#')) {
            let columns: Vec<&str> = line.splitn(7, '|').map(str::trim).collect();
            let [id, "token", _, request, _, policy, body] = columns[..] else { continue };
            let (method, path) = request.split_once(' ').unwrap();
            // Several stand with `;` between them.
            let granted: Vec<(&str, &str)> = policy.split(';').filter_map(|one| one.trim().split_once(' ')).collect();
            if granted.is_empty() {
                continue;
            }
            let rules = rules(&call(method, path, Some(body).filter(|body| !body.is_empty())))
                .unwrap_or_else(|| panic!("{id}: {request} is not in the table"));
            for rule in &rules {
                assert!(granted.iter().any(|(_, path)| fits(&rule.path, path)), "{id}: {} in {granted:?}", rule.path);
            }
            for (capabilities, path) in &granted {
                let of_path: Vec<&Rule> = rules.iter().filter(|rule| fits(&rule.path, path)).collect();
                let is_missing = |c: &&str| !of_path.iter().any(|rule| rule.capabilities.contains(c));
                let missing: Vec<&str> = capabilities.split(',').filter(is_missing).collect();
                assert!(missing.is_empty(), "{id}: {missing:?} of {path}");
            }
            seen += 1;
        }
        assert!(seen > 60, "{seen}");
    }

    #[test]
    fn what_a_body_says_counts() {
        let paths = |method, path: &str, body| {
            let rules = rules(&call(method, path, Some(body))).unwrap();
            rules.into_iter().map(|rule| rule.path).collect::<Vec<_>>()
        };
        let effective = "/api/v1/secrets/acme:prod/?view=effective";
        assert_eq!(
            paths("GET", effective, "{}"),
            ["secret/metadata/acme/prod/", "secret/data/acme/+", "secret/data/acme/prod/+"]
        );
        let keys = "/api/v1/keys/k";
        let plain = paths("POST", &format!("{keys}/data-key"), r#"{"plaintext":true}"#);
        assert_eq!(plain, ["transit/datakey/plaintext/k"]);
        let agreed = paths("POST", &format!("{keys}/agree"), r#"{"base":"b"}"#);
        assert_eq!(agreed, ["transit/derive-key/k", "transit/keys/b/agree"]);
        let wrapped = r#"{"name":"n","source":{"wrapped":{"ciphertext":"<value>","by":{"key":"w"}}}}"#;
        assert_eq!(paths("POST", "/api/v1/keys", wrapped), ["transit/keys/n/import", "transit/keys/w/unwrap"]);
        let forced = r#"{"backup":"<value>","name":"n","force":true}"#;
        assert_eq!(paths("POST", "/api/v1/key-restore", forced), ["transit/restore/n", "transit/keys/n"]);
        assert_eq!(paths("PUT", "/api/v1/policies/a%2Fb", "{}"), ["sys/policies/acl/a/b"]);
        assert_eq!(rules(&call("GET", "/api/v1/nonsense", None)), None);
        assert_eq!(rules(&call("GET", "/v1/sys/rekey/init", None)), None);
    }

    #[test]
    fn policy_is_text_that_the_server_takes() {
        let secret = call("PUT", "/api/v1/secrets/acme:prod/KEY", Some("{}"));
        let expected = "path \"secret/data/acme/prod/KEY\" {\n  capabilities = [\"create\", \"update\"]\n}\n";
        assert_eq!(needed(&[secret.clone(), secret]).unwrap(), expected, "each rule once");
        let login = Plan { has_token: false, ..call("POST", "/api/v1/login/userpass", Some("{}")) };
        assert_eq!(needed(&[login]).unwrap(), "# No policy: the call is made without a token.\n");
    }
}
