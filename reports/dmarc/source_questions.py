"""Who sends in our name, and what to do about it: the SQL that dashboards and `mailposture senders` both ask.

`where` is SQL: which rows of dmarc_sources_daily, or of dmarc_record_details, it is about: days, and domains. Rows come
in the order of BY_… only if whoever asks says so.
"""

from __future__ import annotations

from typing import Final

BY_PILE: Final = "indexOf(['ours-failing', 'unknown', 'forwarded', 'aligned'], pile), sent DESC, policy_domain, source"
BY_STATE: Final = (
    "indexOf(['ours-failing', 'possibly-ours', 'keeps-coming'], state), failing DESC, policy_domain, source"
)
BY_FAILING: Final = "failing DESC, policy_domain, main_reason"
BY_SENT: Final = "sent DESC, address, header_from, pile"

_PLAIN: Final = "^[A-Za-z0-9 ./:()_,&-]+$"  # what a shell leaves as it is within double quotes
_KEY: Final = "SELECTOR._domainkey.example.com"  # as it stands in reports/dmarc/words.py
_WHY: Final = """concat(
                topKWeighted(1)(evidence, messages)[1],
                if(sum(counted_messages) = 0, '; no reporter that counts in alerts saw it', '')
            ) AS why"""
# How a service is set up helps where it authenticates as itself. The key is that with which most of what fails from the
# source's addresses was signed.
_ACTION: Final = f"""replaceAll(
                replaceAll(
                    if(service.action != '' AND endsWith(main_reason, '-other-domain'), service.action, meaning.action),
                    '{_KEY}', if(key_name = '', '{_KEY}', key_name)
                ),
                'example.com', policy_domain
            )"""
_KEY_NAME: Final = "arrayFirst(each -> has(addresses, each.2), failing_keys).3 AS key_name"
_ADDRESSES: Final = "groupUniqArrayIf(100)(source_ip, startsWith(reason, 'dkim-')) AS addresses"


def sources(where: str) -> str:
    """A row per source and pile: source, policy_domain, pile, sent, passed, by_spf, by_dkim, delivered, quarantined,
    rejected, seen_by, first_day, last_day, why. Numbers are messages, but for seen_by: reporters.
    """
    return f"""
        SELECT
            source, policy_domain, pile, sum(messages) AS sent, sum(passed_messages) AS passed,
            sum(spf_aligned_messages) AS by_spf, sum(dkim_aligned_messages) AS by_dkim,
            sum(delivered_messages) AS delivered, sum(quarantined_messages) AS quarantined,
            sum(rejected_messages) AS rejected, length(groupUniqArrayArray(reporters)) AS seen_by,
            min(day) AS first_day, max(day) AS last_day, {_WHY}
        FROM dmarc_sources_daily
        WHERE {where}
        GROUP BY policy_domain, source, pile"""


def to_do(where: str) -> str:
    """A row per source that fails and is ours, or may be: state, policy_domain, source, failing, title, action, why,
    days, last_day.

    States: ours-failing; possibly-ours (a service that signs for itself); keeps-coming: unknown, and it comes back as
    dmarc_readiness has it, now, so that somebody has to say whose it is.
    """
    return f"""
        SELECT
            state, policy_domain, source, failing, meaning.title AS title,
            concat(
                if(state = 'ours-failing' OR startsWith(meaning.action, 'If '), '', 'If it is yours: '), {_ACTION},
                if(
                    waits,
                    concat(
                        ' If it is not: `mailposture acknowledge ', policy_domain, ' dmarc-unknown-source "',
                        if(match(source, '{_PLAIN}'), source, 'SOURCE'), '" --until DAY --because WHY`.'
                    ),
                    ''
                )
            ) AS action,
            why, days, last_day, {_KEY_NAME}
        FROM (
            SELECT
                policy_domain, source, {_ADDRESSES},
                multiIf(pile = 'ours-failing', pile, max(possibly_ours), 'possibly-ours', 'keeps-coming') AS state,
                topKWeighted(1)(reason, messages)[1] AS main_reason, {_WHY},
                sum(messages) AS failing, uniqExact(day) AS days, max(day) AS last_day,
                pile = 'unknown' AND (policy_domain, source) IN (
                    SELECT policy_domain, source FROM dmarc_readiness_sources WHERE waits
                ) AS waits
            FROM dmarc_sources_daily
            WHERE {where} AND pile IN ('ours-failing', 'unknown')
            GROUP BY policy_domain, source, pile
            HAVING pile = 'ours-failing' OR max(possibly_ours) OR waits
        ) AS failing_sources
        {_meanings(where)}"""


def reasons(where: str, *, about: str) -> str:
    """A row per pile, domain and reason why messages fail: pile, policy_domain, main_reason, title, action, failing,
    first_day, last_day. `about`: as `where`, of dmarc_sources_daily alone, such as which source.
    """
    return f"""
        SELECT
            pile, policy_domain, main_reason, meaning.title AS title, {_ACTION} AS action, failing, first_day, last_day,
            {_KEY_NAME}
        FROM (
            SELECT
                pile, policy_domain, source, reason AS main_reason, {_ADDRESSES},
                sum(messages - passed_messages) AS failing, min(day) AS first_day, max(day) AS last_day
            FROM dmarc_sources_daily
            WHERE {where} AND {about} AND reason != ''
            GROUP BY pile, policy_domain, source, reason
        ) AS reasons
        {_meanings(where)}"""


def addresses(where: str) -> str:
    """A row per address, domain in From and pile: address, header_from, pile, sent, passed, quarantined, rejected,
    seen_by, first_day, last_day.
    """
    return f"""
        SELECT
            if(source_ip = '', 'not given', source_ip) AS address, header_from, pile, sum(messages) AS sent,
            sum(passed_messages) AS passed, sum(quarantined_messages) AS quarantined,
            sum(rejected_messages) AS rejected, length(groupUniqArrayArray(reporters)) AS seen_by,
            min(day) AS first_day, max(day) AS last_day
        FROM dmarc_sources_daily
        WHERE {where}
        GROUP BY source_ip, header_from, pile"""


def _meanings(where: str) -> str:
    """Joins of what the action is made of.

    Names of keys go into commands that people paste, so only reporters that count name any, and only what can be one.
    """
    return f"""LEFT JOIN (
            SELECT term AS main_reason, title, action FROM dmarc_meanings WHERE kind = 'reason'
        ) AS meaning USING (main_reason)
        LEFT JOIN (SELECT toString(service) AS source, action FROM sending_services) AS service USING (source)
        LEFT JOIN (
            SELECT policy_domain, arrayReverseSort(groupArray((failed, source_ip, key))) AS failing_keys
            FROM (
                SELECT
                    policy_domain, source_ip, concat(signature.2, '._domainkey.', signature.1) AS key,
                    sum(messages) AS failed
                FROM dmarc_record_details
                ARRAY JOIN arrayFilter(
                    each -> each.3 NOT IN ('pass', 'none') AND match(each.2, '^[a-z0-9][a-z0-9._-]*$')
                        AND (each.1 = policy_domain OR endsWith(each.1, concat('.', policy_domain))),
                    arrayZip(dkim_domains, dkim_selectors, dkim_results)
                ) AS signature
                WHERE {where} AND NOT passed AND (policy_domain, reporter, trust) IN (
                    SELECT policy_domain, reporter, trust FROM dmarc_reporters WHERE counts
                )
                GROUP BY policy_domain, source_ip, key
                ORDER BY failed DESC
                LIMIT 1000 BY policy_domain
            )
            GROUP BY policy_domain
        ) AS keys USING (policy_domain)"""
