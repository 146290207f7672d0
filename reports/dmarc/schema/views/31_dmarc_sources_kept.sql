-- How far dmarc_sources_daily has come: behind for seconds after reports were stored, and for minutes after very many.
CREATE OR REPLACE VIEW {views}.dmarc_sources_kept {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    made_at DateTime('UTC') COMMENT 'Records stored before are in dmarc_sources_daily; 1970 if none are yet',
    waiting_since Nullable(DateTime('UTC')) COMMENT 'Since when stored records wait to be in it; NULL if none do'
)
SQL SECURITY DEFINER
AS
SELECT
    policy_domain, any(rolled_up_at) AS made_at,
    minOrNullIf(days.stored_at, days.stored_at > rolled_up_at) AS waiting_since
FROM {tables}.dmarc_days_stored AS days
LEFT JOIN (SELECT policy_domain, rolled_up_at FROM {tables}.dmarc_rolled_up FINAL) AS kept USING (policy_domain)
GROUP BY policy_domain
COMMENT 'Until when dmarc_sources_daily is made'
