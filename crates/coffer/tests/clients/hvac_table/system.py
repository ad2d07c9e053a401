"""What `sys` offers while the server is unsealed."""

from hvac.exceptions import Forbidden, InvalidPath, InvalidRequest

from table import EMPTY, holds, row, status, text

ROWS = []
sys = lambda name, **lacking: row(ROWS, f"sys.{name}", **lacking)

ENTRY = {"accessor": text, "description": "", "local": False, "seal_wrap": False, "uuid": text}
POLICY = 'path "secret/*" { capabilities = ["read"] }'


@sys("read_health_status", refusal="hvac raises nothing at a health that is not good")
def _(t):
    t.succeeds(method="HEAD", gives=status(200))
    gives = {"initialized": True, "sealed": False, "standby": False, "version": text, "server_time_utc": int,
             "cluster_name": text, "cluster_id": text, "replication_performance_mode": text, "replication_dr_mode": text}
    t.succeeds(method="GET", by=t.nobody, gives=gives)
    t.succeeds(method="GET", active_code=299, by=t.nobody, gives=status(299))
    t.succeeds(method="GET", active_code="x", gives=status(400))


@sys("step_down", refusal="where nothing stands by, OpenBao lets anyone ask")
def _(t):
    t.succeeds(gives=EMPTY)


@sys("list_mounted_secrets_engines")
def _(t):
    gives = {"sys/": {"type": "system", "accessor": text, "uuid": text, "description": text}, "cubbyhole/": {"type": "cubbyhole", "local": True},
             "identity/": {"type": "identity"}, "secret/": {"type": "kv", "options": {"version": "2"}}}
    t.succeeds(gives={**gives, "data": gives})
    t.forbidden()


@sys("enable_secrets_engine")
def _(t):
    path = t.name("kv")
    t.succeeds("kv", path=path, options={"version": 2}, config={"max_lease_ttl": "2h"}, gives=EMPTY)
    made = t.root.sys.list_mounted_secrets_engines()["data"][f"{path}/"]
    assert made["options"] == {"version": "2"} and made["config"]["max_lease_ttl"] == 7200, made
    t.refused(InvalidRequest, "kv", path=path, says="path is already in use")
    t.refused(InvalidRequest, "unheard-of")
    t.forbidden("kv", path="another")


@sys("disable_secrets_engine")
def _(t):
    path = t.mount("kv")
    t.succeeds(path, gives=EMPTY)
    assert f"{path}/" not in t.root.sys.list_mounted_secrets_engines()["data"]
    t.refused(InvalidRequest, "cubbyhole")
    t.forbidden("secret")


@sys("read_mount_configuration")
def _(t):
    path = t.mount("kv", config={"default_lease_ttl": "1h"})
    gives = {"default_lease_ttl": 3600, "max_lease_ttl": 2764800, "force_no_cache": False, "description": ""}
    t.succeeds(path, gives={**gives, "data": gives})
    t.refused(InvalidRequest, "none")
    t.forbidden(path)


@sys("retrieve_mount_option")
def _(t):
    t.succeeds("secret", "version", gives="2")
    t.succeeds("secret", "other", default_value="x", gives="x")
    t.forbidden("secret", "version")


@sys("tune_mount_configuration")
def _(t):
    path = t.mount("kv")
    t.succeeds(path, default_lease_ttl="1h", max_lease_ttl="2h", description="tuned", gives=EMPTY)
    found = t.root.sys.read_mount_configuration(path)["data"]
    assert (found["default_lease_ttl"], found["max_lease_ttl"], found["description"]) == (3600, 7200, "tuned"), found
    t.refused(InvalidRequest, path, default_lease_ttl="3h", max_lease_ttl="2h")
    t.forbidden(path, default_lease_ttl="1h")


@sys("move_backend")
def _(t):
    path, to = t.mount("kv"), t.name("moved")
    t.root.secrets.kv.v1.create_or_update_secret("a", {"k": "v"}, mount_point=path)
    moved = t.succeeds(path, to, gives={"migration_id": text, "data": {"migration_id": text}})
    assert t.root.read(f"sys/remount/status/{moved['migration_id']}")["data"]["migration_info"]["source_mount"]
    t.refused(InvalidRequest, "none", to)
    t.forbidden(to, path)


@sys("list_auth_methods")
def _(t):
    gives = {"token/": {**ENTRY, "type": "token", "description": text, "config": {"token_type": "default-service"}}}
    t.succeeds(gives={**gives, "data": gives})
    t.forbidden()


