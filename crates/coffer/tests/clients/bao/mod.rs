//! The `bao` command line: every command of it that is in scope, by the table in `commands.toml`. Its JSON is held against
//! patterns: a table asks for its keys and lets others be, an array for each of its elements, `<text>`, `<int>`, `<bool>`,
//! `<null>` and `<list>` for any value of their kind, and anything else for itself. `COFFER_ROW=kv` runs the rows with `kv` in
//! their name alone.

mod commands;

use std::{
    collections::{BTreeMap, BTreeSet},
    process::{Output, Stdio},
};

use serde::Deserialize;
use serde_json::Value;

use crate::{
    programs::{print, print_counts},
    servers::{Server, bao, command},
};

#[test]
fn bao_every_command_in_scope_succeeds_and_is_refused() {
    let table: Table = toml::from_str(include_str!("commands.toml")).unwrap();
    let mut world = World::new();
    let only = std::env::var("COFFER_ROW").unwrap_or_default();
    let (mut succeeded, mut refused, mut wrong) = (0, 0, Vec::new());
    for row in table.row.iter().filter(|row| row.call.contains(&only)) {
        world.run(&row.call, &row.before, &mut wrong);
        let others = row.succeeds.iter().chain(&row.refused).filter(|step| !step.run.starts_with(&row.call));
        wrong.extend(others.map(|step| format!("{}: another command: {}", row.call, step.run)));
        succeeded += world.run(&row.call, &row.succeeds, &mut wrong);
        refused += world.run(&row.call, &row.refused, &mut wrong);
        let lacks = (row.succeeds.is_empty() || row.refused.is_empty()) != row.lacking.is_some();
        if lacks || (row.succeeds.is_empty() && row.refused.is_empty()) {
            wrong.push(format!("{}: needs both a success and a refusal, or why it lacks one", row.call));
        }
    }
    let later = if only.is_empty() { commands::gaps(&table, world.dev.home(), &mut wrong) } else { 0 };
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let without = |is_empty: fn(&Row) -> bool| match table.row.iter().filter(|row| is_empty(row)).count() {
        0 => String::new(),
        count => format!(" ({count} cannot be)"),
    };
    // A part of the table has other counts than the whole.
    let shown = if only.is_empty() { print_counts } else { print };
    shown(&format!(
        "bao: {} commands, {succeeded} succeeded{}, {refused} refused as expected{}, {later} later",
        table.row.len(),
        without(|row| row.succeeds.is_empty()),
        without(|row| row.refused.is_empty()),
    ));
}

/// `commands.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    row: Vec<Row>,
    /// Commands, or groups of them, that are left out, with the reason.
    later: BTreeMap<String, String>,
}

/// A command with how it succeeds and how it is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    call: String,
    /// Other commands that it needs.
    #[serde(default)]
    before: Vec<Step>,
    #[serde(default)]
    succeeds: Vec<Step>,
    #[serde(default)]
    refused: Vec<Step>,
    /// Why there is no success, or no refusal.
    lacking: Option<String>,
}

/// A command line with what it must come to.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    /// Words, between blanks or single quotes. `$name` is what an earlier step saved.
    run: String,
    #[serde(default)]
    input: String,
    /// A token, or `weak` for one without rights.
    #[serde(default = "root")]
    token: String,
    #[serde(default)]
    on: On,
    #[serde(default)]
    exit: i32,
    json: Option<toml::Value>,
    /// What stands in what it writes.
    says: Option<String>,
    /// Values of the JSON by their pointers, for later steps.
    #[serde(default)]
    save: BTreeMap<String, String>,
}

/// The server that a command is for.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum On {
    #[default]
    Dev,
    Shamir,
}

/// The servers, and what the steps have saved.
struct World {
    dev: Server,
    shamir: Server,
    saved: BTreeMap<String, String>,
}

impl World {
    fn new() -> Self {
        let holder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/bao/holder.asc");
        let saved = BTreeMap::from([("holder_key".to_owned(), holder.to_owned())]);
        let mut world = Self { dev: Server::dev(), shamir: Server::shamir(), saved };
        let line = "token create -field=token -format=table -policy=nothing -no-default-policy";
        let output = world.bao(&step(line));
        assert!(output.status.success(), "{output:?}");
        world.saved.insert("weak".to_owned(), String::from_utf8(output.stdout).unwrap().trim().to_owned());
        world.saved.insert("dev".to_owned(), world.dev.url().to_owned());
        world.saved.insert("home".to_owned(), world.dev.home().to_str().unwrap().to_owned());
        world
    }

