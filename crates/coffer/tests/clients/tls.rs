//! TLS with each client: it trusts the authority that it was given, and turns away without.

use std::{os::unix::fs::PermissionsExt, path::Path, process::Output};

use crate::{
    programs::{here, print},
    servers::{Server, bao, command, installed, is_oracle},
};

#[test]
fn clients_with_the_certificate_are_answered_and_turn_away_without() {
    if is_oracle() {
        // OpenBao makes its own certificates for `-dev-tls`; what is shown here is Coffer's listener.
        return;
    }
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let files = tempfile::tempdir().unwrap();
    let (cert, key) = (files.path().join("cert.pem"), files.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let server = Server::tls(&cert, &key);
    assert!(server.url().starts_with("https://"), "{}", server.url());

    let clients: [(&str, Asks); 3] = [("bao", ask_bao), ("hvac", ask_hvac), ("node-vault", ask_node_vault)];
    for (client, ask) in clients {
        let answered = ask(&server, Some(&cert));
        let said = String::from_utf8_lossy(&answered.stdout).into_owned();
        assert!(answered.status.success() && said.contains("root"), "{client}: {said}{answered:?}");
        let refused = ask(&server, None);
        let said = String::from_utf8_lossy(&[refused.stdout, refused.stderr].concat()).to_lowercase();
        assert!(!refused.status.success() && said.contains("certificate"), "{client} without the certificate: {said}");
    }
    print("TLS: 3 clients, 3 succeeded, 3 refused as expected");
}

/// Asks a server who the token `root` is, with or without the certificate that it shows.
type Asks = fn(&Server, Option<&Path>) -> Output;

fn ask_bao(server: &Server, cert: Option<&Path>) -> Output {
    let mut program = command(bao(), server.home());
    program.args(["token", "lookup"]).env("BAO_ADDR", server.url()).env("BAO_TOKEN", "root");
    program.env("BAO_MAX_RETRIES", "0");
    if let Some(cert) = cert {
        program.env("BAO_CACERT", cert);
    }
    program.output().unwrap()
}

fn ask_hvac(server: &Server, cert: Option<&Path>) -> Output {
    let ask = "import hvac, os\n\
               client = hvac.Client(os.environ['URL'], token='root', verify=os.environ.get('CERT', True))\n\
               print(client.auth.token.lookup_self()['data']['policies'])";
    let mut program = command(installed(".venv/bin/python"), server.home());
    program.args(["-c", ask]).env("URL", server.url());
    if let Some(cert) = cert {
        program.env("CERT", cert);
    }
    program.output().unwrap()
}

fn ask_node_vault(server: &Server, cert: Option<&Path>) -> Output {
    let ask = "const { CERT: cert, URL: endpoint } = process.env;\n\
               const requestOptions = cert ? { ca: require('fs').readFileSync(cert) } : {};\n\
               require('node-vault')({ endpoint, token: 'root', requestOptions }).tokenLookupSelf()\n\
               .then((found) => console.log(found.data.policies));";
    let mut program = command("node", server.home());
    program.args(["-e", ask]).env("URL", server.url()).env("NODE_PATH", here().join("node-vault/node_modules"));
    if let Some(cert) = cert {
        program.env("CERT", cert);
    }
    program.output().unwrap()
}