@sys("enable_auth_method")
def _(t):
    path = t.name("approle")
    t.succeeds("approle", path=path, description="d", gives=EMPTY)
    assert t.root.sys.list_auth_methods()["data"][f"{path}/"]["description"] == "d"
    t.refused(InvalidRequest, "approle", path=path, says="path is already in use")
    t.refused(InvalidRequest, "unheard-of")
    t.forbidden("approle", path="another")


@sys("disable_auth_method")
def _(t):
    path = t.auth_mount("userpass")
    t.succeeds(path, gives=EMPTY)
    t.refused(InvalidRequest, "token")
    t.forbidden(path)


@sys("read_auth_method_tuning")
def _(t):
    path = t.auth_mount("userpass")
    gives = {"default_lease_ttl": 2764800, "max_lease_ttl": 2764800, "token_type": "default-service"}
    t.succeeds(path, gives={**gives, "data": gives})
    t.refused(InvalidRequest, "none")
    t.forbidden(path)


@sys("tune_auth_method")
def _(t):
    path = t.auth_mount("userpass")
    t.succeeds(path, default_lease_ttl="1h", listing_visibility="unauth", gives=EMPTY)
    found = t.root.sys.read_auth_method_tuning(path)["data"]
    assert (found["default_lease_ttl"], found["listing_visibility"]) == (3600, "unauth"), found
    t.refused(InvalidRequest, path, default_lease_ttl="3h", max_lease_ttl="2h")
    t.forbidden(path, default_lease_ttl="1h")


@sys("list_policies")
def _(t):
    t.succeeds(gives={"policies": holds("default", "root"), "keys": holds("default"), "data": {"policies": list}})
    t.forbidden()


@sys("read_policy")
def _(t):
    t.root.sys.create_or_update_policy("p-read", POLICY)
    t.succeeds("P-Read", gives={"name": "p-read", "rules": POLICY, "data": {"name": "p-read", "rules": POLICY}})
    t.refused(InvalidPath, "none")
    t.forbidden("p-read")


@sys("create_or_update_policy")
def _(t):
    t.succeeds("p-dict", {"path": {"sys": {"policy": "deny"}}}, gives=EMPTY)
    t.refused(InvalidRequest, "p-bad", "path {", says="failed to parse policy")
    t.refused(InvalidRequest, "root", POLICY)
    t.forbidden("p-dict", POLICY)


@sys("delete_policy")
def _(t):
    t.root.sys.create_or_update_policy("p-gone", POLICY)
    t.succeeds("p-gone", gives=EMPTY)
    assert t.root.get_policy("p-gone") is None
    t.refused(InvalidRequest, "default")
    t.forbidden("p-gone")


@sys("list_acl_policies")
def _(t):
    t.succeeds(gives={"data": {"keys": holds("default", "root")}})
    t.forbidden()


@sys("read_acl_policy")
def _(t):
    t.root.sys.create_or_update_acl_policy("p-acl", POLICY)
    t.succeeds("p-acl", gives={"data": {"name": "p-acl", "policy": POLICY}})
    t.refused(InvalidPath, "none")
    t.forbidden("p-acl")


@sys("create_or_update_acl_policy")
def _(t):
    t.succeeds("p-acl-2", POLICY, gives=EMPTY)
    t.refused(InvalidRequest, "p-acl-2", "", says="'policy' parameter not supplied or empty")
    t.refused(InvalidRequest, "p-acl-2", 'path "x" { capabilities = ["fly"] }')
    t.forbidden("p-acl-2", POLICY)


@sys("delete_acl_policy")
def _(t):
    t.root.sys.create_or_update_acl_policy("p-acl-gone", POLICY)
    t.succeeds("p-acl-gone", gives=EMPTY)
    t.refused(InvalidRequest, "root")
    t.forbidden("p-acl-gone")


@sys("get_capabilities")
def _(t):
    t.root.sys.create_or_update_policy("p-caps", POLICY)
    made = t.root.auth.token.create(policies=["p-caps"])["auth"]
    both = {"secret/a": ["read"], "other": ["deny"]}
    t.succeeds(["secret/a", "other"], token=made["client_token"], gives={**both, "data": both})
    t.succeeds(["secret/a"], accessor=made["accessor"], gives={"capabilities": ["read"], "secret/a": ["read"]})
    t.succeeds(["any"], gives={"data": {"capabilities": ["root"], "any": ["root"]}})
    t.refused(InvalidRequest, ["any"], token="unknown")
    t.refused(InvalidRequest, [])
    t.forbidden(["any"])


