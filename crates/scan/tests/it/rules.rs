//! Coffer's own rules: each finds what it is for, and only where it stands by itself.

use std::collections::BTreeSet;

use crate::sample::{filled, found, rules, scan};

/// A rule, and texts that it must find, to be filled.
const SAMPLES: &[(&str, &[&str])] = &[
    ("aws-access-key-id", &["AKIA{t16}", "\"ASIA{t16}\""]),
    (
        "aws-secret-access-key",
        &["aws_secret_access_key = {p40}", "AWS_SECRET_ACCESS_KEY=\"{p40}\"", "awsSecretAccessKey: {p40}"],
    ),
    ("aws-bedrock-api-key", &["ABSK{p120}=="]),
    ("azure-client-secret", &["secret: {w3}8Q~{w31}"]),
    ("azure-storage-account-key", &["DefaultEndpointsProtocol=https;AccountName=a;AccountKey={p86}==;"]),
    ("azure-shared-access-key", &["SharedAccessKeyName=x;SharedAccessKey={p43}="]),
    ("azure-devops-token", &["{w76}AZDO{w4}"]),
    ("google-api-key", &["key=AIza{b35}&", "AIza{b35}"]),
    ("google-oauth-client-secret", &["GOCSPX-{b28}"]),
    ("google-oauth-access-token", &["Bearer ya29.{b60}"]),
    ("digitalocean-token", &["dop_v1_{h64}", "doo_v1_{h64}"]),
    ("alibaba-access-key-id", &["LTAI{w20}"]),
    ("cloudflare-origin-ca-key", &["v1.0-{h24}-{h146}"]),
    ("heroku-api-key", &["HRKU-AA{b58}"]),
    ("fly-token", &["fo1_{b43}", "FlyV1 fm2_{p200}"]),
    ("databricks-token", &["dapi{h32}", "dapi{h32}-2"]),
    ("planetscale-credential", &["pscale_tkn_{b43}", "pscale_pw_{b43}"]),
    ("supabase-key", &["sbp_{h40}", "sb_secret_{b31}"]),
    ("render-api-key", &["rnd_{w32}"]),
    ("github-token", &["ghp_{w36}", "token=ghs_{w36}", "https://gho_{w36}@github.com/a/b"]),
    ("github-fine-grained-token", &["github_pat_{w22}_{w59}"]),
    ("gitlab-token", &["glpat-{b20}", "glrt-{b20}", "glpat-{b27}.01.{l9}"]),
    ("gitlab-runner-registration-token", &["GR1348941{b20}"]),
    ("atlassian-token", &["ATATT3x{b180}", "ATBB{w32}"]),
    ("npm-token", &["//registry.npmjs.org/:_authToken=npm_{w36}"]),
    ("pypi-token", &["pypi-AgEIcHlwaS5vcmc{b120}"]),
    ("rubygems-api-key", &["rubygems_{h48}"]),
    ("crates-io-token", &["token = cio{w32}"]),
    ("nuget-api-key", &["oy2{l43}"]),
    ("clojars-token", &["CLOJARS_{h60}"]),
    ("docker-hub-token", &["dckr_pat_{b27}"]),
    ("artifactory-token", &["AKCp{w69}", "cmVmdGtu{w56}"]),
    ("sonarqube-token", &["sqp_{h40}"]),
    ("buildkite-token", &["bkua_{h40}"]),
    ("circleci-token", &["CCIPAT_{w22}_{h40}"]),
    ("terraform-cloud-token", &["{w14}.atlasv1.{b67}"]),
    ("pulumi-token", &["pul-{h40}"]),
    ("postman-api-key", &["PMAK-{h24}-{h34}"]),
    ("vault-token", &["hvs.{w24}", "X-Vault-Token: hvb.{b140}"]),
    ("vault-token-short", &["token s.{w24}\n", "VAULT_TOKEN=s.{w24}"]),
    ("onepassword-service-account-token", &["ops_eyJ{p300}"]),
    ("onepassword-secret-key", &["A3-{u6}-{u6}-{u5}-{u5}-{u5}-{u5}"]),
    ("doppler-token", &["dp.st.prd.{w43}", "dp.pt.{w43}"]),
    ("tailscale-key", &["tskey-auth-{w12}-{w32}"]),
    ("jwt", &["eyJ{b30}.eyJ{b60}.{b43}"]),
    (
        "private-key",
        &[
            "-----BEGIN PRIVATE KEY-----\n{p64}\n{p64}\n-----END PRIVATE KEY-----\n",
            "-----BEGIN OPENSSH PRIVATE KEY-----\n{p64}\n{p64}\n-----END OPENSSH PRIVATE KEY-----",
            "key: \"-----BEGIN RSA PRIVATE KEY-----\\n{p64}\\n{p64}\\n-----END RSA PRIVATE KEY-----\\n\"",
            "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,{u32}\n\n{p64}\n-----END EC PRIVATE KEY-----",
            "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{p64}\n{p64}\n=abcd\n-----END PGP PRIVATE KEY BLOCK-----",
        ],
    ),
    ("age-secret-key", &["AGE-SECRET-KEY-1{c58}"]),
    ("putty-private-key", &["PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nComment: x\n"]),
    (
        "openvpn-static-key",
        &["-----BEGIN OpenVPN Static key V1-----\n{h32}\n{h32}\n{h32}\n-----END OpenVPN Static key V1-----"],
    ),
    ("wireguard-private-key", &["[Interface]\nPrivateKey = {w42}A=\n"]),
    ("slack-token", &["xoxb-{d12}-{d12}-{w24}", "xoxe.xoxp-1-{w160}", "xapp-1-A{u10}-{d13}-{h64}"]),
    ("slack-webhook", &["https://hooks.slack.com/services/T{u9}/B{u9}/{w24}"]),
    ("discord-webhook", &["https://discord.com/api/webhooks/{d18}/{b68}"]),
    ("discord-bot-token", &["discord: M{w25}.{b6}.{b38}"]),
    ("telegram-bot-token", &["{d10}:AA{b33}"]),
    ("twilio-api-key", &["SK{h32}"]),
    ("sendgrid-api-key", &["SG.{b22}.{b43}"]),
    ("mailchimp-api-key", &["{h32}-us12"]),
    ("mailgun-api-key", &["key-{h32}"]),
    ("brevo-api-key", &["xkeysib-{h64}-{w16}"]),
    ("stripe-key", &["sk_live_{w24}", "rk_test_{w99}"]),
    ("stripe-webhook-secret", &["whsec_{w32}"]),
    ("square-credential", &["EAAAl{b59}", "sq0csp-{b43}"]),
    ("shopify-token", &["shpat_{h32}"]),
    ("plaid-access-token", &["access-production-{h8}-{h4}-{h4}-{h4}-{h12}"]),
    ("razorpay-key-id", &["rzp_live_{w14}"]),
    ("easypost-api-key", &["EZAK{w54}"]),
    ("openai-api-key", &["sk-proj-{b74}T3BlbkFJ{b74}", "sk-{w20}T3BlbkFJ{w20}"]),
    ("anthropic-api-key", &["sk-ant-api03-{b93}AA"]),
    ("hugging-face-token", &["hf_{a34}"]),
    ("replicate-token", &["r8_{w37}"]),
    ("groq-api-key", &["gsk_{w52}"]),
    ("grafana-token", &["glsa_{w32}_{h8}", "glc_eyJ{p100}="]),
    ("sentry-token", &["sntryu_{h64}", "sntrys_eyJ{p120}_{p43}"]),
    ("new-relic-key", &["NRAK-{u27}"]),
    ("dynatrace-token", &["dt0c01.{u24}.{u64}"]),
    ("linear-api-key", &["lin_api_{w40}"]),
    ("notion-token", &["ntn_{d11}{w35}"]),
    ("airtable-token", &["pat{w14}.{h64}"]),
    ("figma-token", &["figd_{b40}"]),
    ("contentful-token", &["CFPAT-{b43}"]),
    ("adafruit-key", &["aio_{w28}"]),
    ("url-password", &["postgres://app:{w16}@db.internal:5432/app", "https://user:{w12}@host/"]),
    (
        "assigned-secret",
        &["password = \"{w20}\"", "\"api_key\": \"{w32}\"", "client_secret='{w24}'", "let token = `{w24}`;"],
    ),
    ("environment-secret", &["DB_PASSWORD={w20}\n", "export API_TOKEN={w30}\n"]),
];

