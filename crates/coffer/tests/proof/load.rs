//! A load of writes whose every outcome is known: workers on keys and tokens of their own, and a model of what each of
//! them must find after a crash.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use serde_json::{Value, json};

use crate::{
    audit_log::{Records, agent},
    http::{Answer, Client},
    node::Server,
    wait::{PATIENCE, until},
};

/// Versions that a key keeps.
const MAX_VERSIONS: u64 = 10;
/// Tokens that a worker keeps alive.
const MAX_TOKENS: usize = 6;

/// All workers.
pub struct Load {
    workers: Vec<Worker>,
    round: u32,
}

/// One writer, which sends one request at a time.
struct Worker {
    number: usize,
    /// Its name in agents and paths.
    name: String,
    random: Random,
    sent: u64,
    key: Key,
    tokens: Vec<Token>,
    /// What was answered this round: the request's agent, and whether as a success.
    answered: Vec<(String, bool)>,
    /// What was sent last and not answered.
    pending: Option<(String, Operation)>,
}

/// A KV key as it should be: current version and versions.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Key {
    current: u64,
    versions: BTreeMap<u64, Version>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Version {
    Active(String),
    /// With its value, where the model knows that it can come back.
    Deleted(String),
    Destroyed,
}

struct Token {
    id: String,
    parent: Option<String>,
    alive: bool,
}

#[derive(Clone, Debug)]
enum Operation {
    DeleteCurrent,
    DeleteVersions(Vec<u64>),
    Destroy(Vec<u64>),
    Read,
    Remove,
    TokenCreate(Option<String>),
    TokenRevoke(String),
    Undelete(Vec<u64>),
    Write(String),
}

