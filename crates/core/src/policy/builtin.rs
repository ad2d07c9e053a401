//! The policies that a new server starts with: ordinary texts, read like any other. `root` is not among them; it has
//! no text.

/// A policy's name and its text.
#[derive(Clone, Copy, Debug)]
pub struct Builtin {
    /// The name.
    pub name: &'static str,
    /// The text.
    pub text: &'static str,
}

/// All of them, by name.
pub const ALL: [Builtin; 5] = [
    Builtin { name: "administrator", text: ADMINISTRATOR },
    Builtin { name: "auditor", text: AUDITOR },
    Builtin { name: "default", text: DEFAULT },
    Builtin { name: "operator", text: OPERATOR },
    Builtin { name: "service", text: SERVICE },
];

/// What every token may do unless it was made without: look after itself.
pub const DEFAULT: &str = include_str!("builtin/default.hcl");

/// What a wrapping token may do: give out what it wraps, or end. It is fixed and stored nowhere.
pub const RESPONSE_WRAPPING: &str = include_str!("builtin/response-wrapping.hcl");

/// Everything but what only root may do and but the use of keys.
pub const ADMINISTRATOR: &str = include_str!("builtin/administrator.hcl");

/// Runs the server: seal, health, metrics, leases, configuration. No value, no policy, no token.
pub const OPERATOR: &str = include_str!("builtin/operator.hcl");

/// Sees who may do what and what was done: names, metadata, the log. No value, no change.
pub const AUDITOR: &str = include_str!("builtin/auditor.hcl");

/// Reads the secrets of the scope in its entity's metadata `scope`, and nothing else.
///
/// A service's view is that of the service over its environment over its project, so with the scope `acme:prod:api`
/// the secrets directly under `acme`, `acme:prod` and `acme:prod:api` are read, but none of another environment or
/// service. With a shorter scope the deeper rules do not exist.
pub const SERVICE: &str = include_str!("builtin/service.hcl");

#[cfg(test)]
mod keys;
#[cfg(test)]
mod tests {
    use super::super::operation::Operation::{self, Create, Delete, List, Patch, Read, Scan, Update};
    use super::super::{Acl, Entity, Policy, Request, Subject};
    use super::*;

    fn acl(text: &str, scope: &str) -> Acl {
        let entity =
            Entity { id: "e-1", name: "api", metadata: [("scope", scope)].into_iter().collect(), aliases: Vec::new() };
        let subject = Subject { entity: Some(entity), groups: Vec::new() };
        Acl::compile([&Policy::parse("p", text).unwrap()], &subject)
    }

    fn allowed(acl: &Acl, operation: Operation, path: &str) -> bool {
        acl.check(&Request { path, operation, parameters: &(), wrap_ttl: None, now: 0 }).is_allowed()
    }

    fn expect(acl: &Acl, granted: &[(Operation, &str)], refused: &[(Operation, &str)]) {
        for (operation, path) in granted {
            assert!(allowed(acl, *operation, path), "{operation} {path} must be allowed");
        }
        for (operation, path) in refused {
            assert!(!allowed(acl, *operation, path), "{operation} {path} must be refused");
        }
    }

