//! What a token may do while it is used: templates, identity, and changes that hold from the next request on.

use std::{collections::BTreeMap, sync::Arc};

use coffer_api::{Code, EntityId, Sensitive, secrets::SetOptions, token::TokenCreate};
use coffer_core::{
    By, Caller, Core, CreatePath, IdentityWrite, KvReach, ListPart, Mount, MountEnable, MountKind, Password,
};

use crate::harness::{caller, context, dev, name, scope, value};

const PASSWORD: &str = "correct horse";

/// A core where `ada` can log in, with these policies on the user.
async fn with_ada(policies: &[&str]) -> (Arc<Core>, Caller) {
    let core = dev().await;
    let root = caller(&core, "root").await;
    root.mount_enable("auth/userpass/", MountKind::Userpass, MountEnable::default(), &()).await.unwrap();
    let mount = root.resolve("auth/userpass/users/ada").unwrap();
    let policies: Vec<String> = policies.iter().map(|name| (*name).to_owned()).collect();
    let change = |user: &mut coffer_core::User| {
        user.token.policies = policies;
        Ok(())
    };
    root.user_write(&mount, "ada", None, Some(Password::Plain(&Sensitive::from(PASSWORD))), &(), change).await.unwrap();
    (core, root)
}

async fn log_in(core: &Core) -> (String, EntityId) {
    let grant = core.login_userpass(context(), "userpass", "ada", &Sensitive::from(PASSWORD)).await.unwrap();
    (grant.token.expose().clone(), grant.entity_id.unwrap())
}

async fn policy(root: &Caller, name: &str, text: &str) {
    root.policy_write(name, "sys/policies/acl/", text, &()).await.unwrap();
}

async fn set(root: &Caller, at: &str, key: &str) {
    root.secret_set(&scope(at), &name(key), &value("x"), SetOptions::default()).await.unwrap();
}

/// Whether the token reads the secret, asked anew.
async fn reads(core: &Core, token: &str, at: &str) -> bool {
    match caller(core, token).await.secret_get(&scope(at), &name("KEY"), None).await {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.code(), Code::Denied, "{at}");
            false
        }
    }
}

fn of_entity(id: EntityId) -> IdentityWrite {
    IdentityWrite { id: Some(id.0.to_string()), ..IdentityWrite::default() }
}

fn metadata(key: &str, value: &str) -> Option<BTreeMap<String, String>> {
    Some(BTreeMap::from([(key.to_owned(), value.to_owned())]))
}

