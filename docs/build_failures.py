"""Prints docs/failures.md, so that the page says what `mailposture explain` says.

Run: python docs/build_failures.py > docs/failures.md
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from reports.tls.failure_codes import DNSSEC_ERRORS, EXTENDED_DNS_ERRORS, TLS_ALERTS
from reports.tls.failures import ALL_MEANINGS, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from reports.tls.failures import Meaning

_INTRODUCTION = """\
# What failures mean, and what to do

`mailposture explain TERM` prints one of these; dashboards and alerts show the same words. This page is generated:
`.venv/bin/python docs/build_failures.py > docs/failures.md`.

**How bad is it?** That depends less on the failure than on what the domain asks of senders:

| the domain publishes | a sender that cannot encrypt as asked |
|---|---|
| MTA-STS policy in mode `enforce` | keeps the mail, tries again, and gives it back after some days |
| TLSA records (DANE) | the same, if the sender honours DANE |
| MTA-STS policy in mode `testing` | delivers anyway, and reports |
| neither | delivers anyway, without encryption if there is no other way |

**Severity** is about the kind of failure: `critical` means mail refused where encryption is enforced, or exposed where
it is not; `warning` makes mail late or less protected. How many sessions are hit is for the configured thresholds.

Put your own names for `example.com` and `mx1.example.com`; `mailposture check DOMAIN` runs most of the checks.
"""

_SECTIONS = {
    Kind.CATEGORY: "## Categories\n\nWhat dashboards, alerts and metrics group by.\n",
    Kind.CAUSE: (
        "## Other causes\n\nWhat else can need attention: found by comparing reports, by their absence, or by our own\n"
        "probes.\n"
    ),
    Kind.RESULT_TYPE: "## Result types\n\nWhat a report calls a failure (RFC 8460, section 4.3).\n",
    Kind.REASON_CODE: (
        "## Reason codes\n\nThe standard leaves the text of `failure-reason-code` to the sender. These are the\n"
        "meanings that mailposture finds in them; for `validation-failure` and `sts-policy-fetch-error` they decide\n"
        "the category.\n"
    ),
}


def page() -> str:
    """The page as Markdown."""
    return "\n".join(_parts())


def _parts() -> Iterator[str]:
    yield _INTRODUCTION
    for kind, heading in _SECTIONS.items():
        yield heading
        for meaning in ALL_MEANINGS:
            if meaning.kind is kind:
                yield _entry(meaning)
    yield "## Numbers in reason codes\n"
    dns = {
        number: name + (" (critical)" if number in DNSSEC_ERRORS else "")
        for number, name in EXTENDED_DNS_ERRORS.items()
    }
    yield _table("`dns-extended-error-N` (RFC 8914)", dns)
    yield _table("`tls-remote-alert-N` (RFC 8446, section 6.2)", TLS_ALERTS)


def _entry(meaning: Meaning) -> str:
    belongs = "" if meaning.kind in {Kind.CATEGORY, Kind.CAUSE} else f"category `{meaning.category}`, "
    return (
        f"### {meaning.term}\n\n**{meaning.title}** ({belongs}{meaning.severity})\n\n"
        f"{meaning.explanation}\n\n*What to do:* {meaning.action}\n"
    )


def _table(title: str, names: Mapping[int, str]) -> str:
    return "\n".join(
        (f"| N | {title} |", "|---|---|", *(f"| {number} | {name} |" for number, name in names.items()), "")
    )


if __name__ == "__main__":
    sys.stdout.write(page())
