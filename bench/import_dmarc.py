"""`mailposture import` of many DMARC reports against parsedmarc's command on the same files, one after the other.

    python -m bench.import_dmarc                        10,000 made-up reports of 1 to 50 records
    python -m bench.import_dmarc --reports FOLDER       the XML files of a folder, many times over with other report ids

Ours goes into an engine that runs, durable and queryable when it ends; parsedmarc's writes JSON and CSV, offline. Times
are from start to end of the command, and of processor: ours with what the engine took. Then the rows are counted.
"""

from __future__ import annotations

import argparse
import logging
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psutil

from bench import decode_tls
from bench.decode_dmarc import DOMAIN, made_up
from bench.stack import running
from mailposture import logs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_REPORT_ID = re.compile(rb"(<report_id>)([^<]*)")
_POLICY_DOMAIN = re.compile(rb"<policy_published>.*?<domain>([^<]*)", re.DOTALL)


class Spent(NamedTuple):
    """Seconds."""

    elapsed: float
    processor: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reports", type=Path, help="a folder of *.xml")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--parsedmarc-python", type=Path, help="interpreter of an environment that has parsedmarc")
    arguments = parser.parse_args()
    logs.set_up("bench", least=logging.WARNING)
    python = arguments.parsedmarc_python or decode_tls.parsedmarc_python()
    with tempfile.TemporaryDirectory(prefix="mailposture-bench-") as temporary:
        folder = Path(temporary)
        templates = _contents(arguments.reports)
        size = _write(folder / "reports", templates, arguments.files)
        print(f"{arguments.files:,} files of {size / arguments.files / 1024:.1f} KB")
        ours = _import(folder, _domains(templates))
        theirs = _run([python, "-m", "parsedmarc.cli", "--offline", "-s", "-o", folder / "out", folder / "reports"])
    for name, spent in {"mailposture": ours, "parsedmarc": theirs}.items():
        print(f"{name:12} {spent.elapsed:6.1f} s, {spent.processor:6.1f} s of processor")
    shares = ours.elapsed / theirs.elapsed, ours.processor / theirs.processor
    print(f"ratio        {shares[0]:.3f} of parsedmarc's time, {shares[1]:.3f} of its processor time")


def _contents(reports: Path | None) -> Sequence[bytes]:
    if reports is None:
        return [made_up(1 + seed % 50, seed=seed) for seed in range(200)]
    return [file.read_bytes() for file in sorted(reports.glob("*.xml"))]


def _write(folder: Path, templates: Sequence[bytes], number: int) -> int:
    """Reports that differ in their ids; returns their bytes."""
    folder.mkdir()
    size = 0
    for serial in range(number):
        content = _REPORT_ID.sub(rb"\g<1>%d-\g<2>" % serial, templates[serial % len(templates)], count=1)
        size += (folder / f"{serial}.xml").write_bytes(content)
    return size


def _domains(templates: Iterable[bytes]) -> list[dict[str, str]]:
    found = {DOMAIN, *(name[1].decode().strip() for each in templates if (name := _POLICY_DOMAIN.search(each)))}
    return [{"name": name} for name in sorted(found)]


def _import(folder: Path, domains: list[dict[str, str]]) -> Spent:
    with running(folder, domain=DOMAIN, domains=domains) as stack:
        engine = psutil.Process(stack.engine.pid)
        before = sum(engine.cpu_times()[:2])
        config = folder / "mailposture.yaml"
        spent = _run([sys.executable, "-m", "cli", "import", "--config", config, folder / "reports"])
        engine_took = sum(engine.cpu_times()[:2]) - before
        client = stack.client(stack.config.clickhouse.analyst_user)
        (row,) = client.query("SELECT count(), sum(records), sum(messages) FROM dmarc_report_log").result_rows
        client.close_connections()
    reports, records, messages = row
    print(
        f"{reports:,} reports, {records:,} records, {messages:,} messages stored; the engine took {engine_took:.1f} s"
    )
    return Spent(spent.elapsed, spent.processor + engine_took)


def _run(command: Sequence[str | Path]) -> Spent:
    begin, used = time.monotonic(), _children_processor()
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    spent = Spent(time.monotonic() - begin, _children_processor() - used)
    print(done.stdout[-200:].strip() or done.stderr[-200:].strip(), f"(status {done.returncode})")
    return spent


def _children_processor() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
