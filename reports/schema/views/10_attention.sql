-- What needs attention as of a day: the one definition. Dashboards, `mailposture summary`, the digest and the exporter's gauge, which
-- all alerts about domains compare, ask this and nothing else. How many sessions or messages are too many is compared here, and
-- only here, by the thresholds of their domain; what is found at all, and which silence is too long, the views *_findings and
-- *_silences say:
--
-- any                  needs attention at once: a suspicion, silence, what our probes find
-- share                a cause of failures, all its servers together: at least the minimum of sessions, and more than the share
-- sessions             mail that is refused: at least the minimum of sessions
-- sessions-of-subject  the same, of one server
-- share-of-subject     messages of one source: at least that minimum, and more than the share of its own
--
-- What was acknowledged is left out of what is judged, and shown beside it as long as it would need attention on its own. Of
-- several findings about the same sessions only the most specific one stays: all failures of a domain together are a cause only while
-- no single one is, a server that began to fail only while no cause names it, and a possible downgrade only while the servers
-- themselves are not what fails.
CREATE OR REPLACE VIEW {views}.attention{_at} {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    kind LowCardinality(String) COMMENT 'Who says so: tls (TLS reports), dmarc (DMARC reports) or outside (our own probes)',
    cause LowCardinality(String) COMMENT 'What is wrong; see failure_meanings',
    subject String COMMENT 'The server, sender, source or record that it is about; empty for the whole domain',
    severity LowCardinality(String) COMMENT 'critical, warning or info, as of the alert',
    since Nullable(Date) COMMENT 'First day of this run, of the last 31; NULL if there is none',
    affected UInt64 COMMENT 'Sessions (dmarc: messages) in the newest reports of all senders; no-reports: report days that are missing',
    of UInt64 COMMENT 'Of how many sessions to the domain (dmarc: messages of the source); 0 where that means nothing',
    share Nullable(Float64) COMMENT 'affected / of, 0 to 1',
    detail String COMMENT 'More in words: evidence, or what a probe saw',
    seen_by Array(String) COMMENT 'Reporters that say so, twenty at most',
    acknowledged Bool COMMENT 'Whether somebody has acknowledged it: then it alerts nobody',
    acknowledged_until Nullable(Date) COMMENT 'The day on which that expires',
    acknowledged_because String COMMENT 'Why'
)
SQL SECURITY DEFINER
AS
WITH
    assumeNotNull({end}) AS until,
    findings AS
    (
        SELECT 'tls' AS kind, policy_domain, cause, subject, severity, judged_by, toNullable(since) AS since, affected, of, detail, seen_by
        FROM {views}.tls_findings{as_of}
        UNION ALL
        SELECT 'tls', policy_domain, cause, subject, severity, judged_by, since, affected, of, detail, seen_by
        FROM {views}.tls_silences{as_of}
        UNION ALL
        SELECT 'dmarc', policy_domain, cause, subject, severity, judged_by, since, affected, of, detail, seen_by
        FROM {views}.dmarc_findings{as_of}
        UNION ALL
        SELECT 'dmarc', policy_domain, cause, subject, severity, judged_by, since, affected, of, detail, seen_by
        FROM {views}.dmarc_silences{as_of}
        UNION ALL
        SELECT 'outside', policy_domain, cause, subject, severity, judged_by, since, affected, of, detail, seen_by
        FROM {views}.outside_findings{as_of}
        WHERE judged_by != 'nothing'
    ),
    known AS
    (
        SELECT policy_domain, cause, arrayReverseSort(groupArray((subject, until, because))) AS acknowledgements
        FROM {views}.acknowledgements
        WHERE acknowledgements.until > {end}
        GROUP BY policy_domain, cause
    ),
    acknowledging AS
    (
        SELECT
            kind, policy_domain, cause, subject, if(findings.severity = '', meaning.severity, findings.severity) AS severity,
            judged_by, since, affected, of, detail, seen_by, minimum_sessions, failure_ratio_threshold,
            arrayFirst(each -> each.1 IN ('', subject), acknowledgements) AS acknowledgement
        FROM findings
        INNER JOIN {views}.domains USING (policy_domain)
        LEFT JOIN known USING (policy_domain, cause)
        LEFT JOIN (
            SELECT term, severity FROM {tables}.failure_words FINAL WHERE kind IN ('category', 'cause')
        ) AS meaning ON meaning.term = cause
    ),
    together AS
    (
        SELECT
            *, acknowledgement.2 > until AS acknowledged,
            sum(affected) OVER of_cause AS affected_together, max(affected) OVER of_cause AS most_affected,
            -- What of all failures somebody knows already, or suspects more of, is not judged again.
            sumIf(affected, (cause != 'failure-ratio' AND judged_by = 'share' AND acknowledgement.2 > until)
                OR (cause = 'suspected-downgrade' AND severity = 'critical')) OVER (PARTITION BY policy_domain) AS explained
        FROM acknowledging
        WINDOW of_cause AS (PARTITION BY policy_domain, cause, acknowledgement.2 > until)
    ),
    compared AS
    (
        SELECT
            * EXCEPT (affected, affected_together),
            affected - if(cause = 'failure-ratio', least(affected, explained), 0) AS affected,
            multiIf(
                judged_by IN ('sessions-of-subject', 'share-of-subject'), together.affected,
                cause = 'failure-ratio', affected_together - least(affected_together, explained),
                affected_together
            ) AS judged
        FROM together
    ),
    needing AS
    (
        SELECT
            *,
            max(judged_by = 'share' AND cause != 'failure-ratio' AND NOT acknowledged) OVER of_domain AS one_cause_is,
            max(cause = 'starttls-not-supported') OVER of_domain AS starttls_is_missing,
            max(cause != 'server-newly-failing' AND kind = 'tls') OVER (PARTITION BY policy_domain, subject) AS subject_is_named
        FROM compared
        WHERE judged_by = 'any' OR (
            {enough}
            AND (judged_by NOT IN ('share', 'share-of-subject') OR {too_large_a_share})
            -- Of the servers with a cause, those that matter.
            AND (judged_by != 'share' OR affected * 10 >= most_affected)
        )
        WINDOW of_domain AS (PARTITION BY policy_domain)
    )
SELECT
    policy_domain, kind, cause, subject, severity, since, affected, of, if(of = 0, NULL, affected / of) AS share, detail, seen_by,
    acknowledged,
    if(acknowledged, acknowledgement.2, NULL) AS acknowledged_until,
    if(acknowledged, acknowledgement.3, '') AS acknowledged_because
FROM needing
WHERE NOT (cause = 'failure-ratio' AND one_cause_is)
    AND NOT (cause = 'suspected-downgrade' AND severity = 'warning' AND starttls_is_missing)
    AND NOT (cause = 'server-newly-failing' AND subject_is_named)
COMMENT 'What needs attention today; of another day: attention_at(end = ...)'
