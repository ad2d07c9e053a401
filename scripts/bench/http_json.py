"""JSON over HTTP to the servers under test, for setting them up; nothing here is measured."""

import concurrent.futures
import http.client
import json
import threading


class Failed(RuntimeError):
    """An answer that is no success."""


class Client:
    """One server with one token. Threads have a connection each."""

    def __init__(self, port, token=None):
        self.port = port
        self.token = token
        self.local = threading.local()

    def call(self, method, path, body=None):
        """The decoded answer, or None for an empty one; `Failed` for any status outside 2xx."""
        content = self.content(method, path, body)
        return json.loads(content) if content else None

    def content(self, method, path, body=None):
        """As `call`, the answer as it came."""
        headers = {"X-Vault-Token": self.token} if self.token else {}
        text = None if body is None else json.dumps(body)
        connection = self._connection()
        connection.request(method, path, text, headers)
        reply = connection.getresponse()
        content = reply.read()
        if not 200 <= reply.status < 300:
            raise Failed(f"{method} {path}: {reply.status} {content[:300]!r}")
        return content

    def text(self, path):
        """The body of a GET as text."""
        connection = self._connection()
        connection.request("GET", path)
        return connection.getresponse().read().decode()

    def all(self, calls, threads=64):
        """Makes every (method, path, body) of `calls`, many at a time."""
        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(lambda call: self.call(*call), calls):
                pass

    def _connection(self):
        if not hasattr(self.local, "connection"):
            self.local.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        return self.local.connection
