"""Tokens, AppRole, and users with passwords."""

from hvac.exceptions import Forbidden, InternalServerError, InvalidPath, InvalidRequest

from table import EMPTY, holds, row, status, text

ROWS = []
approle = lambda name: row(ROWS, f"auth.approle.{name}")
token = lambda name: row(ROWS, f"auth.token.{name}")
userpass = lambda name: row(ROWS, f"auth.userpass.{name}")

AUTH = {"client_token": text, "accessor": text, "renewable": True, "token_type": "service", "mfa_requirement": None}


@approle("create_or_update_approle")
def _(t):
    mount = t.auth_mount("approle")
    t.succeeds("r", token_policies=["a", "b"], token_ttl="10m", secret_id_num_uses=3, mount_point=mount, gives=EMPTY)
    found = t.root.auth.approle.read_role("r", mount_point=mount)["data"]
    assert (found["token_policies"], found["token_ttl"], found["secret_id_num_uses"]) == (["a", "b"], 600, 3), found
    t.refused(InvalidRequest, "r", token_ttl="2h", token_max_ttl="1h", mount_point=mount)
    t.forbidden("r", token_ttl="1h", mount_point=mount)


@approle("list_roles")
def _(t):
    mount, _ = with_role(t)
    t.succeeds(mount_point=mount, gives={"data": {"keys": ["r"]}})
    t.refused(InvalidPath, mount_point=t.auth_mount("approle"))
    t.forbidden(mount_point=mount)


@approle("read_role")
def _(t):
    mount, _ = with_role(t)
    gives = {"bind_secret_id": True, "secret_id_bound_cidrs": None, "secret_id_num_uses": 0, "secret_id_ttl": 0,
             "local_secret_ids": False, "token_bound_cidrs": [], "token_explicit_max_ttl": 0, "token_max_ttl": 0,
             "token_no_default_policy": False, "token_num_uses": 0, "token_period": 0, "token_policies": ["p"],
             "token_ttl": 0, "token_type": "default"}
    t.succeeds("r", mount_point=mount, gives={"data": gives})
    t.refused(InvalidPath, "none", mount_point=mount)
    t.forbidden("r", mount_point=mount)


@approle("delete_role")
def _(t):
    mount, _ = with_role(t)
    t.succeeds("r", mount_point=mount, gives=EMPTY)
    assert t.root.read(f"auth/{mount}/role/r") is None
    t.forbidden("r", mount_point=mount)


@approle("read_role_id")
def _(t):
    mount, _ = with_role(t)
    t.succeeds("r", mount_point=mount, gives={"data": {"role_id": lambda id: len(id) == 36}})
    t.refused(InvalidPath, "none", mount_point=mount)
    t.forbidden("r", mount_point=mount)


@approle("update_role_id")
def _(t):
    mount, _ = with_role(t)
    t.succeeds("r", "chosen", mount_point=mount, gives=EMPTY)
    assert t.root.auth.approle.read_role_id("r", mount_point=mount)["data"] == {"role_id": "chosen"}
    t.refused(InvalidPath, "none", "chosen", mount_point=mount)
    t.forbidden("r", "chosen", mount_point=mount)


@approle("generate_secret_id")
def _(t):
    mount, _ = with_role(t)
    gives = {"secret_id": text, "secret_id_accessor": text, "secret_id_ttl": 0, "secret_id_num_uses": 0}
    t.succeeds("r", metadata={"k": "v"}, mount_point=mount, gives={"data": gives})
    wrapped = {"wrap_info": {"token": text, "ttl": 60, "creation_path": f"auth/{mount}/role/r/secret-id"}}
    t.succeeds("r", wrap_ttl="60s", mount_point=mount, gives={**wrapped, "data": None})
    t.refused(InvalidRequest, "r", cidr_list=["nowhere"], mount_point=mount, oracle=InternalServerError)
    t.forbidden("r", mount_point=mount)


@approle("create_custom_secret_id")
def _(t):
    mount, role_id = with_role(t)
    secret_id = t.name("custom")
    t.succeeds("r", secret_id, metadata={"k": "v"}, mount_point=mount, gives={"data": {"secret_id": secret_id}})
    login = t.root.auth.approle.login(role_id, secret_id, use_token=False, mount_point=mount)
    assert login["auth"]["metadata"] == {"role_name": "r", "k": "v"}, login
    t.refused(InvalidRequest, "r", "", mount_point=mount)
    t.forbidden("r", "another", mount_point=mount)


