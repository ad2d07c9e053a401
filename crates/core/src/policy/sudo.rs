//! Paths that need the capability `sudo` besides the one of the operation.

use super::operation::Operation;

/// Whether a request needs `sudo`: what reaches past policies, or touches everybody's tokens and leases.
pub fn needs_sudo(path: &str, operation: Operation) -> bool {
    if let Some(rest) = path.strip_prefix("sys/") {
        let bare = rest.strip_suffix('/').unwrap_or(rest);
        SYSTEM_PATHS.contains(&bare)
            || SYSTEM_PREFIXES.iter().any(|prefix| rest.starts_with(prefix))
            || operation.enumerates() && rest.starts_with("leases/lookup/")
    } else if let Some(rest) = path.strip_prefix("auth/token/") {
        let bare = rest.strip_suffix('/').unwrap_or(rest);
        bare == "accessors"
    } else {
        false
    }
}

const SYSTEM_PATHS: [&str; 13] = [
    "audit",
    "backup",
    "backup/seal-key",
    "config/cors",
    "leases",
    "raw",
    "remount",
    "rotate",
    "rotate/keyring",
    "rotate/retire",
    "rotate/root",
    "seal",
    "step-down",
];

const SYSTEM_PREFIXES: [&str; 16] = [
    "audit/",
    "auth/",
    "config/auditing/",
    "config/ui/headers/",
    "generate-root-token/",
    "generate-root/",
    "internal/inspect/",
    "leases/revoke-force/",
    "leases/revoke-prefix/",
    "plugins/catalog/",
    "raw/",
    "rekey/",
    "revoke-force/",
    "revoke-prefix/",
    "rotate/recovery/",
    "rotate/root/",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needs_sudo_holds_for_the_listed_paths_only() {
        for (path, needed) in [
            ("sys/audit", true),
            ("sys/audit/", true),
            ("sys/backup", true),
            ("sys/backup/seal-key", true),
            ("sys/audit/file", true),
            ("sys/audit-log/entries", false),
            ("sys/audit-hash/file", false),
            ("sys/auth", false),
            ("sys/auth/", true),
            ("sys/auth/jwt", true),
            ("sys/auth/jwt/tune", true),
            ("sys/seal", true),
            ("sys/seal-status", false),
            ("sys/step-down", true),
            ("sys/leases", true),
            ("sys/leases/revoke", false),
            ("sys/leases/revoke-prefix/a", true),
            ("sys/raw/core/x", true),
            ("sys/generate-root/attempt", true),
            ("sys/generate-root-token/update", true),
            ("sys/generate-root-tokens", false),
            ("sys/rekey/init", true),
            ("sys/rotate/recovery/init", true),
            ("sys/rotate/root", true),
            ("sys/rotate/root/init", true),
            ("sys/rotate/retire", true),
            ("sys/rotate/config", false),
            ("sys/mounts/x", false),
            ("auth/token/accessors/", true),
            // It asks for it itself.
            ("auth/token/revoke-orphan", false),
            ("auth/token/create", false),
            ("secret/data/sys/raw", false),
        ] {
            assert_eq!(needs_sudo(path, Operation::Update), needed, "{path}");
        }
        assert!(needs_sudo("sys/leases/lookup/auth/", Operation::List));
        assert!(!needs_sudo("sys/leases/lookup", Operation::Update));
    }
}
