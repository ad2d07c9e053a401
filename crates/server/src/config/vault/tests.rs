//! What each key becomes, what is warned of and what refused, in both languages.

use proptest::prelude::*;

use super::*;
use crate::config::{Config, ConfigError, Dev, Host, Overrides, SealKind, TlsVersion};

const HCL: &str = r#"
# As a Vault server has it.
ui            = true
disable_mlock = true
api_addr      = "https://vault.example:8200/"
cluster_addr  = "https://vault.example:8201"
default_lease_ttl = "12h"
max_lease_ttl     = 86400
log_level     = "Debug"

storage "file" {
  path = "/srv/coffer"
}

listener "tcp" {
  address       = "0.0.0.0:8200"
  tls_cert_file = "/etc/tls/cert.pem"
  tls_key_file  = "/etc/tls/key.pem"
  tls_min_version = "tls13"
  telemetry { unauthenticated_metrics_access = true }
}
telemetry { prometheus_retention_time = "30s" }
"#;

const JSON: &str = r#"{
  "ui": "true", "disable_mlock": 1, "api_addr": "https://vault.example:8200", "cluster_addr": "x",
  "default_lease_ttl": "43200", "max_lease_ttl": "24h", "log_level": "debug",
  "storage": {"file": {"path": "/srv/coffer"}},
  "listener": [{"tcp": {"address": "0.0.0.0:8200", "tls_cert_file": "/etc/tls/cert.pem",
    "tls_key_file": "/etc/tls/key.pem", "tls_min_version": "tls13", "telemetry": [{"a": 1}]}}],
  "telemetry": [{"b": 2}]
}"#;

fn host() -> Host {
    Host { is_root: false, home: Some("/home/ada".into()), temp: "/tmp".into() }
}

/// From files of these names, in a directory that is named itself where there are several.
fn load(files: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let path = match files {
        [(name, _)] => dir.path().join(name),
        _ => dir.path().to_owned(),
    };
    Config::load_all(&[path], Overrides::default(), &host())
}

fn refusal(text: &str) -> String {
    load(&[("a.hcl", text)]).map(|config| panic!("taken: {text}: {config:?}")).unwrap_err().to_string()
}

fn warnings(text: &str) -> Vec<String> {
    load(&[("a.hcl", text)]).unwrap_or_else(|error| panic!("{text}: {error}")).warnings
}

#[test]
fn hcl_and_json_say_the_same() {
    let read = |name: &str, text: &str| load(&[(name, text)]).unwrap();
    let (hcl, json) = (read("a.hcl", HCL), read("a.json", JSON));
    assert_eq!(format!("{hcl:?}"), format!("{json:?}"));
    assert_eq!(hcl.listen.to_string(), "0.0.0.0:8200");
    let tls = hcl.tls.unwrap();
    assert_eq!((tls.cert_file.to_str(), tls.min_version), (Some("/etc/tls/cert.pem"), TlsVersion::Tls13));
    assert_eq!(hcl.advertise.as_deref(), Some("https://vault.example:8200"));
    assert_eq!(hcl.storage.expose(), "sqlite:/srv/coffer/store.db");
    assert_eq!(hcl.data.unwrap().to_str(), Some("/srv/coffer"));
    assert_eq!((hcl.limits.default_lease_ttl, hcl.limits.max_lease_ttl), (43_200, 86_400));
    assert_eq!(hcl.log_level, Some("debug"));
    let mut names: Vec<&str> = hcl.warnings.iter().map(|line| line.split(" is ").next().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["cluster_addr", "listener \"tcp\": telemetry", "telemetry", "ui = true"]);
}

#[test]
fn storage_is_one_of_four() {
    let storage = |text: &str| {
        let config = load(&[("a.hcl", text)]).unwrap_or_else(|error| panic!("{text}: {error}"));
        (config.storage.expose().clone(), config.data.unwrap().display().to_string())
    };
    let home = "/home/ada/.local/share/coffer".to_owned();
    assert_eq!(storage("storage \"inmem\" {}"), ("memory:".to_owned(), home.clone()));
    assert_eq!(storage("backend \"inmem\" {}"), ("memory:".to_owned(), home.clone()));
    assert_eq!(storage("storage \"sqlite\" { path = \"/a/b.db\" }"), ("sqlite:/a/b.db".to_owned(), "/a".to_owned()));
    assert_eq!(
        storage("storage \"postgresql\" { connection_url = \"postgres://u@h/d?sslmode=require\" }"),
        ("postgres://u@h/d?sslmode=require".to_owned(), home.clone())
    );
    assert_eq!(storage(""), (format!("sqlite:{home}/store.db"), home));
    for text in [
        "storage \"raft\" { path = \"/a\" }",
        "storage \"file\" {}",
        "storage \"file\" { path = \"\" }",
        "storage \"file\" { path = 1 }",
        "storage \"sqlite\" { path = \"b.db\" }",
        "storage \"postgresql\" {}",
        "storage \"postgresql\" { connection_url = \"host=h password=canary\" }",
        "storage \"inmem\" {} storage \"file\" { path = \"/a\" }",
        "storage \"inmem\" {} backend \"inmem\" {}",
        "storage = \"inmem\"",
        "storage \"a\" \"b\" {}",
        "storage {}",
    ] {
        assert!(!refusal(text).contains("canary"), "{text}");
    }
}

