"""The key-value engine in both versions."""

from hvac.exceptions import InvalidPath, InvalidRequest

from table import EMPTY, row, text

ROWS = []
v1 = lambda name: row(ROWS, f"secrets.kv.v1.{name}")
v2 = lambda name: row(ROWS, f"secrets.kv.v2.{name}")

VERSION = {"created_time": text, "custom_metadata": None, "deletion_time": "", "destroyed": False, "version": 1}


@v1("create_or_update_secret")
def _(t):
    mount = t.mount("kv")
    t.succeeds("a", {"n": 1}, mount_point=mount, gives=EMPTY)
    assert t.root.secrets.kv.v1.read_secret("a", mount_point=mount)["data"] == {"n": 1}
    t.refused(InvalidRequest, "a", {}, mount_point=mount, says="missing data fields")
    t.forbidden("a", {"n": 2}, mount_point=mount, method="POST")


@v1("read_secret")
def _(t):
    mount = with_v1(t, "dir/a")
    gives = {"data": {"k": "dir/a"}, "lease_id": "", "renewable": False, "lease_duration": 2764800, "auth": None}
    t.succeeds("dir/a", mount_point=mount, gives=gives)
    t.refused(InvalidPath, "none", mount_point=mount)
    t.forbidden("dir/a", mount_point=mount)


@v1("list_secrets")
def _(t):
    mount = with_v1(t, "b", "dir/a", "a")
    t.succeeds("", mount_point=mount, gives={"data": {"keys": ["a", "b", "dir/"]}})
    t.refused(InvalidPath, "none", mount_point=mount)
    t.forbidden("", mount_point=mount)


@v1("delete_secret")
def _(t):
    mount = with_v1(t, "a")
    t.succeeds("a", mount_point=mount, gives=EMPTY)
    t.succeeds("a", mount_point=mount, gives=EMPTY)
    t.forbidden("a", mount_point=mount)
    t.root.sys.disable_secrets_engine(mount)
    t.refused(InvalidPath, "a", mount_point=mount, says="no handler for route")


@v2("configure")
def _(t):
    mount = t.mount("kv-v2")
    t.succeeds(max_versions=3, cas_required=True, delete_version_after="1h", mount_point=mount, gives=EMPTY)
    t.forbidden(max_versions=3, mount_point=mount)
    t.refused(InvalidRequest, delete_version_after="soon", mount_point=mount)


@v2("read_configuration")
def _(t):
    mount = t.mount("kv-v2")
    t.root.secrets.kv.v2.configure(max_versions=7, delete_version_after="1h30m", mount_point=mount)
    gives = {"data": {"max_versions": 7, "cas_required": False, "delete_version_after": "1h30m0s"}}
    t.succeeds(mount_point=mount, gives=gives)
    t.forbidden(mount_point=mount)


@v2("create_or_update_secret")
def _(t):
    mount = t.mount("kv-v2")
    t.succeeds("a", {"k": "v"}, mount_point=mount, gives={"data": VERSION})
    t.succeeds("a", {"k": "w"}, cas=1, mount_point=mount, gives={"data": {**VERSION, "version": 2}})
    says = "check-and-set parameter did not match the current version"
    t.refused(InvalidRequest, "a", {"k": "x"}, cas=0, mount_point=mount, says=says)
    t.forbidden("a", {"k": "x"}, mount_point=mount)


@v2("read_secret")
def _(t):
    mount = with_versions(t, 2)
    t.succeeds("a", mount_point=mount, gives={"data": {"data": {"n": 2}, "metadata": {**VERSION, "version": 2}}})
    t.refused(InvalidPath, "none", mount_point=mount)
    t.forbidden("a", mount_point=mount)


@v2("read_secret_version")
def _(t):
    mount = with_versions(t, 2)
    t.succeeds("a", version=1, mount_point=mount, gives={"data": {"data": {"n": 1}, "metadata": VERSION}})
    t.refused(InvalidPath, "a", version=9, mount_point=mount)
    t.root.secrets.kv.v2.delete_secret_versions("a", [1], mount_point=mount)
    t.refused(InvalidPath, "a", version=1, mount_point=mount, raise_on_deleted_version=True)
    deleted = {"data": {"data": None, "metadata": {**VERSION, "deletion_time": text}}}
    t.succeeds("a", version=1, mount_point=mount, raise_on_deleted_version=False, gives=deleted)
    t.forbidden("a", version=1, mount_point=mount)


