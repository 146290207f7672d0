-- Every domain of ours, also one that nobody reports about. Only reporters that count in alerts: one report per day from
-- anybody else must not hide that the true ones stay away. Copies of a report change no maximum and no distinct count, so this
-- needs no FINAL.
CREATE OR REPLACE VIEW {views}.tls_freshness {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    last_report_day Nullable(Date) COMMENT 'Newest report day; NULL if none of the last 35 days is reported about',
    last_received_at Nullable(DateTime('UTC')) COMMENT 'When the last report was accepted; NULL if none in the last 35 days',
    reporters_last_7_days UInt64 COMMENT 'How many reporters there are about the last 7 days',
    reports_last_7_days UInt64 COMMENT 'How many reports there are about the last 7 days'
)
SQL SECURITY DEFINER
AS
WITH assumeNotNull((SELECT today FROM {views}.clock)) AS today
SELECT policy_domain, last_report_day, last_received_at, reporters_last_7_days, reports_last_7_days
FROM (SELECT policy_domain FROM {tables}.configured_domains FINAL WHERE active) AS configured
LEFT JOIN
(
    SELECT
        policy_domain,
        toNullable(max(last_arrival)) AS last_received_at,
        maxOrNullIf(last_day, last_day >= today - 35) AS last_report_day,
        uniqExactIf((reporter, {proof}), reports > 0) AS reporters_last_7_days,
        sum(reports) AS reports_last_7_days
    FROM {views}.tls_reporters
    LEFT JOIN
    (
        SELECT
            policy_domain, reporter, trust,
            max(arrayMax(arrayFilter(day -> day <= today, arrayMap(bit -> month + bit, bitPositionsToArray(report_days)))))
                AS last_day
        FROM {tables}.tls_sender_days
        WHERE month >= toStartOfMonth(today - 35)
        GROUP BY policy_domain, reporter, trust
    ) AS covered USING (policy_domain, reporter, trust)
    LEFT JOIN
    (
        SELECT policy_domain, reporter, trust, uniq(report_key) AS reports
        FROM {tables}.tls_policies
        WHERE day >= today - 7
        GROUP BY policy_domain, reporter, trust
    ) AS lately USING (policy_domain, reporter, trust)
    WHERE counts
    GROUP BY policy_domain
) AS reported USING (policy_domain)
COMMENT 'When each of our domains was last reported about'