#[test]
fn tls_is_on_unless_it_is_disabled() {
    let plain = load(&[("a.hcl", "listener \"tcp\" { address = \"[::]:1\" tls_disable = \"true\" }")]).unwrap();
    assert!(plain.tls.is_none());
    assert!(plain.warnings.iter().any(|line| line.contains("unencrypted")), "{:?}", plain.warnings);
    assert!(warnings("listener \"tcp\" { address = \"127.0.0.1:1\" tls_disable = 1 }").is_empty());
    assert!(refusal("listener \"tcp\" { address = \"127.0.0.1:1\" }").contains("tls_disable"));
    assert!(refusal("listener \"tcp\" { tls_cert_file = \"/c\" }").contains("tls_key_file"));
    let older = "listener \"tcp\" { tls_cert_file = \"/c\" tls_key_file = \"/k\" tls_min_version = \"tls11\" }";
    assert!(warnings(older)[0].contains("TLS 1.2"));
}

#[test]
fn what_would_open_a_door_is_refused() {
    let listener = |key: &str| format!("listener \"tcp\" {{ tls_disable = true\n {key} }}");
    for key in [
        "tls_require_and_verify_client_cert = true",
        "proxy_protocol_behavior = \"use_always\"",
        "chroot_namespace = \"team\"",
        "x_forwarded_for_authorized_addrs = \"10.0.0.0/8\"",
        "x_forwarded_for_authorized_addrs = [\"10.0.0.0/8\"]",
        "x_forwarded_for_reject_not_authorized = \"true\"",
        "x_forwarded_for_reject_not_present = true",
        "tls_min_version = \"ssl3\"",
        "address = \"vault.example:8200\"",
        "address = \"127.0.0.1\"",
        "address = 8200",
        "tls_disable = true",
    ] {
        refusal(&listener(key));
    }
    for key in [
        "chroot_namespace = \"\"",
        "x_forwarded_for_authorized_addrs = []",
        "x_forwarded_for_reject_not_authorized = false",
        "x_forwarded_for_reject_not_present = \"false\"",
    ] {
        assert!(warnings(&listener(&format!("address = \"127.0.0.1:1\" {key}"))).is_empty(), "{key}");
    }
    assert!(refusal("seal \"awskms\" { kms_key_id = \"x\" }").contains("\"awskms\""));
    refusal("seal \"shamir\" { disabled = true }");
    refusal("seal \"file\" {}");
    refusal("seal {}");
    refusal("listener \"quic\" {}");
    refusal("listener \"tcp\" { tls_disable = true } listener \"tcp\" { tls_disable = true }");
    refusal("max_lease_ttl = \"1h\" default_lease_ttl = \"2h\"");
    refusal("max_lease_ttl = \"soon\"");
    refusal("ui = maybe");
    refusal("ui = true ui = true");
    assert!(refusal("\n\nlog_level = \"loud\"").contains("line 3"));
    assert!(refusal("{\"ui\": ").contains("line 1"));
}

#[test]
fn seal_of_shares_is_taken_and_a_flag_stands_before_it() {
    for text in ["seal \"shamir\" {}", "{\"seal\": {\"shamir\": {}}}", "{\"seal\": [{\"shamir\": {}}]}"] {
        let name = if text.starts_with('{') { "a.json" } else { "a.hcl" };
        assert_eq!(load(&[(name, text)]).unwrap().seal, SealKind::Shamir, "{text}");
    }
    assert_eq!(load(&[("a.hcl", "ui = false")]).unwrap().seal, SealKind::File);
    assert_eq!(load(&[("a.hcl", "seal \"shamir\" {}"), ("b.hcl", "ui = false")]).unwrap().seal, SealKind::Shamir);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.hcl");
    std::fs::write(&file, "seal \"shamir\" {}").unwrap();
    let flags = Overrides { seal: Some(SealKind::File), ..Overrides::default() };
    assert_eq!(Config::load_all(std::slice::from_ref(&file), flags, &host()).unwrap().seal, SealKind::File);
    let flags = Overrides { dev: Some(Dev::default()), ..Overrides::default() };
    assert!(Config::load_all(&[file], flags, &host()).is_err(), "development mode has no shares");
}

