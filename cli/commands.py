"""The subcommands. Their modules are imported when they are called: some of what they need takes a second to import."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path


class Command(NamedTuple):
    """A subcommand."""

    module: str  # in cli/, which defines `command`
    purpose: str  # as `mailposture --help` says it, in one line of 80 columns


COMMANDS: Final = {
    "run": Command("run", "Collector, exporter and an embedded ClickHouse; first a demo"),
    "init": Command("init", "Write a commented configuration and a data folder"),
    "import": Command("import_", "Store reports from files, mailboxes on disk and archives"),
    "summary": Command("summary", "Per domain: success rates, causes, what needs attention"),
    "digest": Command("digest", "The weekly digest: what is wrong, what changed, what to do"),
    "senders": Command("senders", "Who sends mail as a domain, and what to do about it"),
    "acknowledge": Command("acknowledge", "Silence a known cause until a day"),
    "sql": Command("sql", "Run a query, or open a prompt"),
    "explain": Command("explain", "What a failure, a cause or a term means, and what to do"),
    "quarantine": Command("quarantine", "List, show, release, discard or judge again what is held"),
    "backup": Command("backup", "Save what waits in the spool and what is held"),
    "restore": Command("restore", "Put a backup into the spool"),
    "migrate": Command("migrate", "Apply the migrations that the database does not have yet"),
    "reprocess": Command("reprocess", "Read stored reports again after a new release"),
    "collector": Command("collector", "Service: receive reports and store them"),
    "exporter": Command("exporter", "Service: metrics of what reports say and probes see"),
    "policy-host": Command("policy_host", "Service: serve MTA-STS policies"),
    "policy": Command("policy", "The next step of publishing or changing an MTA-STS policy"),
    "records": Command("records", "Print the DNS records that domains should publish"),
    "check": Command("check", "Look at domains from outside, as sending servers do"),
    "readiness": Command("readiness", "May MTA-STS go to enforce, DMARC to quarantine or reject?"),
}

# Processes of their own under the others, and the name of their command.
INTERNAL: Final = {
    "receiver": ("collector", "receiver"),
    "ingest": ("collector", "ingest"),
    "demo-mails": ("demo", "mails"),
    "demo-history": ("demo", "history"),
}


def own_process(name: str, config: Path) -> list[str]:
    """The command line that runs one of these in a process of its own, on the same Python."""
    return [sys.executable, "-m", "cli", name, "--config", str(config)]
