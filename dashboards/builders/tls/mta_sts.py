"""MTA-STS and certificates: what mode senders see, whether enforce would be safe, and certificates that they reject."""

from __future__ import annotations

from typing import Final

from dashboards.builders.common import look
from dashboards.builders.common.grafana import Dashboard, Row, rows, series, steps, words
from dashboards.builders.common.panels import UNKNOWN, Column, graph, stat, states, table
from dashboards.builders.common.scope import IN_RANGE
from dashboards.builders.common.variables import (
    DATASOURCES,
    DOMAINS,
    END,
    REPORTER,
    REPORTER_ID,
    THIS_DOMAIN,
    cell,
    domain,
    link,
    page_links,
    untrusted_id,
)
from dashboards.builders.tls import probe_panels, questions, server_panels
from reports.caption import caption

UID: Final = "mailposture-mta-sts"
_TO_DOMAIN = link("Open ${__value.text}", "mailposture-domain", domain=THIS_DOMAIN)
_VERDICTS = words(
    {
        "ready": ("Ready", "#3F8A46"),
        "not-ready": ("Not ready", "red"),
        "too-little-evidence": ("Too little evidence", UNKNOWN),
        "enforced": ("Enforced", "#2F6FB5"),
        "refusing": ("Enforced, with failures", "#B47A1E"),
    }
)

# The mode of each domain in the newest reports that mention one.
_LAST_MODES: Final = f"""
    SELECT policy_domain, argMax(sts_mode, (day, sessions)) AS mode, max(day) AS last_day
    FROM (
        SELECT policy_domain, day, sts_mode, sum(successful_sessions + failed_sessions) AS sessions
        FROM tls_policies_daily
        WHERE {IN_RANGE} AND {DOMAINS} AND policy_type = 'sts' AND sts_mode != ''
        GROUP BY policy_domain, day, sts_mode
    )
    GROUP BY policy_domain"""

_NEEDED: Final = f"attention_at(end = {END})"
_ACKNOWLEDGED: Final = {str(questions.ACKNOWLEDGED): ("acknowledged", UNKNOWN)}

_ANSWER = (
    stat(
        "Mail being refused",
        "Domains with at least their minimum of failed sessions under an MTA-STS policy in mode enforce, in the newest "
        "reports of all senders. Those senders do not deliver: they try again and return the mail after some days. "
        "What is acknowledged is not counted.",
        rows(questions.open_now("uniqExactIf(policy_domain", _NEEDED, cause="mail-refused", domains=DOMAINS)),
        width=6,
        unit="suffix:domains refused mail",
        decimals=0,
        thresholds=steps((None, look.GOOD), (1, look.BAD)),
        mappings=(words({"0": ("All good", look.GOOD), "1": ("1 domain is refused mail", look.BAD), **_ACKNOWLEDGED}),),
        filled=True,
        text_size=26,
    ),
    stat(
        "Modes that senders saw last",
        "Domains by the mode of their MTA-STS policy in the newest reports that name one. Enforce: mail that cannot be "
        "encrypted and verified is refused. Testing: failures are reported, and mail is delivered all the same. None: "
        "no sender reported a policy in the time range, or the policy says so.",
        rows(
            f"""
            SELECT
                if({questions.no_reports(DOMAINS)}, NULL, countIf(mode = 'enforce')) AS "Enforce",
                if({questions.no_reports(DOMAINS)}, NULL, countIf(mode = 'testing')) AS "Testing",
                if({questions.no_reports(DOMAINS)}, NULL, countIf(mode NOT IN ('enforce', 'testing'))) AS "None"
            FROM domains
            LEFT JOIN ({_LAST_MODES}) AS last_modes USING (policy_domain)
            WHERE {DOMAINS}"""
        ),
        width=7,
        unit="locale",
        names=True,
        colors={"Enforce": look.MODES["enforce"], "Testing": look.MODES["testing"], "None": look.MODES["none"]},
        text_size=26,
    ),
    stat(
        "Ready to enforce",
        "Domains in mode testing whose last 30 report days, and our probes if they are on, show that mode enforce is "
        "safe. The table below says why.",
        rows(
            f"""
            SELECT countIf(verdict = 'ready' AND last_mode = 'testing') AS domains
            FROM mta_sts_readiness WHERE {DOMAINS}"""
        ),
        width=5,
        unit="suffix:domains",
        decimals=0,
        thresholds=steps((None, "text"), (1, look.GOOD)),
        mappings=(words({"1": ("1 domain", look.GOOD)}),),
        text_size=26,
    ),
    stat(
        "Certificates rejected",
        "Receiving servers whose certificate senders reject in their newest reports, above the domain's thresholds. "
        "What is acknowledged is not counted.",
        rows(questions.open_now("uniqExactIf((policy_domain, subject)", _NEEDED, cause="certificate", domains=DOMAINS)),
        width=6,
        unit="suffix:servers",
        decimals=0,
        thresholds=steps((None, look.GOOD), (1, look.BAD)),
        mappings=(words({"0": ("none", look.GOOD), "1": ("1 server", look.BAD), **_ACKNOWLEDGED}),),
        text_size=26,
    ),
)

