//! What is refused, what stands before what, and the samples.

use super::*;

fn host() -> Host {
    Host { is_root: false, home: Some("/home/ada".into()), temp: "/tmp".into() }
}

fn from_text(text: &str) -> Result<Config, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("coffer.toml");
    std::fs::write(&path, text).unwrap();
    Config::load(Some(&path), Overrides::default(), &host())
}

#[test]
fn sample_files_all_parse() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/samples");
    let mut seen = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "toml") {
            Config::load(Some(&path), Overrides::default(), &host()).unwrap_or_else(|e| panic!("{e}"));
            seen += 1;
        }
    }
    assert!(seen >= 3, "only {seen} samples found");
}

#[test]
fn full_sample_names_every_key() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/samples/full.toml");
    let table: toml::Table = std::fs::read_to_string(&path).unwrap().parse().unwrap();
    let keys = |table: &toml::Table| table.keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        keys(&table),
        [
            "advertise",
            "audit",
            "backup",
            "data",
            "insecure_anonymous_rekey",
            "insecure_plain_http",
            "limits",
            "listen",
            "seal",
            "seal_key_file",
            "storage",
            "tls"
        ]
    );
    assert_eq!(keys(table["tls"].as_table().unwrap()), ["cert_file", "key_file", "min_version"]);
    assert_eq!(keys(table["audit"].as_table().unwrap()), ["dir", "read_durability", "scrub_every_seconds"]);
    // Every key but `daily_at`, which goes with no `every_seconds`.
    assert_eq!(table["backup"].as_table().unwrap().len(), 7);
    assert_eq!(table["limits"].as_table().unwrap().len(), 12);
    let config = Config::load(Some(&path), Overrides::default(), &host()).unwrap();
    assert_eq!((config.limits, config.listen), (Limits::default(), DEFAULT_LISTEN));
}

#[test]
fn defaults_without_file_are_loopback_and_sqlite_in_home() {
    let config = Config::load(None, Overrides::default(), &host()).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8200");
    assert_eq!(config.data.as_deref(), Some(Path::new("/home/ada/.local/share/coffer")));
    assert_eq!(config.storage.expose(), "sqlite:/home/ada/.local/share/coffer/store.db");
    assert_eq!(config.limits, Limits::default());

    let root = Host { is_root: true, ..host() };
    let config = Config::load(None, Overrides::default(), &root).unwrap();
    assert_eq!(config.data.as_deref(), Some(Path::new("/var/lib/coffer")));

    let nowhere = Host { home: None, ..host() };
    assert!(Config::load(None, Overrides::default(), &nowhere).is_err());
}

#[test]
fn override_beats_file_beats_default() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.toml");
    std::fs::write(&path, "listen='127.0.0.1:1'\ndata='/a'\n[limits]\nmax_connections=7\ncache_bytes=9\n").unwrap();
    let overrides = Overrides {
        listen: Some("127.0.0.1:2".parse().unwrap()),
        limits: LimitOverrides { max_connections: Some(8), ..LimitOverrides::default() },
        ..Overrides::default()
    };
    let config = Config::load(Some(&path), overrides, &host()).unwrap();
    assert_eq!(config.listen.port(), 2);
    assert_eq!(config.storage.expose(), "sqlite:/a/store.db");
    assert_eq!((config.limits.max_connections, config.limits.cache_bytes), (8, 9));
}

#[test]
fn unknown_key_is_refused_with_its_line() {
    for text in ["a=1\n", "\n\nlisten='127.0.0.1:1'\nlisten_on='x'\n", "[limits]\nmax=1\n", "[audit]\nfile='x'\n"] {
        let error = from_text(text).unwrap_err().to_string();
        assert!(error.contains("unknown field"), "{error}");
    }
    assert!(from_text("\n\n[limits]\nmax=1\n").unwrap_err().to_string().contains("line 4"));
}

