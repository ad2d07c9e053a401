"""What a row of the table is, how it runs, and the check that no method of hvac stands in neither list."""

import inspect
import os
import traceback
import warnings

import hvac
from hvac import exceptions
from hvac.api.vault_api_base import VaultApiBase
from hvac.api.vault_api_category import VaultApiCategory


class Table:
    """Rows by the name of their method, and what is left to later by name or by a prefix that ends in a dot."""

    def __init__(self, rows, later):
        self.rows, self.later = rows, later

    def run(self, only):
        warnings.simplefilter("ignore", DeprecationWarning)
        world = World()
        problems = [] if only else list(self.gaps())
        count = succeeded = refused = 0
        for name, lacking, function in self.rows:
            if only and not any(word in name for word in only):
                continue
            row = Row(world, name)
            try:
                function(row)
            except Exception as error:  # what a row meets is for the report, whatever it is
                where = traceback.extract_tb(error.__traceback__)
                lines = ", ".join(f"{os.path.basename(f.filename)}:{f.lineno}" for f in where if of_this_table(f))
                problems.append(f"{name} ({lines}): {type(error).__name__}: {error}")
                continue
            if (row.successes == 0) != ("success" in lacking) or (row.refusals == 0) != ("refusal" in lacking):
                problems.append(f"{name}: {row.successes} successes and {row.refusals} refusals, lacking {lacking}")
            succeeded += row.successes > 0
            refused += row.refusals > 0
            count += 1
        for problem in problems:
            print(f"WRONG {problem}")
        left = sum(any(matches_name(name, entry) for entry in self.later) for name in methods())
        counts = {f"{succeeded} succeeded": "success", f"{refused} refused as expected": "refusal"}
        said = []
        for what, kind in counts.items():
            without = sum(kind in lacking for _, lacking, _ in self.rows)
            said.append(f"{what} ({without} cannot be)" if without else what)
        print(f"hvac: {count} calls, {', '.join(said)}, {left} later")
        return 1 if problems else 0

    def gaps(self):
        """Methods that stand in neither list, or in both, and entries that name no method."""
        known = methods()
        rows = [name for name, _, _ in self.rows]
        for name in known:
            count = rows.count(name) + sum(matches_name(name, entry) for entry in self.later)
            if count != 1:
                problem = "neither in the table nor in the later list" if count == 0 else "listed more than once"
                yield f"{name}: {problem}"
        for name in [*rows, *self.later]:
            if not any(matches_name(method, name) for method in known):
                yield f"{name}: hvac has no such method"


class Row:
    """One method: `succeeds` and `refused` call it and hold what comes back against what is expected."""

    def __init__(self, world, name):
        self.world, self.title = world, name
        self.successes = self.refusals = 0

    def succeeds(self, *arguments, gives, by=None, **keywords):
        """Calls as root, or as the client given, and returns what the call returned. `gives` is matched against it."""
        given = self.call(by or self.world.root, arguments, keywords)
        difference = matches(gives, given, "")
        if difference:
            raise AssertionError(f"{difference} in {shown(given)}")
        self.successes += 1
        return given

    def refused(self, error, *arguments, by=None, says="", oracle=None, **keywords):
        """Calls as root, or as the client given; it must raise exactly this exception with this text in it. `oracle` is
        what OpenBao raises where it answers a mistake of the client with 500."""
        error = oracle if oracle and os.environ.get("COFFER_ORACLE") else error
        try:
            given = self.call(by or self.world.root, arguments, keywords)
        except exceptions.VaultError as met:
            if type(met) is not error or says.lower() not in str(met).lower():
                raise AssertionError(f"{type(met).__name__}: {met} instead of {error.__name__}: {says}") from met
            self.refusals += 1
            return
        raise AssertionError(f"not refused with {error.__name__}: {shown(given)}")

    def forbidden(self, *arguments, **keywords):
        """Calls with a token that no policy grants anything."""
        self.refused(exceptions.Forbidden, *arguments, by=self.world.weak, says="permission denied", **keywords)

    def gone(self, ask, *arguments):
        """Asks with another method, which must find nothing."""
        try:
            raise AssertionError(f"still there: {shown(ask(*arguments))}")
        except exceptions.InvalidPath:
            pass

    def call(self, by, arguments, keywords):
        *path, method = self.title.split(".")
        owner = by
        for part in path if path != ["client"] else []:
            owner = getattr(owner, part)
        found = getattr(owner, method)
        return found(*arguments, **keywords) if callable(found) else found

    def __getattr__(self, name):
        return getattr(self.world, name)


