"""sys4's tlsrpt-reporter, the program that reports for Postfix, as an operator runs it; only its clock is ours.

Postfix (3.10 and later, with libtlsrpt) reports each session to `tlsrpt-collectd` by a datagram; after midnight UTC
`tlsrpt-reportd` asks `tlsrpt-fetcher` for the day that ended, makes a report for each domain and sends it to where the
domain's TLSRPT record wants it. libfaketime moves the clock of these three, so that days pass when the test says so.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime
from datetime import time as time_of_day
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eventually import eventually
from programs import program

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAMS = Path(sys.executable).parent
ORGANIZATION, DOMAIN = "Sender Inc.", "sender.example"

_STS, _FAILED = 2, 1  # libtlsrpt's numbers for a policy type and a final result
CERTIFICATE_EXPIRED = 204  # libtlsrpt's number for a result type

_CONFIG = """
[tlsrpt_collectd]
storage = sqlite://{folder}/collectd.sqlite
socketname = {folder}/socket
sockettimeout = 1
logfilename = {folder}/collectd.log

[tlsrpt_fetcher]
storage = sqlite://{folder}/collectd.sqlite
logfilename = {folder}/fetcher.log

[tlsrpt_reportd]
organization_name = {organization}
contact_info = smtp-tls-reporting@{domain}
sender_address = noreply-smtp-tls-reporting@{domain}
dbname = {folder}/reportd.sqlite
fetchers = {programs}/tlsrpt-fetcher --config_file {folder}/tlsrpt.cfg
sendmail_script = env --unset=LD_PRELOAD sendmail -C {postfix} -i -t
logfilename = {folder}/reportd.log
log_level = info
interval_main_loop = 1
spread_out_delivery = 1
sendmail_timeout = 60
http_timeout = 60
min_wait_delivery = 0
max_wait_delivery = 1
max_retries_delivery = 100
max_retries_domainlist = 100
min_wait_domainlist = 0
max_wait_domainlist = 1
"""


@dataclass(kw_only=True)
class Reporter:
    """The running programs, and Postfix's part of reporting to them what happened."""

    folder: Path
    trusted: Path  # root certificate for reports by HTTPS

    def turn_clock(self, day: date) -> None:
        """Let it be noon (UTC) of a day; time goes on from there."""
        noon = datetime.combine(day, time_of_day(12), UTC)
        new = self.folder / "clock.new"
        new.write_text(f"{(noon - datetime.now(UTC)).total_seconds():+.0f}\n")
        new.rename(self.folder / "clock")

    def saw(self, domain: str, record: str, *, successful: int, failures: list[dict[str, Any]]) -> None:
        """Report sessions of today, each failed one with its detail, as libtlsrpt does; return once all are counted.

        `record` is the TLSRPT record that Postfix has found in DNS.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as postfix:
            eventually("the socket of tlsrpt-collectd", (self.folder / "socket").exists)
            postfix.connect(str(self.folder / "socket"))
            for details in [*([detail] for detail in failures), *([[]] * successful)]:
                postfix.send(json.dumps(_datagram(domain, record, details)).encode())
        eventually("all sessions in its database", lambda: self._counted(domain) == successful + len(failures))

    def _counted(self, domain: str) -> int:
        with contextlib.closing(sqlite3.connect(self.folder / "collectd.sqlite", timeout=30)) as database:
            (number,) = database.execute(
                "SELECT sum(cntrtotal) FROM finalresults WHERE domain = ?", [domain]
            ).fetchone()
        return int(number or 0)

    def sent(self, day: date) -> set[str]:
        """Where its reports about a day have been sent to, by its own account."""
        with contextlib.closing(sqlite3.connect(self.folder / "reportd.sqlite", timeout=30)) as database:
            return {
                destination
                for (destination,) in database.execute(
                    "SELECT destination FROM destinations JOIN reports ON r_id = d_r_id"
                    " WHERE status = 'sent' AND day = ?",
                    [str(day)],
                )
            }

    def log(self) -> str:
        """What the programs have logged, to read."""
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("*.log")))

    @contextlib.contextmanager
    def running(self, *, postfix: Path) -> Iterator[None]:
        """Run collectd and reportd, whose mails go out by the Postfix of this configuration folder."""
        words = {"folder": self.folder, "programs": PROGRAMS, "postfix": postfix}
        config = self.folder / "tlsrpt.cfg"
        config.write_text(_CONFIG.format(**words, organization=ORGANIZATION, domain=DOMAIN))
        environment = {
            **os.environ,
            "LD_PRELOAD": program("libfaketime.so.1"),
            "FAKETIME_TIMESTAMP_FILE": str(self.folder / "clock"),
            "FAKETIME_NO_CACHE": "1",
            "NO_FAKE_STAT": "1",
            "CURL_CA_BUNDLE": str(self.trusted),
        }
        with contextlib.ExitStack() as stack:
            for service, ready in (("collectd", "collectd.sqlite.yesterday"), ("reportd", "reportd.sqlite")):
                output = stack.enter_context((self.folder / f"{service}.out").open("wb"))
                command = [PROGRAMS / f"tlsrpt-{service}", "--config_file", config]
                process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
                stack.callback(_end, process)
                eventually(service, (self.folder / ready).exists)
            yield


def _datagram(domain: str, record: str, failures: list[dict[str, Any]]) -> dict[str, Any]:
    """What libtlsrpt sends about one session; its keys are short, and sys4's programs know their names."""
    policy: dict[str, Any] = {
        "policy-type": _STS,
        "policy-domain": domain,
        "policy-string": ["version: STSv1", "mode: enforce", f"mx: *.{domain}", "max_age: 604800"],
        "mx-host": [f"*.{domain}"],
        "t": len(failures),
        "f": _FAILED if failures else 0,
    }
    if failures:
        policy["failure-details"] = failures
    return {"dpv": "1", "d": domain, "pr": record, "policies": [policy]}


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