@approle("list_secret_id_accessors")
def _(t):
    mount, _ = with_role(t)
    accessor = secret_id(t, mount)["secret_id_accessor"]
    t.succeeds("r", mount_point=mount, gives={"data": {"keys": [accessor]}})
    t.refused(InvalidRequest, "none", mount_point=mount, says="does not exist")
    t.forbidden("r", mount_point=mount)


@approle("read_secret_id")
def _(t):
    mount, _ = with_role(t)
    made = secret_id(t, mount)
    gives = {"secret_id_accessor": made["secret_id_accessor"], "metadata": {"k": "v"}, "cidr_list": [],
             "creation_time": text, "last_updated_time": text, "expiration_time": text, "secret_id_num_uses": 0,
             "secret_id_ttl": 0, "token_bound_cidrs": []}
    t.succeeds("r", made["secret_id"], mount_point=mount, gives={"data": gives})
    t.succeeds("r", "unknown", mount_point=mount, gives=EMPTY)
    t.refused(InvalidRequest, "none", made["secret_id"], mount_point=mount, oracle=InternalServerError)
    t.forbidden("r", made["secret_id"], mount_point=mount)


@approle("read_secret_id_accessor")
def _(t):
    mount, _ = with_role(t)
    accessor = secret_id(t, mount)["secret_id_accessor"]
    gives = {"data": {"secret_id_accessor": accessor, "metadata": {"k": "v"}}}
    t.succeeds("r", accessor, mount_point=mount, gives=gives)
    t.refused(InvalidPath, "r", "unknown", mount_point=mount)
    t.forbidden("r", accessor, mount_point=mount)


@approle("destroy_secret_id")
def _(t):
    mount, role_id = with_role(t)
    made = secret_id(t, mount)["secret_id"]
    t.succeeds("r", made, mount_point=mount, gives=EMPTY)
    try:
        t.nobody.auth.approle.login(role_id, made, use_token=False, mount_point=mount)
        raise AssertionError("a destroyed secret id lets in")
    except InvalidRequest:
        pass
    t.refused(InvalidRequest, "none", made, mount_point=mount, oracle=InternalServerError)
    t.forbidden("r", made, mount_point=mount)


@approle("destroy_secret_id_accessor")
def _(t):
    mount, _ = with_role(t)
    accessor = secret_id(t, mount)["secret_id_accessor"]
    t.succeeds("r", accessor, mount_point=mount, gives=EMPTY)
    t.refused(InvalidRequest, "r", accessor, mount_point=mount, oracle=InternalServerError)
    t.forbidden("r", accessor, mount_point=mount)


@approle("login")
def _(t):
    mount, role_id = with_role(t)
    made = secret_id(t, mount)["secret_id"]
    auth = {**AUTH, "policies": ["default", "p"], "metadata": {"role_name": "r", "k": "v"}, "orphan": True,
            "lease_duration": 2764800, "entity_id": text}
    t.succeeds(role_id, made, use_token=False, mount_point=mount, by=t.nobody, gives={"auth": auth, "data": None})
    wrong = {"mount_point": mount, "use_token": False, "by": t.nobody, "says": "invalid role or secret ID"}
    t.refused(InvalidRequest, role_id, "wrong", **wrong)
    t.refused(InvalidRequest, "wrong", made, **wrong)


@token("create")
def _(t):
    auth = {**AUTH, "policies": ["default", "p"], "token_policies": ["default", "p"], "lease_duration": 3600,
            "metadata": {"k": "v"}, "orphan": False, "entity_id": "", "num_uses": 2}
    t.succeeds(policies=["p"], ttl="1h", meta={"k": "v"}, num_uses=2, gives={"auth": auth, "data": None})
    batch = {"auth": {"token_type": "batch", "accessor": "", "renewable": False}}
    t.succeeds(policies=["p"], ttl="1h", type="batch", gives=batch)
    mild = t.as_token(t.token(policies=["creates-tokens"]))
    t.root.sys.create_or_update_policy("creates-tokens", {"path": {"auth/token/create": {"capabilities": ["update"]}}})
    t.refused(InvalidRequest, policies=["other"], by=mild, says="child policies must be subset of parent")
    t.refused(InvalidRequest, id="s.chosen")
    t.forbidden(policies=["nothing"])


