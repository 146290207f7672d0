-- What dmarc_readiness rests on: sources of the last 30 complete report days, in messages of reporters that count
-- (dmarc_reporters), so that forged reports neither speak against a policy nor for one. Own mail and forwarded mail that failed is
-- what a stricter policy refuses.
--
-- An unknown source that comes back waits for somebody to name it, as dmarc_findings says.
CREATE OR REPLACE VIEW {views}.dmarc_readiness_sources{_at} {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    scope LowCardinality(String) COMMENT 'domain; subdomains where they have another policy (sp); a subdomain with a DMARC record of its own, by its name',
    source String COMMENT 'Who sends, as in dmarc_sources_daily',
    source_kind LowCardinality(String) COMMENT 'own, service, domain, host, network or unknown',
    pile LowCardinality(String) COMMENT 'aligned, ours-failing, forwarded or unknown',
    reason LowCardinality(String) COMMENT 'What is wrong with most of what fails; empty if nothing does',
    evidence String COMMENT 'Why most of it is in this pile',
    possibly_ours Bool COMMENT 'unknown: a service, or a shared address, that may send for us',
    messages UInt64 COMMENT 'Messages of reporters that count',
    passed_messages UInt64 COMMENT 'Messages that passed DMARC',
    refused_messages UInt64 COMMENT 'Own and forwarded messages that fail: a stricter policy refuses them',
    spf_only_messages UInt64 COMMENT 'Messages that SPF alone aligns: forwarded, they would fail',
    days UInt64 COMMENT 'Report days on which it sent',
    first_day Date COMMENT 'First of them',
    last_day Date COMMENT 'Last of them',
    reporters UInt64 COMMENT 'Reporters that count and saw it',
    waits Bool COMMENT 'An unknown source that comes back, and that nobody has named or acknowledged'
)
SQL SECURITY DEFINER
AS
WITH {end} AS today
SELECT
    policy_domain, scope, source, source_kind, pile, reason, evidence, possibly_ours, counted AS messages, passed_messages, refused_messages,
    spf_only_messages, days, first_day, last_day, seen_by AS reporters,
    pile = 'unknown' AND has(coming_back, source) AND NOT arrayExists(subject -> subject IN ('', source), acknowledged) AS waits
FROM
(
    SELECT
        policy_domain,
        multiIf(
            published_domain NOT IN ('', policy_domain), published_domain,
            header_from IN ('', policy_domain) OR sp IN ('', p), 'domain',
            'subdomains'
        ) AS scope,
        source,
        any(daily.source_kind) AS source_kind, pile,
        argMaxIf(daily.reason, (counted_messages, daily.reason), daily.reason != '') AS reason,
        argMax(daily.evidence, (counted_messages, daily.evidence)) AS evidence,
        max(daily.possibly_ours) AS possibly_ours,
        sum(counted_messages) AS counted,
        sumIf(counted_messages, daily.passed_messages > 0) AS passed_messages,
        sumIf(counted_messages, daily.passed_messages = 0 AND pile IN ('ours-failing', 'forwarded')) AS refused_messages,
        sumIf(counted_messages, spf_aligned_messages > 0 AND dkim_aligned_messages = 0) AS spf_only_messages,
        uniqExact(day) AS days, min(day) AS first_day, max(day) AS last_day,
        length(groupUniqArrayArray(counted_reporters)) AS seen_by
    FROM {views}.dmarc_sources_daily AS daily
    LEFT JOIN (SELECT policy_domain, p, sp FROM {views}.dmarc_published{as_of} WHERE published_domain = policy_domain) AS published USING (policy_domain)
    WHERE day >= today - 30 AND day < today AND counted_messages > 0
    GROUP BY policy_domain, scope, source, pile
) AS sending
LEFT JOIN
(
    SELECT policy_domain, groupArray(subject) AS coming_back
    FROM {views}.dmarc_findings{as_of}
    WHERE cause = 'dmarc-unknown-source'
    GROUP BY policy_domain
) AS found USING (policy_domain)
LEFT JOIN
(
    SELECT policy_domain, groupArray(subject) AS acknowledged
    FROM {views}.acknowledgements
    WHERE cause = 'dmarc-unknown-source' AND until > today
    GROUP BY policy_domain
) AS known USING (policy_domain)
COMMENT 'Sources of the last 30 report days, and what a stricter DMARC policy would refuse of them'
