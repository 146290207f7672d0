"""Kill collector and engine at random instants under load, then read every acknowledged report back, once.

    python -m bench.kill --kills 300                 some ten minutes
    python -m bench.kill --kills 12 --away 4         the short version that the tests run

Senders mail reports to the real SMTP listener and note which were acknowledged (250). Meanwhile receiver, ingest and
engine are killed (SIGKILL) and started again; `--away` leaves the engine dead for so many seconds in the middle. In
the end each acknowledged report must be in tls_reports once, and the sessions in the views must be those of the
reports, each once.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import random
import signal
import smtplib
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.stack import Stack, running
from collector.spool import SpoolQueue
from demo.dkim_signature import signature_field
from demo.keys import SigningKey
from demo.nameserver import Nameserver
from mailposture import logs
from mailposture.clickhouse.embedded import EngineError
from mailposture.processes import look_after

if TYPE_CHECKING:
    from collector.spool.queue import SpoolStats
    from mailposture.processes import Child

DOMAIN = "kill.example"
SENDER = "sender.example"
SENDERS = 4
STANDSTILL = 120.0  # seconds in which the spool gives nothing to ClickHouse: it never will


@dataclass
class Acknowledged:
    """What the listener has said 250 to."""

    report_ids: set[str] = field(default_factory=set)
    mailed: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--away", type=float, default=120.0, help="seconds that the engine stays dead in the middle")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    arguments = parser.parse_args()
    logs.set_up("bench", least=logging.CRITICAL)
    print(f"seed {arguments.seed}")
    chance = random.Random(arguments.seed)
    key = SigningKey(domain=SENDER, selector="bench", services="", private=Ed25519PrivateKey.generate())
    with (
        tempfile.TemporaryDirectory(prefix="mailposture-kill-") as folder,
        Nameserver({key.record_name: key.record}) as nameserver,
        running(Path(folder), domain=DOMAIN, authentication={"nameservers": [nameserver.address]}) as stack,
    ):
        acknowledged, stop = Acknowledged(), threading.Event()
        senders = [
            threading.Thread(target=_send, args=(number, stack.smtp_port, key, acknowledged, stop), daemon=True)
            for number in range(SENDERS)
        ]
        for sender in senders:
            sender.start()
        killed = _kill(stack, kills=arguments.kills, away=arguments.away, chance=chance)
        stop.set()
        for sender in senders:
            sender.join(60)
        left = _drain(stack)
        print(f"killed {killed}, left in the spool {left.depth:,}, of which {left.deferred:,} wait for DNS")
        return _account(stack, acknowledged)


def _kill(stack: Stack, *, kills: int, away: float, chance: random.Random) -> dict[str, int]:
    """Kill and revive; returns how often each was killed."""
    killed = dict.fromkeys(["engine", *(child.name for child in stack.processes)], 0)
    _watch(stack, 2.0)
    for number in range(kills):
        victim = chance.choice(list(killed))
        killed[victim] += _kill_one(stack, victim)
        if number == kills // 2 and away:
            killed["engine"] += _kill_one(stack, "engine")
            _watch(stack, away, revive_engine=False)
        _watch(stack, chance.uniform(0.02, 2.0))
    _watch(stack, 5.0)
    return killed


def _kill_one(stack: Stack, victim: str) -> int:
    """Returns 1 if it was alive."""
    pids = {child.name: child.process.pid for child in stack.processes if child.process is not None}
    if stack.engine.alive() and stack.engine.pid is not None:
        pids["engine"] = stack.engine.pid
    try:
        os.kill(pids[victim], signal.SIGKILL)
    except (KeyError, ProcessLookupError):
        return 0
    return 1


def _watch(stack: Stack, seconds: float, *, revive_engine: bool = True) -> None:
    """Let time pass; whoever has died is started again."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        _revive_at_once(stack.processes)
        if revive_engine and not stack.engine.alive():
            with contextlib.suppress(EngineError):
                stack.engine.start()
        time.sleep(0.02)


def _revive_at_once(processes: list[Child]) -> None:
    """What is killed on purpose need not wait longer each time."""
    for child in processes:
        child._pause = 0.05
    look_after(processes)


def _send(number: int, port: int, key: SigningKey, acknowledged: Acknowledged, stop: threading.Event) -> None:
    """Mail reports, each another one, until stopped."""
    serial = 0
    while not stop.is_set():
        try:
            with smtplib.SMTP("127.0.0.1", port, local_hostname=SENDER, timeout=20) as connection:
                while not stop.is_set():
                    report_id = f"{number}-{serial}"
                    serial += 1
                    acknowledged.mailed += 1
                    connection.sendmail(f"reports@{SENDER}", [f"tlsrpt@{DOMAIN}"], _mail(report_id, key))
                    with acknowledged.lock:
                        acknowledged.report_ids.add(report_id)
        except (OSError, smtplib.SMTPException):
            time.sleep(0.05)


def _mail(report_id: str, key: SigningKey) -> bytes:
    day = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
    report = {
        "organization-name": "Kill Bench",
        "contact-info": f"reports@{SENDER}",
        "report-id": report_id,
        "date-range": {"start-datetime": f"{day}T00:00:00Z", "end-datetime": f"{day}T23:59:59Z"},
        "policies": [
            {
                "policy": {"policy-type": "sts", "policy-domain": DOMAIN},
                "summary": {"total-successful-session-count": 1, "total-failure-session-count": 0},
            }
        ],
    }
    fields = [
        ("From", f"reports@{SENDER}"),
        ("To", f"tlsrpt@{DOMAIN}"),
        ("Subject", f"Report Domain: {DOMAIN} Submitter: {SENDER} Report-ID: <{report_id}@{SENDER}>"),
        ("MIME-Version", "1.0"),
        ("Content-Type", "application/tlsrpt+json"),
    ]
    body = json.dumps(report).encode() + b"\r\n"
    signature = signature_field(key, fields, body, tuple(name for name, _ in fields))
    lines = [f"{name}: {value}\r\n" for name, value in (("DKIM-Signature", signature), *fields)]
    return "".join(lines).encode() + b"\r\n" + body


def _drain(stack: Stack) -> SpoolStats:
    """Wait until the spool is empty, however slow this machine is; returns what stays in it."""
    with contextlib.closing(SpoolQueue(stack.config.data / "spool")) as queue:
        left, since = queue.stats(), time.monotonic()
        while left.depth and time.monotonic() - since < STANDSTILL:
            _watch(stack, 0.5)
            before, left = left, queue.stats()
            if left.depth < before.depth:
                since = time.monotonic()
    return left


def _account(stack: Stack, acknowledged: Acknowledged) -> int:
    client = stack.client(stack.config.clickhouse.analyst_user)
    stored = [str(row[0]) for row in client.query("SELECT report_id FROM tls_report_log").result_rows]
    sessions = int(client.command("SELECT sum(successful_sessions) FROM tls_domain_daily"))
    client.close_connections()
    lost = acknowledged.report_ids - set(stored)
    doubles = len(stored) - len(set(stored))
    print(
        f"mailed {acknowledged.mailed:,}, acknowledged {len(acknowledged.report_ids):,}, stored {len(stored):,}\n"
        f"acknowledged and lost {len(lost):,}, twice in tls_report_log {doubles:,}, sessions in the view {sessions:,}"
    )
    good = bool(stored) and not lost and not doubles and sessions == len(stored)
    if not good:
        print(stack.log.read_text(encoding="utf-8", errors="replace")[-6000:], file=sys.stderr)
    print("nothing lost, nothing twice" if good else "FAILED")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
