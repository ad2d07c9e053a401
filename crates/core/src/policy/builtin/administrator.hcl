# Everything, secrets included, but what only root may do and but the use of keys.

path "*" {
  capabilities = ["create", "read", "update", "patch", "delete", "list", "scan", "sudo"]
}

# What reaches past policies stays with root.
path "sys/raw*" {
  capabilities = ["deny"]
}
path "sys/internal/inspect/*" {
  capabilities = ["deny"]
}
path "sys/generate-root*" {
  capabilities = ["deny"]
}
path "sys/rekey*" {
  capabilities = ["deny"]
}
path "sys/rotate/root/*" {
  capabilities = ["deny"]
}
path "sys/backup/seal-key" {
  capabilities = ["deny"]
}

# Keys are managed, not used and not taken out. While this text is as it came, that holds of every transit engine,
# wherever it is mounted or moved to; where it is changed, repeat this for those that are mounted elsewhere.
path "transit/encrypt/*" {
  capabilities = ["deny"]
}
path "transit/decrypt/*" {
  capabilities = ["deny"]
}
path "transit/rewrap/*" {
  capabilities = ["deny"]
}
path "transit/sign/*" {
  capabilities = ["deny"]
}
path "transit/verify/*" {
  capabilities = ["deny"]
}
path "transit/hmac/*" {
  capabilities = ["deny"]
}
path "transit/cmac/*" {
  capabilities = ["deny"]
}
path "transit/datakey/*" {
  capabilities = ["deny"]
}
path "transit/derive-key/*" {
  capabilities = ["deny"]
}
path "transit/keys/+/agree" {
  capabilities = ["deny"]
}
path "transit/keys/+/csr" {
  capabilities = ["deny"]
}
path "transit/keys/+/encapsulate" {
  capabilities = ["deny"]
}
path "transit/keys/+/decapsulate" {
  capabilities = ["deny"]
}
path "transit/keys/+/wrap" {
  capabilities = ["deny"]
}
path "transit/keys/+/unwrap" {
  capabilities = ["deny"]
}
path "transit/keys/+/use-compromised" {
  capabilities = ["deny"]
}
path "transit/export/*" {
  capabilities = ["deny"]
}
path "transit/byok-export/*" {
  capabilities = ["deny"]
}
path "transit/backup/*" {
  capabilities = ["deny"]
}

# What everybody may know of them.
path "transit/export/public-key/*" {
  capabilities = ["read"]
}
path "transit/export/certificate-chain/*" {
  capabilities = ["read"]
}