#[tokio::test]
async fn templated_policy_speaks_of_whoever_asks_as_they_are_now() {
    let (core, root) = with_ada(&["own"]).await;
    let text = r#"
        path "secret/data/{{identity.entity.id}}/*" { capabilities = ["read"] }
        path "secret/data/{{identity.entity.metadata.team}}/+" { capabilities = ["read"] }
    "#;
    policy(&root, "own", text).await;
    let (token, id) = log_in(&core).await;
    let own = id.0.to_string();
    for at in [own.as_str(), "red", "blue"] {
        set(&root, at, "KEY").await;
    }
    let all = async || {
        [reads(&core, &token, &own).await, reads(&core, &token, "red").await, reads(&core, &token, "blue").await]
    };
    assert_eq!(all().await, [true, false, false]);
    let team = async |team: &str| {
        let write = IdentityWrite { metadata: metadata("team", team), ..of_entity(id) };
        root.entity_write("identity/entity", write, &()).await.unwrap();
    };
    team("red").await;
    assert_eq!(all().await, [true, true, false]);
    team("blue").await;
    assert_eq!(all().await, [true, false, true]);
    // A value that would be a pattern is none.
    team("+").await;
    assert_eq!(all().await, [true, false, false]);
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn service_reads_its_scope_and_nothing_else() {
    let (core, root) = with_ada(&["service"]).await;
    let inside = ["acme", "acme:prod", "acme:prod:api"];
    let outside = ["other", "acme:dev", "acme:prod:web"];
    for at in inside.iter().chain(&outside) {
        set(&root, at, "KEY").await;
    }
    let (token, id) = log_in(&core).await;
    for at in inside.iter().chain(&outside) {
        assert!(!reads(&core, &token, at).await, "{at} without a scope");
    }
    let write = IdentityWrite { metadata: metadata("scope", "acme:prod:api"), ..of_entity(id) };
    root.entity_write("identity/entity", write, &()).await.unwrap();
    for at in inside {
        assert!(reads(&core, &token, at).await, "{at}");
    }
    for at in outside {
        assert!(!reads(&core, &token, at).await, "{at}");
    }
    let service = caller(&core, &token).await;
    let view = service.secret_effective(&scope("acme:prod:api"), None).await.unwrap();
    assert_eq!((view.secrets.len(), view.hidden), (1, 0));
    let (at, key) = (scope("acme:prod:api"), name("KEY"));
    let refused = service.secret_set(&at, &key, &value("y"), SetOptions::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Denied);
    assert_eq!(service.secret_delete(&at, &key).await.unwrap_err().code(), Code::Denied);
    assert_eq!(service.secret_destroy(&at, &key, &[1]).await.unwrap_err().code(), Code::Denied);
    drop((root, service));
    core.shutdown().await;
}

#[tokio::test]
async fn change_of_policy_entity_or_group_holds_from_the_next_request_on() {
    let (core, root) = with_ada(&["mine"]).await;
    set(&root, "acme", "KEY").await;
    let (token, id) = log_in(&core).await;
    let asks = async || reads(&core, &token, "acme").await;
    let grant = r#"path "secret/data/acme/KEY" { capabilities = ["read"] }"#;
    let other = r#"path "secret/data/other/KEY" { capabilities = ["read"] }"#;
    assert!(!asks().await, "the policy does not exist yet");
    policy(&root, "mine", grant).await;
    assert!(asks().await);
    policy(&root, "mine", other).await;
    assert!(!asks().await);

    policy(&root, "more", grant).await;
    let policies = async |policies: &[&str]| {
        let policies = Some(policies.iter().map(|name| (*name).to_owned()).collect());
        root.entity_write("identity/entity", IdentityWrite { policies, ..of_entity(id) }, &()).await.unwrap();
    };
    policies(&["more"]).await;
    assert!(asks().await);
    policies(&[]).await;
    assert!(!asks().await);

    let members = async |members: Vec<String>| {
        let write = IdentityWrite {
            name: Some("readers".to_owned()),
            policies: Some(vec!["more".to_owned()]),
            member_entity_ids: Some(members),
            ..IdentityWrite::default()
        };
        root.group_write("identity/group", write, &()).await.unwrap();
    };
    members(vec![id.0.to_string()]).await;
    assert!(asks().await);
    root.policy_delete("more", "sys/policies/acl/").await.unwrap();
    assert!(!asks().await);
    policy(&root, "more", grant).await;
    assert!(asks().await);
    members(Vec::new()).await;
    assert!(!asks().await);
    let readers = root.group_read("identity/group", By::Name("readers")).await.unwrap().unwrap();
    assert_eq!(readers.member_entity_ids, Some(Vec::new()));
    drop(root);
    core.shutdown().await;
}

async fn with_policy(core: &Core, root: &Caller, name: &str, text: &str) -> Caller {
    policy(root, name, text).await;
    let request = TokenCreate { policies: vec![name.to_owned()], ..TokenCreate::default() };
    let token = root.token_create(CreatePath::Child, request, &()).await.unwrap();
    caller(core, token.token.expose()).await
}

#[tokio::test]
async fn rule_past_its_expiration_grants_nothing() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    set(&root, "acme", "KEY").await;
    let until = |year: u16| {
        format!(r#"path "secret/data/acme/KEY" {{ capabilities = ["read"] expiration = "{year}-01-31T12:00:00Z" }}"#)
    };
    let later = with_policy(&core, &root, "later", &until(2999)).await;
    later.secret_get(&scope("acme"), &name("KEY"), None).await.unwrap();
    let past = with_policy(&core, &root, "past", &until(2001)).await;
    let refused = past.secret_get(&scope("acme"), &name("KEY"), None).await.unwrap_err();
    assert_eq!(refused.code(), Code::Denied);
    assert!(refused.public().contains("expired"), "{}", refused.public());
    drop((root, later, past));
    core.shutdown().await;
}

#[tokio::test]
async fn pagination_limit_bounds_a_list() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    for key in ["A", "B", "C", "D"] {
        set(&root, "acme", key).await;
    }
    let mount: Arc<Mount> = root.resolve("secret/metadata/acme").unwrap();
    let text = r#"path "secret/metadata/*" { capabilities = ["list"] pagination_limit = 2 }"#;
    let lister = with_policy(&core, &root, "two", text).await;
    let list =
        async |who: &Caller, after: &str, limit| who.kv_list(&mount, "acme", KvReach::Level { after, limit }).await;
    assert_eq!(list(&root, "", None).await.unwrap(), ["A", "B", "C", "D"]);
    assert_eq!(list(&lister, "", None).await.unwrap(), ["A", "B"]);
    assert_eq!(list(&lister, "B", Some(2)).await.unwrap(), ["C", "D"]);
    assert_eq!(list(&lister, "", Some(1)).await.unwrap(), ["A"]);
    assert_eq!(list(&lister, "", Some(3)).await.unwrap_err().code(), Code::Denied);
    // A list is not a scan.
    let scan = async |who: &Caller| who.kv_list(&mount, "acme", KvReach::Below { limit: None }).await;
    assert_eq!(scan(&root).await.unwrap(), ["A", "B", "C", "D"]);
    assert_eq!(scan(&lister).await.unwrap_err().code(), Code::Denied);
    let text = r#"path "secret/metadata/*" { capabilities = ["scan"] pagination_limit = 2 }"#;
    let scanner = with_policy(&core, &root, "scan", text).await;
    let scan = async |limit| scanner.kv_list(&mount, "acme", KvReach::Below { limit }).await;
    assert_eq!(scan(Some(3)).await.unwrap_err().code(), Code::Denied);
    for limit in [None, Some(1), Some(2)] {
        assert_eq!(scan(limit).await.unwrap(), ["A", "B"], "a scan is not cut by what it asks for");
    }
    drop(scanner);
    drop((root, lister));
    core.shutdown().await;
}