_READINESS = table(
    "Is it safe to enforce?",
    "What the last 30 report days before today and our own last probes say, whatever the time range is. Would be "
    "refused: sessions that senders do not deliver under mode enforce. Hosted: the mode of the policy that mailposture "
    "serves. Seen: the mode in the newest reports.",
    rows(
        f"""
        SELECT
            policy_domain AS "Domain",
            multiIf(last_mode != 'enforce', verdict, verdict = 'not-ready', 'refusing', 'enforced') AS "Verdict",
            arrayStringConcat(reasons, ' ') AS "Why",
            last_mode AS "Seen",
            hosted_sts_mode AS "Hosted",
            would_be_refused AS "Would be refused",
            would_be_refused / nullIf(sessions, 0) AS "Share",
            sessions AS "Sessions",
            reporters AS "Senders",
            days AS "Report days"
        FROM mta_sts_readiness
        INNER JOIN domains USING (policy_domain)
        WHERE {DOMAINS}
        ORDER BY
            indexOf(['refusing', 'not-ready', 'ready', 'enforced', 'too-little-evidence'], "Verdict"),
            "Would be refused" DESC
        LIMIT 500"""
    ),
    columns=(
        Column(name="Domain", width=210, links=(_TO_DOMAIN,)),
        Column(name="Verdict", width=175, cell=look.COLORED_CELL, mappings=(_VERDICTS,)),
        Column(name="Why", wrap=True),
        Column(name="Seen", width=80, cell=look.COLORED_TEXT, mappings=(look.MODE_WORDS,)),
        Column(name="Hosted", width=80, cell=look.COLORED_TEXT, mappings=(look.MODE_WORDS,)),
        look.count("Would be refused", width=140),
        Column(name="Share", unit="percentunit", decimals=2, width=75),
        look.count("Sessions", width=90),
        look.count("Senders", width=80),
        look.count("Report days", width=105),
    ),
    width=24,
    height=12,
    nothing="No domain is configured for this choice.",
)

_MODES = (
    states(
        "Mode that senders saw, by domain",
        "The mode of the MTA-STS policy in most sessions of a report day, of the 20 domains with most sessions under a "
        "policy.",
        series(
            f"""
            SELECT day AS time, policy_domain, argMax({look.MODE_NUMBER}, sessions) AS Value
            FROM (
                SELECT day, policy_domain, sts_mode, sum(successful_sessions + failed_sessions) AS sessions
                FROM tls_policies_daily
                WHERE {IN_RANGE} AND {DOMAINS} AND policy_type = 'sts'
                GROUP BY day, policy_domain, sts_mode
            )
            WHERE policy_domain IN (
                SELECT policy_domain
                FROM tls_policies_daily
                WHERE {IN_RANGE} AND {DOMAINS} AND policy_type = 'sts'
                GROUP BY policy_domain
                ORDER BY sum(successful_sessions + failed_sessions) DESC
                LIMIT 20
            )
            GROUP BY time, policy_domain
            ORDER BY time, policy_domain"""
        ),
        width=13,
        height=11,
        mappings=(look.MODE_NUMBER_WORDS,),
        nothing="No sender saw an MTA-STS policy in this time range",
    ),
    table(
        "Changes of mode",
        "The first report day on which a sender saw another mode than before, and how many senders have seen the "
        "change since. Senders keep a policy until its max_age runs out or its id changes, so a change takes some days "
        "to reach all of them.",
        rows(questions.mode_changes(DOMAINS)),
        columns=(
            look.day("Day"),
            Column(name="Domain", room=150, links=(_TO_DOMAIN,)),
            Column(name="From", width=90, cell=look.COLORED_TEXT, mappings=(look.MODE_WORDS,)),
            Column(name="To", width=90, cell=look.COLORED_TEXT, mappings=(look.MODE_WORDS,)),
            look.count("Senders", width=85),
        ),
        width=11,
        height=11,
        nothing="No change in this time range.",
    ),
    table(
        "Senders that see another mode",
        "Senders whose newest report of the time range saw another mode than the newest reports of the domain: they "
        "still hold an older policy, or cannot fetch the new one.",
        rows(
            f"""
            SELECT
                policy_domain AS "Domain",
                {caption("organization")} AS "Sender",
                own_mode AS "It sees",
                mode AS "Newest reports",
                own_last_day AS "Last day",
                {REPORTER_ID} AS sender_id
            FROM (
                SELECT policy_domain, {REPORTER}, any(organization) AS organization,
                    argMax(sts_mode, day) AS own_mode, max(day) AS own_last_day
                FROM tls_policies_daily
                WHERE {IN_RANGE} AND {DOMAINS} AND policy_type = 'sts' AND sts_mode != ''
                GROUP BY policy_domain, {REPORTER}
            ) AS own
            INNER JOIN ({_LAST_MODES}) AS newest USING (policy_domain)
            WHERE own_mode != mode
            ORDER BY policy_domain, "Sender"
            LIMIT 200"""
        ),
        columns=(
            Column(name="Domain", room=150, links=(_TO_DOMAIN,)),
            Column(
                name="Sender",
                room=150,
                wrap=True,
                links=(
                    link("What this sender sees", "mailposture-senders", domain=THIS_DOMAIN, sender=cell("sender_id")),
                ),
            ),
            Column(name="It sees", width=90, cell=look.COLORED_TEXT, mappings=(look.MODE_WORDS,)),
            Column(name="Newest reports", width=125, cell=look.COLORED_TEXT, mappings=(look.MODE_WORDS,)),
            look.day("Last day"),
            look.hidden("sender_id"),
        ),
        width=12,
        height=7,
        nothing="All senders see the same mode.",
    ),
    graph(
        "Policy failures",
        "Failed sessions per report day because a policy could not be fetched, read or satisfied.",
        series(
            f"""
            SELECT day AS time, result_type, sum(failed_sessions) AS Value
            FROM tls_failures_daily
            WHERE {IN_RANGE} AND {DOMAINS} AND category = 'mta-sts-policy'
            GROUP BY time, result_type
            ORDER BY time, result_type"""
        ),
        width=12,
        height=7,
        unit="locale",
        bars=True,
        stacked=True,
        colors=look.RESULT_COLORS,
        legend="right",
        totals=("sum",),
        links=(link("Explore", "mailposture-failures", category="mta-sts-policy"),),
        nothing="No policy failures in this time range",
    ),
)

