//! The formats in which a scope's secrets leave. What a format cannot hold is refused by the secret's name.

use base64::{Engine, engine::general_purpose::STANDARD};
use clap::ValueEnum;
use coffer_api::{Scope, Sensitive};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::{
    failure::Failure,
    output::{Pairs, yaml_text},
};

/// A format.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum Form {
    /// Two columns, name and value (RFC 4180)
    Csv,
    /// NAME=value lines as docker run --env-file reads them: nothing is quoted, so no value has a line break
    Docker,
    /// A .env file, with the order, the comments and the quotes of the one that was imported
    Dotenv,
    /// export NAME='value' lines for a POSIX shell to evaluate
    Env,
    /// One object
    Json,
    /// A manifest of a Kubernetes Secret
    K8sSecret,
    /// NAME = "value" lines for Terraform
    Tfvars,
    /// One mapping
    Yaml,
}

/// What a Kubernetes Secret is called.
pub(super) struct Named {
    pub(super) name: String,
    pub(super) namespace: Option<String>,
}

type Pair<'a> = (&'a str, &'a Sensitive<String>);

/// Names and values in a format; `dotenv` without what only a layout knows.
///
/// # Errors
/// Where the format cannot hold a name or a value.
pub(super) fn text(form: Form, pairs: &[Pair<'_>], named: &Named) -> Result<Zeroizing<String>, Failure> {
    match form {
        Form::Csv => Ok(csv(pairs)),
        Form::Docker => docker(pairs),
        Form::Dotenv => Pairs::Dotenv.text(pairs.iter().copied()),
        Form::Env => Pairs::Env.text(pairs.iter().copied()),
        Form::Json => {
            let text = serde_json::to_string_pretty(&object(pairs));
            text.map(|text| Zeroizing::new(text + "\n"))
                .map_err(|_| Failure::local("the values cannot be written as JSON"))
        }
        Form::K8sSecret => manifest(pairs, named),
        Form::Tfvars => tfvars(pairs),
        Form::Yaml => yaml_text(&object(pairs)).map(Zeroizing::new),
    }
}

/// The name of the Secret of a scope.
pub(super) fn name_of(scope: &Scope) -> String {
    let name = scope.to_string().replace([':', '_'], "-");
    name.trim_matches('-').to_owned()
}

fn object(pairs: &[Pair<'_>]) -> Value {
    let value = |value: &Sensitive<String>| Value::String(value.expose().clone());
    Value::Object(pairs.iter().map(|(name, text)| ((*name).to_owned(), value(text))).collect::<Map<_, _>>())
}

fn csv(pairs: &[Pair<'_>]) -> Zeroizing<String> {
    let mut out = Zeroizing::new("name,value\r\n".to_owned());
    for (name, value) in pairs {
        let value = value.expose();
        out.push_str(name);
        out.push(',');
        if value.contains(['"', ',', '\r', '\n']) || value.starts_with(' ') || value.ends_with(' ') {
            out.push('"');
            out.push_str(&value.replace('"', "\"\""));
            out.push('"');
        } else {
            out.push_str(value);
        }
        out.push_str("\r\n");
    }
    out
}

fn docker(pairs: &[Pair<'_>]) -> Result<Zeroizing<String>, Failure> {
    let mut out = Zeroizing::new(String::new());
    for (name, value) in pairs {
        let text = value.expose();
        for (odd, what) in [('\n', "a line break"), ('\r', "a carriage return"), ('\0', "a NUL")] {
            if text.contains(odd) {
                return Err(unfit("docker", name, &format!("it holds {what}")));
            }
        }
        if name.len() + 1 + text.len() > DOCKER_LINE {
            return Err(unfit("docker", name, "docker reads lines of at most 64 KiB"));
        }
        out.extend([*name, "=", text, "\n"]);
    }
    Ok(out)
}

fn manifest(pairs: &[Pair<'_>], named: &Named) -> Result<Zeroizing<String>, Failure> {
    for name in std::iter::once(&named.name).chain(&named.namespace) {
        if !is_kubernetes_name(name) {
            return Err(Failure::local(format!("{name:?} is no name in Kubernetes"))
                .hint("small letters, digits, '-' and '.' inside, at most 253; choose one with --k8s-name"));
        }
    }
    let mut data = Map::new();
    let mut bytes = 0;
    for (name, value) in pairs {
        bytes += value.expose().len();
        if bytes > KUBERNETES_BYTES {
            return Err(unfit("k8s-secret", name, "with it the Secret is more than the 1 MiB that Kubernetes takes"));
        }
        data.insert((*name).to_owned(), Value::String(STANDARD.encode(value.expose())));
    }
    let mut metadata = json!({ "name": named.name });
    if let (Some(namespace), Value::Object(metadata)) = (&named.namespace, &mut metadata) {
        metadata.insert("namespace".to_owned(), json!(namespace));
    }
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": "Opaque",
        "data": data,
    });
    yaml_text(&secret).map(Zeroizing::new)
}

fn tfvars(pairs: &[Pair<'_>]) -> Result<Zeroizing<String>, Failure> {
    let mut out = Zeroizing::new(String::new());
    for (name, value) in pairs {
        if name.contains('.') {
            return Err(unfit("tfvars", name, "no variable of Terraform has a '.' in its name"));
        }
        out.push_str(name);
        out.push_str(" = \"");
        let mut chars = value.expose().chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\\' | '"' => out.extend(['\\', c]),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                // A template begins so.
                '$' | '%' if chars.peek() == Some(&'{') => out.extend([c, c]),
                c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
                c => out.push(c),
            }
        }
        out.push_str("\"\n");
    }
    Ok(out)
}

fn unfit(form: &str, name: &str, why: &str) -> Failure {
    Failure::local(format!("{form} cannot hold {name}: {why}")).hint("-f json holds everything")
}

/// A DNS subdomain, as RFC 1123 has it.
fn is_kubernetes_name(name: &str) -> bool {
    let is_end = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let label = |label: &str| {
        let bytes = label.as_bytes();
        let inside = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
        is_end(bytes.first()) && is_end(bytes.last()) && bytes.iter().all(inside)
    };
    name.len() <= 253 && name.split('.').all(label)
}

/// What docker's reader takes as one line.
const DOCKER_LINE: usize = 65_535;
/// What Kubernetes takes as a Secret's data.
const KUBERNETES_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn written(form: Form, pairs: &[(&str, &str)]) -> Result<String, Failure> {
        let owned: Vec<(&str, Sensitive<String>)> = pairs.iter().map(|(n, v)| (*n, Sensitive::from(*v))).collect();
        let pairs: Vec<Pair<'_>> = owned.iter().map(|(name, value)| (*name, value)).collect();
        let named = Named { name: "acme".to_owned(), namespace: None };
        text(form, &pairs, &named).map(|text| text.to_string())
    }

    #[test]
    fn every_format_escapes_what_is_special_to_it() {
        let value = "a\"b\\c\n${d} %{e} 'f', $g #";
        for (form, expected) in [
            (Form::Csv, "name,value\r\nA,\"a\"\"b\\c\n${d} %{e} 'f', $g #\"\r\n"),
            (Form::Env, "export A='a\"b\\c\n${d} %{e} '\\''f'\\'', $g #'\n"),
            (Form::Dotenv, "A=\"a\\\"b\\\\c\\n\\${d} %{e} 'f', \\$g #\"\n"),
            (Form::Json, "{\n  \"A\": \"a\\\"b\\\\c\\n${d} %{e} 'f', $g #\"\n}\n"),
            (Form::Yaml, "A: \"a\\\"b\\\\c\\n${d} %{e} 'f', $g #\"\n"),
            (Form::Tfvars, "A = \"a\\\"b\\\\c\\n$${d} %%{e} 'f', $g #\"\n"),
        ] {
            assert_eq!(written(form, &[("A", value)]).unwrap(), expected, "{form:?}");
        }
        assert_eq!(written(Form::Docker, &[("A", "a \"b\" 'c' #")]).unwrap(), "A=a \"b\" 'c' #\n");
        let manifest = "apiVersion: v1\ndata:\n  A: \"YQ==\"\nkind: Secret\nmetadata:\n  name: acme\ntype: Opaque\n";
        assert_eq!(written(Form::K8sSecret, &[("A", "a")]).unwrap(), manifest);
    }

    #[test]
    fn what_a_format_cannot_hold_is_refused_by_name_and_without_the_value() {
        let long = format!("canary{}", "x".repeat(70_000));
        let large = format!("canary{}", "x".repeat(1 << 20));
        for (form, name, value) in [
            (Form::Docker, "A", "canary\nb"),
            (Form::Docker, "A", "canary\r"),
            (Form::Docker, "A", "canary\0"),
            (Form::Docker, "A", &long),
            (Form::Dotenv, "A", "canary\0"),
            (Form::Env, "A", "canary\0"),
            (Form::Env, "A.B", "canary"),
            (Form::Tfvars, "A.B", "canary"),
            (Form::K8sSecret, "A", &large),
        ] {
            let refused = written(form, &[("FINE", "x"), (name, value)]).unwrap_err();
            assert!(refused.what().contains(name) && !refused.what().contains("canary"), "{}", refused.what());
        }
    }

    #[test]
    fn scope_names_a_kubernetes_secret() {
        for (scope, name) in [("acme", "acme"), ("acme:prod:api", "acme-prod-api"), ("a_b:c-", "a-b-c")] {
            let name_found = name_of(&scope.parse().unwrap());
            assert_eq!(name_found, name);
            assert!(is_kubernetes_name(&name_found));
        }
        for bad in ["", "A", "a_b", "-a", "a-", "a..b", "a.", &"a".repeat(254)] {
            assert!(!is_kubernetes_name(bad), "{bad:?}");
        }
    }
}
