"""DMARC source: one sender over time, with its addresses, signatures and what is wrong with its mail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.builders.common import look
from dashboards.builders.common.grafana import Dashboard, Row, rows, series
from dashboards.builders.common.panels import NUMBER_HEIGHT, NUMBER_WIDTH, Column, graph, stat, table
from dashboards.builders.common.scope import IN_RANGE
from dashboards.builders.common.variables import (
    DATASOURCES,
    DOMAINS,
    THIS_DOMAIN,
    chosen_untrusted,
    domain,
    link,
    page_links,
    untrusted_choice,
)
from dashboards.builders.dmarc import questions, shared_panels
from reports.dmarc import source_questions

if TYPE_CHECKING:
    from dashboards.builders.common.grafana import Panel

UID = "mailposture-dmarc-source"
_SOURCE = chosen_untrusted("source", "source")
_CHOSEN = f"{DOMAINS} AND {_SOURCE}"
_RECORDS = f"""FROM dmarc_record_details
                WHERE {IN_RANGE} AND {DOMAINS} AND (policy_domain, day, source_ip) IN (
                    SELECT policy_domain, day, source_ip FROM dmarc_sources_daily WHERE {IN_RANGE} AND {_CHOSEN}
                )"""
_DOMAIN = Column(
    name="Domain",
    width=130,
    links=(link("Open ${__value.text}", "mailposture-dmarc-domain", domain=THIS_DOMAIN),),
)


def _share(title: str, description: str, passed: str) -> Panel:
    return stat(
        title,
        description,
        rows(f"SELECT {questions.share(passed)} AS rate FROM dmarc_sources_daily WHERE {IN_RANGE} AND {_CHOSEN}"),
        width=NUMBER_WIDTH,
        height=NUMBER_HEIGHT,
        unit="percentunit",
        decimals=2,
        thresholds=look.NO_JUDGEMENT,
    )


def _fact(title: str, description: str, sql: str, *, unit: str) -> Panel:
    return stat(
        title,
        description,
        rows(f"SELECT if(count() = 0, NULL, {sql}) AS fact FROM dmarc_sources_daily WHERE {IN_RANGE} AND {_CHOSEN}"),
        width=NUMBER_WIDTH,
        height=NUMBER_HEIGHT,
        unit=unit,
        numbers=unit != "time:ddd D MMM",
        decimals=0,
    )


_ANSWER = (
    stat(
        "Its mail, when last seen",
        "The pile that mail of the source was in on its last day in the time range, the worst if there were several: "
        "ours and failing, possibly ours (a service that signs for itself), unknown, forwarded, or authenticated as "
        "our domain.",
        rows(
            f"""
            SELECT nullIf(argMax(
                if(pile = 'unknown' AND possibly_ours, 'possibly-ours', toString(pile)),
                (day, indexOf(['aligned', 'forwarded', 'unknown', 'ours-failing'], pile), possibly_ours)
            ), '') AS last_pile
            FROM dmarc_sources_daily
            WHERE {IN_RANGE} AND {_CHOSEN}"""
        ),
        width=NUMBER_WIDTH,
        height=NUMBER_HEIGHT,
        unit="string",
        numbers=False,
        filled=True,
        text_size=22,
        mappings=(look.PILE_VERDICTS,),
    ),
    _share("Passes DMARC", "Share of its messages that pass DMARC, by SPF or DKIM.", "passed_messages"),
    _fact("Messages", "Messages of the source in the time range.", "sum(messages)", unit="locale"),
    _share("SPF, aligned", "Share of its messages that pass SPF for our domain.", "spf_aligned_messages"),
    _share("DKIM, aligned", "Share of its messages that are signed as our domain, validly.", "dkim_aligned_messages"),
    _fact(
        "Last seen",
        "The newest report day with a message of it.",
        "toDateTime(max(day), 'UTC')",
        unit="time:ddd D MMM",
    ),
)

_OVER_TIME = (
    shared_panels.piles(_CHOSEN, width=14),
    graph(
        "Share that passes, by day",
        "Shares of the source's messages of a report day that pass DMARC, SPF and DKIM, aligned.",
        series(
            f"""
            SELECT day AS time,
                sum(passed_messages) / nullIf(sum(messages), 0) AS "DMARC",
                sum(spf_aligned_messages) / nullIf(sum(messages), 0) AS "SPF",
                sum(dkim_aligned_messages) / nullIf(sum(messages), 0) AS "DKIM"
            FROM dmarc_sources_daily
            WHERE {IN_RANGE} AND {_CHOSEN}
            GROUP BY time
            ORDER BY time"""
        ),
        width=10,
        height=9,
        unit="percentunit",
        soft_minimum=0.5,
        maximum=1,
        colors=shared_panels.RATES,
        nothing=shared_panels.WITHOUT_REPORTS,
    ),
)

_WRONG = table(
    "What is wrong with its mail, and what to do",
    "Every reason why messages of the source fail DMARC, as `mailposture explain` describes it. What to do to align a "
    "service that the catalogue knows is in its own words.",
    rows(
        f"""
        SELECT
            pile AS "Pile",
            policy_domain AS "Domain",
            main_reason AS "Reason",
            title AS "What is wrong",
            action AS "What to do",
            failing AS "Fails",
            first_day AS "First day",
            last_day AS "Last day"
        FROM ({source_questions.reasons(f"{IN_RANGE} AND {DOMAINS}", about=_SOURCE)})
        ORDER BY {source_questions.BY_FAILING}
        LIMIT 100"""
    ),
    columns=(
        shared_panels.pile(),
        _DOMAIN,
        Column(name="Reason", width=140),
        Column(name="What is wrong", width=200, wrap=True),
        Column(name="What to do", wrap=True, room=420),
        look.count("Fails", width=80),
        look.day("First day"),
        look.day("Last day"),
    ),
    width=24,
    height=7,
    nothing="Nothing: all its mail passes DMARC.",
)

_DETAILS = (
    table(
        "Addresses",
        "IP addresses of the source in the time range, with the domain that they sent in the name of.",
        rows(
            f"""
            SELECT
                address AS "Address",
                header_from AS "Domain in From",
                pile AS "Pile",
                sent AS "Messages",
                {questions.part("passed")} AS "DMARC",
                quarantined AS "Quarantined",
                rejected AS "Rejected",
                seen_by AS "Reporters",
                first_day AS "First day",
                last_day AS "Last day"
            FROM ({source_questions.addresses(f"{IN_RANGE} AND {_CHOSEN}")})
            ORDER BY {source_questions.BY_SENT}
            LIMIT 200"""
        ),
        columns=(
            Column(name="Address", room=150),
            Column(name="Domain in From", room=140),
            shared_panels.pile(),
            look.count("Messages", width=85),
            shared_panels.percent("DMARC", width=75),
            look.count("Quarantined", width=95),
            look.count("Rejected", width=75),
            look.count("Reporters", width=80),
            look.day("First day"),
            look.day("Last day"),
        ),
        width=24,
        height=7,
        nothing="Nobody reported mail of this source in this time range.",
    ),
    table(
        "Signatures (DKIM)",
        "Signing domains and selectors of messages from the addresses of the source, and what receivers made of them. "
        "A signature counts only if it is valid and of our domain.",
        rows(
            f"""
            SELECT
                signature.1 AS "Signing domain",
                signature.2 AS "Selector",
                signature.3 AS "Result",
                sum(messages) AS "Messages",
                anyIf(signature.4, signature.4 != '') AS "Receiver's words",
                max(day) AS "Last day"
            FROM (
                SELECT day, messages, arrayZip(dkim_domains, dkim_selectors, dkim_results, dkim_details) AS signatures
                {_RECORDS}
            )
            ARRAY JOIN signatures AS signature
            GROUP BY signature.1, signature.2, signature.3
            ORDER BY "Messages" DESC, "Signing domain", "Selector", "Result"
            LIMIT 200"""
        ),
        columns=(
            Column(name="Signing domain", room=150, wrap=True),
            Column(name="Selector", room=120, wrap=True),
            Column(name="Result", width=90, cell=look.COLORED_TEXT, mappings=(shared_panels.RESULTS,)),
            look.count("Messages", width=85),
            Column(name="Receiver's words", wrap=True, room=160, inspect=True),
            look.day("Last day"),
        ),
        width=12,
        height=8,
        nothing="No signature was reported in this time range.",
    ),
    table(
        "Return paths (SPF), and exceptions",
        "Domains in MAIL FROM that SPF was checked for, and why receivers made an exception of the policy.",
        rows(
            f"""
            SELECT
                checked.1 AS "Return path",
                checked.2 AS "Result",
                sum(messages) AS "Messages",
                arrayStringConcat(arraySort(groupUniqArrayArray(reasons)), ', ') AS "Exceptions",
                max(day) AS "Last day"
            FROM (
                SELECT day, messages, reasons, arrayZip(spf_domains, spf_results) AS results
                {_RECORDS}
            )
            ARRAY JOIN results AS checked
            GROUP BY checked.1, checked.2
            ORDER BY "Messages" DESC, "Return path", "Result"
            LIMIT 200"""
        ),
        columns=(
            Column(name="Return path", room=170, wrap=True),
            Column(name="Result", width=90, cell=look.COLORED_TEXT, mappings=(shared_panels.RESULTS,)),
            look.count("Messages", width=85),
            Column(name="Exceptions", room=130, wrap=True),
            look.day("Last day"),
        ),
        width=12,
        height=8,
        nothing="No SPF result was reported in this time range.",
    ),
)


def dashboard() -> Dashboard:
    return Dashboard(
        uid=UID,
        title="mailposture: DMARC source",
        description="One sender of mail in our name over time: addresses, signatures, and what is wrong with its mail.",
        variables=(
            *DATASOURCES,
            domain(several=True),
            untrusted_choice(
                "source",
                "Source",
                "source",
                "dmarc_sources_daily",
                DOMAINS,
                description="Who sends: a service or sender by its name, else the network",
            ),
        ),
        links=page_links(UID),
        rows=(
            Row(panels=(*_ANSWER, *_OVER_TIME)),
            Row(panels=(_WRONG, *_DETAILS)),
        ),
    )
