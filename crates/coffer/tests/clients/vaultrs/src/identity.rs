//! Entities, their aliases, and groups.

use vaultrs::{
    api::identity::{
        entity::requests::{CreateEntityByNameRequest, CreateEntityRequest, UpdateEntityByIdRequest},
        entity_alias::requests::UpdateEntityAliasByIdRequest,
        group::requests::{CreateGroupByNameRequest, CreateGroupRequest, UpdateGroupByIdRequest},
        group_alias::requests::{CreateGroupAliasRequest, UpdateGroupAliasByIdRequest},
    },
    identity, sys,
};

use crate::{
    refused, succeeds,
    table::{Table, Wrong, oracle, pair},
};

pub async fn entities(t: &mut Table) -> Result<(), Wrong> {
    let (name, other) = (t.name("entity"), t.name("entity"));
    let mut options = CreateEntityRequest::builder();
    options.name(name.as_str()).metadata(pair("k", "v")).policies(vec!["p".to_owned()]);
    let id = succeeds!(t, identity::entity::create(&t.root, Some(&mut options)), |v| !v.id.is_empty()).id;
    refused!(t, 403, identity::entity::create(&t.weak, None));
    succeeds!(t, identity::entity::read_by_id(&t.root, &id), |v| v.name == name
        && v.metadata == Some(pair("k", "v"))
        && v.policies == ["p"]
        && !v.disabled);
    refused!(t, 404, identity::entity::read_by_id(&t.root, "none"));
    let mut options = UpdateEntityByIdRequest::builder();
    options.metadata(pair("k", "w"));
    succeeds!(t, identity::entity::update_by_id(&t.root, &id, Some(&mut options)), |()| true);
    refused!(t, 403, identity::entity::update_by_id(&t.weak, &id, None));
    let mut options = CreateEntityByNameRequest::builder();
    options.metadata(pair("k", "x"));
    succeeds!(t, identity::entity::create_or_update_by_name(&t.root, &other, Some(&mut options)), |()| true);
    refused!(t, 403, identity::entity::create_or_update_by_name(&t.weak, &other, None));
    let second =
        succeeds!(t, identity::entity::read_by_name(&t.root, &other), |v| v.metadata == Some(pair("k", "x"))).id;
    refused!(t, 404, identity::entity::read_by_name(&t.root, "none"));
    succeeds!(t, identity::entity::list_by_id(&t.root), |v| v.keys.contains(&id) && v.keys.contains(&second));
    refused!(t, 403, identity::entity::list_by_id(&t.weak));
    succeeds!(t, identity::entity::list_by_name(&t.root), |v| v.keys.contains(&name) && v.keys.contains(&other));
    refused!(t, 403, identity::entity::list_by_name(&t.weak));
    succeeds!(t, identity::entity::merge(&t.root, vec![second.clone()], id.clone(), None), |()| true);
    succeeds!(t, identity::entity::read_by_id(&t.root, &id), |v| v.merged_entity_ids == Some(vec![second.clone()]));
    refused!(t, 400, identity::entity::merge(&t.root, vec!["none".to_owned()], id.clone(), None));
    succeeds!(t, identity::entity::delete_by_id(&t.root, &id), |()| true);
    refused!(t, 404, identity::entity::read_by_id(&t.root, &id));
    refused!(t, 403, identity::entity::delete_by_id(&t.weak, &id));
    succeeds!(t, identity::entity::delete_by_name(&t.root, &other), |()| true);
    refused!(t, 403, identity::entity::delete_by_name(&t.weak, &other));
    let several = [t.prepared(identity::entity::create(&t.root, None).await)?.id];
    succeeds!(t, identity::entity::batch_delete(&t.root, several.to_vec()), |()| true);
    refused!(t, 404, identity::entity::read_by_id(&t.root, &several[0]));
    refused!(t, 403, identity::entity::batch_delete(&t.weak, several.to_vec()));
    Ok(())
}

pub async fn aliases(t: &mut Table) -> Result<(), Wrong> {
    let accessor = accessor(t).await?;
    let id = t.prepared(identity::entity::create(&t.root, None).await)?.id;
    let alias = succeeds!(t, identity::entity_alias::create(&t.root, "alice", &id, &accessor, None), |v| {
        v.canonical_id == id
    });
    refused!(t, 400, identity::entity_alias::create(&t.root, "alice", &id, "unknown", None));
    let alias = alias.id.as_str();
    succeeds!(t, identity::entity_alias::read_by_id(&t.root, alias), |v| v.name == "alice"
        && v.mount_accessor == accessor
        && v.mount_type == "userpass");
    refused!(t, 404, identity::entity_alias::read_by_id(&t.root, "none"));
    let mut options = UpdateEntityAliasByIdRequest::builder();
    options.name("renamed").canonical_id(id.as_str()).mount_accessor(accessor.as_str());
    succeeds!(t, identity::entity_alias::update_by_id(&t.root, alias, Some(&mut options)), |()| true);
    succeeds!(t, identity::entity_alias::read_by_id(&t.root, alias), |v| v.name == "renamed");
    refused!(t, 403, identity::entity_alias::update_by_id(&t.weak, alias, None));
    succeeds!(t, identity::entity_alias::list_by_id(&t.root), |v| v.key_info[alias].name == "renamed");
    refused!(t, 403, identity::entity_alias::list_by_id(&t.weak));
    succeeds!(t, identity::entity_alias::delete_by_id(&t.root, alias), |()| true);
    refused!(t, 403, identity::entity_alias::delete_by_id(&t.weak, alias));
    Ok(())
}

