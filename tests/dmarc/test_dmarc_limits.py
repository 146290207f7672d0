"""The largest report that is read, and the smallest that is not: 200,000 records, 64 MiB of XML."""

from __future__ import annotations

import gzip
import os
from typing import TYPE_CHECKING

import pytest
from dmarc_samples import feedback, record, row
from memory import MIB, forget_peak, peak

from collector.documents.message import open_message
from reports.dmarc.limits import RECORDS, XML_BYTES
from reports.reading import read_reports
from reports.rejection import Reason, RejectedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from reports.rows import Rows

pytestmark = pytest.mark.slow

RECORD = record(row(count="7"), auth="")
MOST_MEMORY = 400 * MIB  # beside the report's own bytes, and what was there before


def of_size(size: int) -> bytes:
    """A report of so many bytes, in records with comments that nobody reads."""
    around, one = len(feedback(RECORD)) - len(RECORD), RECORD + f"<!--{'x' * 1000}-->"
    count = (size - around) // len(one)
    return feedback(
        *[one] * (count - 1), RECORD, f"<!--{'x' * (size - around - (count - 1) * len(one) - len(RECORD) - 7)}-->"
    )


def memory_of(work: Callable[[], object]) -> int:
    """Bytes that were resident at most, beyond those before."""
    forget_peak(os.getpid())
    before = peak(os.getpid())
    work()
    return peak(os.getpid()) - before


def test_report_of_the_most_records_is_read_in_bounded_memory(dmarc_rows: Callable[[bytes], Rows]) -> None:
    content = gzip.compress(feedback(*[RECORD] * RECORDS), 1)
    read: list[Rows] = []
    taken = memory_of(lambda: read.append(dmarc_rows(content)))
    assert (read[0].report.records, read[0].report.messages) == (RECORDS, 7 * RECORDS)
    assert taken < MOST_MEMORY


def test_one_record_more_is_rejected_and_the_limit_is_named() -> None:
    with pytest.raises(RejectedError) as rejection:
        read_reports(open_message(feedback(*[RECORD] * (RECORDS + 1))))
    assert rejection.value.fault.reason is Reason.TOO_MANY
    assert rejection.value.fault.detail == "report has more than 200000 records"


def test_largest_xml_is_read_in_bounded_memory(dmarc_rows: Callable[[bytes], Rows]) -> None:
    content = of_size(XML_BYTES)
    assert len(content) == XML_BYTES
    packed = gzip.compress(content, 1)
    del content
    read: list[Rows] = []
    taken = memory_of(lambda: read.append(dmarc_rows(packed)))
    assert read[0].report.messages == 7 * read[0].report.records > 300_000
    assert taken < MOST_MEMORY


@pytest.mark.parametrize("pack", [bytes, lambda content: gzip.compress(content, 1)], ids=["as it is", "gzip"])
def test_one_byte_more_is_rejected_and_the_limit_is_named(pack: Callable[[bytes], bytes]) -> None:
    content = pack(of_size(XML_BYTES + 1))
    with pytest.raises(RejectedError) as rejection:
        read_reports(open_message(content))
    assert rejection.value.fault.reason is Reason.TOO_LARGE
    assert rejection.value.fault.detail in (
        f"{XML_BYTES + 1} bytes; {XML_BYTES} are allowed",
        f"gzip of {len(content)} bytes unpacks to more than the {XML_BYTES} bytes that are allowed here",
    )