@token("create_orphan")
def _(t):
    t.succeeds(policies=["p"], ttl="1h", gives={"auth": {**AUTH, "orphan": True, "lease_duration": 3600}})
    t.refused(InvalidRequest, ttl="soon")
    t.forbidden(policies=["nothing"])


@token("create_or_update_role")
def _(t):
    role = t.name("role")
    t.succeeds(role, allowed_policies="p", orphan=True, token_period="1h", gives=EMPTY)
    made = t.root.auth.token.create(role_name=role)["auth"]
    assert made["orphan"] and made["lease_duration"] == 3600 and made["policies"] == ["default", "p"], made
    t.refused(InvalidRequest, role, token_period="soon")
    t.forbidden(role)


@token("read_role")
def _(t):
    role = t.name("role")
    t.root.auth.token.create_or_update_role(role, allowed_policies="p,q", path_suffix="suffix")
    gives = {"name": role, "allowed_policies": ["p", "q"], "path_suffix": "suffix", "orphan": False, "renewable": True,
             "token_type": "default-service", "token_period": 0, "token_explicit_max_ttl": 0}
    t.succeeds(role, gives={"data": gives})
    t.refused(InvalidPath, "none")
    t.forbidden(role)


@token("list_roles")
def _(t):
    role = t.name("role")
    t.root.auth.token.create_or_update_role(role)
    t.succeeds(gives={"data": {"keys": holds(role)}})
    t.forbidden()


@token("delete_role")
def _(t):
    role = t.name("role")
    t.root.auth.token.create_or_update_role(role)
    t.succeeds(role, gives=EMPTY)
    assert t.root.read(f"auth/token/roles/{role}") is None
    t.forbidden(role)


@token("list_accessors")
def _(t):
    accessor = t.root.auth.token.create(policies=["p"])["auth"]["accessor"]
    t.succeeds(gives={"data": {"keys": holds(accessor)}})
    t.forbidden()


@token("lookup")
def _(t):
    made = t.token(policies=["p"], ttl="1h", meta={"k": "v"}, display_name="x")
    gives = {"id": made, "policies": ["default", "p"], "meta": {"k": "v"}, "display_name": "token-x", "type": "service",
             "ttl": int, "creation_ttl": 3600, "creation_time": int, "expire_time": text, "issue_time": text,
             "explicit_max_ttl": 0, "num_uses": 0, "orphan": False, "path": "auth/token/create", "renewable": True,
             "entity_id": "", "accessor": text}
    t.succeeds(made, gives={"data": gives})
    t.refused(Forbidden, "unknown", says="bad token")
    t.forbidden(made)


@token("lookup_self")
def _(t):
    t.succeeds(gives={"data": {"id": "root", "policies": ["root"], "ttl": 0, "expire_time": None, "type": "service"}})
    t.forbidden()
    t.refused(Forbidden, by=t.as_token("unknown"), says="permission denied")


@token("lookup_accessor")
def _(t):
    accessor = t.root.auth.token.create(policies=["p"])["auth"]["accessor"]
    t.succeeds(accessor, gives={"data": {"accessor": accessor, "id": "", "policies": ["default", "p"]}})
    t.refused(InvalidRequest, "unknown")
    t.forbidden(accessor)


@token("renew")
def _(t):
    made = t.token(policies=["p"], ttl="1h")
    t.succeeds(made, increment="2h", gives={"auth": {**AUTH, "client_token": made, "lease_duration": 7200}})
    t.refused(InvalidRequest, "unknown", says="token not found")
    t.forbidden(made)


@token("renew_self")
def _(t):
    mine = t.as_token(t.token(policies=["p"], ttl="1h"))
    t.succeeds(increment="30m", by=mine, gives={"auth": {**AUTH, "client_token": mine.token, "lease_duration": 1800}})
    t.refused(InvalidRequest, says="lease is not renewable")
    t.forbidden()


@token("renew_accessor")
def _(t):
    accessor = t.root.auth.token.create(policies=["p"], ttl="1h")["auth"]["accessor"]
    t.succeeds(accessor, increment=600, gives={"auth": {"accessor": accessor, "client_token": "", "lease_duration": 600}})
    t.refused(InvalidRequest, "unknown")
    t.forbidden(accessor)


@token("revoke")
def _(t):
    made = t.as_token(t.token(policies=["p"]))
    t.succeeds(made.token, gives=EMPTY)
    assert not made.is_authenticated()
    t.succeeds("unknown", gives=EMPTY)
    t.refused(InvalidRequest, "", says="missing token")
    t.forbidden("unknown")