class World:
    """The servers, clients of several rights, and what rows need to be there. Names are never used twice."""

    def __init__(self):
        self.url, self.shamir_url = os.environ["DEV_URL"], os.environ["SHAMIR_URL"]
        self.root = self.as_token("root")
        self.weak = self.as_token(self.token(policies=["nothing"], no_default_policy=True))
        self.nobody = hvac.Client(self.url, token="")
        self.elsewhere = hvac.Client(self.url, token="root", namespace="no-such-namespace")
        self.count = 0

    def as_token(self, token, url=None):
        return hvac.Client(url or self.url, token=token)

    def token(self, **options):
        return self.root.auth.token.create(**options)["auth"]["client_token"]

    def name(self, kind):
        self.count += 1
        return f"{kind}-{self.count}"

    def mount(self, kind, **options):
        path = self.name(kind)
        self.root.sys.enable_secrets_engine(kind, path=path, **options)
        return path

    def auth_mount(self, kind):
        path = self.name(kind)
        self.root.sys.enable_auth_method(kind, path=path)
        return path


def row(rows, name, **lacking):
    """Puts a function into the rows under the method it is about. `success` and `refusal` say why there is none."""

    def put(function):
        rows.append((name, lacking, function))
        return function

    return put


def methods():
    """Every public method of hvac's client and of what hangs on it, and every property that asks the server."""
    found = [f"sys.{name}" for name in public(hvac.api.SystemBackend)]
    for category, classes in (("auth", hvac.api.AuthMethods), ("secrets", hvac.api.SecretsEngines)):
        found += [f"{category}.{name}" for name in public(classes)]
        for kind in classes.implemented_classes:
            name = kind.__name__.lower()
            found += [f"{category}.{name}.{method}" for method in public(kind)]
    found += [f"secrets.kv.v1.{name}" for name in public(hvac.api.secrets_engines.KvV1)]
    found += [f"secrets.kv.v2.{name}" for name in public(hvac.api.secrets_engines.KvV2)]
    return found + [f"client.{name}" for name, _ in inspect.getmembers(hvac.Client) if not name.startswith("_")]


def public(kind):
    inherited = {name for base in (VaultApiBase, VaultApiCategory) for name in vars(base)}
    members = inspect.getmembers(kind, callable)
    return [name for name, _ in members if not name.startswith("_") and name not in inherited]


def matches_name(name, entry):
    return name.startswith(entry) if entry.endswith(".") else name == entry


def matches(pattern, value, at):
    """Where a value differs from a pattern, or None: a dict asks for its keys and lets others be, a list for each of
    its elements in order, a class for an instance, a function for its truth, and anything else for itself."""
    if isinstance(pattern, dict):
        if not isinstance(value, dict):
            return f"{at or 'value'} is {shown(value)}, not an object"
        for key, inner in pattern.items():
            if key not in value:
                return f"no {at}.{key}"
            if difference := matches(inner, value[key], f"{at}.{key}"):
                return difference
        return None
    if isinstance(pattern, list):
        if not isinstance(value, list) or len(value) != len(pattern):
            return f"{at or 'value'} is {shown(value)}, not {pattern}"
        inner = (matches(p, v, f"{at}[{i}]") for i, (p, v) in enumerate(zip(pattern, value)))
        return next((difference for difference in inner if difference), None)
    if isinstance(pattern, type):
        return None if type(value) is pattern else f"{at or 'value'} is {shown(value)}, not a {pattern.__name__}"
    if callable(pattern):
        return None if pattern(value) else f"{at or 'value'} is {shown(value)}, which {pattern.__doc__ or 'is wrong'}"
    same = value == pattern and type(value) is type(pattern)
    return None if same else f"{at or 'value'} is {shown(value)}, not {pattern!r}"


def status(code):
    """Matches a response without a body, by its status."""

    def check(value):
        return getattr(value, "status_code", None) == code

    check.__doc__ = f"is not status {code}"
    return check


def holds(*elements):
    """Matches a list or an object that has all of these."""

    def check(value):
        return all(element in value for element in elements)

    check.__doc__ = f"lacks one of {elements}"
    return check


def done(value):
    """is neither an answer with data nor an empty one"""
    return isinstance(value, dict) or value.status_code == 204


def text(value):
    """is not a text with something in it"""
    return isinstance(value, str) and value != ""


def shown(value):
    said = getattr(value, "text", None)
    return f"<{value.status_code}> {said}" if said is not None else repr(value)[:600]


def of_this_table(frame):
    return os.path.dirname(frame.filename) == os.path.dirname(__file__)


EMPTY = status(204)
