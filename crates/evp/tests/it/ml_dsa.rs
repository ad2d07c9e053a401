//! What the library says to NIST's vectors (ACVP) of ML-DSA's internal interface, which `aws-lc-rs` does not show: the
//! message's representative is computed here and verified there. Keys and signatures of the external interface are tested
//! in `coffer-crypto`, where users' keys are.

use std::ptr::null_mut;

use aws_lc_sys as lc;
use serde_json::Value;

#[test]
fn ml_dsa_signatures_of_nist_verify_or_not_as_they_must() {
    let file: Value = serde_json::from_str(include_str!("../../../crypto/testdata/acvp-ml-dsa.json")).unwrap();
    let tests = file["tests"].as_array().unwrap().iter().filter(|test| test["what"] == "sigVer");
    let (mut good, mut bad) = (0, 0);
    for test in tests {
        let nid = match test["set"].as_str().unwrap() {
            "ML-DSA-44" => lc::NID_MLDSA44,
            "ML-DSA-65" => lc::NID_MLDSA65,
            "ML-DSA-87" => lc::NID_MLDSA87,
            other => panic!("{other}"),
        };
        let bytes = |field: &str| unhex(test[field].as_str().unwrap());
        let public = bytes("pk");
        let representative = shake256(&[&shake256(&[&public]), &bytes("message")]);
        let verified = verifies(nid, &public, &representative, &bytes("signature"));
        assert_eq!(verified, test["testPassed"].as_bool().unwrap(), "{} {}", test["id"], test["reason"]);
        if verified { good += 1 } else { bad += 1 }
    }
    assert_eq!((good, bad), (3, 8));
}

fn verifies(nid: i32, public: &[u8], representative: &[u8; 64], signature: &[u8]) -> bool {
    // SAFETY: the pointer and length are one slice's; the key is checked for null and freed below.
    let key = unsafe { lc::EVP_PKEY_pqdsa_new_raw_public_key(nid, public.as_ptr(), public.len()) };
    assert!(!key.is_null());
    // SAFETY: the key is valid; the context takes a reference of its own.
    let context = unsafe { lc::EVP_PKEY_CTX_new(key, null_mut()) };
    assert!(!context.is_null());
    // SAFETY: the context is valid.
    assert_eq!(unsafe { lc::EVP_PKEY_verify_init(context) }, 1);
    let (digest, len) = (representative.as_ptr(), representative.len());
    // SAFETY: the context is valid, pointers and lengths are two slices'.
    let verified = unsafe { lc::EVP_PKEY_verify(context, signature.as_ptr(), signature.len(), digest, len) };
    // SAFETY: it is freed once, and not used again.
    unsafe { lc::EVP_PKEY_CTX_free(context) };
    // SAFETY: as above.
    unsafe { lc::EVP_PKEY_free(key) };
    // SAFETY: it takes nothing.
    unsafe { lc::ERR_clear_error() };
    verified == 1
}

/// The first 64 bytes of SHAKE256.
fn shake256(parts: &[&[u8]]) -> [u8; 64] {
    let mut out = [0; 64];
    // SAFETY: it takes nothing; the context is checked for null and freed below.
    let context = unsafe { lc::EVP_MD_CTX_new() };
    assert!(!context.is_null());
    // SAFETY: it takes nothing.
    let hash = unsafe { lc::EVP_shake256() };
    // SAFETY: the context and the hash are valid.
    assert_eq!(unsafe { lc::EVP_DigestInit_ex(context, hash, null_mut()) }, 1);
    for part in parts {
        // SAFETY: the context is valid, the pointer and length are one slice's.
        assert_eq!(unsafe { lc::EVP_DigestUpdate(context, part.as_ptr().cast(), part.len()) }, 1);
    }
    // SAFETY: the context is valid, the pointer and length are the array's.
    assert_eq!(unsafe { lc::EVP_DigestFinalXOF(context, out.as_mut_ptr(), out.len()) }, 1);
    // SAFETY: it is freed once, and not used again.
    unsafe { lc::EVP_MD_CTX_free(context) };
    out
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks_exact(2).map(|pair| std::str::from_utf8(pair).unwrap());
    digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}
