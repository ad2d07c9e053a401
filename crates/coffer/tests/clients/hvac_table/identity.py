"""Entities, aliases and groups."""

from hvac.exceptions import InternalServerError, InvalidPath, InvalidRequest

from table import EMPTY, done, holds, row, text

ROWS = []
identity = lambda name: row(ROWS, f"secrets.identity.{name}")

ENTITY = {"aliases": list, "creation_time": text, "last_update_time": text, "disabled": False, "group_ids": list,
          "direct_group_ids": list, "inherited_group_ids": list, "metadata": {"k": "v"}, "policies": ["p"],
          "namespace_id": "root", "merged_entity_ids": None}
GROUP = {"alias": dict, "creation_time": text, "last_update_time": text, "member_entity_ids": list,
         "member_group_ids": None, "parent_group_ids": None, "metadata": None, "modify_index": int,
         "namespace_id": "root", "policies": list, "type": "internal"}


@identity("create_or_update_entity")
def _(t):
    name = t.name("entity")
    made = t.succeeds(name, metadata={"k": "v"}, policies=["p"], gives={"data": {"id": text, "name": name}})
    t.succeeds(name, entity_id=made["data"]["id"], disabled=True, gives=done)
    assert t.root.read(f"identity/entity/name/{name}")["data"]["disabled"] is True
    t.refused(InvalidRequest, name, policies=["root"])
    t.forbidden(name)


@identity("create_or_update_entity_by_name")
def _(t):
    name = t.name("entity")
    t.succeeds(name, metadata={"k": "v"}, gives={"data": {"id": text, "name": name}})
    t.succeeds(name, metadata={"k": "w"}, gives=done)
    assert t.root.read(f"identity/entity/name/{name}")["data"]["metadata"] == {"k": "w"}
    t.refused(InvalidRequest, name, policies=["root"])
    t.forbidden(name)


@identity("update_entity")
def _(t):
    id, name = entity(t)
    t.succeeds(id, name=name, metadata={"k": "w"}, gives=done)
    assert t.root.read(f"identity/entity/id/{id}")["data"]["metadata"] == {"k": "w"}
    t.refused(InvalidRequest, "unknown", name=name)
    t.forbidden(id)


@identity("read_entity")
def _(t):
    id, name = entity(t)
    t.succeeds(id, gives={"data": {**ENTITY, "id": id, "name": name}})
    t.refused(InvalidPath, "unknown")
    t.forbidden(id)


@identity("read_entity_by_name")
def _(t):
    id, name = entity(t)
    t.succeeds(name, gives={"data": {**ENTITY, "id": id, "name": name}})
    t.refused(InvalidPath, "unknown")
    t.forbidden(name)


@identity("list_entities")
def _(t):
    id, name = entity(t)
    for method in ("LIST", "GET"):
        t.succeeds(method=method, gives={"data": {"keys": holds(id), "key_info": {id: {"name": name}}}})
    t.forbidden()


@identity("list_entities_by_name")
def _(t):
    _, name = entity(t)
    t.succeeds(gives={"data": {"keys": holds(name)}})
    t.forbidden()


@identity("delete_entity")
def _(t):
    id, _ = entity(t)
    t.succeeds(id, gives=EMPTY)
    assert t.root.read(f"identity/entity/id/{id}") is None
    t.forbidden(id)


@identity("delete_entity_by_name")
def _(t):
    id, name = entity(t)
    t.succeeds(name, gives=EMPTY)
    assert t.root.read(f"identity/entity/id/{id}") is None
    t.forbidden(name)


@identity("merge_entities")
def _(t):
    (kept, _), (gone, _) = entity(t), entity(t)
    t.succeeds([gone], kept, gives=done)
    assert t.root.read(f"identity/entity/id/{kept}")["data"]["merged_entity_ids"] == [gone]
    t.refused(InvalidRequest, ["unknown"], kept)
    t.forbidden([gone], kept)


