//! OpenBao's Agent, as it runs beside an application: it logs in by AppRole with a wrapped secret id, renews its token,
//! renders a secret into a file, and renders it anew when it changes.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    programs::print,
    servers::{Server, bao, command},
};

#[test]
fn agent_logs_in_renews_and_renders_and_says_when_it_is_refused() {
    let server = Server::dev();
    let role_id = prepared(&server);

    // Its success: a secret id out of its wrapping, a token that it keeps alive, and a file that follows the secret.
    let wrapped = run(&server, &["write", "-wrap-ttl=60s", "-force", SECRET_ID]);
    let token = wrapped["wrap_info"]["token"].as_str().unwrap();
    let agent = Agent::start(&server, "good", &role_id, token, "secret/data/app");
    let rendered = server.home().join("good/rendered");
    until("the first rendering", || is_text(&rendered, "first"));
    run(&server, &["kv", "put", "secret/app", "password=second"]);
    until("the second rendering", || is_text(&rendered, "second"));
    let kept = fs::read_to_string(server.home().join("good/token")).unwrap();
    // Its token lives three seconds; were it not renewed, it would be gone by the second renewal.
    until("two renewals", || agent.said("renewed auth token", 2));
    let found = run(&server, &["token", "lookup", kept.trim()]);
    assert_eq!(found["data"]["policies"], serde_json::json!(["agent", "default"]), "{found}");
    assert!(found["data"]["last_renewal"].is_string(), "{found}");
    drop(agent);

    // What refuses it: a wrapping that was opened before, and a secret that its policy does not reach.
    let mut agent = Agent::start(&server, "used", &role_id, token, "secret/data/app");
    until("a word about the wrapping", || agent.said("wrapping token is not valid or does not exist", 1));
    assert!(agent.is_running() && !server.home().join("used/rendered").exists());
    drop(agent);
    let wrapped = run(&server, &["write", "-wrap-ttl=60s", "-force", SECRET_ID]);
    let token = wrapped["wrap_info"]["token"].as_str().unwrap();
    let agent = Agent::start(&server, "denied", &role_id, token, "secret/data/other");
    until("a word about the policy", || agent.said("permission denied", 1));
    assert!(!server.home().join("denied/rendered").exists());
    print("bao agent: 3 tasks (login, renewal, template), 3 succeeded, 2 refused as expected, PKI templates later");
}

/// A policy, a role under it whose tokens are short-lived, and a secret. Returns the role's id.
fn prepared(server: &Server) -> String {
    let policy = server.home().join("agent.hcl");
    fs::write(&policy, "path \"secret/data/app\" { capabilities = [\"read\"] }").unwrap();
    let run = |line: &str| run(server, &line.split(' ').collect::<Vec<_>>());
    run(&format!("policy write agent {}", policy.display()));
    run("auth enable approle");
    run("write auth/approle/role/agent token_policies=agent token_ttl=3s token_max_ttl=10m");
    run("kv put secret/app password=first");
    run("read auth/approle/role/agent/role-id")["data"]["role_id"].as_str().unwrap().to_owned()
}

/// A running Agent; ended with the value.
struct Agent {
    child: Child,
    log: std::path::PathBuf,
}

impl Agent {
    /// With a folder of its own, a wrapped secret id, and a template that shows the password at this path.
    fn start(server: &Server, name: &str, role_id: &str, wrapped: &str, path: &str) -> Self {
        let folder = server.home().join(name);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("role-id"), role_id).unwrap();
        fs::write(folder.join("secret-id"), wrapped).unwrap();
        let here = folder.display();
        let config = format!(
            r#"
vault {{ address = "{url}" }}
auto_auth {{
    method "approle" {{
        config = {{
            role_id_file_path = "{here}/role-id"
            secret_id_file_path = "{here}/secret-id"
            secret_id_response_wrapping_path = "{SECRET_ID}"
        }}
    }}
    sink "file" {{ config = {{ path = "{here}/token" }} }}
}}
template_config {{ static_secret_render_interval = "1s" }}
template {{
    contents = "{{{{ with secret \"{path}\" }}}}{{{{ .Data.data.password }}}}{{{{ end }}}}"
    destination = "{here}/rendered"
}}
"#,
            url = server.url()
        );
        fs::write(folder.join("config.hcl"), config).unwrap();
        let log = folder.join("log");
        let to_log = || Stdio::from(fs::File::options().append(true).create(true).open(&log).unwrap());
        let mut agent = command(bao(), &folder);
        agent.args(["agent", "-log-level=debug", "-config"]).arg(folder.join("config.hcl"));
        let child = agent.stdout(to_log()).stderr(to_log()).spawn().unwrap();
        Self { child, log }
    }

    /// Whether its log has this so often.
    fn said(&self, text: &str, times: usize) -> bool {
        let log = BufReader::new(fs::File::open(&self.log).unwrap());
        log.lines().filter(|line| line.as_ref().unwrap().contains(text)).count() >= times
    }

    fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command as root, which must succeed; its JSON, or null where it says something else.
fn run(server: &Server, arguments: &[&str]) -> Value {
    let mut bao = command(bao(), server.home());
    bao.args(arguments).env("BAO_ADDR", server.url()).env("BAO_TOKEN", "root").env("BAO_FORMAT", "json");
    let Output { status, stdout, stderr } = bao.output().unwrap();
    assert!(status.success(), "bao {}: {}", arguments.join(" "), String::from_utf8_lossy(&stderr));
    serde_json::from_slice(&stdout).unwrap_or_default()
}

fn is_text(path: &Path, text: &str) -> bool {
    fs::read_to_string(path).is_ok_and(|found| found == text)
}

/// Asks until it is so, for a minute at most.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "still waiting for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

const SECRET_ID: &str = "auth/approle/role/agent/secret-id";
