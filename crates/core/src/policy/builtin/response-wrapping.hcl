# What a token that wraps a response may do: give it out once, or end.

path "sys/wrapping/unwrap" {
  capabilities = ["update"]
}
path "cubbyhole/response" {
  capabilities = ["create", "read"]
}
path "auth/token/revoke-self" {
  capabilities = ["update"]
}
