"""Opens a whole store with its seal key, from docs/CRYPTO.md alone: a second implementation of its layouts.

    keys.py SEAL_KEY_FILE STORE.db      a SQLite store
    keys.py SEAL_KEY_FILE < ROWS        any store: a line for each row, its key and value in hex

Prints JSON: every key of the store by name, and the plaintext of every other row by the row's key, both in hex. Fails
where one row does not open.
"""

import base64
import json
import pathlib
import sqlite3
import sys

from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SEAL_PREFIX = "coffer-file-seal-1:"
FORMAT, NONCE, MAC = 1, 12, 32


def main():
    text = pathlib.Path(sys.argv[1]).read_text().strip()
    assert text.startswith(SEAL_PREFIX), "not a seal key file"
    seal = base64.urlsafe_b64decode(text.removeprefix(SEAL_PREFIX) + "=")
    rows = sqlite_rows(sys.argv[2]) if len(sys.argv) > 2 else given_rows(sys.stdin)

    root = open_sealed(seal, "wrap", 1, "sys/root/file", wrapped_root(rows.pop("sys/root")))
    keys = {"seal key": seal, "root key": root}
    terms = {}
    for row in [row for row in rows if row.startswith(("sys/term/", "sys/key/"))]:
        key = open_sealed(root, "wrap", 1, row, rows.pop(row))
        keys[row] = key
        if row.startswith("sys/term/"):
            terms[int(row.removeprefix("sys/term/"), 16)] = key
            # What the server works with while it is unsealed.
            keys[f"{row}, its cipher"], keys[f"{row}, its mac"] = derive(key, "envelope")
    opened = {}
    for row, sealed in rows.items():
        term = int.from_bytes(sealed[1:5], "big")
        opened[row] = open_sealed(terms[term], "envelope", 5, row, sealed)
        if row.startswith("object/"):
            assert opened[row][0] == FORMAT
            # Padding stands before the key.
            keys[row] = opened[row][-32:]

    def as_hex(values):
        return {name: value.hex() for name, value in values.items()}

    json.dump({"keys": as_hex(keys), "opened": as_hex(opened)}, sys.stdout)


def derive(key, purpose):
    """The key of the cipher and the key of the MAC."""

    def hkdf(algorithm):
        info = f"coffer {purpose} 1 {algorithm}".encode()
        return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(key)

    return hkdf("aes-256-gcm"), hkdf("hmac-sha256")


def open_sealed(key, purpose, header, place, sealed):
    """header | nonce | ciphertext and tag | mac"""
    assert sealed[0] == FORMAT, f"{place}: format {sealed[0]}"
    cipher, mac = derive(key, purpose)
    body, tag = sealed[:-MAC], sealed[-MAC:]
    commitment = hmac.HMAC(mac, hashes.SHA256())
    commitment.update(body)
    commitment.verify(tag)
    nonce, ciphertext = body[header : header + NONCE], body[header + NONCE :]
    return AESGCM(cipher).decrypt(nonce, ciphertext, place.encode("utf-8", "surrogateescape"))


def wrapped_root(row):
    """From postcard: the cluster's id, then the wraps by the seal's kind, each with its split, then the next seal."""
    assert row[0] == FORMAT, f"sys/root: format {row[0]}"
    rest = memoryview(row)[1:]

    def number():
        nonlocal rest
        value, shift = 0, 0
        while True:
            byte, rest = rest[0], rest[1:]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def text():
        nonlocal rest
        length = number()
        value, rest = bytes(rest[:length]), rest[length:]
        return value

    def optional(read):
        return read() if number() else None

    def wrap():
        wrapped = text()
        split = optional(lambda: (number(), number()))
        assert split is None, "the file seal has no shares"
        return wrapped

    assert len(text()) == 16, "no cluster id"
    wraps = {text(): wrap() for _ in range(number())}
    assert optional(text) is None, "no other seal is next"
    assert not rest, "more than the wraps"
    return wraps[b"file"]


def sqlite_rows(path):
    with sqlite3.connect(path) as connection:
        return named(connection.execute("SELECT key, value FROM entries"))


def given_rows(lines):
    return named(map(bytes.fromhex, line.split()) for line in lines)


def named(rows):
    return {key.decode("utf-8", "surrogateescape"): value for key, value in rows}


main()
