//! AppRole, and users with passwords.

use vaultrs::{
    api::auth::{
        approle::requests::{CreateCustomSecretIDRequest, GenerateNewSecretIDRequest, SetAppRoleRequest},
        userpass::requests::CreateUserRequest,
    },
    auth,
};

use crate::{
    refused, succeeds,
    table::{Table, Wrong, oracle, pair},
};

pub async fn approle(t: &mut Table) -> Result<(), Wrong> {
    let mount = t.auth_mount("approle").await?;
    let m = mount.as_str();
    let mut options = SetAppRoleRequest::builder();
    options.token_policies(vec!["p".to_owned()]).token_ttl("10m").secret_id_num_uses(5_u64);
    succeeds!(t, auth::approle::role::set(&t.root, m, "r", Some(&mut options)), |()| true);
    let mut wrong = SetAppRoleRequest::builder();
    wrong.token_ttl("2h").token_max_ttl("1h");
    refused!(t, 400, auth::approle::role::set(&t.root, m, "r", Some(&mut wrong)));
    succeeds!(t, auth::approle::role::read(&t.root, m, "r"), |v| v.token_policies == ["p"]
        && v.token_ttl == 600
        && v.secret_id_num_uses == 5
        && v.bind_secret_id);
    refused!(t, 404, auth::approle::role::read(&t.root, m, "none"));
    succeeds!(t, auth::approle::role::list(&t.root, m), |v| v.keys == ["r"]);
    refused!(t, 403, auth::approle::role::list(&t.weak, m));
    succeeds!(t, auth::approle::role::update_id(&t.root, m, "r", "chosen"), |()| true);
    refused!(t, 404, auth::approle::role::update_id(&t.root, m, "none", "chosen"));
    succeeds!(t, auth::approle::role::read_id(&t.root, m, "r"), |v| v.role_id == "chosen");
    refused!(t, 404, auth::approle::role::read_id(&t.root, m, "none"));
    let made = t.prepared(auth::approle::role::secret::generate(&t.root, m, "r", None).await)?;
    succeeds!(t, auth::approle::login(&t.nobody, m, "chosen", &made.secret_id), |v| v.policies == ["default", "p"]
        && v.lease_duration == 600
        && v.orphan
        && !v.entity_id.is_empty()
        && v.metadata == Some(pair("role_name", "r")));
    refused!(t, 400, auth::approle::login(&t.nobody, m, "chosen", "wrong"));
    succeeds!(t, auth::approle::tidy(&t.root, m), |()| true);
    refused!(t, 403, auth::approle::tidy(&t.weak, m));
    succeeds!(t, auth::approle::role::delete(&t.root, m, "r"), |()| true);
    refused!(t, 403, auth::approle::role::delete(&t.weak, m, "r"));
    Ok(())
}

pub async fn secret_ids(t: &mut Table) -> Result<(), Wrong> {
    let mount = t.auth_mount("approle").await?;
    let m = mount.as_str();
    t.prepared(auth::approle::role::set(&t.root, m, "r", None).await)?;
    let mut options = GenerateNewSecretIDRequest::builder();
    options.metadata(r#"{"k":"v"}"#);
    let made = succeeds!(t, auth::approle::role::secret::generate(&t.root, m, "r", Some(&mut options)), |v| {
        !v.secret_id.is_empty() && v.secret_id_ttl == 0
    });
    refused!(t, 403, auth::approle::role::secret::generate(&t.weak, m, "r", None));
    let mut options = CreateCustomSecretIDRequest::builder();
    options.metadata(r#"{"k":"w"}"#);
    let custom =
        succeeds!(t, auth::approle::role::secret::custom(&t.root, m, "r", "my-own", Some(&mut options)), |v| {
            v.secret_id == "my-own"
        });
    refused!(t, 400, auth::approle::role::secret::custom(&t.root, m, "r", "", None));
    succeeds!(t, auth::approle::role::secret::list(&t.root, m, "r"), |v| v.keys.len() == 2);
    refused!(t, 400, auth::approle::role::secret::list(&t.root, m, "none"));
    succeeds!(t, auth::approle::role::secret::read(&t.root, m, "r", &made.secret_id), |v| {
        v.secret_id_accessor == made.secret_id_accessor && v.metadata == Some(pair("k", "v"))
    });
    refused!(t, oracle(400, 500), auth::approle::role::secret::read(&t.root, m, "none", &made.secret_id));
    let accessor = custom.secret_id_accessor.as_str();
    succeeds!(t, auth::approle::role::secret::read_accessor(&t.root, m, "r", accessor), |v| {
        v.metadata == Some(pair("k", "w"))
    });
    refused!(t, 404, auth::approle::role::secret::read_accessor(&t.root, m, "r", "unknown"));
    succeeds!(t, auth::approle::role::secret::delete(&t.root, m, "r", &made.secret_id), |()| true);
    refused!(t, 403, auth::approle::role::secret::delete(&t.weak, m, "r", &made.secret_id));
    succeeds!(t, auth::approle::role::secret::delete_accessor(&t.root, m, "r", accessor), |()| true);
    refused!(t, 404, auth::approle::role::secret::read_accessor(&t.root, m, "r", accessor));
    refused!(t, oracle(400, 500), auth::approle::role::secret::delete_accessor(&t.root, m, "r", accessor));
    Ok(())
}

pub async fn userpass(t: &mut Table) -> Result<(), Wrong> {
    let mount = t.auth_mount("userpass").await?;
    let m = mount.as_str();
    let mut options = CreateUserRequest::builder();
    options.token_policies(vec!["p".to_owned()]);
    succeeds!(t, auth::userpass::user::set(&t.root, m, "alice", "pw", Some(&mut options)), |()| true);
    refused!(t, 403, auth::userpass::user::set(&t.weak, m, "alice", "pw", None));
    succeeds!(t, auth::userpass::user::read(&t.root, m, "alice"), |v| v.token_policies == ["p"] && v.token_ttl == 0);
    refused!(t, 404, auth::userpass::user::read(&t.root, m, "none"));
    succeeds!(t, auth::userpass::user::list(&t.root, m), |v| v.keys == ["alice"]);
    refused!(t, 403, auth::userpass::user::list(&t.weak, m));
    succeeds!(t, auth::userpass::user::update_password(&t.root, m, "alice", "new"), |()| true);
    refused!(t, 403, auth::userpass::user::update_password(&t.weak, m, "alice", "new"));
    succeeds!(t, auth::userpass::user::update_policies(&t.root, m, "alice", "q,r"), |()| true);
    refused!(t, 403, auth::userpass::user::update_policies(&t.weak, m, "alice", "q"));
    succeeds!(t, auth::userpass::login(&t.nobody, m, "alice", "new"), |v| v.policies == ["default", "q", "r"]
        && v.metadata == Some(pair("username", "alice")));
    refused!(t, 400, auth::userpass::login(&t.nobody, m, "alice", "pw"));
    succeeds!(t, auth::userpass::user::delete(&t.root, m, "alice"), |()| true);
    refused!(t, 403, auth::userpass::user::delete(&t.weak, m, "alice"));
    Ok(())
}