@identity("create_or_update_entity_alias")
def _(t):
    (id, _), accessor = entity(t), mount_accessor(t)
    made = t.succeeds("alice", id, accessor, gives={"data": {"id": text, "canonical_id": id}})["data"]["id"]
    t.succeeds("bob", id, accessor, alias_id=made, gives={"data": {"id": made, "canonical_id": id}})
    t.refused(InvalidRequest, "alice", id, "unknown")
    t.forbidden("alice", id, accessor)


@identity("update_entity_alias")
def _(t):
    (id, _), accessor = entity(t), mount_accessor(t)
    alias = entity_alias(t, id, accessor)
    t.succeeds(alias, "renamed", id, accessor, gives={"data": {"id": alias, "canonical_id": id}})
    assert t.root.read(f"identity/entity-alias/id/{alias}")["data"]["name"] == "renamed"
    t.refused(InvalidRequest, alias, "renamed", id, "unknown")
    t.forbidden(alias, "renamed", id, accessor)


@identity("read_entity_alias")
def _(t):
    (id, _), accessor = entity(t), mount_accessor(t)
    alias = entity_alias(t, id, accessor)
    gives = {"id": alias, "name": "alice", "canonical_id": id, "mount_accessor": accessor, "mount_type": "userpass",
             "mount_path": text, "creation_time": text, "last_update_time": text, "metadata": None,
             "custom_metadata": dict, "merged_from_canonical_ids": None, "namespace_id": "root", "local": False}
    t.succeeds(alias, gives={"data": gives})
    t.refused(InvalidPath, "unknown")
    t.forbidden(alias)


@identity("list_entity_aliases")
def _(t):
    (id, _), accessor = entity(t), mount_accessor(t)
    alias = entity_alias(t, id, accessor)
    info = {"canonical_id": id, "mount_accessor": accessor, "mount_type": "userpass", "name": "alice"}
    t.succeeds(gives={"data": {"keys": holds(alias), "key_info": {alias: info}}})
    t.forbidden()


@identity("delete_entity_alias")
def _(t):
    (id, _), accessor = entity(t), mount_accessor(t)
    alias = entity_alias(t, id, accessor)
    t.succeeds(alias, gives=EMPTY)
    assert t.root.read(f"identity/entity/id/{id}")["data"]["aliases"] == []
    t.forbidden(alias)


@identity("create_or_update_group")
def _(t):
    (id, _), name = entity(t), t.name("group")
    made = t.succeeds(name, policies=["p"], member_entity_ids=[id], gives={"data": {"id": text, "name": name}})
    t.succeeds(name, group_id=made["data"]["id"], policies=["q"], gives=done)
    assert t.root.read(f"identity/group/name/{name}")["data"]["policies"] == ["q"]
    t.refused(InvalidRequest, t.name("group"), member_entity_ids=["unknown"], oracle=InternalServerError)
    t.forbidden(name)


@identity("create_or_update_group_by_name")
def _(t):
    name = t.name("group")
    t.succeeds(name, policies=["p"], gives={"data": {"id": text, "name": name}})
    t.refused(InvalidRequest, t.name("group"), member_entity_ids=["unknown"], oracle=InternalServerError)
    t.forbidden(name)


@identity("update_group")
def _(t):
    id, name = group(t)
    t.succeeds(id, name, policies=["q"], gives=done)
    assert t.root.read(f"identity/group/id/{id}")["data"]["policies"] == ["q"]
    t.refused(InvalidRequest, "unknown", name)
    t.forbidden(id, name)


@identity("read_group")
def _(t):
    id, name = group(t)
    t.succeeds(id, gives={"data": {**GROUP, "id": id, "name": name, "policies": ["p"]}})
    t.refused(InvalidPath, "unknown")
    t.forbidden(id)


@identity("read_group_by_name")
def _(t):
    id, name = group(t)
    t.succeeds(name, gives={"data": {**GROUP, "id": id, "name": name}})
    t.refused(InvalidPath, "unknown")
    t.forbidden(name)


@identity("list_groups")
def _(t):
    id, name = group(t)
    t.succeeds(gives={"data": {"keys": holds(id), "key_info": {id: {"name": name}}}})
    t.forbidden()


