# Sees who may do what and what was done: names, metadata, the log. No value, no change.

# The log.
path "sys/audit-log" {
  capabilities = ["read", "list"]
}
path "sys/audit-log/*" {
  capabilities = ["read", "list", "scan"]
}
path "sys/audit" {
  capabilities = ["read", "list", "sudo"]
}

# Names of secrets in every mount; the metadata of those in secret/. In a mount of the first KV version a path that
# begins with metadata/ would be a value, so elsewhere nothing is read.
path "secret/metadata/*" {
  capabilities = ["read", "list", "scan"]
}
path "+/metadata/*" {
  capabilities = ["list", "scan"]
}

# Keys without their private parts.
path "transit/keys" {
  capabilities = ["list"]
}
path "transit/keys/*" {
  capabilities = ["read", "list"]
}
path "transit/config/keys" {
  capabilities = ["read"]
}
path "transit/export/public-key/*" {
  capabilities = ["read"]
}
path "transit/export/certificate-chain/*" {
  capabilities = ["read"]
}

# Who may do what.
path "sys/policy" {
  capabilities = ["read", "list"]
}
path "sys/policy/*" {
  capabilities = ["read", "list"]
}
path "sys/policies/*" {
  capabilities = ["read", "list"]
}
path "sys/mounts" {
  capabilities = ["read", "list"]
}
path "sys/mounts/*" {
  capabilities = ["read"]
}
path "sys/auth" {
  capabilities = ["read", "list"]
}
path "sys/auth/*" {
  capabilities = ["read", "sudo"]
}
path "identity/entity/*" {
  capabilities = ["read", "list"]
}
path "identity/entity-alias/*" {
  capabilities = ["read", "list"]
}
path "identity/group/*" {
  capabilities = ["read", "list"]
}
path "identity/group-alias/*" {
  capabilities = ["read", "list"]
}
path "auth/token/accessors" {
  capabilities = ["list", "sudo"]
}
path "auth/token/lookup-accessor" {
  capabilities = ["update"]
}
path "auth/token/roles/*" {
  capabilities = ["read", "list"]
}
path "sys/leases/lookup/*" {
  capabilities = ["list", "sudo"]
}

# Approvals and rotations, past and pending.
path "sys/approvals/*" {
  capabilities = ["read", "list"]
}
path "sys/rotations/*" {
  capabilities = ["read", "list"]
}