    #[test]
    fn builtin_policies_parse() {
        for Builtin { name, text } in ALL {
            let policy = Policy::parse(name, text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(policy.is_templated(), matches!(name, "default" | "service"), "{name}");
        }
        assert!(ALL.is_sorted_by_key(|builtin| builtin.name));
    }

    #[test]
    fn builtin_default_looks_after_itself_only() {
        expect(
            &acl(DEFAULT, "acme"),
            &[
                (Read, "auth/token/lookup-self"),
                (Update, "auth/token/renew-self"),
                (Update, "sys/capabilities-self"),
                (Read, "identity/entity/id/e-1"),
                (Read, "identity/entity/name/api"),
                (Update, "sys/wrapping/unwrap"),
                (List, "cubbyhole/"),
                (Create, "cubbyhole/a/b"),
            ],
            &[
                (Update, "auth/token/create"),
                (Read, "identity/entity/id/e-2"),
                (Read, "secret/data/a"),
                (List, "secret/metadata/"),
                (Update, "sys/leases/revoke"),
                (Read, "sys/mounts"),
            ],
        );
    }

    #[test]
    fn builtin_administrator_manages_all_but_keys_in_use_and_root_paths() {
        expect(
            &acl(ADMINISTRATOR, ""),
            &[
                (Read, "secret/data/acme/A"),
                (Create, "secret/data/acme/A"),
                (Patch, "secret/data/acme/A"),
                (Scan, "secret/metadata/"),
                (Update, "sys/policies/acl/p"),
                (Update, "sys/auth/jwt"),
                (Update, "sys/mounts/kv"),
                (Update, "sys/seal"),
                (List, "sys/leases/lookup/auth/"),
                (Update, "auth/token/create"),
                (Create, "transit/keys/k"),
                (Update, "transit/keys/k/rotate"),
                (Delete, "transit/keys/k"),
                (Read, "sys/audit-log/entries"),
            ],
            &[
                (Update, "transit/encrypt/k"),
                (Create, "transit/encrypt/k"),
                (Update, "transit/decrypt/k"),
                (Update, "transit/sign/k/sha2-256"),
                (Update, "transit/hmac/k"),
                (Update, "transit/datakey/plaintext/k"),
                (Read, "transit/export/encryption-key/k"),
                (Read, "transit/backup/k"),
                (Update, "transit/keys/k/csr"),
                (Read, "sys/backup/seal-key"),
                (Read, "sys/raw/core/x"),
                (List, "sys/raw/"),
                (Update, "sys/generate-root/update"),
                (Update, "sys/rekey/init"),
                (Read, "sys/internal/inspect/router/root"),
            ],
        );
    }

    #[test]
    fn builtin_operator_sees_no_value_and_grants_nothing() {
        expect(
            &acl(OPERATOR, ""),
            &[
                (Update, "sys/seal"),
                (Update, "sys/step-down"),
                (Read, "sys/metrics"),
                (Update, "sys/leases/revoke"),
                (Update, "sys/leases/revoke-prefix/auth/x"),
                (List, "sys/leases/lookup/auth/"),
                (Read, "sys/mounts"),
                (Update, "sys/mounts/secret/tune"),
                (Update, "sys/auth/jwt/tune"),
                (Read, "sys/key-status"),
                (Update, "sys/rotate"),
                (Update, "sys/rotate/retire"),
                (Read, "sys/backup"),
                (Update, "sys/config/cors"),
            ],
            &[
                (Read, "secret/data/a"),
                (List, "secret/metadata/"),
                (Update, "sys/mounts/kv"),
                (Delete, "sys/mounts/secret"),
                (Update, "sys/auth/jwt"),
                (Update, "sys/policies/acl/p"),
                (Update, "auth/token/create"),
                (Update, "transit/decrypt/k"),
                (Read, "sys/audit-log/entries"),
                (Read, "sys/backup/seal-key"),
                (Read, "sys/raw/x"),
                (Delete, "sys/audit/file"),
            ],
        );
    }

    #[test]
    fn builtin_auditor_reads_log_and_metadata_and_changes_nothing() {
        let acl = acl(AUDITOR, "");
        expect(
            &acl,
            &[
                (Read, "sys/audit-log/checkpoint"),
                (List, "sys/audit-log/entries/"),
                (List, "secret/metadata/acme/"),
                (List, "secret/metadata/"),
                (Read, "secret/metadata/acme/A"),
                (List, "kv/metadata/"),
                (List, "transit/keys/"),
                (Read, "transit/keys/k"),
                (List, "sys/policies/acl/"),
                (Read, "sys/policies/acl/p"),
                (List, "auth/token/accessors/"),
                (List, "identity/entity/id/"),
            ],
            &[
                (Read, "secret/data/acme/A"),
                (Read, "kv/metadata/a"),
                (Read, "cubbyhole/a"),
                (Read, "transit/export/encryption-key/k"),
                (Update, "transit/decrypt/k"),
                (Read, "secret/subkeys/a"),
            ],
        );
        for path in ["secret/metadata/a", "sys/policies/acl/p", "sys/audit-log/x", "transit/keys/k", "sys/auth/jwt"] {
            for operation in [Create, Update, Patch, Delete] {
                assert!(!allowed(&acl, operation, path), "{operation} {path}");
            }
        }
    }

    #[test]
    fn builtin_service_reads_its_scope_only() {
        let service = acl(SERVICE, "acme:prod:api");
        expect(
            &service,
            &[
                (Read, "secret/data/acme/prod/api/A"),
                (Read, "secret/data/acme/prod/A"),
                (Read, "secret/data/acme/A"),
                (List, "secret/metadata/acme/prod/api/"),
                (List, "secret/metadata/acme/prod/"),
                (List, "secret/metadata/acme/"),
            ],
            &[
                (Read, "secret/data/acme/prod/web/A"),
                (Read, "secret/data/acme/dev/A"),
                (Read, "secret/data/acme/dev/api/A"),
                (Read, "secret/data/acme/prod/api/A/B"),
                (Read, "secret/data/other/A"),
                (Read, "secret/data/A"),
                (List, "secret/metadata/"),
                (List, "secret/metadata/acme/dev/"),
                (Read, "secret/metadata/acme/prod/api/A"),
                (Update, "secret/data/acme/prod/api/A"),
                (Delete, "secret/data/acme/prod/api/A"),
            ],
        );
        expect(
            &acl(SERVICE, "acme:prod"),
            &[(Read, "secret/data/acme/prod/A"), (Read, "secret/data/acme/A")],
            &[(Read, "secret/data/acme/prod/api/A")],
        );
        for scope in ["", "acme:*", "acme:prod:api:x", "Acme", ":", "acme/prod"] {
            assert_eq!(acl(SERVICE, scope).rules(0).count(), 0, "{scope}");
        }
    }
}
