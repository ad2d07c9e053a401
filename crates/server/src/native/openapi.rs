//! The OpenAPI document, made from the handlers. What is served is `openapi.json` in the repository, which a test holds to it: so the
//! program holds the text alone, and not what makes it.

use utoipa::{
    Modify, OpenApi,
    openapi::security::{ApiKey, ApiKeyValue, SecurityScheme},
};

use super::{audit, backup, health, keys, login, operator, policies, secrets, snapshots, tokens};

/// The native API.
#[derive(OpenApi)]
#[openapi(
    info(title = "Coffer", description = "The native API of Coffer, a secrets manager. The Vault dialect under /v1/ is described in docs/API.md.", license(name = "Apache-2.0", identifier = "Apache-2.0")),
    modifiers(&Token),
    paths(
        audit::audit_checkpoint,
        audit::audit_prove,
        audit::audit_query,
        backup::backup_create,
        health::healthz,
        health::metrics,
        health::openapi_json,
        health::readyz,
        keys::life::key_activate,
        keys::life::key_compromise,
        keys::life::key_configure,
        keys::life::key_create,
        keys::life::key_deactivate,
        keys::life::key_delete,
        keys::life::key_deleted_list,
        keys::life::key_deleted_read,
        keys::life::key_destroy,
        keys::life::key_destroy_cancel,
        keys::life::key_disable,
        keys::life::key_enable,
        keys::life::key_list,
        keys::life::key_read,
        keys::life::key_recover,
        keys::life::key_resume,
        keys::life::key_rollback,
        keys::life::key_rotate,
        keys::life::key_settings,
        keys::life::key_settings_write,
        keys::life::key_suspend,
        keys::moving::key_agree,
        keys::moving::key_backup,
        keys::moving::key_certificate,
        keys::moving::key_csr,
        keys::moving::key_export,
        keys::moving::key_import_begin,
        keys::moving::key_import_version,
        keys::moving::key_public,
        keys::moving::key_restore,
        keys::moving::key_wrap,
        keys::moving::key_wrapping_key,
        keys::operations::hash_make,
        keys::operations::key_data_key,
        keys::operations::key_decapsulate,
        keys::operations::key_decrypt,
        keys::operations::key_encapsulate,
        keys::operations::key_encrypt,
        keys::operations::key_mac,
        keys::operations::key_rewrap,
        keys::operations::key_sign,
        keys::operations::key_verify,
        keys::operations::key_verify_mac,
        keys::operations::random_make,
        login::login_initial,
        login::login_userpass,
        operator::operator_clock_accept,
        operator::operator_initial_token,
        operator::operator_keys,
        operator::operator_retire,
        operator::operator_rotate,
        operator::operator_seal,
        operator::operator_seal_migrate,
        operator::operator_unseal,
        policies::policy_delete,
        policies::policy_list,
        policies::policy_read,
        policies::policy_write,
        secrets::secret_copy,
        secrets::secret_create,
        secrets::secret_delete,
        secrets::secret_destroy,
        secrets::secret_due,
        secrets::secret_get,
        secrets::secret_history,
        secrets::secret_list,
        secrets::secret_metadata,
        secrets::secret_metadata_patch,
        secrets::secret_patch,
        secrets::secret_rollback,
        secrets::secret_rotate,
        secrets::secret_search,
        secrets::secret_identify,
        secrets::value_search_set,
        secrets::secret_set,
        secrets::secret_undelete,
        secrets::secret_version,
        secrets::secret_versions,
        snapshots::layout_read,
        snapshots::snapshot_create,
        snapshots::snapshot_list,
        snapshots::snapshot_read,
        snapshots::snapshot_restore,
        snapshots::snapshot_values,
        tokens::token_create,
        tokens::token_list,
        tokens::token_lookup,
        tokens::token_renew,
        tokens::token_revoke,
        tokens::token_revoke_self,
        tokens::token_self,
    )
)]
struct Api;

/// How requests show who sends them.
struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let header =
            ApiKeyValue::with_description("X-Vault-Token", "A token; `Authorization: Bearer` is taken as well.");
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::ApiKey(ApiKey::Header(header)));
    }
}

/// The document as the handlers make it: pretty JSON with a newline at its end, in a stable order.
pub fn document() -> String {
    let mut text = Api::openapi().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// The document as it is served.
pub(super) const TEXT: &str = include_str!("../../../../openapi.json");
