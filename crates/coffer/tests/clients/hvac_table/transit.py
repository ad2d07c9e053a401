"""Transit: keys that are used on the server and stay there."""

from hvac.exceptions import InvalidPath, InvalidRequest, InternalServerError

from table import EMPTY, row, text

ROWS = []
call = lambda name, **lacking: row(ROWS, f"secrets.transit.{name}", **lacking)

PLAIN = "aGVsbG8="
MESSAGE = "bXNn"
KEY = {
    "type": "aes256-gcm96", "latest_version": 1, "min_decryption_version": 1, "min_encryption_version": 0,
    "min_available_version": 0, "deletion_allowed": False, "derived": False, "exportable": False,
    "allow_plaintext_backup": False, "imported_key": False, "auto_rotate_period": 0, "supports_encryption": True,
    "supports_decryption": True, "supports_derivation": True, "supports_signing": False, "keys": {"1": int},
}


@call("create_key")
def _(t):
    m = t.mount("transit")
    t.succeeds("a", mount_point=m, gives={"data": {**KEY, "name": "a"}})
    t.succeeds("a", key_type="chacha20-poly1305", mount_point=m, gives={"data": {**KEY, "name": "a"}})
    public = {"name": "ed25519", "public_key": text, "creation_time": text, "certificate_chain": ""}
    gives = {"type": "ed25519", "supports_signing": True, "keys": {"1": public}}
    t.succeeds("s", key_type="ed25519", exportable=True, mount_point=m, gives={"data": gives})
    gives = {"derived": True, "convergent_encryption": True, "kdf": "hkdf_sha256"}
    t.succeeds("c", derived=True, convergent_encryption=True, mount_point=m, gives={"data": gives})
    t.succeeds("r", auto_rotate_period="24h", mount_point=m, gives={"data": {"auto_rotate_period": 86400}})
    t.refused(InvalidRequest, "x", auto_rotate_period="1m", mount_point=m, says="at least an hour")
    t.refused(InvalidRequest, "x", key_type="ecdsa-p256", derived=True, mount_point=m, oracle=InternalServerError)
    t.gone(t.root.secrets.transit.read_key, "x", m)
    t.forbidden("b", mount_point=m)


@call("read_key")
def _(t):
    m = with_key(t)
    t.succeeds("a", mount_point=m, gives={"data": {**KEY, "name": "a"}})
    t.refused(InvalidPath, "none", mount_point=m)
    t.forbidden("a", mount_point=m)


@call("list_keys")
def _(t):
    m = t.mount("transit")
    t.refused(InvalidPath, mount_point=m)
    for name in ("b", "a"):
        t.root.secrets.transit.create_key(name, mount_point=m)
    t.succeeds(mount_point=m, gives={"data": {"keys": ["a", "b"]}})
    t.forbidden(mount_point=m)


@call("delete_key")
def _(t):
    m = with_key(t)
    t.refused(InvalidRequest, "a", mount_point=m, says="deletion is not allowed for this key")
    t.root.secrets.transit.update_key_configuration("a", deletion_allowed=True, mount_point=m)
    t.forbidden("a", mount_point=m)
    t.succeeds("a", mount_point=m, gives=EMPTY)
    t.gone(t.root.secrets.transit.read_key, "a", m)
    t.refused(InvalidRequest, "a", mount_point=m, says="could not delete key; not found")


@call("update_key_configuration")
def _(t):
    m = with_key(t)
    for _ in range(2):
        t.root.secrets.transit.rotate_key("a", mount_point=m)
    gives = {"min_decryption_version": 2, "min_encryption_version": 3, "exportable": True, "keys": {"2": int, "3": int}}
    t.succeeds(
        "a", min_decryption_version=2, min_encryption_version=3, exportable=True, mount_point=m, gives={"data": gives}
    )
    says = "cannot set min decryption version of 9, latest key version is 3"
    t.refused(InvalidRequest, "a", min_decryption_version=9, mount_point=m, says=says)
    t.refused(InvalidRequest, "none", deletion_allowed=True, mount_point=m, says="no existing key named none")
    t.forbidden("a", deletion_allowed=True, mount_point=m)


@call("rotate_key")
def _(t):
    m = with_key(t)
    t.succeeds("a", mount_point=m, gives={"data": {"latest_version": 2, "keys": {"1": int, "2": int}}})
    t.refused(InvalidRequest, "none", mount_point=m, says="key not found")
    t.forbidden("a", mount_point=m)


@call("export_key")
def _(t):
    m = with_key(t, exportable=True)
    t.root.secrets.transit.rotate_key("a", mount_point=m)
    secret = lambda value: isinstance(value, str) and len(value) == 44
    gives = {"name": "a", "type": "aes256-gcm96", "keys": {"1": secret, "2": secret}}
    t.succeeds("a", "encryption-key", mount_point=m, gives={"data": gives})
    t.succeeds("a", "hmac-key", version="latest", mount_point=m, gives={"data": {"keys": {"2": secret}}})
    t.refused(InvalidRequest, "a", "signing-key", mount_point=m, says="signing not supported for the key")
    t.refused(InvalidRequest, "a", "encryption-key", version="9", mount_point=m, says="version does not exist")
    t.refused(InvalidPath, "none", "encryption-key", mount_point=m)
    t.root.secrets.transit.create_key("b", mount_point=m)
    t.refused(InvalidRequest, "b", "encryption-key", mount_point=m, says="not exportable")
    t.forbidden("a", "encryption-key", mount_point=m)


