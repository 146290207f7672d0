"""Kill collector and engine at random instants under load, then read every acknowledged report back, once.

    python bench/kill.py --kills 300                 some ten minutes
    python bench/kill.py --kills 10 --away 5         the short version that the tests run

Senders mail reports to the real SMTP listener and note which were acknowledged (250). Meanwhile receiver, ingest and engine
are killed (SIGKILL) and started again; `--away` leaves the engine dead for so many seconds in the middle. In the end each
acknowledged report must be in tls_reports once, and the sessions in the views must be those of the reports, each once.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import smtplib
import socket
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path

from cli.collector import children
from mailposture.clickhouse.client import connect
from mailposture.clickhouse.embedded import EmbeddedEngine, EngineError
from mailposture.config import Config, load
from mailposture.processes import Child, end, look_after

DOMAIN = "kill.example"
SENDERS = 4
DRAIN_WITHIN = 180.0  # seconds


@dataclass
class Acknowledged:
    """What the listener has said 250 to, and how often it could not be asked."""

    report_ids: set[str] = field(default_factory=set)
    attempts: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--away", type=float, default=60.0, help="seconds that the engine stays dead in the middle")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}")
    with tempfile.TemporaryDirectory(prefix="mailposture-kill-") as folder:
        return run(Path(folder), kills=arguments.kills, away=arguments.away, chance=random.Random(arguments.seed))


def run(folder: Path, *, kills: int, away: float, chance: random.Random) -> int:
    """Returns 0 if nothing is lost and nothing counts twice."""
    config = load(_write_config(folder))
    smtp = config.smtp.listen
    assert smtp is not None
    engine = EmbeddedEngine(config)
    engine.start()
    processes = children(folder / "mailposture.yaml", config)
    with (folder / "log").open("ab") as log:
        for child in processes:
            child.log = log
            child.start()
        acknowledged, stop = Acknowledged(), threading.Event()
        senders = [
            threading.Thread(target=_send, args=(number, smtp.port, acknowledged, stop), daemon=True)
            for number in range(SENDERS)
        ]
        for sender in senders:
            sender.start()
        try:
            killed = _kill(engine, processes, kills=kills, away=away, chance=chance)
            stop.set()
            for sender in senders:
                sender.join(60)
            _drain(engine, processes, folder)
            return _account(config, acknowledged, killed, folder)
        finally:
            end(processes)
            engine.stop()


def _kill(
    engine: EmbeddedEngine, processes: list[Child], *, kills: int, away: float, chance: random.Random
) -> dict[str, int]:
    """Kill and revive; returns how often each was killed."""
    killed = dict.fromkeys(["engine", *(child.name for child in processes)], 0)
    _watch(engine, processes, 3.0)
    for number in range(kills):
        victim = chance.choice(list(killed))
        pids = {"engine": engine.pid} | {child.name: child.process.pid for child in processes if child.process}
        pid = pids.get(victim)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed[victim] += 1
        if number == kills // 2 and away:
            if engine.pid is not None:
                os.kill(engine.pid, signal.SIGKILL)
            _watch(None, processes, away)
        _watch(engine, processes, chance.uniform(0.02, 2.0))
    _watch(engine, processes, 5.0)
    return killed


def _watch(engine: EmbeddedEngine | None, processes: list[Child], seconds: float) -> None:
    """Let time pass; whoever has died is started again."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for child in processes:
            child._pause = 0.1  # what is killed on purpose need not wait longer each time
        look_after(processes)
        if engine is not None and not engine.alive():
            with contextlib.suppress(EngineError):
                engine.start()
        time.sleep(0.02)


def _send(number: int, port: int, acknowledged: Acknowledged, stop: threading.Event) -> None:
    """Mail reports, each another one, until told to stop."""
    serial = 0
    while not stop.is_set():
        try:
            with smtplib.SMTP("127.0.0.1", port, local_hostname="sender.example", timeout=20) as connection:
                while not stop.is_set():
                    report_id = f"{number}-{serial}"
                    serial += 1
                    acknowledged.attempts += 1
                    connection.sendmail("reports@sender.example", [f"tlsrpt@{DOMAIN}"], _mail(report_id))
                    with acknowledged.lock:
                        acknowledged.report_ids.add(report_id)
        except (OSError, smtplib.SMTPException):
            time.sleep(0.05)


def _mail(report_id: str) -> bytes:
    day = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
    report = {
        "organization-name": "Kill Bench",
        "contact-info": "reports@sender.example",
        "report-id": report_id,
        "date-range": {"start-datetime": f"{day}T00:00:00Z", "end-datetime": f"{day}T23:59:59Z"},
        "policies": [
            {
                "policy": {"policy-type": "sts", "policy-domain": DOMAIN},
                "summary": {"total-successful-session-count": 1, "total-failure-session-count": 0},
            }
        ],
    }
    mail = EmailMessage()
    mail["From"] = "reports@sender.example"
    mail["Subject"] = f"Report Domain: {DOMAIN} Submitter: sender.example Report-ID: <{report_id}@sender.example>"
    mail.set_content("A TLS report.")
    mail.add_attachment(json.dumps(report).encode(), maintype="application", subtype="tlsrpt+json")
    return mail.as_bytes()


def _drain(engine: EmbeddedEngine, processes: list[Child], folder: Path) -> None:
    from collector.spool import SpoolQueue

    until = time.monotonic() + DRAIN_WITHIN
    queue = SpoolQueue(folder / "data" / "spool")
    while queue.stats().depth and time.monotonic() < until:
        _watch(engine, processes, 0.5)
    queue.close()


def _account(config: Config, acknowledged: Acknowledged, killed: dict[str, int], folder: Path) -> int:
    client = connect(config, user=config.clickhouse.analyst_user)
    stored = [str(row[0]) for row in client.query("SELECT report_id FROM tls_reports FINAL").result_rows]
    sessions = int(client.command("SELECT sum(successful_sessions) FROM tls_domain_daily"))
    lost = acknowledged.report_ids - set(stored)
    doubles = len(stored) - len(set(stored))
    print(
        f"killed {killed}\n"
        f"mailed {acknowledged.attempts:,}, acknowledged {len(acknowledged.report_ids):,}, stored {len(stored):,}\n"
        f"acknowledged and lost {len(lost):,}, twice in tls_reports {doubles:,}, sessions in tls_domain_daily {sessions:,}"
    )
    good = bool(stored) and not lost and not doubles and sessions == len(stored)
    if not good:
        print((folder / "log").read_text(encoding="utf-8", errors="replace")[-6000:], file=sys.stderr)
    print("nothing lost, nothing twice" if good else "FAILED")
    return 0 if good else 1


def _write_config(folder: Path) -> Path:
    ports = iter(_free_ports(6))
    path = folder / "mailposture.yaml"
    path.write_text(
        f"domains: [{{name: {DOMAIN}}}]\n"
        f"smtp: {{listen: '127.0.0.1:{next(ports)}'}}\n"
        f"https: {{listen: '127.0.0.1:{next(ports)}'}}\n"
        f"metrics: {{collector: '127.0.0.1:{next(ports)}', exporter: '127.0.0.1:{next(ports)}'}}\n"
        f"clickhouse: {{http: '127.0.0.1:{next(ports)}', native: '127.0.0.1:{next(ports)}'}}\n"
        "authentication: {unverified: accept, nameservers: ['127.0.0.1@9']}\n",
        encoding="utf-8",
    )
    return path


def _free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


if __name__ == "__main__":
    sys.exit(main())
