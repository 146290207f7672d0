"""DMARC domain: who sends in the name of one domain, what to do about it, and what receivers did."""

from __future__ import annotations

from dashboards.builders.common import look
from dashboards.builders.common.grafana import Dashboard, Row, rows, series
from dashboards.builders.common.panels import NUMBER_HEIGHT, NUMBER_WIDTH, Column, graph, stat, table
from dashboards.builders.common.scope import IN_RANGE
from dashboards.builders.common.variables import DATASOURCES, DOMAINS, REPORTER, domain, page_links
from dashboards.builders.dmarc import questions, shared_panels
from reports.caption import caption

UID = "mailposture-dmarc-domain"
_NO_DOMAIN = look.hidden("Domain")

_ANSWER = (
    shared_panels.needs_attention("$domain now", DOMAINS),
    shared_panels.own_mail(DOMAINS),
    stat(
        "Policy, and the next step",
        "What receivers do with all mail that fails DMARC: p of the record, one step less with t=y or pct below 100; "
        "and whether the next stricter policy is safe, as of now, over the last 30 report days. Reasons are "
        "in the table further down.",
        rows(
            f"""
            SELECT anyIf(
                if(policy = 'reject', 'reject', concat(policy, ', then ', step, ': ', replaceOne(verdict, '-', ' '))),
                policy != ''
            ) AS policies
            FROM dmarc_readiness
            WHERE {DOMAINS} AND {questions.NEXT_STEP}"""
        ),
        width=NUMBER_WIDTH,
        height=NUMBER_HEIGHT,
        unit="string",
        numbers=False,
        text_size=22,
    ),
    shared_panels.unknown_delivered(DOMAINS),
    shared_panels.unknown_blocked(DOMAINS),
    shared_panels.senders_to_decide(DOMAINS),
)

_READY = table(
    "May the policy be stricter?",
    "What a policy of quarantine, and of reject, would do to our own and to forwarded mail, as of now, over the last "
    "30 report days: what `mailposture readiness` says.",
    rows(
        f"""
        SELECT
            step AS "Step",
            scope AS "Scope",
            verdict AS "Verdict",
            refused_messages AS "Would lose",
            own_messages AS "Of own mail",
            arrayStringConcat(reasons, ' ') AS "Why"
        FROM dmarc_readiness
        WHERE {DOMAINS}
        ORDER BY "Scope", "Step"
        LIMIT 10"""
    ),
    columns=(
        Column(name="Step", width=100),
        Column(name="Scope", width=105),
        Column(name="Verdict", width=85, cell=look.COLORED_CELL, mappings=(shared_panels.VERDICTS,)),
        look.count("Would lose", width=90),
        look.count("Of own mail", width=95),
        Column(name="Why", wrap=True, room=400),
    ),
    width=24,
    height=6,
    nothing="Nothing is known about this domain.",
)

_RECEIVERS = (
    graph(
        "What receivers did with what failed",
        "Messages per report day that fail DMARC, by what receivers did: the disposition, which the policy, an "
        "exception or a spam filter decides. Of ours and of unknown senders apart.",
        series(
            f"""
            SELECT
                day AS time,
                sumIf(delivered_messages, {questions.FAILS} AND {questions.OWN}) AS "Ours, delivered",
                sumIf(quarantined_messages, {questions.FAILS} AND {questions.OWN}) AS "Ours, quarantined",
                sumIf(rejected_messages, {questions.FAILS} AND {questions.OWN}) AS "Ours, rejected",
                sumIf(delivered_messages, pile = 'unknown') AS "Unknown, delivered",
                sumIf(quarantined_messages, pile = 'unknown') AS "Unknown, quarantined",
                sumIf(rejected_messages, pile = 'unknown') AS "Unknown, rejected"
            FROM dmarc_sources_daily
            WHERE {IN_RANGE} AND {DOMAINS}
            GROUP BY time
            ORDER BY time"""
        ),
        width=12,
        height=9,
        unit="locale",
        bars=True,
        stacked=True,
        colors=look.DISPOSITIONS,
        legend="right",
        totals=("sum",),
        nothing=shared_panels.WITHOUT_REPORTS,
    ),
    table(
        "Who reports, and what they did",
        "Receivers that reported about this domain in the time range. DMARC, SPF and DKIM: shares of all messages, of "
        "unknown senders too, that pass and are aligned.",
        rows(
            f"""
            SELECT
                {caption()} AS "Reporter",
                sum(of_day.messages) AS "Messages",
                {questions.share("of_day.passed_messages", "of_day.messages")} AS "DMARC",
                {questions.share("of_day.spf_aligned_messages", "of_day.messages")} AS "SPF",
                {questions.share("of_day.dkim_aligned_messages", "of_day.messages")} AS "DKIM",
                sum(of_day.quarantined_messages) AS "Quarantined",
                sum(of_day.rejected_messages) AS "Rejected",
                max(day) AS "Last day"
            FROM dmarc_daily AS of_day
            WHERE {IN_RANGE} AND {DOMAINS}
            GROUP BY {REPORTER}
            ORDER BY "Messages" DESC
            LIMIT 200"""
        ),
        columns=(
            Column(name="Reporter", wrap=True, room=190),
            look.count("Messages", width=85),
            shared_panels.percent("DMARC", width=70),
            shared_panels.percent("SPF", width=70),
            shared_panels.percent("DKIM", width=70),
            look.count("Quarantined", width=95),
            look.count("Rejected", width=75),
            look.day("Last day"),
        ),
        width=12,
        height=9,
        nothing="Nobody reported about this domain in this time range.",
    ),
)