@call("encrypt_data")
def _(t):
    m = with_key(t)
    made = {"data": {"ciphertext": of_version(1), "key_version": 1}}
    t.succeeds("a", PLAIN, mount_point=m, gives=made)
    t.succeeds("a", PLAIN, associated_data="YWQ=", mount_point=m, gives=made)
    t.succeeds("made-by-use", PLAIN, mount_point=m, gives=made)
    assert t.root.secrets.transit.read_key("made-by-use", m)["data"]["type"] == "aes256-gcm96"
    batch = [{"plaintext": PLAIN, "reference": "one"}, {"plaintext": ""}]
    results = [{"ciphertext": of_version(1), "reference": "one"}, {"ciphertext": of_version(1), "reference": ""}]
    t.succeeds("a", batch_input=batch, mount_point=m, gives={"data": {"batch_results": results}})
    t.refused(InvalidRequest, "a", "not base64!!", mount_point=m, says="illegal base64 data at input byte 3")
    t.refused(InvalidRequest, "a", PLAIN, key_version=7, mount_point=m, says="higher than the latest key version")
    t.refused(InvalidRequest, "a", batch_input=[], mount_point=m)
    t.forbidden("a", PLAIN, mount_point=m)


@call("decrypt_data")
def _(t):
    m = with_key(t)
    ciphertext = encrypted(t, m)
    t.succeeds("a", ciphertext, mount_point=m, gives={"data": {"plaintext": PLAIN}})
    gives = {"data": {"batch_results": [{"plaintext": PLAIN, "reference": "r"}]}}
    batch = [{"ciphertext": ciphertext, "reference": "r"}]
    t.succeeds("a", batch_input=batch, mount_point=m, gives=gives)
    t.root.secrets.transit.create_key("other", mount_point=m)
    says = "message authentication failed"
    t.refused(InvalidRequest, "other", ciphertext, mount_point=m, says=says)
    t.refused(InvalidRequest, "a", ciphertext, associated_data="YWQ=", mount_point=m, says=says)
    t.refused(InvalidRequest, "a", "garbage", mount_point=m, says="invalid ciphertext: no prefix")
    t.refused(InvalidRequest, "none", ciphertext, mount_point=m, says="encryption key not found")
    t.forbidden("a", ciphertext, mount_point=m)


@call("rewrap_data")
def _(t):
    m = with_key(t)
    ciphertext = encrypted(t, m)
    t.root.secrets.transit.rotate_key("a", mount_point=m)
    again = t.succeeds("a", ciphertext, mount_point=m, gives={"data": {"ciphertext": of_version(2), "key_version": 2}})
    opened = t.root.secrets.transit.decrypt_data("a", again["data"]["ciphertext"], mount_point=m)
    assert opened["data"]["plaintext"] == PLAIN
    t.refused(InvalidRequest, "a", "garbage", mount_point=m, says="invalid ciphertext: no prefix")
    t.forbidden("a", ciphertext, mount_point=m)


@call("generate_data_key")
def _(t):
    m = with_key(t)
    made = t.succeeds("a", "plaintext", bits=512, mount_point=m, gives={"data": {"ciphertext": of_version(1)}})["data"]
    assert t.root.secrets.transit.decrypt_data("a", made["ciphertext"], mount_point=m)["data"] == {
        "plaintext": made["plaintext"]
    }
    made = t.succeeds("a", "wrapped", mount_point=m, gives={"data": {"ciphertext": of_version(1), "key_version": 1}})
    assert "plaintext" not in made["data"]
    t.refused(InvalidRequest, "none", "wrapped", mount_point=m, says="encryption key not found")
    t.forbidden("a", "wrapped", mount_point=m)


@call("generate_random_bytes")
def _(t):
    m = t.mount("transit")
    t.succeeds(n_bytes=16, output_format="hex", mount_point=m, gives={"data": {"random_bytes": lambda v: len(v) == 32}})
    t.refused(InvalidRequest, n_bytes=0, mount_point=m, says="'bytes' cannot be less than 1")
    t.forbidden(mount_point=m)


@call("hash_data")
def _(t):
    m = t.mount("transit")
    digest = "e46b320165eec91e6344fa10340d5b3208304d6cad29d0d5aed18466d1d9d80e"
    t.succeeds(MESSAGE, "sha2-256", mount_point=m, gives={"data": {"sum": digest}})
    t.refused(InvalidRequest, "!!", "sha2-256", mount_point=m, says="unable to decode input as base64")
    t.forbidden(MESSAGE, mount_point=m)


@call("generate_hmac")
def _(t):
    m = with_key(t)
    t.succeeds("a", MESSAGE, algorithm="sha2-512", mount_point=m, gives={"data": {"hmac": of_version(1)}})
    t.refused(InvalidRequest, "a", "!!", mount_point=m, says="unable to decode input as base64")
    t.refused(InvalidRequest, "a", MESSAGE, key_version=5, mount_point=m, says="latest key version is 1")
    t.forbidden("a", MESSAGE, mount_point=m)