#[tokio::test]
async fn pagination_limit_bounds_the_lists_of_names_too() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    root.mount_enable("auth/approle/", MountKind::Approle, MountEnable::default(), &()).await.unwrap();
    let text = r#"
        path "sys/policies/acl/" { capabilities = ["list"] pagination_limit = 2 }
        path "auth/token/accessors/" { capabilities = ["list", "sudo"] pagination_limit = 2 }
        path "cubbyhole/" { capabilities = ["list"] pagination_limit = 2 }
        path "cubbyhole/+" { capabilities = ["create"] }
    "#;
    let lister = with_policy(&core, &root, "two", text).await;
    let part = |after, limit| ListPart { after, limit };
    let policies = async |who: &Caller, part: ListPart<'_>| {
        who.policy_list(coffer_core::Operation::List, "sys/policies/acl/", coffer_core::PolicyNames::All, part)
            .await
            .map(|page| page.items)
    };
    let all = policies(&root, part("", None)).await.unwrap();
    assert!(all.len() > 4, "{all:?}");
    assert_eq!(policies(&lister, part("", None)).await.unwrap(), all[..2]);
    assert_eq!(policies(&lister, part(&all[1], Some(2))).await.unwrap(), all[2..4]);
    assert_eq!(policies(&lister, part("", Some(3))).await.unwrap_err().code(), Code::Denied);

    let _others = [with_policy(&core, &root, "two", text).await, with_policy(&core, &root, "two", text).await];
    let tokens = root.token_list(part("", None)).await.unwrap();
    assert!(tokens.items.len() > 3 && tokens.next.is_none());
    let some = lister.token_list(part("", None)).await.unwrap();
    assert_eq!((some.items.as_slice(), some.next.as_ref()), (&tokens.items[..2], Some(&tokens.items[1])));
    assert_eq!(lister.token_list(part("", Some(3))).await.unwrap_err().code(), Code::Denied);

    for name in ["a", "b", "c"] {
        lister.cubbyhole_write(name, serde_json::value::to_raw_value(&[1]).unwrap().as_ref(), &()).await.unwrap();
    }
    assert_eq!(lister.cubbyhole_list("", part("", None)).await.unwrap(), ["a", "b"]);
    assert_eq!(lister.cubbyhole_list("", part("b", None)).await.unwrap(), ["c"]);
    drop((root, lister, _others));
    core.shutdown().await;
}

#[tokio::test]
async fn pagination_limit_bounds_the_lists_of_groups() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let text = r#"path "identity/+/name/" { capabilities = ["list"] pagination_limit = 2 }
        path "identity/group/id/" { capabilities = ["list"] pagination_limit = 2 }"#;
    let lister = with_policy(&core, &root, "two", text).await;
    for name in ["a", "b", "c"] {
        let group = IdentityWrite { name: Some(name.to_owned()), ..IdentityWrite::default() };
        root.group_write("identity/group", group, &()).await.unwrap();
    }
    let part = |after, limit| ListPart { after, limit };
    let names = async |who: &Caller, part: ListPart<'_>| who.group_names("identity/group/name/", part).await;
    assert_eq!(names(&root, part("", None)).await.unwrap(), ["a", "b", "c"]);
    assert_eq!(names(&lister, part("", None)).await.unwrap(), ["a", "b"]);
    assert_eq!(names(&lister, part("b", Some(2))).await.unwrap(), ["c"]);
    assert_eq!(names(&lister, part("", Some(3))).await.unwrap_err().code(), Code::Denied);

    let ids = async |who: &Caller, part: ListPart<'_>| {
        let groups = who.group_list("identity/group/id/", part).await?;
        Ok::<_, coffer_core::Error>(groups.into_iter().map(|group| group.id).collect::<Vec<_>>())
    };
    let all = ids(&root, part("", None)).await.unwrap();
    assert!(all.len() == 3 && all.is_sorted());
    assert_eq!(ids(&lister, part("", None)).await.unwrap(), all[..2]);
    assert_eq!(ids(&lister, part(&all[1], None)).await.unwrap(), all[2..]);
    drop((root, lister));
    core.shutdown().await;
}
