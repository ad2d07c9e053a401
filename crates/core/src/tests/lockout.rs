//! Guesses at passwords and secret ids: of many at once no more count than one after the other.

use std::sync::Arc;

use coffer_api::{Code, Sensitive};

use super::{caller, context, dev};
use crate::{AppRole, Caller, Core, Error, MountEnable, MountKind, Password, SecretIdIssue, User};

const GUESSES: usize = 20;

async fn enabled(root: &Caller, path: &str, kind: MountKind) -> Arc<crate::Mount> {
    root.mount_enable(path, kind, MountEnable::default(), &()).await.unwrap();
    root.resolve(&format!("{path}login")).unwrap()
}

/// How many of these guesses learned that they were wrong; the others learned nothing.
async fn told<F>(guesses: impl Iterator<Item = F>) -> usize
where
    F: Future<Output = Result<coffer_api::token::TokenGrant, Error>> + Send + 'static,
{
    let mut tasks = tokio::task::JoinSet::new();
    guesses.for_each(|guess| drop(tasks.spawn(guess)));
    let codes: Vec<Code> = tasks.join_all().await.into_iter().map(|guess| guess.err().unwrap().code()).collect();
    assert!(codes.iter().all(|code| matches!(code, Code::InvalidCredentials | Code::Unauthenticated)), "{codes:?}");
    codes.into_iter().filter(|code| *code == Code::InvalidCredentials).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_guesses_at_once_five_are_told_to_be_wrong_and_the_right_one_is_too_late() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let mount = enabled(&root, "auth/up/", MountKind::Userpass).await;
    let password = Sensitive::from("correct horse");
    let set = |_: &mut User| Ok(());
    root.user_write(&mount, "ada", None, Some(Password::Plain(&password)), &(), set).await.unwrap();
    let guess = |n: usize| {
        let core = Arc::clone(&core);
        async move { core.login_userpass(context(), "up", "ada", &Sensitive::new(format!("guess {n}"))).await }
    };
    assert_eq!(told((0..GUESSES).map(guess)).await, 5);
    let late = core.login_userpass(context(), "up", "ada", &password).await;
    assert_eq!(late.err().unwrap().code(), Code::Unauthenticated);

    let mount = enabled(&root, "auth/approle/", MountKind::Approle).await;
    let change = |role: &mut AppRole| {
        role.role_id = "Role-ID".to_owned();
        Ok(())
    };
    root.approle_write(&mount, "r", None, &(), change).await.unwrap();
    let secret = root.secret_id_issue(&mount, "r", SecretIdIssue::default(), &()).await.unwrap().secret_id;
    let guess = |n: usize| {
        let core = Arc::clone(&core);
        let secret = Sensitive::new(format!("guess {n}"));
        async move { core.login_approle(context(), "approle", "Role-ID", Some(&secret)).await }
    };
    assert_eq!(told((0..GUESSES).map(guess)).await, 5);
    let role = async || core.login_approle(context(), "approle", "Role-ID", Some(&secret)).await;
    assert_eq!(role().await.err().unwrap().code(), Code::Unauthenticated);
    // Role ids are told apart by case, users are not.
    let locked = root.locked_users(Some(&mount.accessor), &()).await.unwrap();
    assert_eq!(locked[0].names, ["Role-ID"]);
    root.user_unlock(&mount.accessor, "Role-ID", &()).await.unwrap();
    role().await.unwrap();
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn names_that_nobody_can_have_are_not_remembered() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let mount = enabled(&root, "auth/up/", MountKind::Userpass).await;
    for _ in 0..6 {
        for name in ["x".repeat(60_000), "a b".to_owned()] {
            let refused = core.login_userpass(context(), "up", &name, &Sensitive::from("x")).await.err().unwrap();
            assert_eq!(refused.code(), Code::InvalidCredentials);
        }
    }
    assert!(root.locked_users(Some(&mount.accessor), &()).await.unwrap().is_empty());
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn token_of_a_login_belongs_to_the_method_that_checked_the_credential() {
    let core: Arc<Core> = dev().await;
    let root = caller(&core, "root").await;
    let mount = enabled(&root, "auth/up/", MountKind::Userpass).await;
    let active = core.active().unwrap();
    let known = crate::auth::login::Known {
        mount: Arc::clone(&mount),
        name: "ada".to_owned(),
        alias: "ada".to_owned(),
        alias_metadata: None,
        display_name: "up-ada".to_owned(),
        metadata: std::collections::BTreeMap::new(),
        parameters: crate::TokenParameters::default(),
        wrong: "wrong",
    };
    let cx = context();
    let mut record = crate::record::Record::of_request(
        "auth.login",
        "auth/up/login/ada".to_owned(),
        crate::caller::anonymous(),
        &cx,
    );
    let wanted = active.admit(known, &cx, &mut record).await.unwrap();
    // The method goes between the check and the token, and another one comes to its place.
    root.mount_disable("auth/up/").await.unwrap();
    enabled(&root, "auth/up/", MountKind::Userpass).await;
    let grant = active.issue(wanted, record, None).await.unwrap();
    assert!(active.token_state(grant.token.expose()).await.unwrap().is_none());
    drop((root, active));
    core.shutdown().await;
}
