"""The life of a server with a Shamir seal: initialise, unseal, seal, new root token, new shares. The rows stand in the
order in which an operator meets them, and each leaves the server unsealed."""

import atexit
import subprocess
import tempfile
from base64 import b64decode, b64encode

from hvac.exceptions import Forbidden, InternalServerError, InvalidRequest, VaultDown

from table import EMPTY, row, text

ROWS = []
sys = lambda name, **lacking: row(ROWS, f"sys.{name}", **lacking)
client = lambda name, **lacking: row(ROWS, f"client.{name}", **lacking)


class Holder:
    """Whom shares are encrypted to."""

    def __init__(self):
        folder = tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True)
        self.home = folder.name
        atexit.register(folder.cleanup)
        atexit.register(subprocess.run, ["gpgconf", "--homedir", self.home, "--kill", "all"])
        self.gpg("--quick-generate-key", "holder@example.org", "ed25519", "sign", "never")
        listed = self.gpg("--with-colons", "--list-keys").decode().splitlines()
        self.fingerprint = next(line.split(":")[9] for line in listed if line.startswith("fpr:"))
        self.gpg("--quick-add-key", self.fingerprint, "cv25519", "encrypt", "never")
        self.fingerprint = self.fingerprint.lower()
        self.key = b64encode(self.gpg("--export")).decode()

    def opens(self, message):
        return self.gpg("--decrypt", given=b64decode(message)).decode()

    def gpg(self, *arguments, given=b""):
        options = ["--homedir", self.home, "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]
        return subprocess.run(["gpg", *options, *arguments], input=given, check=True, capture_output=True).stdout


class Shamir:
    """What the operator holds: the shares, and a client with a root token."""

    def __init__(self):
        self.keys, self.root = [], None

    def unseal(self):
        self.root.sys.submit_unseal_keys(self.keys[:2])

    def progress(self):
        return self.root.sys.read_root_generation_progress()


held = Shamir()
holder = Holder()


@sys("read_init_status")
def _(t):
    t.succeeds(by=t.as_token("", t.shamir_url), gives={"initialized": False})
    t.succeeds(gives={"initialized": True})
    t.refused(InvalidRequest, by=t.elsewhere)


@sys("is_initialized")
def _(t):
    t.succeeds(by=t.as_token("", t.shamir_url), gives=False)
    t.succeeds(gives=True)
    t.refused(InvalidRequest, by=t.elsewhere)


@sys("initialize")
def _(t):
    by = t.as_token("", t.shamir_url)
    t.refused(InvalidRequest, 2, 3, by=by)
    t.refused(InvalidRequest, 0, 0, by=by)
    t.refused(InvalidRequest, 1, 1, pgp_keys=["AAAA"], by=by, says="error parsing given PGP key")
    gives = {"keys": [text] * 3, "keys_base64": [text] * 3, "root_token": text}
    made = t.succeeds(3, 2, pgp_keys=[holder.key] * 3, root_token_pgp_key=holder.key, by=by, gives=gives)
    assert [b64decode(key).hex() for key in made["keys_base64"]] == made["keys"]
    held.keys = [holder.opens(message) for message in made["keys_base64"]]
    assert [len(bytes.fromhex(key)) for key in held.keys] == [33] * 3
    held.root = t.as_token(holder.opens(made["root_token"]), t.shamir_url)
    t.refused(InvalidRequest, 3, 2, by=by, says="Vault is already initialized")


@sys("read_seal_status", refusal="it answers everyone")
def _(t):
    gives = {"type": "shamir", "initialized": True, "sealed": True, "t": 2, "n": 3, "progress": 0, "nonce": "",
             "version": text, "migration": False, "recovery_seal": False, "storage_type": text}
    t.succeeds(by=held.root, gives=gives)
    t.succeeds(by=t.nobody, gives={"sealed": False, "cluster_name": text, "cluster_id": text})


@client("seal_status", refusal="it answers everyone")
def _(t):
    t.succeeds(by=held.root, gives={"initialized": True, "sealed": True, "version": text})
    t.succeeds(by=t.weak, gives={"initialized": True, "sealed": False, "version": text})


@sys("submit_unseal_key")
def _(t):
    t.succeeds(held.keys[0], by=held.root, gives={"sealed": True, "progress": 1, "nonce": text})
    t.succeeds(held.keys[0], by=held.root, gives={"sealed": True, "progress": 1})
    t.succeeds(reset=True, by=held.root, gives={"sealed": True, "progress": 0})
    t.refused(InvalidRequest, "not a key", by=held.root, says="'key' must be a valid hex or base64 string")
    t.succeeds(held.keys[2], by=held.root, gives={"sealed": True, "progress": 1})
    t.succeeds(held.keys[1], by=held.root, gives={"sealed": False, "progress": 0, "cluster_name": text})


@sys("is_sealed", refusal="it answers everyone")
def _(t):
    t.succeeds(by=held.root, gives=False)
    held.root.sys.seal()
    t.succeeds(by=t.as_token("", t.shamir_url), gives=True)
    held.unseal()


@sys("read_leader_status", refusal="it answers everyone")
def _(t):
    t.succeeds(by=t.as_token("", t.shamir_url), gives={"ha_enabled": bool})


@client("ha_status", refusal="it answers everyone")
def _(t):
    t.succeeds(by=held.root, gives={"ha_enabled": bool})


@sys("seal")
def _(t):
    weak = t.as_token(held.root.auth.token.create(policies=["default"])["auth"]["client_token"], t.shamir_url)
    t.refused(Forbidden, by=weak)
    t.succeeds(by=held.root, gives=EMPTY)
    assert held.root.sys.is_sealed()
    held.unseal()


@sys("submit_unseal_keys")
def _(t):
    held.root.sys.seal()
    t.refused(InvalidRequest, ["00" * 33, "01" * 33], by=held.root)
    t.succeeds(held.keys[1:], by=held.root, gives={"sealed": False})


@sys("read_root_generation_progress")
def _(t):
    gives = {"started": False, "nonce": "", "progress": 0, "required": 2, "complete": False, "encoded_token": "",
             "encoded_root_token": "", "pgp_fingerprint": "", "otp": "", "otp_length": int}
    t.succeeds(by=held.root, gives=gives)
    while_sealed(t)


@client("generate_root_status")
def _(t):
    t.succeeds(by=held.root, gives={"started": False, "required": 2})
    while_sealed(t)


@sys("start_root_token_generation")
def _(t):
    length = held.progress()["otp_length"]
    t.refused(InvalidRequest, otp="short", by=held.root)
    t.succeeds(otp="x" * length, by=held.root, gives={"started": True, "nonce": text, "otp": "", "required": 2})
    t.refused(InvalidRequest, otp="x" * length, by=held.root, says="root generation already in progress")
    held.root.sys.cancel_root_generation()
    t.refused(InvalidRequest, pgp_key="AAAA", by=held.root, says="error parsing PGP key")
    t.succeeds(pgp_key=holder.key, by=held.root, gives={"pgp_fingerprint": holder.fingerprint, "otp": ""})
    held.root.sys.cancel_root_generation()


@sys("cancel_root_generation")
def _(t):
    held.root.sys.start_root_token_generation()
    t.succeeds(by=held.root, gives=EMPTY)
    assert not held.progress()["started"]
    while_sealed(t)


@sys("generate_root")
def _(t):
    started = held.root.sys.start_root_token_generation()
    nonce, otp = started["nonce"], started["otp"]
    t.refused(InvalidRequest, held.keys[0], "another", by=held.root)
    t.succeeds(held.keys[0], nonce, by=held.root, gives={"progress": 1, "complete": False, "encoded_root_token": ""})
    done = t.succeeds(held.keys[1], nonce, by=held.root, gives={"progress": 2, "complete": True, "encoded_token": text})
    mixed = b64decode(done["encoded_root_token"] + "==")
    made = bytes(a ^ b for a, b in zip(mixed, otp.encode(), strict=True)).decode()
    assert t.as_token(made, t.shamir_url).auth.token.lookup_self()["data"]["policies"] == ["root"]
    t.refused(InvalidRequest, held.keys[0], nonce, by=held.root)


@sys("read_rekey_progress")
def _(t):
    gives = {"started": False, "nonce": "", "t": 0, "n": 0, "progress": 0, "required": 2, "backup": False,
             "pgp_fingerprints": None, "verification_required": False}
    t.succeeds(by=held.root, gives=gives)
    while_sealed(t)


@client("rekey_status")
def _(t):
    t.succeeds(by=held.root, gives={"started": False, "required": 2})
    while_sealed(t)


@sys("start_rekey")
def _(t):
    t.refused(InvalidRequest, 2, 3, by=held.root, oracle=InternalServerError)
    t.succeeds(5, 3, by=held.root, gives={"started": True, "nonce": text, "t": 3, "n": 5, "progress": 0, "required": 2})
    t.refused(InvalidRequest, 5, 3, by=held.root, says="rekey already in progress")
    held.root.sys.cancel_rekey()


@sys("cancel_rekey")
def _(t):
    held.root.sys.start_rekey(3, 2)
    t.succeeds(by=held.root, gives=EMPTY)
    assert not held.root.rekey_status["started"]
    while_sealed(t)


@sys("rekey")
def _(t):
    nonce = held.root.sys.start_rekey(3, 2)["nonce"]
    t.refused(InvalidRequest, held.keys[0], "another", by=held.root)
    t.succeeds(held.keys[0], nonce, by=held.root, gives={"progress": 1})
    done = t.succeeds(held.keys[1], nonce, by=held.root, gives={"complete": True, "keys": [text] * 3})
    took_over(t, done)


@sys("rekey_multi")
def _(t):
    nonce = held.root.sys.start_rekey(3, 2)["nonce"]
    done = t.succeeds(held.keys[:2], nonce, by=held.root, gives={"complete": True, "keys_base64": [text] * 3})
    took_over(t, done)
    t.refused(InvalidRequest, held.keys[:2], nonce, by=held.root)


@sys("read_rekey_verify_progress")
def _(t):
    t.refused(InvalidRequest, by=held.root)
    nonce, _ = to_verify()
    t.succeeds(by=held.root, gives={"nonce": nonce, "t": 2, "n": 3, "progress": 0})
    held.root.sys.cancel_rekey()


@sys("cancel_rekey_verify")
def _(t):
    nonce, _ = to_verify()
    t.succeeds(by=held.root, gives={"nonce": lambda fresh: fresh != nonce, "progress": 0})
    held.root.sys.cancel_rekey()
    t.refused(InvalidRequest, by=held.root)


@sys("rekey_verify")
def _(t):
    nonce, keys = to_verify()
    t.refused(InvalidRequest, keys[0], "another", by=held.root)
    t.succeeds(keys[0], nonce, by=held.root, gives={"progress": 1})
    t.succeeds(keys[1], nonce, by=held.root, gives={"complete": True, "nonce": nonce})
    took_over(t, {"keys": keys})


@sys("rekey_verify_multi")
def _(t):
    nonce, keys = to_verify()
    t.succeeds(keys[:2], nonce, by=held.root, gives={"complete": True})
    took_over(t, {"keys": keys})
    t.refused(InvalidRequest, keys[:2], nonce, by=held.root)


@sys("read_backup_keys")
def _(t):
    t.refused(InvalidRequest, by=held.root, says="no backed-up keys found")
    nonce = held.root.sys.start_rekey(3, 2, pgp_keys=[holder.key] * 3, backup=True)["nonce"]
    done = held.root.sys.rekey_multi(held.keys[:2], nonce)
    kept = {"nonce": nonce, "keys": {holder.fingerprint: done["keys"]}}
    t.succeeds(by=held.root, gives={"data": kept})
    took_over(t, {"keys": [holder.opens(message) for message in done["keys_base64"]]})


def to_verify():
    """New shares that are in force once they have been shown, and the nonce to show them under."""
    nonce = held.root.sys.start_rekey(3, 2, require_verification=True)["nonce"]
    done = held.root.sys.rekey_multi(held.keys[:2], nonce)
    assert done["verification_required"] is True, done
    return done["verification_nonce"], done["keys"]


def took_over(t, done):
    """The new shares unseal, and the old ones do not."""
    old, held.keys = held.keys, done["keys"]
    held.root.sys.seal()
    try:
        held.root.sys.submit_unseal_keys(old[:2])
        raise AssertionError("the old shares unseal")
    except InvalidRequest:
        held.unseal()
    assert not held.root.sys.is_sealed()


def while_sealed(t):
    """Refused while the server is sealed."""
    held.root.sys.seal()
    t.refused(VaultDown, by=held.root, says="Vault is sealed")
    held.unseal()
