//! HMAC under keys of one hash, by Wycheproof's vectors; and under keys of every kind beside OpenSSL's command line.

use coffer_crypto::hash::Algorithm as Hash;
use coffer_crypto::keys::{Algorithm, KeyMaterial};
use wycheproof::mac;

use super::{hex, openssl::run, prepared};

#[test]
fn keys_of_one_hash_make_what_the_vectors_say() {
    for (set, algorithm, hash) in [
        (mac::TestName::HmacSha256, Algorithm::HmacSha256, Hash::Sha2_256),
        (mac::TestName::HmacSha384, Algorithm::HmacSha384, Hash::Sha2_384),
        (mac::TestName::HmacSha512, Algorithm::HmacSha512, Hash::Sha2_512),
    ] {
        let (mut good, mut bad) = (0, 0);
        for test in mac::TestSet::load(set).unwrap().test_groups.into_iter().flat_map(|group| group.tests) {
            if test.key.len() != hash.output_len() {
                assert!(KeyMaterial::from_encoded(algorithm, &test.key).is_err(), "{set:?} {}", test.tc_id);
                continue;
            }
            let key = prepared(algorithm, &test.key);
            let computed = key.mac(None, &test.msg).unwrap();
            assert_eq!(key.mac(Some(hash), &test.msg).unwrap(), computed);
            assert_eq!(computed.starts_with(&test.tag), !test.result.must_fail(), "{set:?} {}", test.tc_id);
            // Shortened ones are refused for being short.
            let wanted = !test.result.must_fail() && test.tag.len() == hash.output_len();
            assert_eq!(key.verify_mac(None, &test.msg, &test.tag).unwrap(), wanted, "{set:?} {}", test.tc_id);
            if wanted { good += 1 } else { bad += 1 }
        }
        assert!(good > 20 && bad > 40, "{set:?}: {good} {bad}");
    }
}

#[test]
fn macs_are_those_that_openssl_makes() {
    let of_every_hash = Hash::ALL.map(|hash| (Algorithm::Hmac, hash));
    let of_one = [
        (Algorithm::HmacSha256, Hash::Sha2_256),
        (Algorithm::HmacSha384, Hash::Sha2_384),
        (Algorithm::HmacSha512, Hash::Sha2_512),
    ];
    for (algorithm, hash) in of_every_hash.into_iter().chain(of_one) {
        let materials = match algorithm {
            // Longer than any hash's block too.
            Algorithm::Hmac => [32, 200].map(|len| KeyMaterial::generate_hmac(len).unwrap()).into(),
            _ => vec![KeyMaterial::generate(algorithm).unwrap()],
        };
        for material in materials {
            let key = format!("hexkey:{}", hex(material.encoded()));
            for message in [&b"m"[..], &[0x5a; 1000]] {
                let ours = material.prepare().unwrap().mac(Some(hash), message).unwrap();
                let theirs = run(&["mac", "-digest", name(hash), "-macopt", &key, "-binary", "HMAC"], message);
                assert_eq!(ours, theirs, "{algorithm:?} {hash:?}");
            }
        }
    }
}

fn name(hash: Hash) -> &'static str {
    match hash {
        Hash::Sha1 => "SHA1",
        Hash::Sha2_224 => "SHA224",
        Hash::Sha2_256 => "SHA256",
        Hash::Sha2_384 => "SHA384",
        Hash::Sha2_512 => "SHA512",
        Hash::Sha3_224 => "SHA3-224",
        Hash::Sha3_256 => "SHA3-256",
        Hash::Sha3_384 => "SHA3-384",
        Hash::Sha3_512 => "SHA3-512",
    }
}
