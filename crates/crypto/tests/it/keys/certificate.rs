//! Certificate signing requests and certificates beside OpenSSL's command line.

use coffer_crypto::certificate::{Certificate, request};
use coffer_crypto::keys::{Algorithm, KeyMaterial};
use tempfile::TempDir;

use super::openssl::run;

#[test]
fn openssl_accepts_the_requests_and_certifies_them_with_what_the_template_asked_for() {
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    run(&["genpkey", "-algorithm", "ED25519", "-out", &path("ca.key")], b"");
    let authority = ["req", "-x509", "-key", &path("ca.key"), "-subj", "/CN=ca", "-outform", "DER"];
    let ca = run(&authority, b"");
    assert!(Certificate::parse(&ca).unwrap().is_authority());
    run(&["x509", "-inform", "DER", "-out", &path("ca.pem")], &ca);
    let asked = ["req", "-new", "-key", &path("ca.key"), "-subj", "/O=Acme/CN=acme.example", "-outform", "DER"];
    let template = run(&[&asked[..], &["-addext", "subjectAltName=DNS:a.example"]].concat(), b"");
    for algorithm in
        [Algorithm::EcdsaP256, Algorithm::EcdsaP384, Algorithm::EcdsaP521, Algorithm::Ed25519, Algorithm::Rsa2048]
    {
        let material = KeyMaterial::generate(algorithm).unwrap();
        let (key, public) = (material.prepare().unwrap(), material.public().unwrap().unwrap());
        let bare = request(&key, &public, None).unwrap();
        run(&["req", "-inform", "DER", "-verify", "-noout"], &bare);
        let named = request(&key, &public, Some(&template)).unwrap();
        let text = run(&["req", "-inform", "DER", "-verify", "-noout", "-text"], &named);
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("acme.example") && text.contains("DNS:a.example"), "{algorithm:?}: {text}");

        let (ca_pem, ca_key) = (path("ca.pem"), path("ca.key"));
        let sign = ["x509", "-req", "-inform", "DER", "-CA", &ca_pem, "-CAkey", &ca_key, "-outform", "DER"];
        let certificate = Certificate::parse(&run(&sign, &named)).unwrap();
        assert_eq!(certificate.spki(), public.spki().unwrap(), "{algorithm:?}");
        assert!(!certificate.is_authority());
    }
}
