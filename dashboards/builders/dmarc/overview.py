"""DMARC overview: who sends in the name of our domains, what fails, and how far each domain is on its way to reject."""

from __future__ import annotations

from dashboards.builders.common import look
from dashboards.builders.common.grafana import Dashboard, Row, rows
from dashboards.builders.common.panels import NUMBER_HEIGHT, NUMBER_WIDTH, Column, stat, table
from dashboards.builders.common.scope import IN_RANGE, OF_TEAM
from dashboards.builders.common.variables import DATASOURCES, END, TEAM, THIS_DOMAIN, domain, link, page_links
from dashboards.builders.dmarc import parked, questions, shared_panels
from dashboards.builders.dmarc.shared_panels import DOMAIN
from reports.causes import worst_first

UID = "mailposture-dmarc-overview"
_LINKS = (
    link("Mail from ${__value.text}: DMARC", "mailposture-dmarc-domain", domain=THIS_DOMAIN),
    link("Mail to ${__value.text}: TLS", "mailposture-domain", domain=THIS_DOMAIN),
)

_ANSWER = (
    shared_panels.needs_attention("Now", OF_TEAM),
    shared_panels.own_mail(OF_TEAM),
    stat(
        "Ready for a stricter policy",
        "Domains whose DMARC policy can go one step further, to quarantine or reject, without losing mail of ours, of "
        "those that are not at reject yet: as of now, over the last 30 report days (`mailposture readiness DOMAIN`). "
        "The table below says what keeps the others.",
        rows(
            f"""
            SELECT if(countIf(reporters > 0) = 0, NULL, concat(
                toString(countIf(verdict = 'safe')), ' of ', toString(count()), ' domains'
            )) AS ready
            FROM dmarc_readiness
            WHERE {OF_TEAM} AND {questions.NEXT_STEP} AND policy != 'reject'"""
        ),
        width=NUMBER_WIDTH,
        height=NUMBER_HEIGHT,
        unit="string",
        numbers=False,
    ),
    shared_panels.unknown_delivered(OF_TEAM),
    shared_panels.unknown_blocked(OF_TEAM),
    shared_panels.senders_to_decide(OF_TEAM),
)


_ATTENTION = table(
    "Needs attention now",
    "Each cause that DMARC reports show to need attention at the end of the time range: what alerts fire for. Since: "
    "the first day without interruption. Acknowledged: until when, and why; such a cause alerts nobody (`mailposture "
    "acknowledge`). Click a domain for what to do.",
    rows(
        f"""
        SELECT
            severity AS "Severity",
            policy_domain AS "Domain",
            cause AS "Cause",
            title AS "What",
            subject AS "About",
            since AS "Since",
            nullIf(affected, 0) AS "Messages",
            share AS "Of messages",
            detail AS "Details",
            if(acknowledged, concat('until ', toString(acknowledged_until), ': ', acknowledged_because), '')
                AS "Acknowledged"
        FROM attention_at(end = {END}) AS needed
        LEFT JOIN (SELECT term AS cause, title FROM failure_meanings WHERE kind = 'cause') AS meaning USING (cause)
        WHERE needed.kind = 'dmarc' AND {OF_TEAM}
        ORDER BY acknowledged, {worst_first()}, affected DESC, "Domain", "Cause"
        LIMIT 200"""
    ),
    columns=(
        look.severity(),
        DOMAIN,
        look.category(width=175),
        Column(name="What", width=220, wrap=True),
        Column(name="About", width=150, wrap=True),
        look.day("Since"),
        look.count("Messages", width=85),
        shared_panels.percent("Of messages", width=105),
        Column(name="Details", wrap=True, room=300),
        Column(name="Acknowledged", width=140, wrap=True),
    ),
    width=24,
    height=9,
    nothing="Nothing to do: DMARC reports show no cause above the thresholds of its domain.",
)