pub async fn groups(t: &mut Table) -> Result<(), Wrong> {
    let mut options = CreateGroupRequest::builder();
    options.group_type("external").policies(vec!["p".to_owned()]);
    let made = succeeds!(t, identity::group::create(&t.root, Some(&mut options)), |v| !v.name.is_empty());
    let (id, name) = (made.id.as_str(), made.name.as_str());
    let mut wrong = CreateGroupRequest::builder();
    wrong.member_entity_ids(vec!["unknown".to_owned()]);
    refused!(t, oracle(400, 500), identity::group::create(&t.root, Some(&mut wrong)));
    succeeds!(t, identity::group::read_by_id(&t.root, id), |v| v.name == name
        && v.policies == Some(vec!["p".to_owned()])
        && v.group_type == "external");
    refused!(t, 404, identity::group::read_by_id(&t.root, "none"));
    succeeds!(t, identity::group::read_by_name(&t.root, name), |v| v.id == id);
    refused!(t, 404, identity::group::read_by_name(&t.root, "none"));
    let mut options = UpdateGroupByIdRequest::builder();
    options.policies(vec!["q".to_owned()]).group_type("external");
    succeeds!(t, identity::group::update_by_id(&t.root, id, Some(&mut options)), |()| true);
    succeeds!(t, identity::group::read_by_id(&t.root, id), |v| v.policies == Some(vec!["q".to_owned()]));
    refused!(t, 403, identity::group::update_by_id(&t.weak, id, None));
    let other = t.name("group");
    let mut options = CreateGroupByNameRequest::builder();
    options.policies(vec!["q".to_owned()]);
    succeeds!(t, identity::group::create_or_update_by_name(&t.root, &other, Some(&mut options)), |()| true);
    refused!(t, 403, identity::group::create_or_update_by_name(&t.weak, &other, None));
    succeeds!(t, identity::group::list_by_id(&t.root), |v| v.keys.contains(&made.id));
    refused!(t, 403, identity::group::list_by_id(&t.weak));
    succeeds!(t, identity::group::list_by_name(&t.root), |v| v.keys.contains(&other));
    refused!(t, 403, identity::group::list_by_name(&t.weak));

    let accessor = accessor(t).await?;
    let mut options = CreateGroupAliasRequest::builder();
    options.canonical_id(id);
    let alias = succeeds!(t, identity::group_alias::create(&t.root, "staff", &accessor, Some(&mut options)), |v| {
        v.canonical_id == id
    });
    refused!(t, 400, identity::group_alias::create(&t.root, "staff-2", "unknown", Some(&mut options)));
    let alias = alias.id.as_str();
    succeeds!(t, identity::group_alias::read_by_id(&t.root, alias), |v| v.name == "staff" && v.canonical_id == id);
    refused!(t, 404, identity::group_alias::read_by_id(&t.root, "none"));
    let mut options = UpdateGroupAliasByIdRequest::builder();
    options.name("renamed").canonical_id(id);
    succeeds!(t, identity::group_alias::update_by_id(&t.root, alias, &accessor, Some(&mut options)), |()| true);
    succeeds!(t, identity::group_alias::read_by_id(&t.root, alias), |v| v.name == "renamed");
    refused!(t, 403, identity::group_alias::update_by_id(&t.weak, alias, &accessor, None));
    succeeds!(t, identity::group_alias::list_by_id(&t.root), |v| v.keys.iter().any(|key| key == alias));
    refused!(t, 403, identity::group_alias::list_by_id(&t.weak));
    succeeds!(t, identity::group_alias::delete_by_id(&t.root, alias), |()| true);
    refused!(t, 403, identity::group_alias::delete_by_id(&t.weak, alias));

    succeeds!(t, identity::group::delete_by_id(&t.root, id), |()| true);
    refused!(t, 403, identity::group::delete_by_id(&t.weak, id));
    succeeds!(t, identity::group::delete_by_name(&t.root, &other), |()| true);
    refused!(t, 403, identity::group::delete_by_name(&t.weak, &other));
    Ok(())
}

/// The accessor of a new login method.
async fn accessor(t: &mut Table) -> Result<String, Wrong> {
    let mount = t.auth_mount("userpass").await?;
    let methods = t.prepared(sys::auth::list(&t.root).await)?;
    Ok(methods[&format!("{mount}/")].accessor.clone())
}
