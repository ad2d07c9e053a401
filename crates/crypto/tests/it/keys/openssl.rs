//! Beside OpenSSL's command line: keys, signatures and ciphertexts of each side opened by the other.

use std::io::Write as _;
use std::process::{Command, Stdio};

use coffer_crypto::hash::Algorithm as Hash;
use coffer_crypto::keys::{Algorithm, KeyMaterial, Marshal, PublicKey, RsaPadding, Salt, SignOptions};
use tempfile::TempDir;

use super::{over, public};

/// What OpenSSL says to these arguments and that input.
pub(super) fn run(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new("openssl");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

const CLASSICAL: [(Algorithm, &[&str]); 7] = [
    (Algorithm::EcdsaP256, &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]),
    (Algorithm::EcdsaP384, &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"]),
    (Algorithm::EcdsaP521, &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"]),
    (Algorithm::Ed25519, &["-algorithm", "ED25519"]),
    (Algorithm::Rsa2048, &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]),
    (Algorithm::Rsa3072, &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"]),
    (Algorithm::Rsa4096, &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096"]),
];

#[test]
fn keys_that_openssl_made_are_imported_and_written_back_the_same() {
    for (algorithm, options) in CLASSICAL {
        let pem = run(&[&["genpkey"], options].concat(), b"");
        let pkcs8 = run(&["pkcs8", "-topk8", "-nocrypt", "-outform", "DER"], &pem);
        let spki = run(&["pkey", "-pubout", "-outform", "DER"], &pem);
        let key = KeyMaterial::import(algorithm, &pkcs8).unwrap();
        let public = key.public().unwrap().unwrap();
        assert_eq!(public.spki().unwrap(), spki, "{algorithm:?}");
        assert_eq!(public.pem().unwrap().as_bytes(), run(&["pkey", "-pubout"], &pem), "{algorithm:?}");
        assert_eq!(PublicKey::from_pem(algorithm, &public.pem().unwrap()).unwrap(), public);

        // The encodings that leave: each is the same key to OpenSSL.
        let text = |key: &[u8]| run(&["pkey", "-text", "-noout"], key);
        if algorithm != Algorithm::Ed25519 {
            assert_eq!(text(key.export_text().unwrap().as_bytes()), text(&pem), "{algorithm:?}");
            let traditional = run(&["pkey", "-traditional", "-outform", "DER"], &pem);
            assert_eq!(*key.export().unwrap(), traditional, "{algorithm:?}");
        }
        let written = run(&["pkey", "-inform", "DER", "-text", "-noout"], &key.export_pkcs8().unwrap());
        assert_eq!(written, text(&pem), "{algorithm:?}");

        // What is stored comes back, and so does what was written, in any of its forms.
        for bytes in [key.export_pkcs8().unwrap().to_vec(), pkcs8.clone()] {
            assert_eq!(KeyMaterial::import(algorithm, &bytes).unwrap().encoded(), key.encoded(), "{algorithm:?}");
        }
        assert!(KeyMaterial::import(algorithm, &[&pkcs8[..], &[0]].concat()).is_err(), "{algorithm:?}");
        for (other, _) in CLASSICAL.into_iter().filter(|(other, _)| *other != algorithm) {
            assert!(KeyMaterial::import(other, &pkcs8).is_err(), "{algorithm:?} as {other:?}");
            assert!(PublicKey::from_spki(other, &spki).is_err(), "{algorithm:?} as {other:?}");
        }
    }
}

#[test]
fn signatures_are_verified_by_openssl_and_its_own_by_us() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let [private, public_key, message, signature] = ["private", "public", "message", "signature"].map(path);
    std::fs::write(&message, b"a message").unwrap();
    for (algorithm, _) in CLASSICAL {
        let material = KeyMaterial::generate(algorithm).unwrap();
        let key = material.prepare().unwrap();
        std::fs::write(&private, &*material.export_pkcs8().unwrap()).unwrap();
        std::fs::write(&public_key, public(&key).pem().unwrap()).unwrap();
        let mut cases = Vec::new();
        match algorithm {
            Algorithm::Ed25519 => cases.push((SignOptions::default(), vec!["pkeyutl", "-rawin"])),
            Algorithm::EcdsaP256 | Algorithm::EcdsaP384 | Algorithm::EcdsaP521 => {
                for (hash, name) in
                    [(Hash::Sha2_256, "-sha256"), (Hash::Sha2_512, "-sha512"), (Hash::Sha3_224, "-sha3-224")]
                {
                    cases.push((over(hash), vec!["dgst", name]));
                }
            }
            _ => {
                let pkcs1 = SignOptions { rsa: RsaPadding::Pkcs1v15, ..over(Hash::Sha2_256) };
                cases.push((pkcs1, vec!["dgst", "-sha256"]));
                let pss = SignOptions { rsa: RsaPadding::Pss(Salt::Hash), ..over(Hash::Sha3_384) };
                let options = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"];
                cases.push((pss, [&["dgst", "-sha3-384"], &options[..]].concat()));
                let longest = SignOptions { rsa: RsaPadding::Pss(Salt::Auto), ..over(Hash::Sha1) };
                let options = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:max"];
                cases.push((longest, [&["dgst", "-sha1"], &options[..]].concat()));
            }
        }
        for (options, command) in cases {
            std::fs::write(&signature, key.sign(&options, b"a message").unwrap()).unwrap();
            if command[0] == "dgst" {
                run(&[&command[..], &["-verify", &public_key, "-signature", &signature, &message]].concat(), b"");
                let sign = ["-keyform", "DER", "-sign", &private, "-out", &signature, &message];
                run(&[&command[..], &sign].concat(), b"");
            } else {
                let verify = ["-verify", "-pubin", "-inkey", &public_key, "-sigfile", &signature, "-in", &message];
                run(&[&command[..], &verify].concat(), b"");
                let sign = ["-sign", "-keyform", "DER", "-inkey", &private, "-out", &signature, "-in", &message];
                run(&[&command[..], &sign].concat(), b"");
            }
            let theirs = std::fs::read(&signature).unwrap();
            assert!(key.verify(&options, b"a message", &theirs).unwrap(), "{algorithm:?} {options:?}");
            assert!(!key.verify(&options, b"another", &theirs).unwrap(), "{algorithm:?} {options:?}");
        }
    }
}

#[test]
fn ecdsa_signatures_of_both_forms_are_the_same_numbers() {
    for (algorithm, len) in [(Algorithm::EcdsaP256, 64), (Algorithm::EcdsaP384, 96), (Algorithm::EcdsaP521, 132)] {
        let key = KeyMaterial::generate(algorithm).unwrap().prepare().unwrap();
        let jws = SignOptions { marshal: Marshal::Jws, ..SignOptions::default() };
        // Numbers with leading zeros come up among so many.
        for message in 0..200_u8 {
            let signature = key.sign(&jws, &[message]).unwrap();
            assert_eq!(signature.len(), len);
            assert!(key.verify(&jws, &[message], &signature).unwrap());
            assert!(!key.verify(&SignOptions::default(), &[message], &signature).unwrap());
            let der = key.sign(&SignOptions::default(), &[message]).unwrap();
            assert!(!key.verify(&jws, &[message], &der).unwrap());
        }
    }
}

#[test]
fn wrapped_keys_open_on_the_other_side() {
    let folder = TempDir::new().unwrap();
    let private = folder.path().join("private").to_str().unwrap().to_owned();
    let public_key = folder.path().join("public").to_str().unwrap().to_owned();
    let material = KeyMaterial::generate(Algorithm::Rsa4096).unwrap();
    let key = material.prepare().unwrap();
    std::fs::write(&private, &*material.export_pkcs8().unwrap()).unwrap();
    std::fs::write(&public_key, public(&key).pem().unwrap()).unwrap();
    let target = KeyMaterial::generate(Algorithm::EcdsaP256).unwrap().export_pkcs8().unwrap();
    let names =
        [(Hash::Sha1, "sha1"), (Hash::Sha2_224, "sha224"), (Hash::Sha2_256, "sha256"), (Hash::Sha2_512, "sha512")];
    for (hash, name) in names {
        let oaep = ["rsa_padding_mode:oaep".to_owned(), format!("rsa_oaep_md:{name}"), format!("rsa_mgf1_md:{name}")];
        let oaep: Vec<&str> = oaep.iter().flat_map(|option| ["-pkeyopt", option]).collect();

        let wrapped = key.wrap_rsa(hash, &target).unwrap();
        let (sealed, under) = wrapped.split_at(512);
        let open = ["pkeyutl", "-decrypt", "-keyform", "DER", "-inkey", &private];
        let kek = super::hex(&run(&[&open, &oaep[..]].concat(), sealed));
        let kwp = ["enc", "-d", "-id-aes256-wrap-pad", "-iv", "A65959A6", "-K", &kek];
        assert_eq!(run(&kwp, under), *target, "{name}");

        let kek = [7; 32];
        let seal = ["pkeyutl", "-encrypt", "-pubin", "-inkey", &public_key];
        let mut theirs = run(&[&seal, &oaep[..]].concat(), &kek);
        let kek = super::hex(&kek);
        theirs.extend(run(&["enc", "-id-aes256-wrap-pad", "-iv", "A65959A6", "-K", &kek], &target));
        assert_eq!(*key.unwrap_rsa(hash, &theirs).unwrap(), *target, "{name}");
    }
}