    /// Runs the steps, and says whether there are any and all went as they should.
    fn run(&mut self, call: &str, steps: &[Step], wrong: &mut Vec<String>) -> u32 {
        for step in steps {
            let output = self.bao(step);
            if let Err(what) = self.check(step, &output) {
                let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
                wrong.push(format!("{call}: `{}`: {what}\n{out}{err}", step.run));
                return 0;
            }
        }
        u32::from(!steps.is_empty())
    }

    fn check(&mut self, step: &Step, output: &Output) -> Result<(), String> {
        let code = output.status.code().unwrap();
        if code != step.exit {
            return Err(format!("exit {code} instead of {}", step.exit));
        }
        let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
        let said = String::from_utf8(said).unwrap();
        if let Some(text) = step.says.as_ref().map(|says| self.filled(says)).filter(|says| !said.contains(says)) {
            return Err(format!("does not say {text:?}"));
        }
        if step.json.is_none() && step.save.is_empty() {
            return Ok(());
        }
        let json: Value = serde_json::from_slice(&output.stdout).map_err(|error| format!("no JSON: {error}"))?;
        if let Some(pattern) = &step.json {
            self.matches(pattern, &json, "")?;
        }
        for (name, pointer) in &step.save {
            let value = json.pointer(pointer).ok_or_else(|| format!("nothing at {pointer}"))?;
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            self.saved.insert(name.clone(), text);
        }
        Ok(())
    }

    fn matches(&self, pattern: &toml::Value, value: &Value, at: &str) -> Result<(), String> {
        let is = match (pattern, value) {
            (toml::Value::Table(inner), Value::Object(object)) => {
                for (key, pattern) in inner {
                    let value = object.get(key).ok_or_else(|| format!("no {at}/{key}"))?;
                    self.matches(pattern, value, &format!("{at}/{key}"))?;
                }
                true
            }
            (toml::Value::Array(inner), Value::Array(array)) if inner.len() == array.len() => {
                for (index, (pattern, value)) in inner.iter().zip(array).enumerate() {
                    self.matches(pattern, value, &format!("{at}/{index}"))?;
                }
                true
            }
            (toml::Value::String(text), value) => match text.as_str() {
                "<text>" => value.as_str().is_some_and(|text| !text.is_empty()),
                "<int>" => value.is_i64() || value.is_u64(),
                "<bool>" => value.is_boolean(),
                "<null>" => value.is_null(),
                "<list>" => value.is_array(),
                text => value.as_str() == Some(&self.filled(text)),
            },
            (toml::Value::Integer(number), value) => value.as_i64() == Some(*number),
            (toml::Value::Boolean(truth), value) => value.as_bool() == Some(*truth),
            _ => false,
        };
        if is { Ok(()) } else { Err(format!("{at} is {value}, not {pattern}")) }
    }

    fn bao(&self, step: &Step) -> Output {
        let url = match step.on {
            On::Dev => self.dev.url(),
            On::Shamir => self.shamir.url(),
        };
        let token = if step.token == "weak" { "$weak" } else { &step.token };
        let mut command = command(bao(), self.dev.home());
        command.args(self.words(&step.run)).env("BAO_ADDR", url).env("BAO_TOKEN", self.filled(token));
        // No retries: what a server answers with 5xx is part of the table.
        command.env("BAO_FORMAT", "json").env("BAO_MAX_RETRIES", "0").current_dir(self.dev.home());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A command that does not read its input breaks the pipe, which is its right.
        let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), self.filled(&step.input).as_bytes());
        child.wait_with_output().unwrap()
    }

    fn words(&self, line: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        let mut is_quoted = false;
        for character in self.filled(line).chars() {
            match character {
                '\'' => is_quoted = !is_quoted,
                ' ' if !is_quoted => words.push(String::new()),
                other => words.last_mut().unwrap().push(other),
            }
        }
        words
    }

    /// With what was saved in the place of `$name`.
    fn filled(&self, text: &str) -> String {
        // The longest names first, or `$key` would take the beginning of `$key_2`.
        let names: BTreeSet<_> = self.saved.keys().map(|name| (std::cmp::Reverse(name.len()), name)).collect();
        names.into_iter().fold(text.to_owned(), |text, (_, name)| text.replace(&format!("${name}"), &self.saved[name]))
    }
}

fn step(line: &str) -> Step {
    toml::from_str(&format!("run = {:?}", line)).unwrap()
}

fn root() -> String {
    "root".to_owned()
}
