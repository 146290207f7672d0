-- On which weekdays each of our domains is usually reported about, and how many such days are missing now. A day counts by the
-- share of the same weekdays, of the eight weeks up to the last reported day, that somebody reported about: a company with mail
-- from Monday to Friday misses nothing on a weekend, and a domain with mail twice a week is waited for longer. A weekday not seen
-- yet counts half. All kinds and domains together: report_rhythm.
CREATE OR REPLACE VIEW {views}.tls_rhythm {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    last_report_day Date COMMENT 'Newest report day, of the last 35',
    days Array(Date) COMMENT 'Report days of the eight weeks up to that one',
    usual Array(Float64) COMMENT 'Monday to Sunday: the share of these weekdays with reports, 0 to 1',
    missed_days Float64 COMMENT 'Report days that are missing since then; today counts by what has passed of it'
)
SQL SECURITY DEFINER
AS
WITH
    assumeNotNull((SELECT today FROM {views}.clock)) AS today,
    {elapsed_today},
    toStartOfMonth(today - 35 - 56) AS first_day,
    reported AS
    (
        -- Bit n is the day n days after the first one; 31 days and the months before are 122 bits at most.
        SELECT
            policy_domain,
            arrayFilter(
                day -> day <= today,
                arrayMap(
                    bit -> first_day + bit,
                    bitPositionsToArray(groupBitOr(bitShiftLeft(toUInt128(report_days), month - first_day)))
                )
            ) AS all_days,
            arrayMax(all_days) AS last_report_day,
            {eight_weeks}
        FROM {tables}.tls_sender_days
        WHERE month >= first_day AND (policy_domain, reporter, trust) IN (
            SELECT policy_domain, reporter, trust FROM {views}.tls_reporters WHERE counts
        )
        GROUP BY policy_domain
        HAVING notEmpty(all_days) AND last_report_day >= today - 35
    )
SELECT
    policy_domain, last_report_day, lately AS days,
    {usual_weekdays} AS usual,
    {missed_days} AS missed_days
FROM reported
COMMENT 'Usual weekdays of reports about each of our domains, and how many report days are missing now'
