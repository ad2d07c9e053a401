# Runs the server: seal, health, metrics, leases, configuration. No value, no policy, no token.

# Seal and leadership.
path "sys/seal" {
  capabilities = ["update", "sudo"]
}
path "sys/step-down" {
  capabilities = ["update", "sudo"]
}
path "sys/seal-status" {
  capabilities = ["read"]
}
path "sys/leader" {
  capabilities = ["read"]
}
path "sys/ha-status" {
  capabilities = ["read"]
}
path "sys/key-status" {
  capabilities = ["read"]
}
path "sys/rotate" {
  capabilities = ["update", "sudo"]
}
path "sys/rotate/retire" {
  capabilities = ["update", "sudo"]
}
path "sys/rotate/keyring" {
  capabilities = ["update", "sudo"]
}
path "sys/rotate/config" {
  capabilities = ["read", "update", "sudo"]
}

# Backups, as ciphertext: values in them are sealed, and nothing of them opens without the seal. The names of secrets and the
# log are in them, for whom they are encrypted to; to fix whom, allow the parameter "recipient" that one value.
path "sys/backup" {
  capabilities = ["read", "sudo"]
}

# Health and metrics.
path "sys/health" {
  capabilities = ["read"]
}
path "sys/metrics" {
  capabilities = ["read"]
}
path "sys/in-flight-req" {
  capabilities = ["read"]
}
path "sys/host-info" {
  capabilities = ["read"]
}
path "sys/version-history" {
  capabilities = ["list", "sudo"]
}

# Leases.
path "sys/leases" {
  capabilities = ["read", "list", "sudo"]
}
path "sys/leases/*" {
  capabilities = ["read", "update", "list", "sudo"]
}

# Configuration. Mounts are seen and tuned, neither made nor removed.
path "sys/config/*" {
  capabilities = ["create", "read", "update", "delete", "list", "sudo"]
}
path "sys/quotas/*" {
  capabilities = ["create", "read", "update", "delete", "list"]
}
path "sys/loggers" {
  capabilities = ["read", "update", "delete"]
}
path "sys/loggers/*" {
  capabilities = ["read", "update", "delete"]
}
path "sys/mounts" {
  capabilities = ["read", "list"]
}
path "sys/mounts/*" {
  capabilities = ["read"]
}
path "sys/mounts/+/tune" {
  capabilities = ["read", "update"]
}
path "sys/auth" {
  capabilities = ["read", "list"]
}
path "sys/auth/*" {
  capabilities = ["read", "sudo"]
}
path "sys/auth/+/tune" {
  capabilities = ["read", "update", "sudo"]
}
path "sys/audit" {
  capabilities = ["read", "list", "sudo"]
}
