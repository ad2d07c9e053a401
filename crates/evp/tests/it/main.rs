//! Every function beside OpenSSL's command line, in both directions, and what must be refused.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

mod ml_dsa;
mod openssl;

use coffer_evp::{Hash, Kind, PrivateKey, PublicKey, Refused, Salt, Scheme, sha3_224};
use openssl::Pair;

#[test]
fn ecdsa_over_every_hash_on_every_curve_agrees_with_openssl() {
    for curve in ["P-256", "P-384", "P-521"] {
        let pair = Pair::generate(&["-algorithm", "EC", "-pkeyopt", &format!("ec_paramgen_curve:{curve}")]);
        let (private, public) = keys(Kind::Ec, &pair);
        for (_, name) in HASHES {
            let digest = openssl::digest(name, b"message");
            let ours = private.sign(Scheme::Ecdsa, &digest).unwrap();
            assert!(pair.verifies(&[&format!("digest:{name}")], &digest, &ours), "{curve} {name}");
            let theirs = pair.sign(&[&format!("digest:{name}")], &digest);
            assert_eq!(public.verify(Scheme::Ecdsa, &digest, &theirs), Ok(()), "{curve} {name}");

            let other = openssl::digest(name, b"another message");
            assert_eq!(public.verify(Scheme::Ecdsa, &other, &theirs), Err(Refused));
            assert_eq!(public.verify(Scheme::Ecdsa, &digest, &theirs[..theirs.len() - 1]), Err(Refused));
        }
    }
}

#[test]
fn rsa_over_every_hash_padding_and_salt_agrees_with_openssl() {
    let pair = Pair::generate(&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]);
    let (private, public) = keys(Kind::Rsa, &pair);
    for (hash, name) in HASHES {
        let digest = openssl::digest(name, b"message");
        let len = u16::try_from(digest.len()).unwrap();
        let longest = u16::try_from(256 - 2 - digest.len()).unwrap();
        let pss = |salt| Scheme::RsaPss(hash, salt);
        let cases = [
            (Scheme::RsaPkcs1(Some(hash)), "pkcs1", String::new()),
            (pss(Salt::Bytes(len)), "pss", "digest".to_owned()),
            (pss(Salt::Bytes(0)), "pss", "0".to_owned()),
            (pss(Salt::Bytes(7)), "pss", "7".to_owned()),
            (pss(Salt::Auto), "pss", "max".to_owned()),
        ];
        for (scheme, padding, salt) in cases {
            let mut options = vec![format!("digest:{name}"), format!("rsa_padding_mode:{padding}")];
            if !salt.is_empty() {
                options.push(format!("rsa_pss_saltlen:{salt}"));
            }
            let options: Vec<&str> = options.iter().map(String::as_str).collect();
            let ours = private.sign(scheme, &digest).unwrap();
            assert!(pair.verifies(&options, &digest, &ours), "{scheme:?}");
            let theirs = pair.sign(&options, &digest);
            assert_eq!(public.verify(scheme, &digest, &theirs), Ok(()), "{scheme:?}");

            if padding == "pss" {
                // Any salt passes where none is asked for, another than asked for does not.
                assert_eq!(public.verify(pss(Salt::Auto), &digest, &theirs), Ok(()), "{scheme:?}");
                assert_eq!(public.verify(pss(Salt::Bytes(9)), &digest, &theirs), Err(Refused), "{scheme:?}");
            }
            let mut edited = theirs.clone();
            edited[100] ^= 1;
            assert_eq!(public.verify(scheme, &digest, &edited), Err(Refused));
            assert_eq!(public.verify(scheme, &openssl::digest(name, b"x"), &theirs), Err(Refused));
        }
        assert!(private.sign(pss(Salt::Bytes(longest)), &digest).is_ok());
        assert_eq!(private.sign(pss(Salt::Bytes(longest + 1)), &digest), Err(Refused));
    }
}

#[test]
fn rsa_pkcs1_over_bare_bytes_agrees_with_openssl() {
    let pair = Pair::generate(&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]);
    let (private, public) = keys(Kind::Rsa, &pair);
    // The command line takes no more than 64 bytes.
    for input in [&b"no hash at all"[..], &[7; 64]] {
        let ours = private.sign(Scheme::RsaPkcs1(None), input).unwrap();
        assert!(pair.verifies(&["rsa_padding_mode:pkcs1"], input, &ours));
        let theirs = pair.sign(&["rsa_padding_mode:pkcs1"], input);
        assert_eq!(public.verify(Scheme::RsaPkcs1(None), input, &theirs), Ok(()));
        assert_eq!(public.verify(Scheme::RsaPkcs1(None), b"another", &theirs), Err(Refused));
    }
    assert!(private.sign(Scheme::RsaPkcs1(None), &[7; 245]).is_ok());
    assert_eq!(private.sign(Scheme::RsaPkcs1(None), &[7; 246]), Err(Refused));
}

