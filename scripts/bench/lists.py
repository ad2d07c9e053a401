"""Lists of keys: how long a page takes out of many."""

import json
import time
import urllib.parse

from http_json import Client

PAGE = 200
# What the keys are like, and what is asked for: all, and by each filter.
ALGORITHMS = ("aes-256-gcm", "xaes-256-gcm")
RARE = "rare"
QUERIES = (
    {}, {"algorithm": ALGORITHMS[0]}, {"state": "active"}, {"tag": RARE}, {"name": "77"}, {"name": "there is none"},
)


class Walk:
    """All pages of one list."""

    def __init__(self, server, query):
        client = Client(server.port, server.root.token)
        self.query = ", ".join(f"{name} {value!r}" for name, value in query.items()) or "all"
        self.ms, self.keys, after = [], 0, {}
        while True:
            words = urllib.parse.urlencode({**query, **after, "limit": PAGE})
            began = time.perf_counter()
            content = client.content("GET", f"/api/v1/keys?{words}")
            self.ms.append((time.perf_counter() - began) * 1e3)
            page = json.loads(content)
            self.keys += len(page["items"])
            if not page.get("next"):
                return
            after = {"after": page["next"]}


def prepare(server, keys):
    """Makes so many keys; one of a hundred has a tag."""
    bodies = (
        {"name": f"k{number:06d}", "algorithm": ALGORITHMS[number % 2], "tags": [RARE] if number % 100 == 0 else []}
        for number in range(keys)
    )
    server.root.all(("POST", "/api/v1/keys", body) for body in bodies)


def walks(plan, server):
    """Each list, as often as there are rounds, by turns: lists of walks by what was asked for."""
    found = {}
    for _ in range(plan.rounds):
        for query in QUERIES:
            walk = Walk(server, query)
            found.setdefault(walk.query, []).append(walk)
    expected = {"all": plan.keys, f"tag {RARE!r}": -(-plan.keys // 100)}
    for query, keys in expected.items():
        if any(walk.keys != keys for walk in found[query]):
            raise RuntimeError(f"a list of {query} has {[walk.keys for walk in found[query]]} keys, not {keys}")
    return found
