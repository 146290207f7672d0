"""Suspected downgrades, each with its evidence: lost STARTTLS, and an MTA-STS policy that is not applied any more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.builders.common import look
from dashboards.builders.common.grafana import rows, words
from dashboards.builders.common.panels import Column, table
from dashboards.builders.common.scope import IN_RANGE
from dashboards.builders.common.variables import (
    DOMAINS,
    REPORTER_ID,
    THIS_DOMAIN,
    cell,
    chosen_reporter,
    link,
)
from reports.caption import caption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dashboards.builders.common.grafana import Panel

_TO_DOMAIN = link("Open ${__value.text}", "mailposture-domain", domain=THIS_DOMAIN)
_TO_FAILURES = link("Failures that it reports", "mailposture-failures", domain=THIS_DOMAIN, sender=cell("sender_id"))
_LIKELIHOODS = words(
    {
        "likely": ("Likely", "red"),
        "possible": ("Possible", "orange"),
        "sender-change": ("Sender changed", "#6E7582"),
        "server-fault": ("Our own fault", "blue"),
    }
)


def _suspicions(
    title: str,
    description: str,
    *,
    view: str,
    sessions: str,
    own: Sequence[tuple[str, Column]],
    probed: str,
    nothing: str,
) -> Panel:
    """A table of the rows of a view; `own` are its own columns as SQL, `probed` what our probes saw or did not."""
    saw, saw_not = f"probes_with_{probed}", f"probes_without_{probed}"
    more = "".join(f'{sql} AS "{column.name}", ' for sql, column in own)
    return table(
        title,
        description,
        rows(
            f"""
        SELECT
            day AS "Day",
            likelihood AS "Likelihood",
            policy_domain AS "Domain",
            {caption("organization")} AS "Sender",
            evidence AS "Evidence",
            {more}
            if({saw} + {saw_not} = 0, 'no probe', concat(toString({saw}), ' of ', toString({saw} + {saw_not})))
                AS "Our probes had it",
            {REPORTER_ID} AS sender_id
        FROM {view}
        WHERE {IN_RANGE} AND {DOMAINS} AND {chosen_reporter()}
        ORDER BY day DESC, {sessions} DESC
        LIMIT 200"""
        ),
        columns=(
            look.day("Day"),
            Column(name="Likelihood", width=110, cell=look.COLORED_CELL, mappings=(_LIKELIHOODS,)),
            Column(name="Domain", width=140, wrap=True, links=(_TO_DOMAIN,)),
            Column(name="Sender", width=180, wrap=True, links=(_TO_FAILURES,)),
            Column(name="Evidence", wrap=True, inspect=True),
            *(column for _, column in own),
            Column(name="Our probes had it", width=135),
            look.hidden("sender_id"),
        ),
        width=24,
        height=8,
        nothing=nothing,
    )


SUSPICIONS: Final = (
    _suspicions(
        "Suspected downgrades, with the evidence",
        "A sender that had TLS with this domain in the weeks before reports sessions without STARTTLS. Likely: one "
        "sending network, while others or our own probes had STARTTLS on the same day. Our own fault: all senders "
        "lost it at once, or our probes did not find it either. No probe: probes were off, or could not see the "
        "server. Click the domain for what to do.",
        view="tls_suspected_downgrades",
        sessions="failed_sessions",
        own=(
            ("receiving_mx", Column(name="Receiving server", width=150, wrap=True)),
            ("failed_sessions", look.count("Without STARTTLS", width=140)),
        ),
        probed="starttls",
        nothing="None suspected in the last 60 days of this time range.",
    ),
    _suspicions(
        "Senders that stopped applying our MTA-STS policy, with the evidence",
        "A sender that applied the policy of this domain in mode enforce in the weeks before reports sessions without "
        "it; its mail may still be encrypted. Likely kept from it: for two report days or more at this domain alone, "
        "while others or our own probes found the policy. Sender changed: it stopped at several domains within a week. "
        "Our own fault: most senders stopped, or our probes did not find it either. Click the domain for what to do.",
        view="mta_sts_suspected_downgrades",
        sessions="sessions",
        own=(("sessions", look.count("Without policy", width=120)), ("last_applied_day", look.day("Last applied"))),
        probed="policy",
        nothing="None in the last 60 days of this time range.",
    ),
)