@sys("list_enabled_audit_devices")
def _(t):
    t.succeeds(gives={"data": lambda devices: all(path.endswith("/") for path in devices)})
    t.forbidden()


@sys("enable_audit_device", success="audit devices are the configuration's, as in OpenBao by default")
def _(t):
    t.refused(InvalidRequest, "file", path="x", options={"file_path": "/dev/null"})
    t.forbidden("file", path="x", options={"file_path": "/dev/null"})


@sys("disable_audit_device", success="audit devices are the configuration's, as in OpenBao by default")
def _(t):
    device = next(iter(t.root.sys.list_enabled_audit_devices()["data"]))
    t.refused(InvalidRequest, device.rstrip("/"))
    t.forbidden(device.rstrip("/"))


@sys("calculate_hash")
def _(t):
    device = next(iter(t.root.sys.list_enabled_audit_devices()["data"])).rstrip("/")
    first = t.succeeds(device, "value", gives={"hash": lambda hash: len(hash) == len("hmac-sha256:") + 64})["hash"]
    t.succeeds(device, "value", gives={"data": {"hash": first}})
    t.refused(InvalidRequest, "none", "value")
    t.forbidden(device, "value")


@sys("get_encryption_key_status")
def _(t):
    gives = {"term": int, "install_time": text, "encryptions": int}
    t.succeeds(gives={**gives, "data": gives})
    t.forbidden()


@sys("rotate_encryption_key")
def _(t):
    before = t.root.key_status["term"]
    t.succeeds(gives=EMPTY)
    assert t.root.key_status["term"] == before + 1
    t.forbidden()


@sys("list_leases")
def _(t):
    prefix, _ = token_lease(t)
    t.succeeds(prefix, gives={"data": {"keys": lambda keys: len(keys) == 1}})
    t.refused(InvalidPath, "none")
    t.forbidden(prefix)


@sys("read_lease")
def _(t):
    _, lease = token_lease(t)
    gives = {"id": lease, "ttl": int, "renewable": True, "issue_time": text, "expire_time": text, "last_renewal": None}
    t.succeeds(lease, gives={"data": gives})
    t.refused(InvalidRequest, "unknown", says="invalid lease")
    t.forbidden(lease)


@sys("renew_lease", success="no engine here gives out a lease that is not a token's")
def _(t):
    _, lease = token_lease(t)
    t.refused(InvalidRequest, lease)
    t.refused(InvalidRequest, "unknown", says="lease not found")
    t.forbidden(lease)


@sys("revoke_lease")
def _(t):
    _, lease = token_lease(t)
    t.succeeds(lease, gives=EMPTY)
    t.succeeds("unknown", gives=EMPTY)
    t.refused(InvalidRequest, "", says="lease_id must be specified")
    t.forbidden(lease)


@sys("revoke_prefix")
def _(t):
    prefix, _ = token_lease(t)
    t.succeeds(prefix, gives=EMPTY)
    t.gone(t.root.sys.list_leases, prefix)
    t.forbidden(prefix)


@sys("revoke_force")
def _(t):
    prefix, _ = token_lease(t)
    t.succeeds(prefix, gives=EMPTY)
    t.gone(t.root.sys.list_leases, prefix)
    t.forbidden(prefix)


@sys("wrap")
def _(t):
    gives = {"token": text, "accessor": text, "ttl": 90, "creation_time": text, "creation_path": "sys/wrapping/wrap"}
    t.succeeds({"k": "v"}, ttl=90, gives={"wrap_info": gives, "data": None, "auth": None})
    t.refused(InvalidRequest, {"k": "v"}, ttl=-1)
    t.forbidden({"k": "v"})


@sys("unwrap")
def _(t):
    token = t.root.sys.wrap({"k": "v"})["wrap_info"]["token"]
    t.succeeds(token, gives={"data": {"k": "v"}, "wrap_info": None})
    t.refused(InvalidRequest, token, says="wrapping token is not valid or does not exist")
    another = t.root.sys.wrap({"k": "v"})["wrap_info"]["token"]
    t.refused(Forbidden, another, by=t.nobody)


def token_lease(t):
    """The lease of a token that a login gave out, and the prefix that it alone is under."""
    mount = t.auth_mount("userpass")
    t.root.auth.userpass.create_or_update_user("u", "pw", mount_point=mount)
    t.nobody.auth.userpass.login("u", "pw", use_token=False, mount_point=mount)
    prefix = f"auth/{mount}/login/u"
    key = t.root.sys.list_leases(prefix)["data"]["keys"][0]
    return prefix, f"{prefix}/{key}"
