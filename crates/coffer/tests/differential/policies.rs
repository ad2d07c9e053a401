//! Random policies, written to both servers, and random requests under them: both must decide alike, and say alike
//! what may be done where. `COFFER_SEED` repeats a run, `COFFER_STRESS` makes it long.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::{
    dice::Dice,
    http::{Answer, Client},
    print,
    servers::{Pair, ROOT, Start},
};

#[test]
fn random_policies_decide_as_in_the_original() {
    let seed = std::env::var("COFFER_SEED").map_or_else(|_| Dice::fresh_seed(), |seed| seed.parse().unwrap());
    let wanted = if std::env::var_os("COFFER_STRESS").is_some() { 100_000 } else { 2_000 };
    print(&format!("seed {seed}: COFFER_SEED={seed} repeats this run"));
    let mut dice = Dice::new(seed);
    let mut both = Both::start();
    let (mut asked, mut allowed, mut refused_policies) = (0, 0, 0);
    while asked < wanted {
        let set = Set::random(&mut dice);
        let requests: Vec<Request> = (0..REQUESTS).map(|_| Request::random(&mut dice)).collect();
        both.reset();
        let (found, texts_refused) = both.compare(&set, &requests);
        refused_policies += texts_refused;
        match found {
            Ok(granted) => allowed += granted,
            Err(disagreement) => {
                let (set, disagreement) = both.shrink(set, &disagreement);
                panic!("seed {seed}, after {asked} requests: {disagreement}\nunder\n{set}");
            }
        }
        asked += requests.len();
    }
    print(&format!(
        "{asked} requests under {} policy sets decided alike, {allowed} allowed, {refused_policies} texts refused by both",
        asked / REQUESTS
    ));
    assert!(allowed > asked / 20 && allowed < asked - asked / 20, "one side is hardly tested");
}

/// Policies that a token has together, and how it comes by them.
#[derive(Clone)]
struct Set {
    policies: Vec<Vec<String>>,
    holder: Holder,
}

/// Who a token is for.
#[derive(Clone, Copy, Debug)]
enum Holder {
    /// Nobody: it names its policies.
    Nobody,
    /// A user, who has the policies in turn by the login, by the entity and by a group of it.
    User,
}

/// A request, with the path as policies see it.
#[derive(Clone)]
struct Request {
    method: &'static str,
    path: String,
    body: Option<Value>,
    /// Response wrapping, as seconds.
    wrap: Option<&'static str>,
}

/// Where the servers differ.
struct Disagreement {
    /// The request; absent where what is told of capabilities differs, or a policy is taken by one server only.
    request: Option<Box<Request>>,
    bao: String,
    coffer: String,
}

struct Both {
    _pair: Pair,
    bao: Client,
    coffer: Client,
}

impl Both {
    fn start() -> Self {
        let pair = Pair::start(Start::Dev);
        let (mut bao, mut coffer) = (pair.bao.client(), pair.coffer.client());
        for client in [&mut bao, &mut coffer] {
            set_up(client);
        }
        Self { _pair: pair, bao, coffer }
    }

    /// Makes what lies in the stores the same, whatever was asked before.
    fn reset(&mut self) {
        for client in [&mut self.bao, &mut self.coffer] {
            for key in KEYS {
                ask(client, ROOT, "DELETE", &format!("secret/metadata/{key}"), None).expect(204);
            }
            for key in KEYS.iter().filter(|key| !key.ends_with("new")) {
                ask(client, ROOT, "POST", &format!("secret/data/{key}"), Some(&json!({"data": {}}))).expect(200);
            }
        }
    }

    /// How many requests both allow, or the first about which they differ; and how many texts both refuse.
    fn compare(&mut self, set: &Set, requests: &[Request]) -> (Result<usize, Disagreement>, usize) {
        let tokens = match self.tokens(set) {
            Ok(tokens) => tokens,
            Err(disagreement) => return (Err(disagreement), 0),
        };
        let (bao, coffer, refused) = tokens;
        let found = self.compare_as(&bao, &coffer, requests);
        (found, refused)
    }