_NAMES = (
    table(
        "Domains in From",
        "The domain itself and its subdomains, as they stand in the From field of the messages. A subdomain may have "
        "a policy of its own (sp, or a record).",
        rows(
            f"""
            SELECT
                header_from AS "Domain in From",
                argMax(published_policy, (day, messages)) AS "Policy",
                {questions.own_rate()} AS "Own mail passes",
                sumIf(messages, {questions.OWN}) AS "Own mail",
                sumIf(messages, pile = 'ours-failing') AS "Ours, failing",
                {questions.UNKNOWN_DELIVERED} AS "Unknown, delivered",
                {questions.UNKNOWN_BLOCKED} AS "Unknown, blocked",
                uniqExact(source) AS "Sources",
                max(day) AS "Last day"
            FROM dmarc_sources_daily
            WHERE {IN_RANGE} AND {DOMAINS}
            GROUP BY header_from
            ORDER BY sum(messages) DESC, header_from
            LIMIT 200"""
        ),
        columns=(
            Column(name="Domain in From", room=160),
            Column(name="Policy", width=95, cell=look.COLORED_TEXT, mappings=(look.DMARC_POLICY_WORDS,)),
            look.rate("Own mail passes", width=125),
            look.count("Own mail", width=85),
            look.count("Ours, failing", width=100),
            look.count("Unknown, delivered", width=150),
            look.count("Unknown, blocked", width=140),
            look.count("Sources", width=75),
            look.day("Last day"),
        ),
        width=16,
        height=7,
        nothing="Nobody sent mail in the name of this domain in this time range, as far as reporters say.",
    ),
    shared_panels.policies(DOMAINS, width=8, height=7),
)


def dashboard() -> Dashboard:
    return Dashboard(
        uid=UID,
        title="mailposture: DMARC domain",
        description="Who sends mail in the name of one domain, what fails and what to do (DMARC, RFC 9990).",
        variables=(*DATASOURCES, domain(several=False)),
        links=page_links(UID),
        rows=(
            Row(panels=(*_ANSWER, shared_panels.what_to_do(DOMAINS, domain=_NO_DOMAIN, height=7), _READY)),
            Row(
                panels=(
                    shared_panels.sources(
                        "Who sends in the name of $domain",
                        "Every source, by pile: a service or sender by its name, else the network. DMARC, SPF and "
                        "DKIM: shares that pass, aligned. Evidence: why it is in this pile. Click a source for its "
                        "addresses.",
                        DOMAINS,
                        domain=_NO_DOMAIN,
                        height=8,
                    ),
                )
            ),
            Row(panels=(shared_panels.piles(DOMAINS, width=14), shared_panels.own_rate_by_day(DOMAINS, width=10))),
            Row(title="What receivers did", panels=_RECEIVERS),
            Row(title="Subdomains and policy", panels=_NAMES),
        ),
    )
