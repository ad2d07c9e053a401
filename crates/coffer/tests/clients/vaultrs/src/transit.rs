//! Transit: keys that are used on the server and stay there.

use vaultrs::{
    api::transit::{
        HashAlgorithm, KeyType, OutputFormat,
        requests::{
            ConfigureCacheRequest, CreateKeyRequest, DataKeyType, EncryptDataRequest, ExportKeyType, ExportVersion,
            GenerateDataKeyRequest, GenerateHmacRequest, GenerateRandomBytesRequest, ImportKeyRequest,
            ImportKeyVersionRequest, RandomBytesSource, RestoreKeyRequest, UpdateKeyConfigurationRequest,
            VerifySignedDataRequest,
        },
        responses::ReadKeyData,
    },
    transit,
};

use crate::{
    refused, succeeds,
    table::{Table, Wrong, is_oracle},
};

pub async fn keys(t: &mut Table) -> Result<(), Wrong> {
    let mount = t.mount("transit").await?;
    let m = mount.as_str();
    let mut options = CreateKeyRequest::builder();
    options.exportable(true).allow_plaintext_backup(true);
    succeeds!(t, transit::key::create(&t.root, m, "a", Some(&mut options)), |()| true);
    let mut signs = CreateKeyRequest::builder();
    signs.key_type(KeyType::Rsa2048);
    succeeds!(t, transit::key::create(&t.root, m, "r", Some(&mut signs)), |()| true);
    let mut often = CreateKeyRequest::builder();
    often.auto_rotate_period("1m");
    refused!(t, 400, transit::key::create(&t.root, m, "b", Some(&mut often)));
    refused!(t, 403, transit::key::create(&t.weak, m, "b", None));

    let read = succeeds!(t, transit::key::read(&t.root, m, "r"), |v| v.supports_signing && v.min_decryption_version == 1);
    let ReadKeyData::Asymmetric(versions) = read.keys else { return Err(Wrong("no public keys".to_owned())) };
    let public = versions.get("1").map(|version| version.public_key.clone()).unwrap_or_default();
    succeeds!(t, transit::key::read(&t.root, m, "a"), |v| matches!(&v.keys, ReadKeyData::Symmetric(keys) if keys.len() == 1));
    refused!(t, 404, transit::key::read(&t.root, m, "none"));
    refused!(t, 403, transit::key::read(&t.weak, m, "a"));
    succeeds!(t, transit::key::list(&t.root, m), |v| v.keys == ["a", "r"]);
    refused!(t, 403, transit::key::list(&t.weak, m));

    succeeds!(t, transit::key::rotate(&t.root, m, "a"), |()| true);
    refused!(t, 400, transit::key::rotate(&t.root, m, "none"));
    refused!(t, 403, transit::key::rotate(&t.weak, m, "a"));
    let mut floors = UpdateKeyConfigurationRequest::builder();
    floors.min_decryption_version(2_u64).min_encryption_version(2_u64).deletion_allowed(true);
    succeeds!(t, transit::key::update(&t.root, m, "a", Some(&mut floors)), |()| true);
    let mut beyond = UpdateKeyConfigurationRequest::builder();
    beyond.min_decryption_version(9_u64);
    refused!(t, 400, transit::key::update(&t.root, m, "a", Some(&mut beyond)));
    succeeds!(t, transit::key::trim(&t.root, m, "a", 2), |()| true);
    refused!(t, 400, transit::key::trim(&t.root, m, "a", 1));
    refused!(t, 403, transit::key::trim(&t.weak, m, "a", 2));

    succeeds!(t, transit::key::export(&t.root, m, "a", ExportKeyType::EncryptionKey, ExportVersion::All), |v| {
        v.name == "a" && v.keys.get("2").is_some_and(|text| text.len() == 44)
    });
    refused!(t, 400, transit::key::export(&t.root, m, "a", ExportKeyType::SigningKey, ExportVersion::Latest));
    refused!(t, 403, transit::key::export(&t.weak, m, "a", ExportKeyType::EncryptionKey, ExportVersion::All));
    let kept = succeeds!(t, transit::key::backup(&t.root, m, "a"), |v| !v.backup.is_empty());
    refused!(t, mistake(), transit::key::backup(&t.root, m, "r"));
    let mut again = RestoreKeyRequest::builder();
    again.force(true);
    succeeds!(t, transit::key::restore(&t.root, m, &kept.backup, Some(&mut again)), |()| true);
    refused!(t, mistake(), transit::key::restore(&t.root, m, &kept.backup, None));
    refused!(t, 403, transit::key::restore(&t.weak, m, &kept.backup, None));

    succeeds!(t, transit::wrapping_key::get(&t.root, m), |v| v.public_key.starts_with("-----BEGIN PUBLIC KEY-----\n"));
    refused!(t, 403, transit::wrapping_key::get(&t.weak, m));
    let mut import = ImportKeyRequest::builder();
    import.key_type(KeyType::Rsa2048).public_key(Some(public.clone()));
    succeeds!(t, transit::key::import(&t.root, m, "i", Some(&mut import.clone())), |()| true);
    refused!(t, mistake(), transit::key::import(&t.root, m, "i", Some(&mut import.clone())));
    refused!(t, 403, transit::key::import(&t.weak, m, "j", Some(&mut import)));
    let mut next = ImportKeyVersionRequest::builder();
    next.public_key(Some(public));
    succeeds!(t, transit::key::import_version(&t.root, m, "i", Some(&mut next.clone())), |()| true);
    refused!(t, mistake(), transit::key::import_version(&t.root, m, "a", Some(&mut next)));

    refused!(t, 400, transit::key::delete(&t.root, m, "r"));
    succeeds!(t, transit::key::delete(&t.root, m, "a"), |()| true);
    refused!(t, 403, transit::key::delete(&t.weak, m, "r"));
    Ok(())
}