@call("sign_data")
def _(t):
    m = with_key(t, key_type="ecdsa-p256")
    made = {"data": {"signature": of_version(1), "key_version": 1}}
    t.succeeds("a", MESSAGE, mount_point=m, gives=made)
    t.succeeds("a", MESSAGE, hash_algorithm="sha2-512", marshaling_algorithm="jws", mount_point=m, gives=made)
    t.root.secrets.transit.create_key("r", key_type="rsa-2048", mount_point=m)
    t.succeeds("r", MESSAGE, signature_algorithm="pkcs1v15", mount_point=m, gives=made)
    t.succeeds("r", MESSAGE, signature_algorithm="pss", salt_length="hash", mount_point=m, gives=made)
    results = [{"signature": of_version(1), "reference": "x"}, {"error": text}]
    batch = [{"input": MESSAGE, "reference": "x"}, {"input": "!!"}]
    t.succeeds("a", batch_input=batch, mount_point=m, gives={"data": {"batch_results": results}})
    t.root.secrets.transit.create_key("e", mount_point=m)
    t.refused(InvalidRequest, "e", MESSAGE, mount_point=m, says="key type aes256-gcm96 does not support signing")
    t.refused(InvalidRequest, "none", MESSAGE, mount_point=m, says="signing key not found")
    t.forbidden("a", MESSAGE, mount_point=m)


@call("verify_signed_data")
def _(t):
    m = with_key(t, key_type="ed25519")
    signature = t.root.secrets.transit.sign_data("a", MESSAGE, mount_point=m)["data"]["signature"]
    hmac = t.root.secrets.transit.generate_hmac("a", MESSAGE, mount_point=m)["data"]["hmac"]
    t.succeeds("a", MESSAGE, signature=signature, mount_point=m, gives={"data": {"valid": True}})
    t.succeeds("a", PLAIN, signature=signature, mount_point=m, gives={"data": {"valid": False}})
    t.succeeds("a", MESSAGE, hmac=hmac, mount_point=m, gives={"data": {"valid": True}})
    t.refused(InvalidRequest, "a", MESSAGE, signature="xx", mount_point=m, says="invalid signature: no prefix")
    t.refused(InvalidRequest, "a", MESSAGE, hmac="xx", mount_point=m, says="no prefix")
    t.forbidden("a", MESSAGE, signature=signature, mount_point=m)


@call("backup_key")
def _(t):
    m = with_key(t, exportable=True, allow_plaintext_backup=True)
    t.succeeds("a", mount_point=m, gives={"data": {"backup": text}})
    assert t.root.secrets.transit.read_key("a", m)["data"]["backup_info"]["version"] == 1
    t.root.secrets.transit.create_key("b", mount_point=m)
    says = "exporting is disallowed on the policy"
    t.refused(InvalidRequest, "b", mount_point=m, says=says, oracle=InternalServerError)
    t.refused(InvalidRequest, "none", mount_point=m, oracle=InternalServerError)
    t.forbidden("a", mount_point=m)


@call("restore_key")
def _(t):
    m = with_key(t, exportable=True, allow_plaintext_backup=True)
    ciphertext = encrypted(t, m)
    backup = t.root.secrets.transit.backup_key("a", m)["data"]["backup"]
    t.succeeds(backup, name="again", mount_point=m, gives=EMPTY)
    opened = t.root.secrets.transit.decrypt_data("again", ciphertext, mount_point=m)
    assert opened["data"]["plaintext"] == PLAIN
    t.succeeds(backup, name="a", force=True, mount_point=m, gives=EMPTY)
    says = "already exists"
    t.refused(InvalidRequest, backup, name="again", mount_point=m, says=says, oracle=InternalServerError)
    t.refused(InvalidRequest, "!!", mount_point=m, oracle=InternalServerError)
    t.forbidden(backup, name="other", mount_point=m)


@call("trim_key")
def _(t):
    m = with_key(t)
    for _ in range(2):
        t.root.secrets.transit.rotate_key("a", mount_point=m)
    says = "minimum encryption version is not set"
    t.refused(InvalidRequest, "a", 2, mount_point=m, says=says)
    t.root.secrets.transit.update_key_configuration(
        "a", min_decryption_version=2, min_encryption_version=3, mount_point=m
    )
    t.succeeds("a", 2, mount_point=m, gives={"data": {"min_available_version": 2, "keys": {"2": int, "3": int}}})
    t.forbidden("a", 2, mount_point=m)


def with_key(t, **options):
    """A mount with a key `a`."""
    mount = t.mount("transit")
    t.root.secrets.transit.create_key("a", mount_point=mount, **options)
    return mount


def encrypted(t, mount):
    return t.root.secrets.transit.encrypt_data("a", PLAIN, mount_point=mount)["data"]["ciphertext"]


def of_version(number):
    """A check for what this version of a key made."""
    return lambda value: value.startswith(f"vault:v{number}:") and len(value) > 20
