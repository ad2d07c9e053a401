"""How long and how often is measured."""

import dataclasses

CONNECTIONS = (1, 16, 64)
# A round in which the bare server is slower than this at 64 connections, or in which the hypervisor takes more than
# this of a core, says more about the machine than about the servers: it is run again.
BARE_RATE = 100_000
STEAL = 0.2


@dataclasses.dataclass(frozen=True)
class Plan:
    """The size of a run of the bench."""

    quick: bool
    # Length of one measured run.
    seconds: int
    # Interleaved rounds; tables show medians over them.
    rounds: int
    # How often a round is run until the machine was quiet.
    tries: int
    secrets: int
    # Secrets of the large and of the small store, and the length of a run over them.
    many: int
    few: int
    many_seconds: int
    # How often the start is timed.
    starts: int
    # Keys that are listed, and the size of the file that is encrypted.
    keys: int
    file_mib: int
    # Source that is searched for secrets.
    scan_mib: int


FULL = Plan(
    False, seconds=2, rounds=5, tries=5, secrets=10_000, many=1_000_000, few=1_000, many_seconds=4, starts=5,
    keys=10_000, file_mib=1024, scan_mib=1024,
)
QUICK = Plan(
    True, seconds=2, rounds=2, tries=1, secrets=2_000, many=20_000, few=1_000, many_seconds=2, starts=2,
    keys=2_000, file_mib=256, scan_mib=256,
)