    fn compare_as(&mut self, bao: &str, coffer: &str, requests: &[Request]) -> Result<usize, Disagreement> {
        let paths: Vec<&str> = requests.iter().map(|request| request.path.split('?').next().unwrap()).collect();
        let body = json!({ "paths": paths });
        let held = |client: &mut Client, token: &str| {
            let told = ask(client, token, "POST", "sys/capabilities-self", Some(&body));
            told.expect(200).json()["data"].to_string()
        };
        let (a, b) = (held(&mut self.bao, bao), held(&mut self.coffer, coffer));
        if a != b {
            return Err(Disagreement { request: None, bao: a, coffer: b });
        }
        let mut allowed = 0;
        let mut before = String::new();
        for request in requests {
            let Request { method, path, body, wrap } = request;
            let a = ask_wrapped(&mut self.bao, bao, method, path, body.as_ref(), *wrap);
            let b = ask_wrapped(&mut self.coffer, coffer, method, path, body.as_ref(), *wrap);
            if (a.status == 403) != (b.status == 403) {
                let coffer = format!("{b}\n  after:\n{before}");
                return Err(Disagreement { request: Some(Box::new(request.clone())), bao: a.to_string(), coffer });
            }
            allowed += usize::from(a.status != 403);
            writeln!(before, "  {} | {} {method} {path} {}", a.status, b.status, request.text()).unwrap();
        }
        Ok(allowed)
    }

    /// A token with the policies on each server, and how many texts both refuse.
    fn tokens(&mut self, set: &Set) -> Result<(String, String, usize), Disagreement> {
        let mut names = vec!["ask".to_owned()];
        let mut refused = 0;
        let own = r#"path "sys/capabilities-self" { capabilities = ["update"] }"#;
        for client in [&mut self.bao, &mut self.coffer] {
            ask(client, ROOT, "PUT", "sys/policies/acl/ask", Some(&json!({ "policy": own }))).expect(204);
        }
        for (number, rules) in set.policies.iter().enumerate() {
            let name = format!("p{number}");
            let (path, body) = (format!("sys/policies/acl/{name}"), json!({ "policy": rules.concat() }));
            let a = ask(&mut self.bao, ROOT, "PUT", &path, Some(&body));
            let b = ask(&mut self.coffer, ROOT, "PUT", &path, Some(&body));
            match (a.status, b.status) {
                (204, 204) => names.push(name),
                (400, 400) => refused += 1,
                _ => return Err(Disagreement { request: None, bao: a.to_string(), coffer: b.to_string() }),
            }
        }
        Ok((token(&mut self.bao, set.holder, &names), token(&mut self.coffer, set.holder, &names), refused))
    }

    /// Leaves out what is not needed for the disagreement.
    fn shrink(&mut self, mut set: Set, found: &Disagreement) -> (Set, String) {
        let requests: Vec<Request> = found.request.as_deref().cloned().into_iter().collect();
        let mut shown = found.to_string();
        let mut position = 0;
        // Where capabilities differ without the request that was asked about, the whole set is the answer.
        while !requests.is_empty() && position < set.policies.iter().map(Vec::len).sum() {
            let smaller = set.without(position);
            self.reset();
            match self.compare(&smaller, &requests).0 {
                Err(still) if still.request.is_some() => (set, shown) = (smaller, still.to_string()),
                Ok(_) | Err(_) => position += 1,
            }
        }
        (set, shown)
    }
}

impl Set {
    fn random(dice: &mut Dice) -> Self {
        let policies = 1 + dice.below(3);
        let policies = (0..policies).map(|_| (0..=dice.below(4)).map(|_| rule(dice)).collect()).collect();
        Self { policies, holder: *dice.one(&[Holder::Nobody, Holder::User]) }
    }

    /// Without the rule at this position, counted over all policies.
    fn without(&self, mut position: usize) -> Self {
        let mut set = self.clone();
        for rules in &mut set.policies {
            if position < rules.len() {
                rules.remove(position);
                break;
            }
            position -= rules.len();
        }
        set.policies.retain(|rules| !rules.is_empty());
        set
    }
}

