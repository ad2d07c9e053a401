//! Every setting by file, by flag and by variable, as far as the configuration that a server starts with.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    process::Command,
};

use clap::Parser;
use coffer_server::config::{Config, Host, SealKind};

use super::Arguments;

#[derive(Parser)]
struct Given {
    #[command(flatten)]
    arguments: Arguments,
}

/// What a setting is called in the file, with its section, and two of its values, none of which is the default. Where it has
/// one such value alone, that twice.
type Setting = (&'static str, &'static str, &'static str);

const SETTINGS: [Setting; 25] = [
    ("listen", "127.0.0.1:1001", "127.0.0.1:1002"),
    ("advertise", "https://a.example:1", "https://b.example:2"),
    ("data", "/a/data", "/b/data"),
    ("storage", "sqlite:/a/other.db", "sqlite:/b/other.db"),
    ("seal", "shamir", "shamir"),
    ("insecure_anonymous_rekey", "true", "true"),
    ("seal_key_file", "/a/key", "/b/key"),
    ("tls.cert_file", "/a/cert.pem", "/b/cert.pem"),
    ("tls.key_file", "/a/tls.pem", "/b/tls.pem"),
    ("tls.min_version", "1.3", "1.3"),
    ("audit.dir", "/a/audit", "/b/audit"),
    ("audit.read_durability", "written", "written"),
    ("audit.scrub_every_seconds", "61", "62"),
    ("limits.backup_growth_bytes", "2000001", "3000001"),
    ("limits.cache_bytes", "1000001", "2000001"),
    ("limits.token_cache_bytes", "1000002", "2000002"),
    ("limits.max_connections", "1003", "2003"),
    ("limits.request_body_bytes", "1000004", "2000004"),
    ("limits.min_free_percent_changes", "11", "21"),
    ("limits.min_free_bytes_changes", "1000005", "2000005"),
    ("limits.min_free_percent_reads", "12", "22"),
    ("limits.min_free_bytes_reads", "1000006", "2000006"),
    ("limits.default_lease_ttl", "1000007", "2000007"),
    ("limits.max_lease_ttl", "1000008", "2000008"),
    ("limits.term_max_age", "1000009", "2000009"),
];

/// Of effect without TLS alone.
const WITHOUT_TLS: [Setting; 2] = [("listen", "0.0.0.0:1001", "0.0.0.0:1002"), ("insecure_plain_http", "true", "true")];

#[test]
fn every_setting_arrives_by_file_by_flag_and_by_variable() {
    if shown_to_the_parent() {
        return;
    }
    let sample: toml::Table = include_str!("../../../../../docs/samples/full.toml").parse().unwrap();
    let known: BTreeSet<String> = SETTINGS.iter().chain(&WITHOUT_TLS).map(|(key, ..)| (*key).to_owned()).collect();
    assert_eq!(known, keys(&sample), "a setting is in the sample or here, and not in both");
    for settings in [&SETTINGS[..], &WITHOUT_TLS] {
        let first = settings.iter().map(|(key, first, _)| (*key, *first)).collect::<Vec<_>>();
        let second = settings.iter().map(|(key, _, second)| (*key, *second)).collect::<Vec<_>>();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        std::fs::write(&path, file(&first)).unwrap();
        let path = path.to_str().unwrap();

        let by_file = vec!["--config".to_owned(), path.to_owned()];
        expect("by the file", &shown(&by_file), &first);
        expect("by flags", &shown(&flags(&second)), &second);
        expect("by flags over the file", &shown(&[by_file, flags(&second)].concat()), &second);
        expect("by variables", &shown_in_a_child(&variables(&second)), &second);
        let both = [variables(&second), vec![("COFFER_CONFIG".to_owned(), path.to_owned())]].concat();
        expect("by variables over the file", &shown_in_a_child(&both), &second);
    }
}

/// What a configuration says of each setting.
fn read(config: &Config) -> BTreeMap<String, String> {
    let text = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    let tls = config.tls.clone();
    let limits = &config.limits;
    let is_plain = config.warnings.iter().any(|warning| warning.starts_with("insecure_plain_http"));
    let all = [
        ("listen", config.listen.to_string()),
        ("insecure_plain_http", is_plain.to_string()),
        ("advertise", config.advertise.clone().unwrap_or_default()),
        ("data", text(&config.data)),
        ("storage", config.storage.expose().clone()),
        ("seal", if config.seal == SealKind::Shamir { "shamir" } else { "file" }.to_owned()),
        ("insecure_anonymous_rekey", config.insecure_anonymous_rekey.to_string()),
        ("seal_key_file", text(&config.seal_key_file)),
        ("tls.cert_file", text(&tls.as_ref().map(|tls| tls.cert_file.clone()))),
        ("tls.key_file", text(&tls.as_ref().map(|tls| tls.key_file.clone()))),
        ("tls.min_version", tls.map(|tls| format!("{:?}", tls.min_version)).unwrap_or_default().replace("Tls1", "1.")),
        ("audit.dir", text(&config.audit_dir)),
        ("audit.read_durability", config.read_durability.to_string()),
        ("audit.scrub_every_seconds", config.scrub_every.map_or(0, |every| every.as_secs()).to_string()),
        ("limits.backup_growth_bytes", limits.backup_growth_bytes.to_string()),
        ("limits.cache_bytes", limits.cache_bytes.to_string()),
        ("limits.token_cache_bytes", limits.token_cache_bytes.to_string()),
        ("limits.max_connections", limits.max_connections.to_string()),
        ("limits.request_body_bytes", limits.request_body_bytes.to_string()),
        ("limits.min_free_percent_changes", limits.min_free_percent_changes.to_string()),
        ("limits.min_free_bytes_changes", limits.min_free_bytes_changes.to_string()),
        ("limits.min_free_percent_reads", limits.min_free_percent_reads.to_string()),
        ("limits.min_free_bytes_reads", limits.min_free_bytes_reads.to_string()),
        ("limits.default_lease_ttl", limits.default_lease_ttl.to_string()),
        ("limits.max_lease_ttl", limits.max_lease_ttl.to_string()),
        ("limits.term_max_age", limits.term_max_age.to_string()),
    ];
    all.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn shown(arguments: &[String]) -> BTreeMap<String, String> {
    let Given { arguments } = Given::parse_from(["server"].into_iter().chain(arguments.iter().map(String::as_str)));
    let files = arguments.config.clone();
    let host = Host { is_root: false, home: Some(PathBuf::from("/home/ann")), temp: PathBuf::from("/tmp") };
    read(&Config::load_all(&files, arguments.overrides().unwrap(), &host).unwrap())
}

/// Variables are those of a process, so a process of its own reads them: this test again.
fn shown_in_a_child(variables: &[(String, String)]) -> BTreeMap<String, String> {
    let name = module_path!().split_once("::").unwrap().1;
    let test = format!("{name}::every_setting_arrives_by_file_by_flag_and_by_variable");
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args([test.as_str(), "--exact", "--nocapture"]).env_clear().env(IN_A_CHILD, "1");
    let output = child.envs(variables.iter().cloned()).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let lines = said.lines().filter_map(|line| line.split_once(LINE)?.1.split_once('='));
    lines.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// In the child: tells what its variables come to.
fn shown_to_the_parent() -> bool {
    let is_child = std::env::var_os(IN_A_CHILD).is_some();
    if is_child {
        println!();
        shown(&[]).iter().for_each(|(key, value)| println!("{LINE}{key}={value}"));
    }
    is_child
}

const IN_A_CHILD: &str = "SETTINGS_TEST_IN_A_CHILD";
const LINE: &str = "setting: ";

#[track_caller]
fn expect(way: &str, found: &BTreeMap<String, String>, wanted: &[(&str, &str)]) {
    for (key, value) in wanted {
        assert_eq!(found.get(*key).map(String::as_str), Some(*value), "{key} {way}");
    }
}

/// Keys without a section come first.
fn file(settings: &[(&str, &str)]) -> String {
    let mut table = toml::Table::new();
    for (key, text) in settings {
        let value = match (text.parse::<i64>(), text.parse::<bool>()) {
            (Ok(number), _) => toml::Value::Integer(number),
            (_, Ok(switch)) => toml::Value::Boolean(switch),
            (Err(_), Err(_)) => toml::Value::String((*text).to_owned()),
        };
        match key.split_once('.') {
            None => drop(table.insert((*key).to_owned(), value)),
            Some((section, key)) => {
                let section = table.entry(section).or_insert_with(|| toml::Table::new().into());
                section.as_table_mut().unwrap().insert(key.to_owned(), value);
            }
        }
    }
    table.to_string()
}

fn flags(settings: &[(&str, &str)]) -> Vec<String> {
    let flag = |(key, text): &(&str, &str)| match *text {
        "true" => format!("--{}", name(key)),
        _ => format!("--{}={text}", name(key)),
    };
    settings.iter().map(flag).collect()
}

fn variables(settings: &[(&str, &str)]) -> Vec<(String, String)> {
    let variable = |key| format!("COFFER_{}", name(key).replace('-', "_").to_ascii_uppercase());
    settings.iter().map(|(key, text)| (variable(key), (*text).to_owned())).collect()
}

/// A section's name stands before its key, but that of the limits.
fn name(key: &str) -> String {
    key.trim_start_matches("limits.").replace(['.', '_'], "-")
}

/// A schedule of several keys that belong together is in files alone.
fn keys(sample: &toml::Table) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for (name, value) in sample.iter().filter(|(name, _)| *name != "backup") {
        match value.as_table() {
            Some(section) => keys.extend(section.keys().map(|key| format!("{name}.{key}"))),
            None => drop(keys.insert(name.clone())),
        }
    }
    keys
}
