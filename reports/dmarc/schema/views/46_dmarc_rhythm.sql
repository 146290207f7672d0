-- On which weekdays DMARC reports about each of our domains usually come, and how many such days are missing now, as tls_rhythm has
-- it for TLS reports. Copies of a report change none of this, so it needs no FINAL.
CREATE OR REPLACE VIEW {views}.dmarc_rhythm {on_cluster}
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
    reported AS
    (
        SELECT
            policy_domains[1] AS policy_domain, arraySort(groupUniqArray(day)) AS all_days, max(day) AS last_report_day,
            {eight_weeks}
        FROM {tables}.dmarc_reports
        WHERE day >= today - 35 - 56 AND day <= today AND (policy_domains[1], reporter, trust) IN (
            SELECT policy_domain, reporter, trust FROM {views}.dmarc_reporters WHERE counts
        )
        GROUP BY policy_domain
        HAVING last_report_day >= today - 35
    )
SELECT
    policy_domain, last_report_day, lately AS days,
    {usual_weekdays} AS usual,
    {missed_days} AS missed_days
FROM reported
COMMENT 'Usual weekdays of DMARC reports about each of our domains, and how many report days are missing now'