@identity("list_groups_by_name")
def _(t):
    _, name = group(t)
    t.succeeds(gives={"data": {"keys": holds(name)}})
    t.forbidden()


@identity("delete_group")
def _(t):
    id, _ = group(t)
    t.succeeds(id, gives=EMPTY)
    assert t.root.read(f"identity/group/id/{id}") is None
    t.forbidden(id)


@identity("delete_group_by_name")
def _(t):
    id, name = group(t)
    t.succeeds(name, gives=EMPTY)
    assert t.root.read(f"identity/group/id/{id}") is None
    t.forbidden(name)


@identity("create_or_update_group_alias")
def _(t):
    (id, _), accessor = group(t, "external"), mount_accessor(t)
    gives = {"data": {"id": text, "canonical_id": id}}
    t.succeeds("staff", mount_accessor=accessor, canonical_id=id, gives=gives)
    internal, _ = group(t)
    t.refused(InvalidRequest, "staff-2", mount_accessor=accessor, canonical_id=internal)
    t.refused(InvalidRequest, "staff-3", mount_accessor="unknown", canonical_id=id)
    t.forbidden("staff", mount_accessor=accessor, canonical_id=id)


@identity("update_group_alias")
def _(t):
    id, accessor, alias = group_alias(t)
    t.succeeds(alias, "renamed", mount_accessor=accessor, canonical_id=id, gives={"data": {"id": alias}})
    assert t.root.read(f"identity/group-alias/id/{alias}")["data"]["name"] == "renamed"
    t.refused(InvalidRequest, alias, "renamed", mount_accessor="unknown", canonical_id=id)
    t.forbidden(alias, "renamed", mount_accessor=accessor, canonical_id=id)


@identity("read_group_alias")
def _(t):
    id, accessor, alias = group_alias(t)
    gives = {"id": alias, "name": "staff", "canonical_id": id, "mount_accessor": accessor, "mount_type": "userpass"}
    t.succeeds(alias, gives={"data": gives})
    t.refused(InvalidPath, "unknown")
    t.forbidden(alias)


@identity("list_group_aliases")
def _(t):
    _, _, alias = group_alias(t)
    t.succeeds(gives={"data": {"keys": holds(alias), "key_info": {alias: {"name": "staff"}}}})
    t.forbidden()


@identity("delete_group_alias")
def _(t):
    _, _, alias = group_alias(t)
    t.succeeds(alias, gives=EMPTY)
    assert t.root.read(f"identity/group-alias/id/{alias}") is None
    t.forbidden(alias)


@identity("lookup_entity")
def _(t):
    (id, name), accessor = entity(t), mount_accessor(t)
    entity_alias(t, id, accessor)
    t.succeeds(name=name, gives={"data": {"id": id, "name": name}})
    t.succeeds(alias_name="alice", alias_mount_accessor=accessor, gives={"data": {"id": id}})
    t.succeeds(name="unknown", gives=EMPTY)
    t.forbidden(name=name)


@identity("lookup_group")
def _(t):
    id, name = group(t)
    t.succeeds(name=name, gives={"data": {"id": id, "name": name}})
    t.succeeds(name="unknown", gives=EMPTY)
    t.forbidden(name=name)


def entity(t):
    name = t.name("entity")
    made = t.root.secrets.identity.create_or_update_entity(name, metadata={"k": "v"}, policies=["p"])
    return made["data"]["id"], name


def group(t, kind="internal"):
    name = t.name("group")
    made = t.root.secrets.identity.create_or_update_group(name, group_type=kind, policies=["p"])
    return made["data"]["id"], name


def mount_accessor(t):
    mount = t.auth_mount("userpass")
    return t.root.sys.list_auth_methods()["data"][f"{mount}/"]["accessor"]


def entity_alias(t, id, accessor):
    return t.root.secrets.identity.create_or_update_entity_alias("alice", id, accessor)["data"]["id"]


def group_alias(t):
    (id, _), accessor = group(t, "external"), mount_accessor(t)
    made = t.root.secrets.identity.create_or_update_group_alias("staff", mount_accessor=accessor, canonical_id=id)
    return id, accessor, made["data"]["id"]
