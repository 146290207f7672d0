-- Every change of a DNS record that our probes saw, with what stood there before and after. What DNS did not answer is no
-- change.
CREATE OR REPLACE VIEW {views}.record_changes {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    record LowCardinality(String) COMMENT 'mx, subdomains, tls-rpt, mta-sts, spf, dmarc (as it applies to the domain), dmarc-authorization or dkim',
    subject LowCardinality(String) COMMENT 'dkim: the name of the key record; else empty',
    seen_at DateTime64(3, 'UTC') COMMENT 'The first probe that saw it changed',
    unchanged_at DateTime64(3, 'UTC') COMMENT 'The last probe that saw it as before: it changed in between',
    before String COMMENT 'What stood in DNS before, several records by lines; empty if there was none',
    after String COMMENT 'What stands there since then; empty if there is none'
)
SQL SECURITY DEFINER
AS
SELECT policy_domain, record, subject, seen_at, assumeNotNull(last_seen) AS unchanged_at, assumeNotNull(last_published) AS before, after
FROM
(
    SELECT
        policy_domain, record, subject, probed_at AS seen_at, published AS after,
        lagInFrame(toNullable(probed_at)) OVER probes AS last_seen,
        lagInFrame(toNullable(published)) OVER probes AS last_published
    FROM {tables}.probe_results FINAL
    WHERE probe = 'dns' AND reason NOT IN ('dns-error', 'answer-malformed')
    WINDOW probes AS
    (
        PARTITION BY policy_domain, record, subject ORDER BY probed_at
        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    )
)
WHERE last_published != after
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'Changes of DNS records, as our probes saw them'
