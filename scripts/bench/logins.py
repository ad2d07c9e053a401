"""AppRole logins: the same role and secret id at every server, for batch and for service tokens."""

import json

from http_json import Client
from load import LOGIN, Load

BATCH, SERVICE = "batch", "service"
KINDS = (BATCH, SERVICE)
SECRET = "the-secret-id-of-the-bench"
PATH = "/v1/auth/approle/login"


def prepare(server, root):
    """Mounts AppRole with a role for each kind of token; one login of each makes its entity."""
    # On a connection of its own: the server has ended the one that loaded it, which was idle since.
    root = Client(server.port, root.token)
    root.call("POST", "/v1/sys/auth/approle", {"type": "approle"})
    for kind in KINDS:
        role = f"/v1/auth/approle/role/{kind}"
        root.call("POST", role, {"role_id": kind, "token_type": kind, "token_ttl": "10m", "token_policies": ["bench"]})
        root.call("POST", f"{role}/custom-secret-id", {"secret_id": SECRET})
        made = Client(server.port).call("POST", PATH, _credential(kind))["auth"]
        if made["token_type"] != kind or made["lease_duration"] != 600:
            raise RuntimeError(f"{server.name} gives {made}")


def load(plan, kind, connections=64):
    """Logins with one role, over and over."""
    return Load(LOGIN, connections, plan.seconds, 0, path=PATH, body=json.dumps(_credential(kind)))


def work(plan, kind, subjects):
    """One interleaved round of logins at each subject."""
    return lambda _name: {each.name: load(plan, kind).run(each) for each in subjects}


def _credential(kind):
    return {"role_id": kind, "secret_id": SECRET}
