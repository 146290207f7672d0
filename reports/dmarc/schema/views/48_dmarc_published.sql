-- The DMARC policy of each domain, and of each subdomain with a DMARC record of its own, as reports of the last 60 complete report days found it. Only reporters that count (dmarc_reporters)
-- say so, and of what they found last most decide; of as many the weaker policy. What is applied is one step less than what is published with t=y, or with pct below
-- 100. So neither a forged report nor one reporter that is
-- wrong makes a policy look stricter than it is, or takes subdomains out of what dmarc_readiness judges of the domain.
CREATE OR REPLACE VIEW {views}.dmarc_published{_at} {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    published_domain LowCardinality(String) COMMENT 'Where the policy is published: our domain, or a subdomain with a record of its own',
    p String COMMENT 'Policy that most reporters found last',
    sp String COMMENT 'Policy for subdomains beside it',
    applied_policy String COMMENT 'What receivers do with all mail that fails: p, one step less with t=y or pct below 100',
    applied_subdomain_policy String COMMENT 'The same for subdomains',
    reservation String COMMENT 'Why that may be less than p and sp: t=y, or pct=20; else empty',
    last_day_of_none Date COMMENT 'Last report day on which anybody found that none is applied; 1970-01-01 if nobody did',
    last_day_of_none_of_subdomains Date COMMENT 'The same for subdomains'
)
SQL SECURITY DEFINER
AS
WITH {end} AS today
SELECT
    policy_domain, published_domain, tupleElement(policy, 3) AS p, tupleElement(policy, 4) AS sp,
    tupleElement(policy, 1) AS applied_policy, tupleElement(policy, 2) AS applied_subdomain_policy, tupleElement(policy, 5) AS reservation,
    last_none AS last_day_of_none, last_none_of_subdomains AS last_day_of_none_of_subdomains
FROM
(
    SELECT
        policy_domain, published_domain,
        max(last_day) AS newest,
        -- Who has not reported for a week has seen no change since.
        arrayMap(each -> each.1, arrayFilter(each -> each.2 >= newest - 7, groupArray((found, last_day)))) AS votes,
        arraySort(
            each -> (-countEqual(votes, each), indexOf(['none', 'quarantine', 'reject'], each.1), each), arrayDistinct(votes)
        )[1] AS policy,
        max(last_none) AS last_none,
        max(last_none_of_subdomains) AS last_none_of_subdomains
    FROM
    (
        SELECT
            policy_domains[1] AS policy_domain, report.published_domain AS published_domain,
            argMax(
                (
                    toString(report.applied_policy), toString(report.applied_subdomain_policy), toString(report.p), toString(report.sp),
                    multiIf(report.testing = 'y', 't=y', report.pct < 100, concat('pct=', toString(report.pct)), '')
                ),
                (period_end, report_key)
            ) AS found,
            max(day) AS last_day,
            maxIf(day, report.applied_policy = 'none') AS last_none,
            maxIf(day, report.applied_subdomain_policy = 'none') AS last_none_of_subdomains
        FROM (SELECT * FROM {tables}.dmarc_reports FINAL) AS report
        INNER JOIN (SELECT policy_domain, reporter, trust FROM {views}.dmarc_reporters WHERE counts) AS counting
            ON counting.policy_domain = policy_domains[1] AND counting.reporter = report.reporter AND counting.trust = report.trust
        WHERE day >= today - 60 AND day < today
        GROUP BY policy_domains[1], report.published_domain, report.reporter
    )
    GROUP BY policy_domain, published_domain
)
COMMENT 'DMARC policies, as reporters that count found them'
