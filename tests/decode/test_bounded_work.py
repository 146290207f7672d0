"""Work per message is bounded: so many steps per byte, whatever is in it, and twice the bytes take twice the steps.

Steps are calls of functions, in Python and from Python into C: no clock, so they are the same on every machine. What a
single call into C costs, `python -m bench.worst_messages` measures.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import idna
import pytest

from bench.worst_messages import MESSAGES, NOW, judge, judged
from collector.alignment import author_domains
from reports.envelope import Envelope, Source
from reports.tls.classifying import Classifier
from reports.tls.limits import REASONS

if TYPE_CHECKING:
    from collector.ingest.judge import Judge

# Lines of two bytes in a damaged part take 5,200 on Python 3.11 and 8,900 on 3.13, whose standard library calls more;
# empty failure details 3,100, others 1,600.
MOST_STEPS_PER_KIB = 6_000 if sys.version_info < (3, 12) else 10_000
SMALL, LARGE = 40, 80  # KiB


@pytest.fixture(scope="module")
def court() -> Judge:
    return judge()


def steps(court: Judge, body: bytes, *, by_operator: bool) -> int:
    count = 0

    def called(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(called)
    try:
        judged(court, body, by_operator=by_operator)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize(
    "by_operator",
    [pytest.param(False, id="unauthenticated"), pytest.param(True, id="believed", marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_takes_few_steps_per_byte(court: Judge, name: str, by_operator: bool) -> None:
    judged(court, MESSAGES[name](1), by_operator=by_operator)  # what is only done once, such as reading the suffix list
    small, large = (steps(court, MESSAGES[name](kib), by_operator=by_operator) for kib in (SMALL, LARGE))
    assert large < MOST_STEPS_PER_KIB * LARGE
    assert large < 3 * small


def test_messages_that_take_long_are_judged_a_few_at_a_time() -> None:
    seconds = iter(range(100))
    slow = judge(clock=lambda: float(next(seconds)))
    message = (Envelope(source=Source.SMTP, received_at=NOW), MESSAGES["host names"](1))
    assert len(slow.judge([message] * 20, now=NOW, seconds=4.5)) == 5
    assert len(slow.judge([message] * 20, now=NOW, seconds=0.0)) == 1, "at least one"
    assert len(slow.judge([message] * 20, now=NOW)) == 20


def test_no_name_in_a_message_is_converted_to_a_labels(court: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idna, "encode", pytest.fail)
    for by_operator in (False, True):
        judged(court, MESSAGES["host names in U-labels"](40), by_operator=by_operator)


def test_an_author_that_is_no_usual_one_names_nobody() -> None:
    assert author_domains([b"(of us) tls@reporter.example"]) == ("reporter.example",)
    assert author_domains([b"(" * 100_000]) == ()
    assert author_domains([b"(" * 900 + b"tls@reporter.example"]) == ()
    assert author_domains([b"x" * 10_000 + b" <tls@reporter.example>"]) == ()


def test_reasons_beyond_the_limit_are_classified_by_their_result_type() -> None:
    classifier = Classifier(reasons=2)
    timeout = ("validation-failure", "io-timeout-during-handshake")
    assert classifier(*timeout) == ("timeout", "warning")
    assert classifier("validation-failure", "other") == ("other", "warning")
    assert not classifier.full
    assert classifier("validation-failure", "timeout of another kind") == ("other", "warning")
    assert classifier("certificate-expired", "timeout of a third kind") == ("certificate", "critical")
    assert classifier(*timeout) == ("timeout", "warning"), "what was known stays known"
    assert classifier.full
    assert REASONS >= 1_000
