//! Keys that leave and come.

use axum::{Router, response::Response, routing};
use coffer_api::{
    Problem,
    keys::{
        Key, KeyAgree, KeyBackup, KeyCertificate, KeyCsr, KeyCsrMade, KeyExport, KeyExported, KeyExportedVersion,
        KeyImportBegin, KeyImportKey, KeyImportVersion, KeyPublic, KeyRestore, KeyWrap, KeyWrapped, KeyWrappedVersion,
        KeyWrappingKey,
    },
};
use coffer_core::{
    Existing, ExportFormat, ExportKind, HashAlgorithm, ImportWrap, KeyAgreement, KeyAlgorithm, PublicFormat,
    VersionChoice, no_such_algorithm, rfc3339,
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    super::call::{Call, NoQuery, Sent},
    Asked, hash_or, imported, no_such, oaep, parameters, sensitive, shown,
};
use crate::app::App;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/key-imports", routing::post(key_import_begin))
        .route("/key-restore", routing::post(key_restore))
        .route("/key-wrapping-key", routing::get(key_wrapping_key))
        .route("/keys/{name}/agree", routing::post(key_agree))
        .route("/keys/{name}/backup", routing::post(key_backup))
        .route("/keys/{name}/certificate", routing::put(key_certificate))
        .route("/keys/{name}/csr", routing::post(key_csr))
        .route("/keys/{name}/export", routing::post(key_export))
        .route("/keys/{name}/import-version", routing::post(key_import_version))
        .route("/keys/{name}/public", routing::get(key_public))
        .route("/keys/{name}/wrap", routing::post(key_wrap))
}

/// Which public key is wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in super::super) struct PublicQuery {
    /// Absent: the primary one, or else the highest.
    version: Option<u32>,
    /// `pem` (absent) or `jwk`.
    format: Option<String>,
}

/// The public part of a version.
#[utoipa::path(get, path = "/api/v1/keys/{name}/public", tag = "keys", operation_id = "key_public",
    params(("name" = String, Path), PublicQuery), security(("token" = [])),
    responses((status = 200, body = KeyPublic), (status = "default", body = Problem)))]
pub(in super::super) async fn key_public(call: Call<String, PublicQuery>) -> Response {
    let version = call.query.version;
    let named = call.query.format.as_deref().unwrap_or("pem");
    let format = match named {
        "jwk" => Ok(PublicFormat::Jwk),
        "pem" => Ok(PublicFormat::Pem),
        other => Err(no_such("format", other)),
    };
    let below = match version {
        Some(number) => format!("export/public-key/{}/{number}", call.path),
        None => format!("export/public-key/{}", call.path),
    };
    let public = Asked::to_read(&call, below).run(format, async |mount, format, _| {
        let (version, public_key) = call.caller.key_public(mount, &call.path, version, format).await?;
        Ok(KeyPublic { version, format: named.to_owned(), public_key })
    });
    let public = public.await;
    call.with(public).await
}

/// Shows parts of a key, secret ones only where it is exportable.
#[utoipa::path(post, path = "/api/v1/keys/{name}/export", tag = "keys", operation_id = "key_export",
    params(("name" = String, Path)), request_body = KeyExport, security(("token" = [])),
    responses((status = 200, body = KeyExported), (status = "default", body = Problem)))]
pub(in super::super) async fn key_export(call: Call<String, NoQuery, Sent<KeyExport>>) -> Response {
    let wire = &call.body.value;
    let format = wire.format.as_deref().unwrap_or("");
    let parsed = ExportKind::parse(&wire.kind)
        .ok_or_else(|| no_such("part of a key", &wire.kind))
        .and_then(|kind| Ok((kind, ExportFormat::parse(format).ok_or_else(|| no_such("format", format))?)));
    let choice = choice(wire.version);
    let kind = parsed.as_ref().map_or("", |(kind, _)| kind.name());
    let below = format!("export/{kind}/{}{}", call.path, choice.suffix());
    let exported = Asked::to_read(&call, below).run(parsed, async |mount, (kind, format), _| {
        let exported = call.caller.key_export(mount, kind, &call.path, choice, format).await?;
        let keys = exported.keys.into_iter();
        Ok(KeyExported {
            name: exported.name,
            algorithm: exported.algorithm.name().to_owned(),
            keys: keys.map(|(version, key)| KeyExportedVersion { version, key: sensitive(key) }).collect(),
        })
    });
    let exported = exported.await;
    call.with(exported).await
}