@token("revoke_self")
def _(t):
    mine = t.as_token(t.token(policies=["p"]))
    t.succeeds(by=mine, gives=EMPTY)
    t.refused(Forbidden, by=mine)
    t.forbidden()


@token("revoke_accessor")
def _(t):
    made = t.root.auth.token.create(policies=["p"])["auth"]
    t.succeeds(made["accessor"], gives=EMPTY)
    assert not t.as_token(made["client_token"]).is_authenticated()
    t.refused(InvalidRequest, "")
    t.forbidden(made["accessor"])


@token("revoke_and_orphan_children")
def _(t):
    t.root.sys.create_or_update_policy("creates-tokens", {"path": {"auth/token/create": {"capabilities": ["update"]}}})
    parent = t.as_token(t.token(policies=["creates-tokens"]))
    child = t.as_token(parent.auth.token.create(policies=["default"])["auth"]["client_token"])
    t.succeeds(parent.token, gives=EMPTY)
    assert not parent.is_authenticated() and child.auth.token.lookup_self()["data"]["orphan"]
    t.refused(InvalidRequest, "unknown")
    t.forbidden(child.token)


@token("tidy")
def _(t):
    t.succeeds(gives=status(202))
    t.forbidden()


@userpass("create_or_update_user")
def _(t):
    mount = t.auth_mount("userpass")
    t.succeeds("Alice", "pw", policies="p", mount_point=mount, gives=EMPTY)
    t.nobody.auth.userpass.login("alice", "pw", use_token=False, mount_point=mount)
    t.refused(InvalidRequest, "bob", mount_point=mount)
    t.forbidden("bob", "pw", mount_point=mount)


@userpass("list_user")
def _(t):
    mount = with_user(t)
    t.succeeds(mount_point=mount, gives={"data": {"keys": ["alice"]}})
    t.refused(InvalidPath, mount_point=t.auth_mount("userpass"))
    t.forbidden(mount_point=mount)


@userpass("read_user")
def _(t):
    mount = with_user(t)
    gives = {"token_policies": ["p"], "token_ttl": 0, "token_max_ttl": 0, "token_type": "default", "token_num_uses": 0,
             "token_bound_cidrs": [], "token_period": 0, "token_no_default_policy": False}
    t.succeeds("alice", mount_point=mount, gives={"data": gives})
    t.refused(InvalidPath, "none", mount_point=mount)
    t.forbidden("alice", mount_point=mount)


@userpass("update_password_on_user")
def _(t):
    mount = with_user(t)
    t.succeeds("alice", "new", mount_point=mount, gives=EMPTY)
    t.nobody.auth.userpass.login("alice", "new", use_token=False, mount_point=mount)
    t.refused(InvalidRequest, "alice", "", mount_point=mount)
    t.forbidden("alice", "new", mount_point=mount)


@userpass("delete_user")
def _(t):
    mount = with_user(t)
    t.succeeds("alice", mount_point=mount, gives=EMPTY)
    assert t.root.read(f"auth/{mount}/users/alice") is None
    t.forbidden("alice", mount_point=mount)


@userpass("login")
def _(t):
    mount = with_user(t)
    auth = {**AUTH, "policies": ["default", "p"], "metadata": {"username": "alice"}, "orphan": True, "entity_id": text}
    t.succeeds("alice", "pw", use_token=False, mount_point=mount, by=t.nobody, gives={"auth": auth})
    wrong = {"mount_point": mount, "use_token": False, "by": t.nobody, "says": "invalid username or password"}
    t.refused(InvalidRequest, "alice", "wrong", **wrong)
    t.refused(InvalidRequest, "nobody", "pw", **wrong)


def with_role(t):
    mount = t.auth_mount("approle")
    t.root.auth.approle.create_or_update_approle("r", token_policies=["p"], mount_point=mount)
    return mount, t.root.auth.approle.read_role_id("r", mount_point=mount)["data"]["role_id"]


def secret_id(t, mount):
    return t.root.auth.approle.generate_secret_id("r", metadata={"k": "v"}, mount_point=mount)["data"]


def with_user(t):
    mount = t.auth_mount("userpass")
    t.root.auth.userpass.create_or_update_user("alice", "pw", policies="p", mount_point=mount)
    return mount
