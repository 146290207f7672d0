-- The DKIM keys that reports show in use: those whose signatures passed, aligned, in the last 30 report days. Anybody can send
-- reports in a name of his own, and our probes look the keys up, so one reporter alone is believed only if an operator
-- accepted its report, or if it has reported about the domain for two weeks.
CREATE OR REPLACE VIEW {views}.dmarc_selectors {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    dkim_domain String COMMENT 'Signing domain (d=): ours, above it, or below it',
    selector String COMMENT 'Selector (s=)',
    first_day Date COMMENT 'The first of these days on which a signature passed',
    last_day Date COMMENT 'The last of them',
    messages UInt64 COMMENT 'Messages with such a signature',
    reporters UInt64 COMMENT 'Proven reporters that saw it'
)
SQL SECURITY DEFINER
AS
SELECT policy_domain, dkim_domain, selector, first_day, last_day, messages, reporters
FROM
(
    SELECT
        policy_domain, lower(signature.1) AS dkim_domain, lower(signature.2) AS selector,
        min(day) AS first_day, max(day) AS last_day, sum(records.messages) AS messages,
        uniqExactIf(reporter, reporter_proven) AS reporters,
        max(trust IN ('operator', 'mailbox') OR ifNull(since <= day - 14, false)) AS believed
    FROM {tables}.dmarc_records AS records FINAL
    LEFT JOIN
    (
        SELECT arrayJoin(policy_domains) AS policy_domain, reporter, min(day) AS since
        FROM {tables}.dmarc_reports FINAL
        WHERE reporter_proven AND day >= (SELECT today FROM {views}.clock) - 60
        GROUP BY policy_domain, reporter
    ) AS known USING (policy_domain, reporter)
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
)
WHERE believed OR reporters >= 2
SETTINGS do_not_merge_across_partitions_select_final = 1, join_use_nulls = 1
COMMENT 'DKIM keys in use, as reports show'
