//! The life of a server with a Shamir seal.

use vaultrs::{sys, token};

use crate::{
    refused, succeeds,
    table::{Table, Wrong, shamir},
};

pub async fn keys(t: &mut Table) -> Result<(), Wrong> {
    let nobody = shamir("");
    refused!(t, 400, sys::start_initialization(&nobody, 2, 3, None));
    let made = succeeds!(t, sys::start_initialization(&nobody, 3, 2, None), |v| v.keys.len() == 3
        && v.keys_base64.len() == 3
        && !v.root_token.is_empty());
    refused!(t, 400, sys::start_initialization(&nobody, 3, 2, None));
    succeeds!(t, sys::status(&nobody), |v| matches!(v, sys::ServerStatus::SEALED));
    refused!(t, 503, sys::health(&nobody));

    let key = |index: usize| made.keys.get(index).cloned();
    refused!(t, 400, sys::unseal(&nobody, Some("not a key".to_owned()), None, None));
    succeeds!(t, sys::unseal(&nobody, key(0), None, None), |v| v.sealed && v.progress == 1 && v.threshold == 2);
    succeeds!(t, sys::unseal(&nobody, None, Some(true), None), |v| v.sealed && v.progress == 0);
    succeeds!(t, sys::unseal(&nobody, key(2), None, None), |v| v.progress == 1);
    succeeds!(t, sys::unseal(&nobody, key(1), None, None), |v| !v.sealed && v.n_shares == 3);

    let root = shamir(&made.root_token);
    t.prepared(token::lookup_self(&root).await)?;
    refused!(t, 403, sys::seal(&shamir("unknown")));
    succeeds!(t, sys::seal(&root), |()| true);
    succeeds!(t, sys::status(&nobody), |v| matches!(v, sys::ServerStatus::SEALED));
    Ok(())
}
