//! Policies that end.

use coffer_api::{Code, token::TokenCreate};

use super::{caller, context, dev, rows};
use crate::{
    CreatePath, ListPart, Operation, PolicyEnd, PolicyNames, PolicyWrite,
    active::Active,
    codec,
    commit::{Edit, Urgency},
    ops::policy,
    policies::PolicyRow,
    record::Record,
};

const FAMILY: &str = "sys/policies/acl/";

/// Lets a policy's last moment be over.
async fn end(active: &std::sync::Arc<Active>, name: &str) {
    let row = policy::row(name).unwrap();
    let mut stored = active.row::<PolicyRow>(&row).await.unwrap().unwrap().value;
    stored.settings.until_ms = Some(active.clock.now() - 1);
    let parsed = stored.parse(name).unwrap();
    let mut edit = Edit::default();
    edit.put(row, codec::encode(&stored).unwrap(), None);
    let name = name.to_owned();
    edit.in_force(move |active| {
        active.policies.put(&name, parsed);
        active.authority_changed();
    });
    active.commit(edit, Record::system("policy.write"), Urgency::Ordinary).await.unwrap().spend();
}

#[tokio::test]
async fn policy_past_its_end_grants_nothing_is_not_found_and_is_swept() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let active = core.active().unwrap();
    let text = "path \"sys/mounts\" { capabilities = [\"read\"] }";
    let write = |end| PolicyWrite { text: Some(text.to_owned()), end, ..PolicyWrite::default() };
    let set = async |write| root.policy_set("brief", FAMILY, Operation::Update, write, &()).await;
    set(write(Some(PolicyEnd::After(3600)))).await.unwrap();
    let create = TokenCreate { policies: vec!["brief".to_owned()], ..TokenCreate::default() };
    let token = root.token_create(CreatePath::Child, create, &()).await.unwrap();
    let read =
        async || core.caller(context(), Some(token.token.expose())).await.unwrap().mount_list("sys/mounts").await;
    read().await.unwrap();
    let listed =
        async || root.policy_list(Operation::List, FAMILY, PolicyNames::All, ListPart::default()).await.unwrap().items;
    assert!(listed().await.contains(&"brief".to_owned()));

    end(&active, "brief").await;
    assert_eq!(read().await.unwrap_err().code(), Code::Denied);
    assert_eq!(root.policy_read("brief", FAMILY).await.unwrap_err().code(), Code::NotFound);
    assert!(!listed().await.contains(&"brief".to_owned()));
    let patch = root.policy_set("brief", FAMILY, Operation::Patch, write(None), &()).await;
    assert_eq!(patch.unwrap_err().code(), Code::Invalid);

    // What is written in its place is new, and stays.
    set(PolicyWrite { cas: Some(-1), ..write(None) }).await.unwrap();
    read().await.unwrap();
    policy::sweep(&active).await.unwrap();
    assert_eq!(root.policy_read("brief", FAMILY).await.unwrap().settings.version, 1);

    end(&active, "brief").await;
    assert_eq!(rows(&active, "policy/brief").await.len(), 1);
    policy::sweep(&active).await.unwrap();
    assert_eq!(rows(&active, "policy/brief").await, [""; 0]);
    assert!(active.policies.find("brief").is_none());
}

#[tokio::test]
async fn policy_of_recovery_does_not_end() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let text = Some("path \"x\" { capabilities = [\"read\"] }".to_owned());
    let write = PolicyWrite { text, end: Some(PolicyEnd::After(60)), ..PolicyWrite::default() };
    let refused = root.policy_set("administrator", FAMILY, Operation::Update, write, &()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Invalid);
}
