CREATE MATERIALIZED VIEW IF NOT EXISTS {tables}.dmarc_own_addresses_filled {on_cluster} TO {tables}.dmarc_own_addresses
SQL SECURITY DEFINER
AS
SELECT
    policy_domain,
    source_ip,
    minMap(map(cityHash64(toString(reporter), toString(trust)), day)) AS first_days,
    maxMap(map(cityHash64(toString(reporter), toString(trust)), day)) AS last_days,
    max(day) AS last_day
FROM {tables}.dmarc_records
WHERE spf_aligned AND source_ip != toIPv6('::') AND messages > 0
GROUP BY policy_domain, source_ip
COMMENT 'Fills dmarc_own_addresses'
