CREATE MATERIALIZED VIEW IF NOT EXISTS {tables}.dmarc_own_companions_filled {on_cluster} TO {tables}.dmarc_own_companions
SQL SECURITY DEFINER
AS
SELECT
    policy_domain,
    toString(arrayJoin(arrayDistinct(arrayConcat(
        arrayFilter((name, result) -> result = 'pass', dkim_domains, dkim_results),
        arrayFilter((name, result) -> result = 'pass', spf_domains, spf_results)
    )))) AS domain,
    spf_aligned AS by_spf,
    minMap(map(cityHash64(toString(reporter), toString(trust)), day)) AS first_days,
    maxMap(map(cityHash64(toString(reporter), toString(trust)), day)) AS last_days,
    max(day) AS last_day
FROM {tables}.dmarc_records
WHERE passed AND messages > 0 AND domain != '' AND domain != policy_domain AND NOT endsWith(domain, concat('.', policy_domain))
GROUP BY policy_domain, domain, by_spf
COMMENT 'Fills dmarc_own_companions'