#[test]
fn other_keys_are_warned_of_by_name_once() {
    assert_eq!(warnings("pid_file = \"/run/x\""), ["pid_file is not used by this server"]);
    assert_eq!(warnings("api_adr = \"x\""), ["\"api_adr\" is not known to this server; api_addr is"]);
    assert_eq!(warnings("zebra = \"x\""), ["\"zebra\" is not known to this server and was passed over"]);
    assert_eq!(warnings("listener \"unix\" { address = \"/s\" }").len(), 1);
    let misspelt = warnings("listener \"tcp\" { tls_disable = true\n tls_cert_fil = \"x\" }");
    assert!(misspelt[0].ends_with("; tls_cert_file is"), "{misspelt:?}");
    for silent in
        ["ui = false", "disable_mlock = false", "pid_file = \"\"", "disable_cache = false", "plugin_directory = \"\""]
    {
        assert!(warnings(silent).is_empty(), "{silent}");
    }
}

#[test]
fn directory_is_its_files_in_order_and_the_later_stands() {
    let config = load(&[
        ("b.json", "{\"api_addr\": \"http://b\", \"pid_file\": \"/b\"}"),
        ("a.hcl", "api_addr = \"http://a\"\npid_file = \"/a\"\nmax_lease_ttl = \"2000h\"\n"),
        ("c.txt", "not read"),
    ])
    .unwrap();
    assert_eq!(config.advertise.as_deref(), Some("http://b"));
    assert_eq!(config.limits.max_lease_ttl, 7_200_000);
    assert_eq!(config.warnings, ["pid_file is not used by this server"]);
    assert!(matches!(load(&[]), Err(ConfigError::Read { .. })));
    let two =
        [("a.hcl", "listener \"tcp\" { tls_disable = true }"), ("b.hcl", "listener \"tcp\" { tls_disable = true }")];
    assert!(load(&two).is_err());
}

#[test]
fn toml_does_not_mix_with_others() {
    let dir = tempfile::tempdir().unwrap();
    let files = ["a.toml", "b.hcl"].map(|name| dir.path().join(name));
    for file in &files {
        std::fs::write(file, "").unwrap();
    }
    assert!(Config::load_all(&files, Overrides::default(), &host()).is_err());
    let (toml, hcl) = (&files[0], &files[1]);
    assert!(Config::load_all(&[toml.clone(), toml.clone()], Overrides::default(), &host()).is_err());
    assert!(Config::load_all(&[hcl.clone(), hcl.clone()], Overrides::default(), &host()).is_ok());
}

#[test]
fn nothing_of_a_refused_or_passed_over_value_is_repeated() {
    for text in [
        "storage \"postgresql\" { connection_url = [\"canary\"] }",
        "storage \"postgresql\" { connection_url = \"canary\" }",
        "storage \"postgresql\" { connection_url = \"canary",
        "seal \"transit\" { token = \"canary\" }",
        "max_lease_ttl = \"canary\"",
    ] {
        assert!(!refusal(text).contains("canary"), "{text}");
    }
    for text in ["password = \"canary\"", "storage \"inmem\" { password = \"canary\" }"] {
        assert!(!warnings(text).concat().contains("canary"), "{text}");
    }
}

/// Pieces that make texts near the grammar, and values of every kind.
fn near() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "listener",
        "storage",
        "seal",
        "ui",
        "tcp",
        "file",
        "api_addr",
        "max_lease_ttl",
        "\"tcp\"",
        "\"file\"",
        "\"x\"",
        "{",
        "}",
        "[",
        "]",
        "=",
        ",",
        ":",
        "\n",
        " ",
        "true",
        "1",
        "-1",
        "\"1h\"",
        "address",
        "path",
        "tls_disable",
        "\"",
        "${",
        "<<E\n",
        "null",
        "\"127.0.0.1:1\"",
        "\"listener\"",
        "\"storage\"",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.join(" "))
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_without_a_panic(text in prop_oneof![near(), ".*"]) {
        if let Ok(file) = VaultFile::parse(&text) {
            let _ = file.into_file();
        }
    }

    #[test]
    fn settings_mean_the_same_in_both_languages(
        ttl in 1_u64..1_000_000, port in any::<u16>(), path in "/[a-z/]{1,20}", is_plain in any::<bool>(),
    ) {
        let hcl = format!(
            "max_lease_ttl = {ttl}\nstorage \"file\" {{ path = \"{path}\" }}\n\
             listener \"tcp\" {{\n address = \"127.0.0.1:{port}\"\n tls_disable = {is_plain}\n \
             tls_cert_file = \"/c\"\n tls_key_file = \"/k\" }}"
        );
        let json = format!(
            r#"{{"max_lease_ttl": "{ttl}s", "storage": [{{"file": {{"path": "{path}"}}}}], "listener": {{"tcp":
               {{"address": "127.0.0.1:{port}", "tls_disable": "{is_plain}", "tls_cert_file": "/c", "tls_key_file": "/k"}}}}}}"#
        );
        let read = |text: &str| format!("{:?}", VaultFile::parse(text).unwrap().into_file().unwrap());
        prop_assert_eq!(read(&hcl), read(&json));
    }
}
