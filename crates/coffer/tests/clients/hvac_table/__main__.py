"""Calls every method of hvac that is in scope, once so that it succeeds and once so that it is refused, and prints the
counts. Servers: DEV_URL, unsealed with the root token `root`, and SHAMIR_URL, never initialised, with a Shamir seal."""

import sys

import auth
import client
import identity
import later
import operator_keys
import secrets_kv
import system
import transit
from table import Table

if __name__ == "__main__":
    tables = [system, auth, secrets_kv, identity, client, operator_keys, transit]
    sys.exit(Table(rows=[row for module in tables for row in module.ROWS], later=later.LATER).run(sys.argv[1:]))
