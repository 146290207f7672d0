-- The same as of today.
CREATE OR REPLACE VIEW {views}.attention {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    kind LowCardinality(String) COMMENT 'Who says so: tls (TLS reports) or outside (our own probes)',
    cause LowCardinality(String) COMMENT 'What is wrong; see failure_meanings',
    subject String COMMENT 'The server, sender or record that it is about; empty for the whole domain',
    severity LowCardinality(String) COMMENT 'critical, warning or info, as of the alert',
    since Nullable(Date) COMMENT 'First day of this run, of the last 31; NULL if there is none',
    affected UInt64 COMMENT 'Sessions in the newest reports of all senders; no-reports: report days that are missing',
    of UInt64 COMMENT 'Of how many sessions to the domain; 0 where that means nothing',
    share Nullable(Float64) COMMENT 'affected / of, 0 to 1',
    detail String COMMENT 'More in words: evidence, or what a probe saw',
    seen_by Array(String) COMMENT 'Reporters that say so, twenty at most',
    acknowledged Bool COMMENT 'Whether somebody has acknowledged it: then it alerts nobody',
    acknowledged_until Nullable(Date) COMMENT 'The day on which that expires',
    acknowledged_because String COMMENT 'Why'
)
SQL SECURITY DEFINER
AS
SELECT policy_domain, kind, cause, subject, severity, since, affected, of, share, detail, seen_by, acknowledged, acknowledged_until, acknowledged_because
FROM {views}.attention_at(end = (SELECT today FROM {views}.clock))
COMMENT 'What needs attention today'
