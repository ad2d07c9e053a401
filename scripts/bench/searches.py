"""Searches by name over a large store: how long a page takes, and a search to its end."""

import json
import time
import urllib.parse

from http_json import Client

PAGE = 100
TIMES = 5


class Search:
    """All pages of one search."""

    def __init__(self, server, name):
        client = Client(server.port, server.root.token)
        self.ms, self.found, after = [], 0, {}
        while True:
            words = urllib.parse.urlencode({"name": name, "limit": PAGE, **after})
            began = time.perf_counter()
            content = client.content("GET", f"/api/v1/search?{words}")
            self.ms.append((time.perf_counter() - began) * 1e3)
            page = json.loads(content)
            self.found += len(page["items"])
            # A name that many have is asked for no further than its first page.
            if not page.get("next") or self.found >= PAGE:
                return
            after = {"after": page["next"]}


def measure(server, secrets):
    """Searches by what was asked for: many have it, one has it and is the last, and nobody has it."""
    last = f"s{secrets - 1:07d}"
    cases = {"many secrets have": "s0", "the last secret has": last, "no secret has": "there is none"}
    found = {}
    for _ in range(TIMES):
        for case, name in cases.items():
            found.setdefault(case, []).append(Search(server, name))
    for case, wanted in zip(cases, (PAGE, 1, 0)):
        if any(search.found != wanted for search in found[case]):
            raise RuntimeError(f"a search for what {case} found {[search.found for search in found[case]]}, not {wanted}")
    return found