impl Request {
    fn random(dice: &mut Dice) -> Self {
        let key = *dice.one(&KEYS);
        let folder = *dice.one(&["", "a", "a/", "a/b", "b", "nosuch/"]);
        let body = dice.one(&BODIES).to_owned();
        let body = || Some(serde_json::from_str(body).unwrap());
        let query = *dice.one(&["", "", "", "?version=1", "?limit=1", "?limit=3", "?after=a&limit=2"]);
        let (method, path, body) = match dice.below(20) {
            0..3 => ("GET", format!("secret/data/{key}{query}"), None),
            3..6 => (*dice.one(&["POST", "PUT"]), format!("secret/data/{key}"), body()),
            6 => ("PATCH", format!("secret/data/{key}"), body()),
            7 => ("DELETE", format!("secret/data/{key}"), None),
            8 => ("LIST", format!("secret/metadata/{folder}{query}"), None),
            9 => ("SCAN", format!("secret/metadata/{folder}{query}"), None),
            10 => ("GET", format!("secret/metadata/{key}"), None),
            11 => ("POST", format!("secret/{}/{key}", dice.one(&["metadata", "undelete", "destroy"])), body()),
            12 | 13 => {
                let (method, path) = *dice.one(&SYSTEM);
                (method, path.to_owned(), (method == "POST").then(|| json!({})))
            }
            _ => {
                let (method, path, body) = *dice.one(&ELSEWHERE);
                (method, path.to_owned(), (!body.is_empty()).then(|| serde_json::from_str(body).unwrap()))
            }
        };
        let wrap = (dice.below(4) == 0).then(|| *dice.one(&["30", "90", "300"]));
        Self { method, path, body, wrap }
    }

    /// The body, as shown.
    fn text(&self) -> String {
        self.body.as_ref().map(Value::to_string).unwrap_or_default()
    }
}

impl std::fmt::Display for Set {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "# held by: {:?}", self.holder)?;
        self.policies.iter().enumerate().try_for_each(|(number, rules)| writeln!(f, "# p{number}\n{}", rules.concat()))
    }
}

impl std::fmt::Display for Disagreement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.request {
            Some(request) => {
                write!(f, "{} {} {} wrapped: {:?}", request.method, request.path, request.text(), request.wrap)?;
            }
            None => f.write_str("capabilities or policy")?,
        }
        write!(f, "\n  bao:    {}\n  coffer: {}", self.bao, self.coffer)
    }
}

/// A rule for a random pattern: one that names a path of the requests, with wildcards in places that mean something
/// and in places that do not.
fn rule(dice: &mut Dice) -> String {
    let mut path = match dice.below(12) {
        0 => dice.one(&SYSTEM).1.to_owned(),
        1..4 => dice.one(&ELSEWHERE).1.to_owned(),
        4 => return templated(dice),
        5 => format!("secret/metadata/{}", dice.one(&["", "a", "a/", "a/b", "b", "nosuch"])),
        _ => format!("secret/{}/{}", dice.one(&["data", "data", "data", "metadata", "undelete"]), dice.one(&KEYS)),
    };
    if dice.below(3) == 0 {
        let mut segments: Vec<&str> = path.split('/').collect();
        let place = dice.below(segments.len());
        segments[place] = if dice.below(8) == 0 { "x+y" } else { "+" };
        path = segments.join("/");
    }
    if dice.below(3) == 0 {
        path.truncate(dice.below(path.len() + 1));
        path.push('*');
    }
    let mut rule = format!("path {path:?} {{\n");
    match dice.below(8) {
        0 => writeln!(rule, "  policy = {:?}", dice.one(&["deny", "read", "write", "sudo"])).unwrap(),
        _ => {
            let held: Vec<&str> = CAPABILITIES.iter().copied().filter(|_| dice.below(3) > 0).collect();
            let held = if dice.below(10) == 0 { vec!["deny", "read"] } else { held };
            writeln!(rule, "  capabilities = {held:?}").unwrap();
        }
    }
    let constraint = (dice.below(4) == 0).then(|| dice.one(&CONSTRAINTS));
    // The original does not look at the path of a rule that is over; docs/COMPATIBILITY.md.
    if let Some(constraint) = constraint.filter(|text| !(path.contains("+*") && text.contains("2020-01-01"))) {
        writeln!(rule, "  {constraint}").unwrap();
    }
    rule.push_str("}\n");
    rule
}

/// A rule for what the user's entity and group are called and say of themselves.
fn templated(dice: &mut Dice) -> String {
    let path = dice.one(&TEMPLATES);
    let held: Vec<&str> = CAPABILITIES.iter().copied().filter(|_| dice.below(3) > 0).collect();
    format!("path {path:?} {{ capabilities = {held:?} }}\n")
}

