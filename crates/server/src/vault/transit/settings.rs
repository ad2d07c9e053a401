//! `cache-config` and `config/keys`: what holds for all keys of a mount.

use coffer_core::{KeySettings, Mount};
use serde::Serialize;

use super::super::call::{Failure, Outcome, VaultCall};

/// `cache-config` GET.
pub(super) async fn cache_read(call: &mut VaultCall, mount: &Mount) -> Outcome {
    let config = call.caller.key_settings(mount, "cache-config").await?;
    Ok(call.data(&Cache { size: config.cache_size }))
}

/// `cache-config` POST.
pub(super) async fn cache_write(call: &mut VaultCall, mount: &Mount) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let size = fields.integer("size")?.unwrap_or_default();
    let size = u64::try_from(size).ok().filter(|size| *size == 0 || *size >= 10);
    let size = size.ok_or_else(|| Failure::invalid("size must be 0 or a value greater or equal to 10"))?;
    let set = |settings: &mut KeySettings| {
        settings.cache_size = size;
        Ok(())
    };
    let config = call.caller.key_settings_change(mount, "cache-config", &fields, set).await?;
    Ok(call.data(&Cache { size: config.cache_size }))
}

/// `config/keys` GET.
pub(super) async fn keys_read(call: &mut VaultCall, mount: &Mount) -> Outcome {
    let config = call.caller.key_settings(mount, "config/keys").await?;
    Ok(call.data(&Keys { disable_upsert: config.disable_upsert }))
}

/// `config/keys` POST.
pub(super) async fn keys_write(call: &mut VaultCall, mount: &Mount) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let disable_upsert = fields.boolean("disable_upsert")?.unwrap_or_default();
    let set = |settings: &mut KeySettings| {
        settings.disable_upsert = disable_upsert;
        Ok(())
    };
    let config = call.caller.key_settings_change(mount, "config/keys", &fields, set).await?;
    Ok(call.data(&Keys { disable_upsert: config.disable_upsert }))
}

#[derive(Serialize)]
struct Cache {
    size: u64,
}

#[derive(Serialize)]
struct Keys {
    disable_upsert: bool,
}
