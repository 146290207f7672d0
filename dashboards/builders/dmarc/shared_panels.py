"""Panels that are on several dashboards about mail from our domains. `where` is SQL: which rows they are about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.builders.common import look
from dashboards.builders.common.grafana import rows, series, steps, words
from dashboards.builders.common.panels import NUMBER_HEIGHT, NUMBER_WIDTH, UNKNOWN, Column, graph, stat, states, table
from dashboards.builders.common.scope import IN_RANGE, THIS_WEEK, all_parked
from dashboards.builders.common.variables import END, THIS_DOMAIN, cell, link, untrusted_id
from dashboards.builders.dmarc import questions
from reports.dmarc import source_questions

if TYPE_CHECKING:
    from dashboards.builders.common.grafana import Panel

_TO_DOMAIN = link("Open ${__value.text}", "mailposture-dmarc-domain", domain=THIS_DOMAIN)
_TO_SOURCE = link("Open ${__value.text}", "mailposture-dmarc-source", domain=THIS_DOMAIN, source=cell("source_id"))
DOMAIN: Final = Column(name="Domain", width=125, wrap=True, links=(_TO_DOMAIN,))
SOURCE: Final = Column(name="Source", width=150, wrap=True, links=(_TO_SOURCE,))
SOURCE_ID: Final = f"{untrusted_id('source')} AS source_id"
RATES: Final = {"DMARC": look.SUCCESSFUL, "SPF": "#FADE2A", "DKIM": "#5794F2"}
RESULTS: Final = words({"pass": ("pass", "green"), "fail": ("fail", "red"), "permerror": ("permerror", "red")})
VERDICTS: Final = words(
    {
        "safe": ("Safe", "#3F8A46"),
        "not-yet": ("Not yet", "#B47A1E"),
        "unclear": ("Unclear", UNKNOWN),
        "": ("-", UNKNOWN),
        "reached": ("At reject", "#3F8A46"),
    }
)
WITHOUT_REPORTS: Final = "No DMARC reports in this time range"


def percent(name: str, *, width: int = 80) -> Column:
    """A share of messages."""
    return Column(name=name, unit="percentunit", decimals=1, width=width)


def pile(name: str = "Pile") -> Column:
    return Column(name=name, width=120, cell=look.COLORED_CELL, mappings=(look.PILE_WORDS,))


def _number(title: str, description: str, number: str, where: str, *, nothing_to_do: str, color: str) -> Panel:
    """Messages of the last seven days that are zero where all is well."""
    return stat(
        title,
        description,
        rows(
            f"""
            SELECT if(count() = 0, NULL, {number}) AS messages
            FROM dmarc_sources_daily
            WHERE {THIS_WEEK} AND {where}"""
        ),
        width=NUMBER_WIDTH,
        height=NUMBER_HEIGHT,
        unit="locale",
        decimals=0,
        thresholds=steps((None, look.GOOD), (1, color)),
        mappings=(words({"0": (nothing_to_do, look.GOOD)}),),
    )


def warned(name: str, color: str, *, width: int) -> Column:
    """Messages or sources that are nothing where all is well."""
    return Column(
        name=name,
        unit="locale",
        width=width,
        cell=look.COLORED_TEXT,
        color={"mode": "thresholds"},
        thresholds=steps((None, "text"), (1, color)),
    )


def needs_attention(title: str, where: str) -> Panel:
    """The headline: whether anything about mail from us needs attention."""
    return stat(
        title,
        "Causes that need attention at the end of the time range, as DMARC reports show: the same that alerts fire "
        "for, without acknowledged ones and those of severity info. All good: none, and nothing unknown was delivered "
        "in the seven report days before; forgeries that are blocked are no failure. Our senders pass: none, but mail "
        "of unknown senders was delivered. Of parked domains, which have no senders: forged mail delivered, or, where "
        "nobody reported any mail, no abuse reported.",
        rows(
            f"""
            WITH
                (
                    SELECT toInt64(uniqExact(policy_domain, cause))
                    FROM attention_at(end = {END})
                    WHERE kind = 'dmarc' AND NOT acknowledged AND severity != 'info' AND {where}
                ) AS found,
                (
                    SELECT {questions.UNKNOWN_DELIVERED} FROM dmarc_sources_daily WHERE {THIS_WEEK} AND {where}
                ) AS unknown
            SELECT multiIf(
                found > 0, found,
                {questions.no_reports(f"{THIS_WEEK} AND {where}")}, if({all_parked(where)}, -3, NULL),
                unknown > 0, if({all_parked(where)}, -2, -1),
                0) AS causes"""
        ),
        width=NUMBER_WIDTH,
        height=NUMBER_HEIGHT,
        unit="suffix:causes need attention",
        decimals=0,
        thresholds=steps((None, look.GOOD), (1, look.BAD)),
        mappings=(
            words(
                {
                    "-3": ("No abuse reported", look.GOOD),
                    "-2": ("Forged mail delivered", "orange"),
                    "-1": ("Our senders pass", "#3A6FBF"),
                    "0": ("All good", look.GOOD),
                    "1": ("1 cause needs attention", look.BAD),
                }
            ),
        ),
        filled=True,
        text_size=22,
    )


def own_mail(where: str) -> Panel:
    """How much of our own mail authenticates."""
    return stat(
        "Own mail passes, 7 days",
        "Share of our own mail that passes DMARC, over the seven report days before the end of the time range. Own "
        "mail is what a sender of ours sent, and what was forwarded: mailing lists that change it keep it below 100 "
        "%. Cut to two digits, so that it is 100 % only if nothing failed. Parked: the domain has no mail of its own.",
        rows(
            f"""
            SELECT if({all_parked(where)}, -1, {questions.own_rate()}) AS rate
            FROM dmarc_sources_daily
            WHERE {THIS_WEEK} AND {where}"""
        ),
        width=NUMBER_WIDTH,
        height=NUMBER_HEIGHT,
        unit="percentunit",
        decimals=2,
        thresholds=look.NO_JUDGEMENT,
        mappings=(words({"-1": ("Parked: sends none", UNKNOWN)}),),
    )


def unknown_delivered(where: str) -> Panel:
    return _number(
        "Unknown delivered, 7 days",
        "Messages in our name that fail DMARC and that nothing shows to be ours, and were delivered: forged mail that "
        "the policy lets through, or a sender that nobody has named.",
        questions.UNKNOWN_DELIVERED,
        where,
        nothing_to_do="none",
        color="orange",
    )


def unknown_blocked(where: str) -> Panel:
    return _number(
        "Unknown blocked, 7 days",
        "The same, put into quarantine or rejected: what the policy is for. No incident.",
        questions.UNKNOWN_BLOCKED,
        where,
        nothing_to_do="none",
        color="text",
    )


def senders_to_decide(domains: str) -> Panel:
    """What stands in the way of a stricter policy."""
    return stat(
        "Unknown to decide about",
        "Unknown sources of the last 30 report days, as of now, that come back and that several reporters see: "
        "perhaps forgotten senders of ours. Each is either ours (name it under `senders:`, then fix it) or not "
        "(acknowledge it); until then a stricter policy may lose mail.",
        rows(
            f"""
            SELECT if(count() = 0, NULL, countIf(waits)) AS sources
            FROM dmarc_readiness_sources
            WHERE {domains}"""
        ),
        width=NUMBER_WIDTH,
        height=NUMBER_HEIGHT,
        unit="suffix:sources",
        decimals=0,
        thresholds=steps((None, look.GOOD), (1, "orange")),
        mappings=(words({"0": ("none", look.GOOD), "1": ("1 source", "orange")}),),
    )


def piles(where: str, *, width: int) -> Panel:
    """Who sends in our name, over time."""
    return graph(
        "Mail in our name, by pile",
        "Messages per report day. Authenticated, forwarded and failing mail is our own; unknown is what nothing shows "
        "to be ours, perhaps forged, by what receivers did with it.",
        series(
            f"""
            SELECT day AS time, {questions.PILES}
            FROM dmarc_sources_daily
            WHERE {IN_RANGE} AND {where}
            GROUP BY time
            ORDER BY time WITH FILL STEP 1"""
        ),
        width=width,
        height=9,
        unit="locale",
        bars=True,
        stacked=True,
        colors=look.PILES,
        legend="right",
        totals=("sum",),
        nothing=WITHOUT_REPORTS,
    )


def own_rate_by_day(where: str, *, width: int) -> Panel:
    return graph(
        "Own mail that passes DMARC, by day",
        "Share of our own mail of a report day that passes, by SPF or DKIM; and by each of the two.",
        series(
            f"""
            SELECT
                day AS time,
                {questions.own_rate()} AS "DMARC",
                sumIf(spf_aligned_messages, {questions.OWN}) / nullIf(sumIf(messages, {questions.OWN}), 0) AS "SPF",
                sumIf(dkim_aligned_messages, {questions.OWN}) / nullIf(sumIf(messages, {questions.OWN}), 0) AS "DKIM"
            FROM dmarc_sources_daily
            WHERE {IN_RANGE} AND {where}
            GROUP BY time
            HAVING sumIf(messages, {questions.OWN}) > 0
            ORDER BY time"""
        ),
        width=width,
        height=9,
        unit="percentunit",
        soft_minimum=0.5,
        maximum=1,
        colors=RATES,
        nothing="No mail of our own in this time range, as far as reporters say",
    )


def policies(where: str, *, width: int, height: int) -> Panel:
    """How far each domain is on its way to reject."""
    return states(
        "Policy that receivers found",
        "p of the domain's DMARC record on each report day, in the newest report about it.",
        series(
            f"""
            SELECT day AS time, policy_domain, argMax({look.DMARC_POLICY_NUMBER}, (period_end, report_key)) AS Value
            FROM dmarc_report_log
            WHERE {IN_RANGE} AND {where} AND published_domain = policy_domain
            GROUP BY time, policy_domain
            ORDER BY time, policy_domain"""
        ),
        width=width,
        height=height,
        mappings=(look.DMARC_POLICY_NUMBER_WORDS,),
        nothing=WITHOUT_REPORTS,
    )


def what_to_do(where: str, *, domain: Column, height: int) -> Panel:
    """Every source that fails and is ours, or may be."""
    return table(
        "Senders that fail, and what to do",
        "Sources in the time range whose mail fails DMARC and is ours, or may be. Ours, failing: a sender of ours. "
        "Possibly ours: a service that signs for itself, where anybody may have an account. Keeps coming: unknown, and "
        "comes back, as of now, so that a stricter policy waits for somebody to say whose it is: perhaps a forgotten "
        "server. Click a source for its addresses and signatures.",
        rows(
            f"""
            SELECT
                state AS "State",
                policy_domain AS "Domain",
                source AS "Source",
                failing AS "Fails",
                title AS "What is wrong",
                action AS "What to do",
                why AS "Why we think so",
                days AS "Days",
                last_day AS "Last day",
                {SOURCE_ID}
            FROM ({source_questions.to_do(f"{IN_RANGE} AND {where}")})
            ORDER BY {source_questions.BY_STATE}
            LIMIT 200"""
        ),
        columns=(
            pile("State"),
            domain,
            SOURCE,
            look.count("Fails", width=75),
            Column(name="What is wrong", width=180, wrap=True),
            Column(name="What to do", wrap=True, room=380),
            Column(name="Why we think so", width=240, wrap=True),
            look.count("Days", width=60),
            look.day("Last day"),
            look.hidden("source_id"),
        ),
        width=24,
        height=height,
        nothing="Nothing to do: every sender of ours passes, and no unknown sender looks like ours.",
    )


def sources(title: str, description: str, where: str, *, domain: Column, height: int) -> Panel:
    """Who sends in our name, with rates."""
    return table(
        title,
        description,
        rows(
            f"""
            SELECT
                source AS "Source",
                policy_domain AS "Domain",
                pile AS "Pile",
                sent AS "Messages",
                {questions.part("passed")} AS "DMARC",
                {questions.part("by_spf")} AS "SPF",
                {questions.part("by_dkim")} AS "DKIM",
                delivered AS "Delivered",
                quarantined AS "Quarantined",
                rejected AS "Rejected",
                seen_by AS "Reporters",
                first_day AS "First day",
                last_day AS "Last day",
                why AS "Evidence",
                {SOURCE_ID}
            FROM ({source_questions.sources(f"{IN_RANGE} AND {where}")})
            ORDER BY {source_questions.BY_PILE}
            LIMIT 500"""
        ),
        columns=(
            SOURCE,
            domain,
            pile(),
            Column(
                name="Messages",
                unit="locale",
                width=135,
                cell=look.BAR,
                color={"mode": "fixed", "fixedColor": "#5794F2"},
                minimum=0,
            ),
            percent("DMARC", width=70),
            percent("SPF", width=65),
            percent("DKIM", width=65),
            look.count("Delivered", width=80),
            look.count("Quarantined", width=95),
            look.count("Rejected", width=75),
            look.count("Reporters", width=80),
            look.day("First day"),
            look.day("Last day"),
            Column(name="Evidence", wrap=True, room=260),
            look.hidden("source_id"),
        ),
        width=24,
        height=height,
        nothing="Nobody sent mail in our name in this time range, as far as reporters say.",
    )