pub async fn uses(t: &mut Table) -> Result<(), Wrong> {
    let mount = t.mount("transit").await?;
    let m = mount.as_str();
    t.prepared(transit::key::create(&t.root, m, "a", None).await)?;
    let mut signs = CreateKeyRequest::builder();
    signs.key_type(KeyType::Ed25519);
    t.prepared(transit::key::create(&t.root, m, "s", Some(&mut signs)).await)?;

    let made = succeeds!(t, transit::data::encrypt(&t.root, m, "a", PLAIN, None), |v| v.ciphertext.starts_with("vault:v1:"));
    refused!(t, 400, transit::data::encrypt(&t.root, m, "a", "!!", None));
    refused!(t, 403, transit::data::encrypt(&t.weak, m, "a", PLAIN, None));
    succeeds!(t, transit::data::decrypt(&t.root, m, "a", &made.ciphertext, None), |v| v.plaintext == PLAIN);
    refused!(t, 400, transit::data::decrypt(&t.root, m, "a", "garbage", None));
    refused!(t, 403, transit::data::decrypt(&t.weak, m, "a", &made.ciphertext, None));
    let mut bound = EncryptDataRequest::builder();
    bound.associated_data("YWQ=");
    let made = succeeds!(t, transit::data::encrypt(&t.root, m, "a", PLAIN, Some(&mut bound)), |v| !v.ciphertext.is_empty());
    refused!(t, 400, transit::data::decrypt(&t.root, m, "a", &made.ciphertext, None));
    let made = t.prepared(transit::data::encrypt(&t.root, m, "a", PLAIN, None).await)?;
    t.prepared(transit::key::rotate(&t.root, m, "a").await)?;
    succeeds!(t, transit::data::rewrap(&t.root, m, "a", &made.ciphertext, None), |v| v.ciphertext.starts_with("vault:v2:"));
    refused!(t, 400, transit::data::rewrap(&t.root, m, "none", &made.ciphertext, None));
    refused!(t, 403, transit::data::rewrap(&t.weak, m, "a", &made.ciphertext, None));

    let signed = succeeds!(t, transit::data::sign(&t.root, m, "s", MESSAGE, None), |v| v.signature.starts_with("vault:v1:"));
    refused!(t, 400, transit::data::sign(&t.root, m, "a", MESSAGE, None));
    refused!(t, 403, transit::data::sign(&t.weak, m, "s", MESSAGE, None));
    let with = |signature: &str| {
        let mut request = VerifySignedDataRequest::builder();
        request.signature(signature);
        request
    };
    succeeds!(t, transit::data::verify(&t.root, m, "s", MESSAGE, Some(&mut with(&signed.signature))), |v| v.valid);
    succeeds!(t, transit::data::verify(&t.root, m, "s", PLAIN, Some(&mut with(&signed.signature))), |v| !v.valid);
    refused!(t, 400, transit::data::verify(&t.root, m, "s", MESSAGE, Some(&mut with("xx"))));
    refused!(t, 403, transit::data::verify(&t.weak, m, "s", MESSAGE, Some(&mut with(&signed.signature))));

    let mut bits = GenerateDataKeyRequest::builder();
    bits.bits(128_u16);
    succeeds!(t, transit::generate::data_key(&t.root, m, "a", DataKeyType::Plaintext, Some(&mut bits)), |v| {
        v.plaintext.as_ref().is_some_and(|text| text.len() == 24)
    });
    refused!(t, 400, transit::generate::data_key(&t.root, m, "none", DataKeyType::Wrapped, None));
    refused!(t, 403, transit::generate::data_key(&t.weak, m, "a", DataKeyType::Wrapped, None));
    let (hex, platform) = (OutputFormat::Hex, RandomBytesSource::Platform);
    let mut none = GenerateRandomBytesRequest::builder();
    none.bytes(0_u32);
    succeeds!(t, transit::generate::random_bytes(&t.root, m, hex, platform, None), |v| v.random_bytes.len() == 64);
    refused!(t, 400, transit::generate::random_bytes(&t.root, m, hex, platform, Some(&mut none)));
    refused!(t, 403, transit::generate::random_bytes(&t.weak, m, hex, platform, None));
    succeeds!(t, transit::generate::hash(&t.root, m, MESSAGE, None), |v| v.sum.starts_with("e46b3201"));
    refused!(t, 400, transit::generate::hash(&t.root, m, "!!", None));
    refused!(t, 403, transit::generate::hash(&t.weak, m, MESSAGE, None));
    let mut hash = GenerateHmacRequest::builder();
    hash.algorithm(HashAlgorithm::Sha2_512);
    succeeds!(t, transit::generate::hmac(&t.root, m, "a", MESSAGE, Some(&mut hash)), |v| v.hmac.len() == 9 + 88);
    refused!(t, 400, transit::generate::hmac(&t.root, m, "none", MESSAGE, None));
    refused!(t, 403, transit::generate::hmac(&t.weak, m, "a", MESSAGE, None));

    let size = |size: u64| {
        let mut request = ConfigureCacheRequest::builder();
        request.size(size);
        request
    };
    succeeds!(t, transit::cache::configure(&t.root, m, Some(&mut size(100))), |()| true);
    refused!(t, 400, transit::cache::configure(&t.root, m, Some(&mut size(5))));
    refused!(t, 403, transit::cache::configure(&t.weak, m, Some(&mut size(100))));
    succeeds!(t, transit::cache::read(&t.root, m), |v| v.size == 100);
    refused!(t, 403, transit::cache::read(&t.weak, m));
    Ok(())
}

/// OpenBao answers some mistakes of a client as if they were its own.
fn mistake() -> u16 {
    if is_oracle() { 500 } else { 400 }
}

const PLAIN: &str = "aGVsbG8=";
const MESSAGE: &str = "bXNn";
