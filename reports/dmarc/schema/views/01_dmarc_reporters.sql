-- Which reporters of DMARC reports count in alerts: as in tls_reporters, but nothing is posted. The longest known decide: where
-- three reporters are established, only established ones count; else those that are known; and where nobody is, newcomers,
-- but never one of them alone. Whoever is proven now by a signature, now by SPF, and now
-- by what the mailbox's server has verified, is one reporter. Whose author an operator
-- accepts without proof never counts: anybody can write a From field. Nor does whatever else proves nothing.
CREATE OR REPLACE VIEW {views}.dmarc_reporters {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    reporter LowCardinality(String) COMMENT 'Who reported about it in the last 35 days: an organizational domain',
    trust LowCardinality(String) COMMENT 'Why it is trusted: dkim, authserv or spf (proven), operator, mailbox, author',
    standing LowCardinality(String) COMMENT 'established, known or newcomer; by-hand (import, release); unproven (author)',
    counts Bool COMMENT 'Whether its reports count in alerts about the domain, and as evidence of who sends for it',
    first_arrival DateTime('UTC') COMMENT 'When its first report about this domain was accepted',
    last_arrival DateTime('UTC') COMMENT 'When its last report about this domain was accepted'
)
SQL SECURITY DEFINER
AS
WITH
    accepted AS
    (
        SELECT
            policy_domain, reporter, {proof} AS by, groupUniqArray(trust) AS trusts,
            min(first_arrival) AS first_accepted, max(last_arrival) AS last_accepted,
            multiIf(
                by = 'operator', 'by-hand',
                by NOT IN ('dkim', 'mailbox'), 'unproven',
                {standing_by_time}
            ) AS standing
        FROM {tables}.dmarc_reporter_arrivals
        GROUP BY policy_domain, reporter, by
        HAVING last_accepted >= (SELECT today FROM {views}.clock) - 35
    ),
    weighed AS
    (
        SELECT
            policy_domain, reporter, trusts, standing, first_accepted, last_accepted,
            multiIf(
                standing = 'by-hand', true,
                standing = 'unproven', false,
                {counts_by_standing}
            ) AS counts
        FROM accepted
        WINDOW of_domain AS (PARTITION BY policy_domain)
    )
SELECT policy_domain, reporter, trust, standing, counts, first_accepted AS first_arrival, last_accepted AS last_arrival
FROM weighed
ARRAY JOIN trusts AS trust
COMMENT 'Who reports about mail from each domain, and who counts in alerts'
