CREATE MATERIALIZED VIEW IF NOT EXISTS {tables}.dmarc_reporter_arrivals_filled {on_cluster} TO {tables}.dmarc_reporter_arrivals
SQL SECURITY DEFINER
AS
SELECT
    arrayJoin(policy_domains) AS policy_domain,
    reporter,
    trust,
    min(toDateTime(received_at, 'UTC')) AS first_arrival,
    max(toDateTime(received_at, 'UTC')) AS last_arrival
FROM {tables}.dmarc_reports
GROUP BY policy_domain, reporter, trust
COMMENT 'Fills dmarc_reporter_arrivals'