/// Shows an exportable key to who holds the named one alone.
#[utoipa::path(post, path = "/api/v1/keys/{name}/wrap", tag = "keys", operation_id = "key_wrap",
    params(("name" = String, Path)), request_body = KeyWrap, security(("token" = [])),
    responses((status = 200, body = KeyWrapped), (status = "default", body = Problem)))]
pub(in super::super) async fn key_wrap(call: Call<String, NoQuery, Sent<KeyWrap>>) -> Response {
    let wire = &call.body.value;
    let choice = choice(wire.version);
    let hash = hash_or(wire.hash.as_deref(), HashAlgorithm::Sha2_256);
    let below = format!("byok-export/{}/{}{}", call.path, wire.key, choice.suffix());
    let wrapped = Asked::to_read(&call, below).run(hash, async |mount, hash, _| {
        let wrapped = call.caller.key_wrap(mount, &call.path, &wire.key, choice, hash).await?;
        let keys = wrapped.keys.iter();
        Ok(KeyWrapped {
            name: wrapped.name.clone(),
            algorithm: wrapped.algorithm.name().to_owned(),
            keys: keys
                .map(|(version, text)| KeyWrappedVersion { version: *version, wrapped: text.as_str().to_owned() })
                .collect(),
        })
    });
    let wrapped = wrapped.await;
    call.with(wrapped).await
}

/// The store's wrapping key, under which keys come as in transit.
#[utoipa::path(get, path = "/api/v1/key-wrapping-key", tag = "keys", operation_id = "key_wrapping_key",
    security(("token" = [])),
    responses((status = 200, body = KeyWrappingKey), (status = "default", body = Problem)))]
pub(in super::super) async fn key_wrapping_key(call: Call) -> Response {
    let read = Asked::to_read(&call, "wrapping_key".to_owned()).run(Ok(()), async |mount, (), _| {
        Ok(KeyWrappingKey { public_key: call.caller.key_wrapping_key(mount).await? })
    });
    let read = read.await;
    call.with(read).await
}

/// Makes a key to wrap one key under, for one import within a day.
#[utoipa::path(post, path = "/api/v1/key-imports", tag = "keys", operation_id = "key_import_begin",
    request_body = KeyImportBegin, security(("token" = [])),
    responses((status = 200, body = KeyImportKey), (status = "default", body = Problem)))]
pub(in super::super) async fn key_import_begin(call: Call<(), NoQuery, Sent<KeyImportBegin>>) -> Response {
    let wrap = match call.body.value.wrap.as_str() {
        "ml-kem-768" => Ok(ImportWrap::MlKem768),
        "rsa-oaep" => Ok(ImportWrap::RsaOaep),
        other => Err(no_such("way to wrap", other)),
    };
    let asked = Asked::to_begin(&call, "import-keys".to_owned(), parameters::as_sent);
    let begun = asked.run(wrap, async |mount, wrap, known| {
        let made = call.caller.key_import_begin(mount, wrap, known).await?;
        Ok(KeyImportKey { id: made.id, public_key: made.public_key, expires_time: rfc3339(made.expires_ms) })
    });
    let begun = begun.await;
    call.with(begun).await
}

/// Adds what comes to an imported key.
#[utoipa::path(post, path = "/api/v1/keys/{name}/import-version", tag = "keys", operation_id = "key_import_version",
    params(("name" = String, Path)), request_body = KeyImportVersion, security(("token" = [])),
    responses((status = 200, body = Key), (status = "default", body = Problem)))]
pub(in super::super) async fn key_import_version(call: Call<String, NoQuery, Sent<KeyImportVersion>>) -> Response {
    let wire = &call.body.value;
    let asked = Asked::to_change(&call, format!("keys/{}/import_version", call.path), parameters::import_version);
    let added = asked.run(oaep(&wire.source), async |mount, hash, known| {
        let source = imported(&wire.source, hash);
        call.caller.key_import_version(mount, &call.path, source, wire.version, known).await
    });
    let added = added.await;
    call.with(shown(added)).await
}

/// Agrees on a key with who has the other public key, and keeps it under this name.
#[utoipa::path(post, path = "/api/v1/keys/{name}/agree", tag = "keys", operation_id = "key_agree",
    params(("name" = String, Path)), request_body = KeyAgree, security(("token" = [])),
    responses((status = 200, body = Key), (status = "default", body = Problem)))]