_REFUSED = (
    graph(
        "Mail refused under mode enforce, by domain",
        "Failed sessions per report day under an MTA-STS policy in mode enforce, of the ten domains with most of them.",
        series(
            f"""
            SELECT day AS time, policy_domain, sum(failed_sessions) AS Value
            FROM tls_policies_daily
            WHERE {IN_RANGE} AND {DOMAINS} AND policy_type = 'sts' AND sts_mode = 'enforce' AND policy_domain IN (
                SELECT policy_domain
                FROM tls_policies_daily
                WHERE {IN_RANGE} AND {DOMAINS} AND policy_type = 'sts' AND sts_mode = 'enforce'
                GROUP BY policy_domain
                HAVING sum(failed_sessions) > 0
                ORDER BY sum(failed_sessions) DESC
                LIMIT 10
            )
            GROUP BY time, policy_domain
            ORDER BY time, policy_domain"""
        ),
        width=10,
        unit="locale",
        bars=True,
        stacked=True,
        legend="right",
        totals=("sum",),
        links=(link("Explore failures", "mailposture-failures"),),
        nothing="Nothing refused in this time range",
    ),
    table(
        "Certificates that senders reject",
        "Receiving servers whose certificate was rejected in the time range: expired, not trusted, or for another "
        "name. Click a server for its failures.",
        rows(
            f"""
            SELECT
                receiving_mx AS "Receiving server",
                policy_domain AS "Domain",
                result_type AS "Result type",
                sum(failed_sessions) AS "Failed",
                uniqExact({REPORTER}) AS "Senders",
                min(day) AS "First day",
                max(day) AS "Last day",
                {untrusted_id("receiving_mx")} AS mx_id
            FROM tls_failures_daily
            WHERE {IN_RANGE} AND {DOMAINS} AND category = 'certificate'
            GROUP BY receiving_mx, policy_domain, result_type
            ORDER BY "Last day" DESC, "Failed" DESC
            LIMIT 200"""
        ),
        columns=(
            Column(
                name="Receiving server",
                room=170,
                links=(
                    link(
                        "Failures of this server",
                        "mailposture-failures",
                        domain=THIS_DOMAIN,
                        category="certificate",
                        server=cell("mx_id"),
                    ),
                ),
            ),
            Column(name="Domain", room=120, links=(_TO_DOMAIN,)),
            Column(name="Result type", width=190),
            look.count("Failed", width=65),
            look.count("Senders", width=75),
            look.day("First day"),
            look.day("Last day"),
            look.hidden("mx_id"),
        ),
        width=14,
        height=8,
        nothing="No certificate was rejected in this time range.",
    ),
)


def dashboard() -> Dashboard:
    return Dashboard(
        uid=UID,
        title="mailposture: MTA-STS and certificates",
        description="MTA-STS modes that senders see, readiness to enforce, refused mail, and rejected certificates.",
        variables=(*DATASOURCES, domain(several=True)),
        links=page_links(UID),
        rows=(
            Row(panels=(*_ANSWER, _READINESS)),
            Row(
                title="What our probes see: policies and records", panels=(*probe_panels.ANSWER, *probe_panels.POLICIES)
            ),
            Row(title="What our probes see: servers and certificates", panels=server_panels.PANELS),
            Row(title="What senders see: policies", panels=_MODES),
            Row(title="What senders see: refused mail and certificates", panels=_REFUSED),
        ),
    )
