-- The DKIM keys that reports show in use: those whose signatures passed, aligned, in the last 30 report days. Anybody can send
-- reports in a name of his own, and our probes look the keys up, so only reporters that count in alerts are asked.
CREATE OR REPLACE VIEW {views}.dmarc_selectors {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    dkim_domain String COMMENT 'Signing domain (d=): ours, above it, or below it',
    selector String COMMENT 'Selector (s=)',
    first_day Date COMMENT 'The first of these days on which a signature passed',
    last_day Date COMMENT 'The last of them',
    messages UInt64 COMMENT 'Messages with such a signature',
    reporters UInt64 COMMENT 'Reporters that saw it'
)
SQL SECURITY DEFINER
AS
SELECT
    policy_domain, lower(signature.1) AS dkim_domain, lower(signature.2) AS selector,
    min(day) AS first_day, max(day) AS last_day, sum(records.messages) AS messages, uniqExact(reporter) AS reporters
FROM {tables}.dmarc_records AS records FINAL
INNER JOIN (SELECT policy_domain, reporter, trust FROM {views}.dmarc_reporters WHERE counts) AS counting
    USING (policy_domain, reporter, trust)
ARRAY JOIN arrayDistinct(
    arrayFilter(
        each -> each.3 = 'pass' AND each.2 != '' AND (
            lower(each.1) = policy_domain
            OR endsWith(lower(each.1), concat('.', policy_domain))
            OR (position(each.1, '.') > 0 AND endsWith(policy_domain, concat('.', lower(each.1))))
        ),
        arrayZip(dkim_domains, dkim_selectors, dkim_results)
    )
) AS signature
WHERE day >= (SELECT today FROM {views}.clock) - 30 AND dkim_aligned
GROUP BY policy_domain, dkim_domain, selector
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'DKIM keys in use, as reports show'