@v2("read_secret_metadata")
def _(t):
    mount = with_versions(t, 2)
    once = {"created_time": text, "deletion_time": "", "destroyed": False}
    gives = {"current_version": 2, "oldest_version": 0, "max_versions": 0, "cas_required": False,
             "delete_version_after": "0s", "custom_metadata": None, "created_time": text, "updated_time": text,
             "versions": {"1": once, "2": once}}
    t.succeeds("a", mount_point=mount, gives={"data": gives})
    t.refused(InvalidPath, "none", mount_point=mount)
    t.forbidden("a", mount_point=mount)


@v2("update_metadata")
def _(t):
    mount = with_versions(t, 1)
    t.succeeds("a", max_versions=4, custom_metadata={"owner": "me"}, mount_point=mount, gives=EMPTY)
    found = t.root.secrets.kv.v2.read_secret_metadata("a", mount_point=mount)["data"]
    assert (found["max_versions"], found["custom_metadata"]) == (4, {"owner": "me"}), found
    too_long = {"owner": "x" * 513}
    t.refused(InvalidRequest, "a", custom_metadata=too_long, mount_point=mount, says="custom_metadata validation failed")
    t.forbidden("a", max_versions=4, mount_point=mount)


@v2("list_secrets")
def _(t):
    mount = t.mount("kv-v2")
    for path in ("foo", "foo/bar", "baz"):
        t.root.secrets.kv.v2.create_or_update_secret(path, {}, mount_point=mount)
    t.succeeds("", mount_point=mount, gives={"data": {"keys": ["baz", "foo", "foo/"]}})
    t.refused(InvalidPath, "none", mount_point=mount)
    t.forbidden("", mount_point=mount)


@v2("patch")
def _(t):
    mount = with_versions(t, 1)
    t.succeeds("a", {"m": 5}, mount_point=mount, gives={"data": {**VERSION, "version": 2}})
    found = t.root.secrets.kv.v2.read_secret("a", mount_point=mount)["data"]["data"]
    assert found == {"n": 1, "m": 5}, found
    t.refused(InvalidPath, "none", {"m": 5}, mount_point=mount)
    t.forbidden("a", {"m": 5}, mount_point=mount)


@v2("delete_latest_version_of_secret")
def _(t):
    mount = with_versions(t, 2)
    t.succeeds("a", mount_point=mount, gives=EMPTY)
    times = deletion_times(t, mount)
    assert times["1"] == "" and times["2"] != "", times
    t.forbidden("a", mount_point=mount)


@v2("delete_secret_versions")
def _(t):
    mount = with_versions(t, 2)
    t.succeeds("a", [1], mount_point=mount, gives=EMPTY)
    times = deletion_times(t, mount)
    assert times["1"] != "" and times["2"] == "", times
    t.forbidden("a", [1], mount_point=mount)


@v2("undelete_secret_versions")
def _(t):
    mount = with_versions(t, 2)
    t.root.secrets.kv.v2.delete_secret_versions("a", [1, 2], mount_point=mount)
    t.succeeds("a", [1], mount_point=mount, gives=EMPTY)
    times = deletion_times(t, mount)
    assert times["1"] == "" and times["2"] != "", times
    t.forbidden("a", [1], mount_point=mount)


@v2("destroy_secret_versions")
def _(t):
    mount = with_versions(t, 2)
    t.succeeds("a", [1], mount_point=mount, gives=EMPTY)
    found = t.root.secrets.kv.v2.read_secret_metadata("a", mount_point=mount)["data"]["versions"]
    assert found["1"]["destroyed"] and not found["2"]["destroyed"], found
    t.refused(InvalidRequest, "a", ["x"], mount_point=mount)
    t.forbidden("a", [1], mount_point=mount)


@v2("delete_metadata_and_all_versions")
def _(t):
    mount = with_versions(t, 2)
    t.succeeds("a", mount_point=mount, gives=EMPTY)
    assert t.root.read(f"{mount}/metadata/a") is None
    t.forbidden("a", mount_point=mount)


def with_v1(t, *paths):
    mount = t.mount("kv", options={"version": "1"})
    for path in paths:
        t.root.secrets.kv.v1.create_or_update_secret(path, {"k": path}, mount_point=mount)
    return mount


def with_versions(t, count):
    mount = t.mount("kv-v2")
    for n in range(1, count + 1):
        t.root.secrets.kv.v2.create_or_update_secret("a", {"n": n}, mount_point=mount)
    return mount


def deletion_times(t, mount):
    versions = t.root.secrets.kv.v2.read_secret_metadata("a", mount_point=mount)["data"]["versions"]
    return {version: found["deletion_time"] for version, found in versions.items()}
