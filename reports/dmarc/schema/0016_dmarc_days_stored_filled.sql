CREATE MATERIALIZED VIEW IF NOT EXISTS {tables}.dmarc_days_stored_filled {on_cluster} TO {tables}.dmarc_days_stored
SQL SECURITY DEFINER
AS
SELECT policy_domain, day, now64(3, 'UTC') AS stored_at
FROM {tables}.dmarc_records
GROUP BY policy_domain, day
COMMENT 'Fills dmarc_days_stored'
