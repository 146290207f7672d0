-- Which reporters count in alerts. Everything that starts or ends one asks this view and nothing else (docs/alerts.md, "Which
-- reporters count"). A reporter that is proven and one of the same name that is not are two: they differ in trust. Whoever is
-- proven now by a signature and now by what the mailbox's server has verified (authserv) is one.
--
-- Anybody with a domain can sign a report, a thousand domains cost little, and the day that a report is about is free to
-- choose. What cannot be had at once is time. So the longest known decide: where three reporters are established, only
-- established ones count; else those that are known; and where nobody is, newcomers, but never one of them alone. Two
-- days of arrival are half a day apart at least: around midnight, two reports would be enough.
--
-- One pass, and no part is named twice: many questions have this view in them, some several times.
CREATE OR REPLACE VIEW {views}.tls_reporters {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    reporter LowCardinality(String) COMMENT 'Who reported about it in the last 35 days: an organizational domain',
    trust LowCardinality(String) COMMENT 'Why it is trusted: dkim or authserv (proven), operator, mailbox, token',
    standing LowCardinality(String) COMMENT 'established, known or newcomer; by-hand (import, release); post (HTTPS, without posts_count)',
    counts Bool COMMENT 'Whether its reports count in alerts about the domain',
    first_arrival DateTime('UTC') COMMENT 'When its first report about this domain was accepted',
    last_arrival DateTime('UTC') COMMENT 'When its last report about this domain was accepted'
)
SQL SECURITY DEFINER
AS
WITH
    (
        SELECT groupArray(policy_domain) FROM {tables}.configured_domains FINAL WHERE active AND posts_count
    ) AS posts_count_for
SELECT
    policy_domain, reporter, trust, standing, counts, first_accepted AS first_arrival, last_accepted AS last_arrival
FROM
(
    SELECT
        policy_domain, reporter, trusts, standing, first_accepted, last_accepted,
        multiIf(
            standing = 'by-hand', true,
            standing = 'post', false,
            {counts_by_standing}
        ) AS counts
    FROM
    (
        SELECT
            policy_domain, reporter, {proof} AS by,
            groupUniqArray(trust) AS trusts,
            min(first_arrival) AS first_accepted, max(last_arrival) AS last_accepted,
            multiIf(
                by = 'operator', 'by-hand',
                by NOT IN ('dkim', 'mailbox') AND NOT has(posts_count_for, policy_domain), 'post',
                {standing_by_time}
            ) AS standing
        FROM {tables}.tls_reporter_arrivals
        GROUP BY policy_domain, reporter, by
        HAVING last_accepted >= (SELECT today FROM {views}.clock) - 35
    )
    WINDOW of_domain AS (PARTITION BY policy_domain)
)
ARRAY JOIN trusts AS trust
COMMENT 'Who reports about each domain, and who counts in alerts'
