"""Keys: the same request of transit to every server, and to a bare one that takes it and answers with as many bytes."""

import base64
import dataclasses
import json
import os
import subprocess

import rounds
from http_json import Client
from load import POST, Load, Run
from servers import Bare

CONNECTIONS = 64
LIBRARY = "aws-lc-rs alone"


@dataclasses.dataclass(frozen=True)
class Case:
    """What is asked of a key, over and over."""

    name: str
    operation: str
    # The key's type, which is its name too.
    key: str
    message_bytes: int
    # More than one is a batch.
    items: int = 1


AES = "aes256-gcm96"
# Coffer's default. Transit has no name for it: the key is made through the native API, and OpenBao has none.
OWN = "xaes-256-gcm"
ENCRYPT_SHORT = Case("encrypt 16 bytes", "encrypt", AES, 16)
DECRYPT_SHORT = Case("decrypt 16 bytes", "decrypt", AES, 16)
ENCRYPT = Case("encrypt 1 KiB", "encrypt", AES, 1024)
DECRYPT = Case("decrypt 1 KiB", "decrypt", AES, 1024)
ENCRYPT_OWN = Case("encrypt 1 KiB, XAES-256-GCM", "encrypt", OWN, 1024)
BATCH = Case("encrypt a batch of 100 x 64 bytes", "encrypt", AES, 64, items=100)
ED25519 = Case("sign, Ed25519", "sign", "ed25519", 64)
P256 = Case("sign, ECDSA P-256", "sign", "ecdsa-p256", 64)
RSA = Case("sign, RSA-2048", "sign", "rsa-2048", 64)
CASES = (ENCRYPT_SHORT, DECRYPT_SHORT, ENCRYPT, DECRYPT, ENCRYPT_OWN, BATCH, ED25519, P256, RSA)


class Library:
    """aws-lc-rs signing in as many threads as there are cores: no server, and no client beside it."""

    name = LIBRARY

    def __init__(self, program, seconds):
        self.command = [str(program), str(os.cpu_count()), str(seconds)]

    def run(self):
        """Its rate and CPU."""
        child = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
        found = json.loads(child.stdout.read())
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        made = found["signatures"]
        cpu_us = (usage.ru_utime + usage.ru_stime) / made * 1e6
        return Run(made, made / found["seconds"], 0, 0, cpu_us, 0, 0, 0)


def prepare(coffer, peer):
    """Mounts transit at both and makes the keys."""
    for server in (coffer, peer):
        root = Client(server.port, server.root.token)
        root.call("POST", "/v1/sys/mounts/transit", {"type": "transit"})
        for key in sorted({case.key for case in CASES} - {OWN}):
            root.call("POST", f"/v1/transit/keys/{key}", {"type": key})
    made = Client(coffer.port, coffer.root.token).call("POST", "/api/v1/keys", {"name": OWN})
    if made["algorithm"] != OWN:
        raise RuntimeError(f"the default is another algorithm: {made}")


def measure(plan, programs, directory, probe, servers, case):
    """The rounds of a case. The bare server beside takes the first server's request and answers with as many bytes as it
    does; `probe` is the one that tells whether the machine is quiet."""
    loads = [load(plan, case, server) for server in servers]
    bare = Bare(programs.bare, directory / f"bare-{CASES.index(case)}.log", _answer_bytes(servers[0], loads[0]))
    runs = {bare.name: lambda: loads[0].run(bare)}
    runs.update((server.name, lambda server=server, load=load: load.run(server)) for server, load in zip(servers, loads))
    if case == RSA:
        runs[LIBRARY] = Library(programs.signatures, plan.seconds).run
    try:
        return rounds.measure(plan, probe, CONNECTIONS, lambda _name: {name: run() for name, run in runs.items()})
    finally:
        bare.stop()


def load(plan, case, server):
    """A case's request to a server, once its answer was looked at."""
    client = Client(server.port, server.token)
    message = base64.b64encode((b"0123456789abcdef" * 64)[: case.message_bytes]).decode()

    def ask(operation, fields):
        return client.call("POST", f"/v1/transit/{operation}/{case.key}", fields)["data"]

    match case.operation:
        case "encrypt":
            item = {"plaintext": message}
            body = item if case.items == 1 else {"batch_input": [item] * case.items}
            answer = ask("encrypt", body)
            made = [each["ciphertext"] for each in answer.get("batch_results", [answer])]
            opened = ask("decrypt", {"batch_input": [{"ciphertext": each} for each in made]})["batch_results"]
            right = [each["plaintext"] for each in opened] == [message] * case.items
        case "decrypt":
            body = {"ciphertext": ask("encrypt", {"plaintext": message})["ciphertext"]}
            right = ask("decrypt", body)["plaintext"] == message
        case "sign":
            body = {"input": message}
            right = ask("verify", {**body, "signature": ask("sign", body)["signature"]})["valid"]
    if not right:
        raise RuntimeError(f"{server.name}, {case.name}: a wrong answer")
    return post(plan, case, body)


def post(plan, case, body):
    """A case's request with a body."""
    path = f"/v1/transit/{case.operation}/{case.key}"
    return Load(POST, CONNECTIONS, plan.seconds, 0, path=path, body=json.dumps(body, separators=(",", ":")))


def over_library(each, subject):
    """A subject's rate in a round over what the library makes alone on the cores that wrk does not use meanwhile."""
    run, alone = each.runs[subject], each.runs[LIBRARY]
    return run.rate / (alone.rate * (1 - run.client / os.cpu_count()))


def has(server, case):
    """Whether a server has the case's algorithm."""
    return case.key != OWN or server.name != "openbao"


def _answer_bytes(server, load):
    return len(Client(server.port, server.token).content("POST", load.path, json.loads(load.body)))
