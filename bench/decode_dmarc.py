"""DMARC reports to validated rows, against parsedmarc's own `parse_aggregate_report_xml`: the same XML, in turns.

    python -m bench.decode_dmarc                            made-up reports of 1, 10, 100 and 10,000 records
    python -m bench.decode_dmarc --reports FOLDER           the XML files of a folder as well

Ours goes from XML to the rows of both tables (expat, validation, our domain); parsedmarc's to its dictionary, offline.
Each runs in an interpreter of its own; they take turns, and the medians of processor time per report are compared.
Last, the peak of memory of reading one report of 100,000 records into rows, above what the process had before.
"""

from __future__ import annotations

import argparse
import random
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bench import decode_tls

if TYPE_CHECKING:
    from collections.abc import Sequence

DOMAIN = "example.com"
_RECORD = """
  <record>
    <row><source_ip>192.0.2.{host}</source_ip><count>{count}</count>
      <policy_evaluated><disposition>none</disposition><dkim>{dkim}</dkim><spf>{spf}</spf></policy_evaluated></row>
    <identifiers><header_from>example.com</header_from><envelope_from>mail{host}.example.com</envelope_from>
    </identifiers>
    <auth_results>
      <dkim><domain>example.com</domain><selector>s{host}</selector><result>{dkim}</result></dkim>
      <spf><domain>mail{host}.example.com</domain><scope>mfrom</scope><result>{spf}</result></spf>
    </auth_results>
  </record>"""
_REPORT = """<?xml version="1.0" encoding="UTF-8"?>
<feedback>
  <report_metadata><org_name>Receiver Example</org_name><email>dmarc@receiver.example</email>
    <report_id>{number}</report_id><date_range><begin>1772409600</begin><end>1772495999</end></date_range>
  </report_metadata>
  <policy_published><domain>example.com</domain><adkim>r</adkim><aspf>r</aspf><p>none</p><sp>none</sp><pct>100</pct>
  </policy_published>{records}
</feedback>
"""


def made_up(records: int, *, seed: int = 0) -> bytes:
    """A report of so many records, indented as most reporters write it."""
    chance = random.Random(seed)
    verdicts = ("pass", "pass", "pass", "fail")
    text = "".join(
        _RECORD.format(
            host=chance.randrange(256),
            count=chance.randrange(1, 500),
            dkim=chance.choice(verdicts),
            spf=chance.choice(verdicts),
        )
        for _ in range(records)
    )
    return _REPORT.format(number=seed, records=text).encode()


def mailposture_decoder() -> decode_tls.Worker:
    from collector.garbage import look_for_garbage_rarely  # noqa: PLC0415
    from mailposture.config.model import Config  # noqa: PLC0415
    from mailposture.ownership import Ownership  # noqa: PLC0415
    from reports.dmarc.kind import DMARC  # noqa: PLC0415
    from reports.document import Document, Opened  # noqa: PLC0415
    from reports.envelope import Envelope, Source, Trust  # noqa: PLC0415
    from reports.kind import Provenance  # noqa: PLC0415

    ownership = Ownership(Config.model_validate({"domains": [{"name": "com.example"}]}))
    ownership.domain_above = lambda name: name  # type: ignore[method-assign]  # every domain is ours here
    opened, now = Opened(documents=()), datetime.now(UTC)
    envelope = Envelope(source=Source.SMTP, received_at=now)
    provenance = Provenance(
        opened=opened, envelope=envelope, arrived_at=now, trust=Trust.DKIM, signer="receiver.example"
    )

    look_for_garbage_rarely()  # as ingest does

    def rows(content: bytes) -> object:
        report = DMARC.read(Document(kind="dmarc", content=content))
        return DMARC.rows([(report, DMARC.attribute(report, opened, envelope, ownership))], provenance)

    return decode_tls.Worker(lambda content: content, rows)


def parsedmarc_decoder() -> decode_tls.Worker:
    import parsedmarc  # noqa: PLC0415

    def parse(text: str) -> object:
        try:
            return parsedmarc.parse_aggregate_report_xml(text, offline=True)
        except parsedmarc.InvalidAggregateReport:  # a few real ones, such as those without records
            return None

    return decode_tls.Worker(lambda content: content.decode("utf-8", "replace"), parse)


WORKERS = {"mailposture": mailposture_decoder, "parsedmarc": parsedmarc_decoder}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reports", type=Path, help="a folder of *.xml")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--parsedmarc-python", type=Path, help="interpreter of an environment that has parsedmarc")
    parser.add_argument("--worker", choices=WORKERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        return decode_tls.work(WORKERS[arguments.worker]())
    python = arguments.parsedmarc_python or decode_tls.parsedmarc_python()
    sizes = {1: 400, 10: 100, 100: 20, 10_000: 1}
    for records, number in sizes.items():
        reports = [made_up(records, seed=seed) for seed in range(number)]
        _print(f"{records:6,} records", reports, arguments.rounds, python)
    if arguments.reports:
        files = sorted(arguments.reports.glob("*.xml"))
        _print(f"{len(files)} files", [file.read_bytes() for file in files], arguments.rounds, python)
    print(f"100,000 records: {_peak(made_up(100_000)):.0f} MB above what the process had")
    return 0


def _print(name: str, reports: Sequence[bytes], rounds: int, python: Path) -> None:
    ours, theirs = decode_tls.compare(list(reports), rounds, python, script=Path(__file__))
    times = f"parsedmarc {theirs * 1e6:10,.0f} µs, mailposture {ours * 1e6:8,.0f} µs"
    print(f"{name:>16}: {times}: {ours / theirs:.3f} of its time")


def _peak(content: bytes) -> float:
    """MB of resident memory that reading a report into rows adds at most; the report itself is there before."""
    worker = mailposture_decoder()
    worker.decode(made_up(10))
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far (proc_pid_clear_refs(5))
    before = _resident("VmRSS")
    kept = worker.decode(content)
    added = _resident("VmHWM") - before
    del kept
    return added / 1024


def _resident(name: str) -> int:
    """kB, from /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    sys.exit(main())