/// A user with an entity and a group, and something below each path of [`ELSEWHERE`].
fn set_up(client: &mut Client) {
    let mut post = |path: &str, body: &Value| {
        let answer = ask(client, ROOT, "POST", path, Some(body));
        if answer.status == 204 { Value::Null } else { answer.expect(200).json() }
    };
    for (path, kind) in [("mounts/kv1", "kv"), ("mounts/transit", "transit"), ("auth/userpass", "userpass")] {
        post(&format!("sys/{path}"), &json!({ "type": kind }));
    }
    post("sys/auth/approle", &json!({"type": "approle"}));
    post("kv1/there", &json!({"x": "y"}));
    post("transit/keys/k", &json!({}));
    post("auth/approle/role/there", &json!({"token_ttl": 60}));
    post("auth/userpass/users/u", &json!({"password": "p"}));
    let login = post("auth/userpass/login/u", &json!({"password": "p"}));
    let entity = &login["auth"]["entity_id"];
    assert!(entity.is_string(), "{login}");
    post(&format!("identity/entity/id/{}", entity.as_str().unwrap()), &json!({"name": "b", "metadata": {"team": "a"}}));
    post("identity/group", &json!({"name": "grp", "member_entity_ids": [entity]}));
}

/// A token with these policies.
fn token(client: &mut Client, holder: Holder, names: &[String]) -> String {
    let made = match holder {
        Holder::Nobody => {
            let body = json!({"policies": names, "no_default_policy": true, "type": "batch", "ttl": "10m"});
            ask(client, ROOT, "POST", "auth/token/create", Some(&body)).expect(200).json()
        }
        Holder::User => {
            let turn = |turn: usize| -> Vec<&String> { names.iter().skip(turn).step_by(3).collect() };
            let body = json!({"token_policies": turn(0), "token_no_default_policy": true, "token_type": "batch"});
            ask(client, ROOT, "POST", "auth/userpass/users/u", Some(&body)).expect(204);
            for (path, policies) in [("identity/entity/name/b", turn(1)), ("identity/group/name/grp", turn(2))] {
                let answer = ask(client, ROOT, "POST", path, Some(&json!({ "policies": policies })));
                assert!(answer.is_success(), "{path}: {answer}");
            }
            ask(client, ROOT, "POST", "auth/userpass/login/u", Some(&json!({"password": "p"}))).expect(200).json()
        }
    };
    made["auth"]["client_token"].as_str().unwrap().to_owned()
}

fn ask(client: &mut Client, token: &str, method: &str, path: &str, body: Option<&Value>) -> Answer {
    ask_wrapped(client, token, method, path, body, None)
}

fn ask_wrapped(
    client: &mut Client,
    token: &str,
    method: &str,
    path: &str,
    body: Option<&Value>,
    wrap: Option<&str>,
) -> Answer {
    let media = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let mut headers = vec![("X-Vault-Token", token), ("Content-Type", media)];
    headers.extend(wrap.map(|seconds| ("X-Vault-Wrap-TTL", seconds)));
    let body = body.map(Value::to_string).unwrap_or_default();
    client.send_with(method, &format!("/v1/{path}"), &headers, body.as_bytes()).unwrap()
}

/// Requests under one set.
const REQUESTS: usize = 20;

const CAPABILITIES: [&str; 8] = ["create", "delete", "list", "patch", "read", "scan", "sudo", "update"];

/// Keys of the requests; those that end in `new` are not there at first.
const KEYS: [&str; 7] = ["a", "a/b", "a/b/c", "a/bc", "b/c", "a/new", "b/new"];

const BODIES: [&str; 9] = [
    "{}",
    r#"{"data": {}}"#,
    r#"{"data": {"x": "y"}, "options": {}}"#,
    r#"{"data": {}, "options": {"cas": 0}}"#,
    r#"{"data": {}, "Other": "text"}"#,
    r#"{"versions": [1]}"#,
    r#"{"max_versions": 3, "other": "more text"}"#,
    r#"{"max_versions": 4, "other": true}"#,
    r#"{"max_versions": "3"}"#,
];

/// Requests that change nothing, some of them for sudo alone. Neither server needs to know what lies there.
const SYSTEM: [(&str, &str); 12] = [
    ("GET", "sys/mounts"),
    ("GET", "sys/auth"),
    ("GET", "sys/auth/token"),
    ("GET", "sys/policies/acl/p0"),
    ("LIST", "sys/policies/acl"),
    ("LIST", "auth/token/accessors"),
    ("GET", "auth/token/roles/none"),
    ("GET", "sys/audit"),
    ("GET", "sys/config/cors"),
    ("GET", "sys/remount"),
    ("GET", "sys/plugins/catalog/x"),
    ("POST", "auth/token/renew"),
];