#[test]
fn every_rule_finds_its_samples_and_has_some() {
    let rules = rules();
    let mut wrong = Vec::new();
    for (rule, samples) in SAMPLES {
        for template in *samples {
            let text = filled(template);
            for text in [text.clone(), format!("first\n{text}\nnext line\n"), format!("\r\n\t{text}\r\n")] {
                let ids = found(&rules, &text);
                if ids != [*rule] {
                    wrong.push(format!("{rule}: {template} found {ids:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let sampled: BTreeSet<&str> = SAMPLES.iter().map(|(rule, _)| *rule).collect();
    let all: BTreeSet<&str> = rules.names().map(|(id, _)| id).collect();
    assert_eq!(sampled, all);
    assert!(all.len() >= 60, "{}", all.len());
}

#[test]
fn every_pattern_compiles_and_every_rule_has_a_keyword_and_says_what_it_is() {
    let rules = rules();
    rules.check().unwrap();
    assert!(rules.names().all(|(id, description)| !id.is_empty() && !description.is_empty()));
    let ids: BTreeSet<&str> = rules.names().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), rules.count());
}

#[test]
fn text_that_is_no_secret_is_left_alone() {
    let rules = rules();
    let mut wrong = Vec::new();
    for template in [
        // The keys of AWS's documentation.
        "AKIAIOSFODNN7EXAMPLE",
        "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        // Too short, too long, part of a word.
        "AKIA{t15}",
        "AKIA{t17}",
        "xAKIA{t16}",
        "ghp_{w35}",
        "hvs.{w20}",
        // Places for secrets.
        "password = \"${DB_PASSWORD}\"",
        "password = \"<your password here 1>\"",
        "password = \"<your-password-here-1>\"",
        "password = \"{{ .Values.db1.password }}\"",
        "password = \"{{.Values.db1.password}}\"",
        "password = \"prefix1-{name}-suffix\"",
        "password = \"#{ENV1.fetch(:password)}\"",
        "token_pattern = \"[a-z0-9]{12}-[A-Z]{4}\"",
        "token_pattern = \"(?:abc1|def2)ghijk\"",
        "token_kind = \"access1|refresh2|identity3\"",
        "DB_PASSWORD=$(pass/show/db1)",
        "DB_PASSWORD=$DB1_PASSWORD_OF_PROD",
        "DB_PASSWORD=%DB1_PASSWORD%",
        "DB_PASSWORD=getPassword1(name2,other3)",
        "API_TOKEN=tokens1[environment2]",
        "API_TOKEN=pre-$NAME1-post-x2",
        "PRIVATE_KEY=/etc/keys/Server1/private.pem",
        "api_key = \"YOUR-api-key-{d4}\"",
        "postgres://user:password@localhost/db",
        "postgres://app:${DB_PASSWORD}@db/app",
        "https://user:%s@host",
        "token = \"changeme-please-1\"",
        "secret: \"example-secret-{w8}\"",
        // Code.
        "token = self.tokens.next_token();",
        "let password = read_password(&arguments.password_file)?;",
        "secret_key_base_class = \"app.settings.SecretKeyBase\"",
        "token_path = \"/var/run/secrets/token-1\"",
        "s.thisIsTheNameOfAMethods",
        "objects.somethingThatIsLongEnough(",
        "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----",
        "-----BEGIN PUBLIC KEY-----\n{p64}\n{p64}\n-----END PUBLIC KEY-----",
        "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: aes256-cbc\n",
        "sha512-{p86}==",
        "checksum = \"{h64}\"",
    ] {
        let ids = found(&rules, filled(template));
        if !ids.is_empty() {
            wrong.push(format!("{template}: {ids:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn password_of_any_signs_is_found_and_no_sign_alone_excuses_it() {
    let rules = rules();
    let mut missed = Vec::new();
    for sign in "!#%&()*+,-./:;<=>?@[]^_{|}~$".chars() {
        for at in 0..10 {
            let mut password: Vec<char> = filled("{w20}").chars().collect();
            // One at its beginning, where it makes no path of it, one at its end, and one anywhere.
            let places = [usize::from(sign == '/'), at * 2 + usize::from(sign == '/'), 19];
            places.into_iter().for_each(|place| password[place] = sign);
            password[8] = '7';
            let password: String = password.into_iter().collect();
            for (rule, text) in [
                ("assigned-secret", format!("password = \"{password}\"")),
                ("environment-secret", format!("DB_PASSWORD={password}\n")),
            ] {
                if found(&rules, &text) != [rule] {
                    missed.push(text);
                }
            }
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn lists_of_hashes_are_not_taken_for_secrets() {
    let rules = rules();
    let text = filled("\"token\": \"{w40}\"");
    assert_eq!(scan(&rules, "a.json", &text).findings.len(), 1);
    assert_eq!(scan(&rules, "web/package-lock.json", &text).findings.len(), 0);
    // What has a vendor's mark is one wherever it stands.
    assert_eq!(scan(&rules, "web/package-lock.json", filled("ghp_{w36}")).findings.len(), 1);
}

#[test]
fn line_that_says_so_is_left_alone() {
    let rules = rules();
    for marker in ["coffer:allow", "gitleaks:allow", "pragma: allowlist secret"] {
        assert_eq!(found(&rules, filled(&format!("ghp_{{w36}} # {marker}\nghp_{{w36}}\n"))).len(), 1, "{marker}");
    }
}
