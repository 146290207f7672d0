-- What dmarc_findings_at says as of today, kept (reports/dmarc/keeping.py).
CREATE OR REPLACE VIEW {views}.dmarc_findings {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    cause String COMMENT 'What is wrong, or may be',
    subject String COMMENT 'The source; empty for the whole domain',
    severity String COMMENT 'critical, warning or info; empty if the cause decides',
    judged_by String COMMENT 'What it is compared with: attention says how',
    since Nullable(Date) COMMENT 'First day of this run',
    affected UInt64 COMMENT 'Messages that it is about',
    of UInt64 COMMENT 'Of how many messages; 0 where that means nothing',
    detail String COMMENT 'More in words',
    seen_by Array(String) COMMENT 'Reporters that say so, twenty at most'
)
SQL SECURITY DEFINER
AS
SELECT policy_domain, cause, subject, severity, judged_by, since, affected, of, detail, seen_by
FROM {tables}.dmarc_found FINAL
COMMENT 'What DMARC reports find wrong, before it is judged; query attention'