#[test]
fn oaep_with_every_hash_agrees_with_openssl() {
    let pair = Pair::generate(&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]);
    let (private, public) = keys(Kind::Rsa, &pair);
    for (hash, name) in HASHES {
        let options =
            ["rsa_padding_mode:oaep".to_owned(), format!("rsa_oaep_md:{name}"), format!("rsa_mgf1_md:{name}")];
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        for plaintext in [&b""[..], b"plaintext"] {
            let ours = public.seal_oaep(hash, plaintext).unwrap();
            assert_eq!(pair.decrypt(&options, &ours), plaintext, "{name}");
            let theirs = pair.encrypt(&options, plaintext);
            let mut out = vec![0; private.output_len()];
            let len = private.open_oaep(hash, &theirs, &mut out).unwrap();
            assert_eq!(&out[..len], plaintext, "{name}");

            let mut edited = theirs.clone();
            edited[200] ^= 1;
            assert_eq!(private.open_oaep(hash, &edited, &mut out), Err(Refused));
            assert_eq!(private.open_oaep(hash, &theirs[1..], &mut out), Err(Refused));
            assert_eq!(private.open_oaep(hash, &theirs, &mut out[1..]), Err(Refused));
        }
        let longest = 256 - 2 - 2 * openssl::digest(name, b"").len();
        assert!(public.seal_oaep(hash, &vec![1; longest]).is_ok());
        assert_eq!(public.seal_oaep(hash, &vec![1; longest + 1]), Err(Refused));
    }
}

#[test]
fn sha3_224_agrees_with_openssl() {
    for message in [&b""[..], b"abc", &[9; 1000]] {
        assert_eq!(sha3_224(message).unwrap().to_vec(), openssl::digest("sha3-224", message));
    }
}

#[test]
fn keys_of_another_kind_or_with_bytes_after_them_are_refused() {
    let ec = Pair::generate(&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    let rsa = Pair::generate(&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]);
    for (pair, kind, other) in [(&ec, Kind::Ec, Kind::Rsa), (&rsa, Kind::Rsa, Kind::Ec)] {
        assert!(PrivateKey::from_pkcs8(kind, &pair.private).is_ok());
        assert!(PrivateKey::from_pkcs8(other, &pair.private).is_err());
        assert!(PublicKey::from_spki(other, &pair.public).is_err());
        assert!(PrivateKey::from_pkcs8(kind, &[&pair.private[..], &[0]].concat()).is_err());
        assert!(PublicKey::from_spki(kind, &[&pair.public[..], &[0]].concat()).is_err());
        for len in 0..pair.public.len() {
            assert!(PublicKey::from_spki(kind, &pair.public[..len]).is_err(), "{len}");
        }
        for len in (0..pair.private.len()).step_by(7) {
            assert!(PrivateKey::from_pkcs8(kind, &pair.private[..len]).is_err(), "{len}");
        }
    }
}

#[test]
fn points_off_their_curve_are_refused() {
    let mut pair = Pair::generate(&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"]);
    *pair.public.last_mut().unwrap() ^= 1;
    assert!(PublicKey::from_spki(Kind::Ec, &pair.public).is_err());
}

#[test]
fn schemes_and_digests_that_do_not_fit_are_refused() {
    let ec = Pair::generate(&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    let rsa = Pair::generate(&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]);
    let (ec, ec_public) = keys(Kind::Ec, &ec);
    let (rsa, rsa_public) = keys(Kind::Rsa, &rsa);
    let digest = [5; 32];
    for scheme in [Scheme::RsaPkcs1(None), Scheme::RsaPss(Hash::Sha2_256, Salt::Auto)] {
        assert_eq!(ec.sign(scheme, &digest), Err(Refused));
        assert_eq!(ec_public.verify(scheme, &digest, &[1; 70]), Err(Refused));
    }
    assert_eq!(rsa.sign(Scheme::Ecdsa, &digest), Err(Refused));
    assert_eq!(rsa_public.verify(Scheme::Ecdsa, &digest, &[1; 256]), Err(Refused));
    assert_eq!(ec.open_oaep(Hash::Sha1, &[1; 256], &mut [0; 256]), Err(Refused));
    assert_eq!(ec_public.seal_oaep(Hash::Sha1, b"x"), Err(Refused));
    for (hash, name) in HASHES {
        let digest = openssl::digest(name, b"message");
        for scheme in [Scheme::RsaPkcs1(Some(hash)), Scheme::RsaPss(hash, Salt::Auto)] {
            let signature = rsa.sign(scheme, &digest).unwrap();
            for wrong in [&digest[1..], &[], &[&digest[..], &[0]].concat()] {
                assert_eq!(rsa.sign(scheme, wrong), Err(Refused), "{scheme:?}");
                assert_eq!(rsa_public.verify(scheme, wrong, &signature), Err(Refused), "{scheme:?}");
            }
        }
    }
}

#[test]
fn one_key_signs_from_many_threads() {
    let pair = Pair::generate(&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]);
    let (private, public) = keys(Kind::Rsa, &pair);
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            let (private, public) = (&private, &public);
            scope.spawn(move || {
                for round in 0..20 {
                    let digest = [thread * 32 + round; 32];
                    let scheme = Scheme::RsaPss(Hash::Sha2_256, Salt::Auto);
                    let signature = private.sign(scheme, &digest).unwrap();
                    assert_eq!(public.verify(scheme, &digest, &signature), Ok(()));
                }
            });
        }
    });
}

fn keys(kind: Kind, pair: &Pair) -> (PrivateKey, PublicKey) {
    (PrivateKey::from_pkcs8(kind, &pair.private).ok().unwrap(), PublicKey::from_spki(kind, &pair.public).ok().unwrap())
}

/// With OpenSSL's names for them.
const HASHES: [(Hash, &str); 9] = [
    (Hash::Sha1, "sha1"),
    (Hash::Sha2_224, "sha224"),
    (Hash::Sha2_256, "sha256"),
    (Hash::Sha2_384, "sha384"),
    (Hash::Sha2_512, "sha512"),
    (Hash::Sha3_224, "sha3-224"),
    (Hash::Sha3_256, "sha3-256"),
    (Hash::Sha3_384, "sha3-384"),
    (Hash::Sha3_512, "sha3-512"),
];