/// Requests outside KV v2, with what they send: some create or update, some need sudo, some name a thing in another
/// spelling. What they change they change on both servers alike.
const ELSEWHERE: [(&str, &str, &str); 27] = [
    ("GET", "sys/mounts/kv1", ""),
    ("GET", "sys/mounts/kv1/", ""),
    ("GET", "sys/mounts/kv1/tune", ""),
    ("POST", "sys/mounts/kv1/tune", r#"{"description": "d"}"#),
    ("DELETE", "sys/mounts/nosuch", ""),
    ("DELETE", "sys/mounts/nosuch/", ""),
    ("GET", "identity/entity/name/b", ""),
    ("GET", "identity/entity/name/B", ""),
    ("POST", "identity/entity/name/B", "{}"),
    ("GET", "identity/group/name/grp", ""),
    ("GET", "identity/group/name/GRP", ""),
    ("LIST", "identity/entity/name", ""),
    ("GET", "kv1/there", ""),
    ("POST", "kv1/there", r#"{"x": "z"}"#),
    ("POST", "kv1/new", r#"{"other": "text"}"#),
    ("DELETE", "kv1/new", ""),
    ("LIST", "kv1", ""),
    ("GET", "transit/keys/k", ""),
    ("POST", "transit/encrypt/k", r#"{"plaintext": "aGk="}"#),
    ("POST", "transit/keys/k/rotate", "{}"),
    ("GET", "auth/approle/role/there", ""),
    ("GET", "auth/approle/role/THERE", ""),
    ("POST", "auth/approle/role/there", r#"{"token_ttl": 90}"#),
    ("POST", "auth/approle/role/new", r#"{"token_ttl": 90}"#),
    ("DELETE", "auth/approle/role/new", ""),
    ("POST", "auth/userpass/users/new", r#"{"password": "p"}"#),
    ("DELETE", "auth/userpass/users/new", ""),
];

/// Paths of templates: the user's entity is called `b` and has the team `a`, and others have neither.
const TEMPLATES: [&str; 6] = [
    "secret/data/{{identity.entity.metadata.team}}/*",
    "secret/data/{{identity.entity.metadata.team}}/b",
    "secret/data/{{identity.entity.name}}/c",
    "secret/metadata/{{identity.entity.metadata.nosuch}}/*",
    "identity/entity/name/{{identity.entity.name}}",
    "kv1/{{identity.groups.names.grp.id}}",
];

const CONSTRAINTS: [&str; 24] = [
    r#"allowed_parameters = { "data" = [] }"#,
    r#"allowed_parameters = { "data" = [] "options" = [] }"#,
    r#"allowed_parameters = { "*" = [] }"#,
    r#"allowed_parameters = { "*" = [] "other" = ["text", "*text"] }"#,
    r#"allowed_parameters = { "data" = [{}] }"#,
    r#"allowed_parameters = { "version" = ["1"] }"#,
    r#"denied_parameters = { "options" = [] }"#,
    r#"denied_parameters = { "*" = [] }"#,
    r#"denied_parameters = { "other" = ["te*"] }"#,
    r#"denied_parameters = { "OTHER" = [] }"#,
    r#"denied_parameters = { "data" = [{ "x" = "y" }] }"#,
    r#"denied_parameters = { "limit" = [] }"#,
    r#"denied_parameters = { "max_versions" = [3] }"#,
    r#"denied_parameters = { "versions" = [[1], 1] }"#,
    r#"allowed_parameters = { "max_versions" = [3, "3"] "other" = [] }"#,
    r#"allowed_parameters = { "max_versions" = [4] "*" = [] }"#,
    r#"allowed_parameters = { "other" = [true, "more*"] "*" = [] }"#,
    r#"required_parameters = ["data"]"#,
    r#"required_parameters = ["Other", "data"]"#,
    r#"min_wrapping_ttl = "1m""#,
    r#"max_wrapping_ttl = 100"#,
    r#"pagination_limit = 2"#,
    r#"expiration = "2020-01-01T00:00:00Z""#,
    r#"comment = "nothing but a remark""#,
];