_DOMAINS = table(
    "Domains: what fails, and may the policy be stricter?",
    "All our domains that have mail, in the time range, those first whose own mail fails, then those with unknown mail "
    "that is delivered. Next step: the next stricter policy, and whether it is safe as of now, over the last 30 report "
    "days: what of our own and of forwarded mail would be refused, and unknown sources that may be ours (`mailposture "
    "readiness DOMAIN`).",
    rows(
        f"""
        SELECT
            policy_domain AS "Domain",
            readiness.policy AS "Policy",
            if(readiness.policy IN ('', 'reject'), '', readiness.step) AS "Next step",
            multiIf(readiness.policy = '', '', readiness.policy = 'reject', 'reached', readiness.verdict) AS "Verdict",
            rate AS "Own mail passes",
            own AS "Own mail",
            failing AS "Ours, failing",
            delivered AS "Unknown, delivered",
            blocked AS "Unknown, blocked",
            team AS "Team",
            if(readiness.policy IN ('', 'reject'), '', arrayStringConcat(readiness.reasons, ' ')) AS "Why"
        FROM domains
        LEFT JOIN (
            SELECT policy_domain, policy, step, verdict, reasons
            FROM dmarc_readiness
            WHERE {OF_TEAM} AND {questions.NEXT_STEP}
        ) AS readiness USING (policy_domain)
        LEFT JOIN (
            SELECT
                policy_domain,
                {questions.own_rate()} AS rate,
                sumIf(messages, {questions.OWN}) AS own,
                sumIf(messages, pile = 'ours-failing') AS failing,
                {questions.UNKNOWN_DELIVERED} AS delivered,
                {questions.UNKNOWN_BLOCKED} AS blocked
            FROM dmarc_sources_daily
            WHERE {IN_RANGE} AND {OF_TEAM}
            GROUP BY policy_domain
        ) AS mail USING (policy_domain)
        WHERE {OF_TEAM} AND NOT parked
        ORDER BY "Ours, failing" DESC, "Unknown, delivered" DESC, "Own mail" DESC, "Domain"
        LIMIT 500"""
    ),
    columns=(
        Column(name="Domain", width=140, wrap=True, links=_LINKS),
        Column(name="Policy", width=95, cell=look.COLORED_TEXT, mappings=(look.DMARC_POLICY_WORDS,)),
        Column(name="Next step", width=95),
        Column(name="Verdict", width=85, cell=look.COLORED_CELL, mappings=(shared_panels.VERDICTS,)),
        look.rate("Own mail passes", width=125),
        look.count("Own mail", width=85),
        shared_panels.warned("Ours, failing", "red", width=110),
        shared_panels.warned("Unknown, delivered", "orange", width=155),
        look.count("Unknown, blocked", width=145),
        Column(name="Team", width=95),
        Column(name="Why", wrap=True, room=380, inspect=True),
    ),
    width=24,
    height=14,
    nothing="No domain is configured for this choice.",
)


def dashboard() -> Dashboard:
    return Dashboard(
        uid=UID,
        title="mailposture: DMARC overview",
        description="Who sends mail in the name of our domains, as receivers report it (DMARC, RFC 9990).",
        variables=(*DATASOURCES, TEAM, domain(several=True, of_team=True)),
        links=page_links(UID),
        rows=(
            Row(panels=(*_ANSWER, _ATTENTION)),
            Row(panels=(_DOMAINS,)),
            parked.ROW,
            Row(panels=(shared_panels.piles(OF_TEAM, width=14), shared_panels.own_rate_by_day(OF_TEAM, width=10))),
            Row(panels=(shared_panels.what_to_do(OF_TEAM, domain=DOMAIN, height=11),)),
            Row(
                panels=(
                    shared_panels.sources(
                        "Who sends in our name",
                        "Every source of mail in the name of our domains, by pile: a service or sender by its name, "
                        "else the network. DMARC, SPF and DKIM: shares that pass, aligned. Click one for its "
                        "addresses.",
                        OF_TEAM,
                        domain=DOMAIN,
                        height=12,
                    ),
                )
            ),
            Row(panels=(shared_panels.policies(OF_TEAM, width=24, height=8),)),
        ),
    )