#[test]
fn parse_error_never_shows_the_storage_password() {
    for text in [
        "storage='postgres://u:hunter2@h/db\n",
        "storage='postgres://u:hunter2@h/db' x",
        "storage='postgres://u:hunter2@h/db'\nstorage='postgres://u:hunter2@h/db'\n",
        "storage=['postgres://u:hunter2@h/db']\n",
    ] {
        let error = from_text(text).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
    let config = from_text("storage='postgres://u:hunter2@h/db'\n").unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn plain_http_beyond_loopback_needs_the_insecure_key() {
    for listen in ["0.0.0.0:8200", "192.0.2.1:80", "[::]:8200", "[::ffff:192.0.2.1]:1"] {
        assert!(matches!(from_text(&format!("listen='{listen}'")), Err(ConfigError::PlainHttp { .. })), "{listen}");
        let config = from_text(&format!("insecure_plain_http=true\nlisten='{listen}'")).unwrap();
        assert_eq!(config.warnings.len(), 1);
    }
    for listen in ["127.0.0.1:0", "127.8.9.1:80", "[::1]:8200", "[::ffff:127.0.0.1]:1"] {
        assert!(from_text(&format!("listen='{listen}'")).unwrap().warnings.is_empty());
    }
}

#[test]
fn tls_listens_anywhere_and_takes_both_files_or_none() {
    let both = "listen='0.0.0.0:8200'\n[tls]\ncert_file='/c'\nkey_file='/k'\n";
    let config = from_text(both).unwrap();
    assert_eq!(config.tls.unwrap().min_version, TlsVersion::Tls12);
    assert!(config.warnings.is_empty());
    let newer = from_text(&format!("{both}min_version='1.3'\n")).unwrap();
    assert_eq!(newer.tls.unwrap().min_version, TlsVersion::Tls13);
    for text in
        ["cert_file='/c'", "key_file='/k'", "min_version='1.2'", "cert_file='/c'\nkey_file='/k'\nmin_version='1.1'"]
    {
        assert!(from_text(&format!("[tls]\n{text}")).is_err(), "{text}");
    }
    assert!(from_text("").unwrap().tls.is_none());
}

#[test]
fn values_out_of_range_are_refused() {
    for text in [
        "advertise='vault.example:8200'",
        "advertise='http://a/'",
        "[limits]\nmax_connections=0",
        "[limits]\nmax_connections=65537",
        "[limits]\nrequest_body_bytes=33554433",
        "[limits]\nmin_free_percent_reads=51",
        "[limits]\nmax_lease_ttl=0",
        "[limits]\ndefault_lease_ttl=9\nmax_lease_ttl=8",
        "[limits]\nterm_max_age=3599",
        "[limits]\nterm_max_age=315360001",
        "[limits]\nbackup_growth_bytes=1048575",
        "[audit]\nread_durability='never'",
        "[audit]\nscrub_every_seconds=31536001",
        "[audit]\nscrub_every_seconds=-1",
        "insecure_plain_http=true\nlisten='0.0.0.0:1'\nstorage='postgres://h/db'",
    ] {
        assert!(from_text(text).is_err(), "{text}");
    }
}

#[test]
fn scrub_runs_hourly_unless_set_and_never_at_zero() {
    let every = |text: &str| from_text(text).unwrap().scrub_every.map(|every| every.as_secs());
    assert_eq!(every(""), Some(3600));
    assert_eq!(every("[audit]\nscrub_every_seconds=5"), Some(5));
    assert_eq!(every("[audit]\nscrub_every_seconds=31536000"), Some(31_536_000));
    assert_eq!(every("[audit]\nscrub_every_seconds=0"), None);
    let flag = Overrides { scrub_every_seconds: Some(0), ..Overrides::default() };
    assert_eq!(Config::load(None, flag, &host()).unwrap().scrub_every, None);
}

#[test]
fn file_beyond_a_mebibyte_is_refused() {
    let error = from_text(&" ".repeat((1 << 20) + 1)).unwrap_err();
    assert!(matches!(error, ConfigError::Read { .. }));
    from_text(&" ".repeat(1 << 20)).unwrap();
}

#[test]
fn seal_is_a_key_file_unless_set_and_strangers_give_no_shares_unless_allowed() {
    let config = from_text("").unwrap();
    assert_eq!((config.seal, config.insecure_anonymous_rekey), (SealKind::File, false));
    let config = from_text("seal='shamir'\ninsecure_anonymous_rekey=true").unwrap();
    assert_eq!((config.seal, config.insecure_anonymous_rekey, config.warnings.len()), (SealKind::Shamir, true, 1));
    assert!(config.warnings[0].contains("insecure_anonymous_rekey"));
    for text in ["seal='awskms'", "seal='Shamir'", "seal=3", "[seal]\ntype='shamir'"] {
        assert!(from_text(text).is_err(), "{text}");
    }
    let flag = Overrides { seal: Some(SealKind::Shamir), ..Overrides::default() };
    assert_eq!(Config::load(None, flag.clone(), &host()).unwrap().seal, SealKind::Shamir);
    let dev = Overrides { dev: Some(Dev::default()), ..flag };
    assert!(Config::load(None, dev, &host()).is_err());
}

#[test]
fn dev_excludes_storage_and_needs_no_data() {
    let dev = Overrides { dev: Some(Dev::default()), ..Overrides::default() };
    let config = Config::load(None, dev.clone(), &host()).unwrap();
    assert_eq!((config.storage.expose().as_str(), config.data), ("memory:", None));
    let both = Overrides { storage: Some("sqlite:/x".into()), ..dev };
    assert!(Config::load(None, both, &host()).is_err());
}