pub(in super::super) async fn key_agree(call: Call<String, NoQuery, Sent<KeyAgree>>) -> Response {
    let wire = &call.body.value;
    let named = wire.algorithm.as_deref().unwrap_or("aes-256-gcm");
    let algorithm = KeyAlgorithm::parse(named).ok_or_else(|| no_such_algorithm(named));
    let asked = Asked::to_change(&call, format!("derive-key/{}", call.path), parameters::agree);
    let agreed = asked.run(algorithm, async |mount, algorithm, known| {
        let base_version = wire.base_version;
        let agreement = KeyAgreement { base: &wire.base, base_version, peer_pem: &wire.peer_public_key, algorithm };
        call.caller.key_agree(mount, &call.path, agreement, known).await
    });
    let agreed = agreed.await;
    call.with(shown(agreed)).await
}

/// The key with all that is known of it, in the clear, where it is exportable and allows that.
#[utoipa::path(post, path = "/api/v1/keys/{name}/backup", tag = "keys", operation_id = "key_backup",
    params(("name" = String, Path)), security(("token" = [])),
    responses((status = 200, body = KeyBackup), (status = "default", body = Problem)))]
pub(in super::super) async fn key_backup(call: Call<String>) -> Response {
    let backup = Asked::to_read(&call, format!("backup/{}", call.path))
        .run(Ok(()), async |mount, (), _| Ok(KeyBackup { backup: call.caller.key_backup(mount, &call.path).await? }));
    let backup = backup.await;
    call.with(backup).await
}

/// Makes the key of a backup anew.
#[utoipa::path(post, path = "/api/v1/key-restore", tag = "keys", operation_id = "key_restore",
    request_body = KeyRestore, security(("token" = [])),
    responses((status = 200, body = Key), (status = "default", body = Problem)))]
pub(in super::super) async fn key_restore(call: Call<(), NoQuery, Sent<KeyRestore>>) -> Response {
    let wire = &call.body.value;
    let name = wire.name.as_deref();
    let existing = if wire.force { Existing::ReplaceDeletable } else { Existing::Keep };
    let below = name.map_or_else(|| "restore".to_owned(), |name| format!("restore/{name}"));
    let asked = Asked::to_begin(&call, below, parameters::restore);
    let restored = asked.run(Ok(()), async |mount, (), known| {
        call.caller.key_restore(mount, name, wire.backup.expose(), existing, known).await
    });
    let restored = restored.await;
    call.with(shown(restored)).await
}

/// A certificate signing request, signed by the key.
#[utoipa::path(post, path = "/api/v1/keys/{name}/csr", tag = "keys", operation_id = "key_csr",
    params(("name" = String, Path)), request_body = KeyCsr, security(("token" = [])),
    responses((status = 200, body = KeyCsrMade), (status = "default", body = Problem)))]
pub(in super::super) async fn key_csr(call: Call<String, NoQuery, Sent<KeyCsr>>) -> Response {
    let wire = &call.body.value;
    let asked = Asked::to_change(&call, format!("keys/{}/csr", call.path), parameters::csr);
    let made = asked.run(Ok(()), async |mount, (), known| {
        let template = wire.template.as_deref().unwrap_or("");
        Ok(KeyCsrMade { csr: call.caller.key_csr(mount, &call.path, wire.version, template, known).await? })
    });
    let made = made.await;
    call.with(made).await
}

/// Keeps the certificates of a version.
#[utoipa::path(put, path = "/api/v1/keys/{name}/certificate", tag = "keys", operation_id = "key_certificate",
    params(("name" = String, Path)), request_body = KeyCertificate, security(("token" = [])),
    responses((status = 200, body = Key), (status = "default", body = Problem)))]
pub(in super::super) async fn key_certificate(call: Call<String, NoQuery, Sent<KeyCertificate>>) -> Response {
    let wire = &call.body.value;
    let asked = Asked::to_change(&call, format!("keys/{}/set-certificate", call.path), parameters::certificate);
    let kept = asked.run(Ok(()), async |mount, (), known| {
        call.caller.key_set_certificate(mount, &call.path, wire.version, &wire.chain, known).await
    });
    let kept = kept.await;
    call.with(shown(kept)).await
}

fn choice(version: Option<u32>) -> VersionChoice {
    version.map_or(VersionChoice::All, VersionChoice::Number)
}
