//! Tokens and their roles.

use vaultrs::{
    api::token::requests::{CreateOrphanTokenRequest, CreateRoleTokenRequest, CreateTokenRequest, SetTokenRoleRequest},
    token,
};

use crate::{
    refused, succeeds,
    table::{Table, Wrong, dev, pair},
};

pub async fn tokens(t: &mut Table) -> Result<(), Wrong> {
    let mut options = CreateTokenRequest::builder();
    options.policies(vec!["p".to_owned()]).ttl("1h").meta(pair("k", "v"));
    let made = succeeds!(t, token::new(&t.root, Some(&mut options)), |v| v.policies == ["default", "p"]
        && v.lease_duration == 3600
        && v.renewable
        && !v.orphan
        && v.metadata == Some(pair("k", "v")));
    refused!(t, 403, token::new(&t.weak, None));
    let mut options = CreateOrphanTokenRequest::builder();
    options.policies(vec!["p".to_owned()]);
    succeeds!(t, token::new_orphan(&t.root, Some(&mut options)), |v| v.orphan);
    refused!(t, 403, token::new_orphan(&t.weak, None));

    let one = made.client_token.as_str();
    succeeds!(t, token::lookup(&t.root, one), |v| v.id == one && v.display_name == "token" && v.creation_ttl == 3600);
    refused!(t, 403, token::lookup(&t.root, "unknown"));
    succeeds!(t, token::lookup_accessor(&t.root, &made.accessor), |v| v.id.is_empty() && v.accessor == made.accessor);
    refused!(t, 400, token::lookup_accessor(&t.root, "unknown"));
    succeeds!(t, token::lookup_self(&t.root), |v| v.id == "root" && v.expire_time.is_none());
    refused!(t, 403, token::lookup_self(&t.weak));

    succeeds!(t, token::renew(&t.root, one, Some("2h")), |v| v.lease_duration == 7200);
    refused!(t, 400, token::renew(&t.root, "unknown", None));
    succeeds!(t, token::renew_accessor(&t.root, &made.accessor, Some("10m")), |v| v.lease_duration == 600);
    refused!(t, 400, token::renew_accessor(&t.root, "unknown", None));
    let mine = dev(one);
    succeeds!(t, token::renew_self(&mine, Some("30m")), |v| v.lease_duration == 1800 && v.client_token == one);
    refused!(t, 400, token::renew_self(&t.root, None));

    succeeds!(t, token::revoke(&t.root, one), |()| true);
    refused!(t, 403, token::revoke(&t.weak, "unknown"));
    refused!(t, 403, token::lookup_self(&mine));
    let accessor = t.token(&["p"]).await?.accessor;
    succeeds!(t, token::revoke_accessor(&t.root, &accessor), |()| true);
    refused!(t, 400, token::lookup_accessor(&t.root, &accessor));
    refused!(t, 403, token::revoke_accessor(&t.weak, &accessor));
    let parent = t.token(&["p"]).await?.client_token;
    succeeds!(t, token::revoke_orphan(&t.root, &parent), |()| true);
    refused!(t, 400, token::revoke_orphan(&t.root, "unknown"));
    let mine = dev(&t.token(&["default"]).await?.client_token);
    succeeds!(t, token::revoke_self(&mine), |()| true);
    refused!(t, 403, token::revoke_self(&mine));
    succeeds!(t, token::tidy(&t.root), |()| true);
    refused!(t, 403, token::tidy(&t.weak));
    Ok(())
}

pub async fn roles(t: &mut Table) -> Result<(), Wrong> {
    let role = t.name("role");
    let mut options = SetTokenRoleRequest::builder();
    options.allowed_policies(vec!["p".to_owned()]).token_period("1h").orphan(true);
    succeeds!(t, token::role::set(&t.root, &role, Some(&mut options)), |()| true);
    refused!(t, 403, token::role::set(&t.weak, &role, None));
    succeeds!(t, token::role::read(&t.root, &role), |v| v.name == role
        && v.allowed_policies == ["p"]
        && v.token_period == 3600
        && v.orphan);
    refused!(t, 404, token::role::read(&t.root, "none"));
    succeeds!(t, token::role::list(&t.root), |v| v.keys.contains(&role));
    refused!(t, 403, token::role::list(&t.weak));
    let mut options = CreateRoleTokenRequest::builder();
    options.policies(vec!["p".to_owned()]);
    succeeds!(t, token::new_role(&t.root, &role, Some(&mut options)), |v| v.orphan && v.lease_duration == 3600);
    refused!(t, 400, token::new_role(&t.root, "none", None));
    succeeds!(t, token::role::delete(&t.root, &role), |()| true);
    refused!(t, 403, token::role::delete(&t.weak, &role));
    Ok(())
}