impl Load {
    /// Workers on keys below `load/{name}`.
    pub fn new(name: &'static str, workers: usize, seed: u64) -> Self {
        let worker = |number: usize| Worker {
            number,
            name: format!("{name}/w{number}"),
            random: Random(seed ^ (u64::try_from(number).unwrap() + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            sent: 0,
            key: Key::default(),
            tokens: Vec::new(),
            answered: Vec::new(),
            pending: None,
        };
        Self { workers: (0..workers).map(worker).collect(), round: 0 }
    }

    /// Writes until the server is gone, or says 503 or 307: no longer sure, no longer leading. `meanwhile` sees how many
    /// requests were answered, and is what ends it.
    pub fn run(&mut self, server: &Server, token: &str, meanwhile: impl FnOnce(&AtomicU64)) {
        self.round += 1;
        let round = self.round;
        let answered = AtomicU64::new(0);
        thread::scope(|scope| {
            for worker in &mut self.workers {
                let client = server.client().with_token(token);
                let answered = &answered;
                scope.spawn(move || worker.run(client, round, answered));
            }
            meanwhile(&answered);
        });
    }

    /// Whether every answered request of the last round has its record, of the outcome that was answered.
    #[track_caller]
    pub fn check_recorded(&self, records: &Records) {
        let outcomes = Outcomes::of(records);
        for worker in &self.workers {
            for (agent, success) in &worker.answered {
                // What is deleted is read in vain and yet in order, so such a record may be of either outcome.
                let recorded = outcomes.has(agent, true) || (!success && outcomes.has(agent, false));
                assert!(recorded, "{agent} was answered and has no such record");
            }
        }
    }

    /// Compares everything with the store after a restart: what was answered is there; what was not is there whole
    /// and recorded, or neither. Then forgets what was left open.
    #[track_caller]
    pub fn check_stored(&mut self, server: &Server, token: &str, records: &Records) {
        let outcomes = Outcomes::of(records);
        thread::scope(|scope| {
            for worker in &mut self.workers {
                let client = server.client().with_token(token);
                let outcomes = &outcomes;
                scope.spawn(move || worker.check(client, outcomes));
            }
        });
    }

    /// How many requests were left without an answer.
    pub fn pending(&self) -> usize {
        self.workers.iter().filter(|worker| worker.pending.is_some()).count()
    }

    /// The agent and the name of the change that a lone worker was left with.
    pub fn pending_agent(&self) -> Option<&str> {
        self.workers.iter().find_map(|worker| worker.pending.as_ref()).map(|(agent, _)| agent.as_str())
    }

    /// Only writes from now on, so that each request is exactly one change.
    pub fn answered(&self) -> usize {
        self.workers.iter().map(|worker| worker.answered.len()).sum()
    }
}

impl Worker {
    fn run(&mut self, mut client: Client, round: u32, answered: &AtomicU64) {
        self.answered.clear();
        loop {
            let operation = self.choose();
            let agent = format!("{}-r{round}-{}.", self.name, self.sent);
            self.sent += 1;
            client.set_agent(&agent);
            match self.send(&mut client, &operation) {
                // Neither says that nothing was changed: a commit that cannot be logged in time is answered so too.
                Ok(answer) if matches!(answer.status, 307 | 503) => {
                    self.pending = Some((agent, operation));
                    return;
                }
                Ok(answer) => {
                    let absent = matches!(operation, Operation::Read) && answer.status == 404;
                    assert!(answer.is_success() || absent, "{operation:?}: {answer}");
                    self.answered.push((agent, !absent));
                    self.done(operation, &answer);
                    answered.fetch_add(1, Ordering::SeqCst);
                }
                Err(_) => {
                    self.pending = Some((agent, operation));
                    return;
                }
            }
        }
    }

    fn choose(&mut self) -> Operation {
        let dice = self.random.below(100);
        let versions = || vec![self.key.current, self.key.current.saturating_sub(1).max(1)];
        match dice {
            0..8 => Operation::DeleteCurrent,
            8..14 => Operation::DeleteVersions(versions()),
            14..22 => Operation::Undelete(versions()),
            22..30 => Operation::Destroy(versions()),
            30..33 => Operation::Remove,
            33..36 => Operation::Read,
            36..46 => {
                let alive: Vec<&Token> = self.tokens.iter().filter(|token| token.alive).collect();
                if alive.len() >= MAX_TOKENS || (dice < 40 && !alive.is_empty()) {
                    Operation::TokenRevoke(alive[self.random.index(alive.len())].id.clone())
                } else {
                    let parent = alive.first().filter(|_| dice < 43);
                    Operation::TokenCreate(parent.map(|parent| parent.id.clone()))
                }
            }
            _ => {
                let length = if dice == 99 { 60_000 } else { self.random.index(600) };
                Operation::Write(format!("{}-{}-{}", self.name, self.sent, "x".repeat(length)))
            }
        }
    }

    fn send(&self, client: &mut Client, operation: &Operation) -> io::Result<Answer> {
        let path = format!("load/{}", self.name);
        let data = format!("/v1/secret/data/{path}");
        let versions = |verb: &str, client: &mut Client, versions: &[u64]| {
            client.post(&format!("/v1/secret/{verb}/{path}"), &json!({ "versions": versions }))
        };
        match operation {
            Operation::DeleteCurrent => client.delete(&data),
            Operation::DeleteVersions(numbers) => versions("delete", client, numbers),
            Operation::Destroy(numbers) => versions("destroy", client, numbers),
            Operation::Undelete(numbers) => versions("undelete", client, numbers),
            Operation::Read => client.get(&data),
            Operation::Remove => client.delete(&format!("/v1/secret/metadata/{path}")),
            Operation::Write(value) => {
                // Half of the workers seal each version under a key of its own.
                let shred = self.number % 2 == 1;
                let options = json!({ "cas": self.key.current, "shred": shred });
                client.post(&data, &json!({ "data": { "value": value }, "options": options }))
            }
            Operation::TokenCreate(parent) => {
                let wanted = json!({ "policies": ["administrator"], "ttl": "2h" });
                match parent {
                    None => client.post("/v1/auth/token/create", &wanted),
                    Some(parent) => {
                        let mut child = client.another().with_token(parent);
                        child.post("/v1/auth/token/create", &wanted)
                    }
                }
            }
            Operation::TokenRevoke(id) => client.post("/v1/auth/token/revoke", &json!({ "token": id })),
        }
    }

    fn done(&mut self, operation: Operation, answer: &Answer) {
        match operation {
            Operation::TokenCreate(parent) => {
                let id = answer.json()["auth"]["client_token"].as_str().unwrap().to_owned();
                self.tokens.push(Token { id, parent, alive: true });
            }
            Operation::TokenRevoke(id) => self.revoked(&id),
            _ => self.key.apply(&operation),
        }
    }

    fn check(&mut self, mut client: Client, outcomes: &Outcomes<'_>) {
        client.set_agent("check");
        if let Some((agent, operation)) = self.pending.take() {
            // The record decides what must be in the store: neither may be there without the other.
            if outcomes.has(&agent, true) {
                match operation.clone() {
                    Operation::TokenRevoke(id) => self.revoked(&id),
                    Operation::TokenCreate(_) | Operation::Read => {}
                    _ => self.key.apply(&operation),
                }
            }
            let found = Key::observe(&mut client, &self.name);
            assert_eq!(found, self.key.shown(), "after {agent} {operation:?}, without an answer");
        } else {
            assert_eq!(Key::observe(&mut client, &self.name), self.key.shown(), "{}", self.name);
        }
        for token in &self.tokens {
            let status = settled(&mut client.another().with_token(&token.id), "/v1/auth/token/lookup-self").status;
            assert_eq!(status, if token.alive { 200 } else { 403 }, "a token of {}", self.name);
        }
        self.tokens.retain(|token| token.alive);
    }

    /// A token is revoked, and with it all below it.
    fn revoked(&mut self, id: &str) {
        let mut gone = vec![id.to_owned()];
        while let Some(id) = gone.pop() {
            for token in &mut self.tokens {
                token.alive &= token.id != id;
                if token.alive && token.parent.as_ref() == Some(&id) {
                    gone.push(token.id.clone());
                }
            }
        }
    }
}

/// An answer that is not the one of a node whose lease ran out for a moment, as on a machine that stands still.
fn settled(client: &mut Client, path: &str) -> Answer {
    until("an answer", PATIENCE, || Some(client.get(path).unwrap()).filter(|answer| answer.status != 503))
}

impl Key {
    fn apply(&mut self, operation: &Operation) {
        let each = |versions: &mut BTreeMap<u64, Version>, numbers: &[u64], change: fn(&mut Version)| {
            numbers.iter().for_each(|number| versions.get_mut(number).into_iter().for_each(change));
        };
        match operation {
            Operation::Write(value) => {
                self.current += 1;
                self.versions.insert(self.current, Version::Active(value.clone()));
                self.versions.retain(|number, _| number + MAX_VERSIONS > self.current);
            }
            Operation::DeleteCurrent => each(&mut self.versions, &[self.current], Version::delete),
            Operation::DeleteVersions(numbers) => each(&mut self.versions, numbers, Version::delete),
            Operation::Undelete(numbers) => each(&mut self.versions, numbers, Version::undelete),
            Operation::Destroy(numbers) => each(&mut self.versions, numbers, |version| *version = Version::Destroyed),
            Operation::Remove => *self = Self::default(),
            Operation::Read | Operation::TokenCreate(_) | Operation::TokenRevoke(_) => {}
        }
    }

    /// What the server shows of it: a deleted version without its value.
    fn shown(&self) -> Self {
        let mut shown = self.clone();
        for version in shown.versions.values_mut() {
            if let Version::Deleted(value) = version {
                value.clear();
            }
        }
        shown
    }

    /// What the server shows of a worker's key.
    fn observe(client: &mut Client, name: &str) -> Self {
        let answer = settled(client, &format!("/v1/secret/metadata/load/{name}"));
        if answer.status == 404 {
            return Self::default();
        }
        let metadata = answer.expect(200).json();
        let mut versions = BTreeMap::new();
        for (number, shown) in metadata["data"]["versions"].as_object().unwrap() {
            let path = format!("/v1/secret/data/load/{name}?version={number}");
            let read = settled(client, &path);
            let version = if shown["destroyed"] == true {
                Version::Destroyed
            } else if shown["deletion_time"] != "" {
                Version::Deleted(String::new())
            } else {
                let data = read.clone().expect(200).json();
                assert_eq!(data["data"]["metadata"]["version"].to_string(), *number);
                Version::Active(data["data"]["data"]["value"].as_str().unwrap().to_owned())
            };
            assert_eq!(read.status == 200, matches!(version, Version::Active(_)), "{read}");
            versions.insert(number.parse().unwrap(), version);
        }
        Self { current: metadata["data"]["current_version"].as_u64().unwrap(), versions }
    }
}

impl Version {
    fn delete(&mut self) {
        if let Self::Active(value) = self {
            *self = Self::Deleted(std::mem::take(value));
        }
    }

    fn undelete(&mut self) {
        if let Self::Deleted(value) = self {
            *self = Self::Active(std::mem::take(value));
        }
    }
}

/// The outcomes on record by the agents of the requests.
struct Outcomes<'a>(HashMap<&'a str, Vec<&'a Value>>);

impl<'a> Outcomes<'a> {
    fn of(records: &'a Records) -> Self {
        let mut outcomes: HashMap<&str, Vec<&Value>> = HashMap::new();
        for record in records.values() {
            if let Some(agent) = agent(record) {
                outcomes.entry(agent).or_default().push(record);
            }
        }
        Self(outcomes)
    }

    fn has(&self, agent: &str, success: bool) -> bool {
        let found = self.0.get(agent).into_iter().flatten();
        found.into_iter().any(|record| (record["out"] == "success") == success)
    }
}

/// Numbers that look random and are the same for the same seed (xorshift64*).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    pub fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(u64::try_from(bound).unwrap())).unwrap()
    }
}
