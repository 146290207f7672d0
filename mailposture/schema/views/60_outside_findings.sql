-- What our own probes find wrong as of a day (its last probes, and of the day before), before it is acknowledged. A fault is one
-- when the last probe and the one before both have it: alerts wait for a second probe too. What a probe cannot see (outbound
-- port 25 is closed, DNS does not answer) says nothing about a server. What one probe alone found is here too, judged by nothing:
-- it needs no attention yet.
CREATE OR REPLACE VIEW {views}.outside_findings{_at} {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    cause String COMMENT 'What is wrong; empty if one probe alone found it',
    subject String COMMENT 'The server or record',
    severity String COMMENT 'critical, warning or info; empty if the cause decides',
    judged_by String COMMENT 'What it is compared with: attention says how',
    since Nullable(Date) COMMENT 'First day of this run',
    affected UInt64 COMMENT '0',
    of UInt64 COMMENT '0',
    detail String COMMENT 'More in words',
    seen_by Array(String) COMMENT 'Our probes',
    seen_in String COMMENT 'Which probes saw it: dns, mta-sts or mx',
    faults Array(String) COMMENT 'Reasons of the probes that failed',
    failed UInt64 COMMENT 'Probes that failed',
    made UInt64 COMMENT 'Probes that were made',
    last_probed_at DateTime64(3, 'UTC') COMMENT 'When the last of them began'
)
SQL SECURITY DEFINER
AS
WITH
    assumeNotNull({end}) AS until,
    -- A day of the past ends at midnight; today is not over.
    least(toDateTime(until + 1, 'UTC'), assumeNotNull((SELECT now FROM {views}.clock))) AS as_of,
    probed AS
    (
        SELECT
            policy_domain, probe, record, subject AS key_name, receiving_mx, receiving_ip,
            argMax(
                (
                    reason, if(key_name = '', detail, concat(key_name, ': ', detail)), toDateTime(probed_at, 'UTC'),
                    certificate_not_after, sts_max_age, reachable,
                    policy_agrees = false OR record_agrees = false
                ),
                probed_at
            ) AS last,
            arrayMap(each -> each.2, groupArraySorted(2)((-toUnixTimestamp64Milli(probed_at), toString(reason)))) AS last_reasons,
            minIf(probed_at, NOT success) AS first_fault,
            argMaxIf(toString(sts_mode), probed_at, sts_mode != '') AS mode,
            max(probed_at) AS probed_last,
            countIf(NOT success AND reason != 'outbound-port-25-blocked') AS failed_probes,
            countIf(reason != 'outbound-port-25-blocked') AS probes_made
        FROM {tables}.probe_results FINAL
        WHERE day >= until - 1 AND day <= until AND probed_at <= as_of
        GROUP BY policy_domain, probe, record, key_name, receiving_mx, receiving_ip
    ),
    faults AS
    (
        SELECT
            policy_domain, probe, toString(record) AS which, toString(receiving_mx) AS mx, last.1 AS reason, last.2 AS words,
            last.4 AS not_after, last.5 AS max_age, last.6 = false AS is_away, ifNull(last.7, false) AS differs, mode, parked,
            toDate(first_fault, 'UTC') AS since, hosted_sts_mode, certificate_expiry_seconds, probed_last, failed_probes, probes_made,
            anyIf(mode, mode != '') OVER (PARTITION BY policy_domain) AS served_mode,
            -- A server that has left DNS since then no longer matters.
            probed_last = max(probed_last) OVER (PARTITION BY policy_domain, probe) AS is_last,
            length(last_reasons) = 2 AND last_reasons[1] != '' AND last_reasons[2] NOT IN ('', 'outbound-port-25-blocked') AS again
        FROM probed
        INNER JOIN {views}.domains USING (policy_domain)
        -- The last look at the servers or the policy of a domain that was parked since then is nobody's concern any more.
        WHERE has(probes, probe)
    ),
    judged AS
    (
        SELECT *, if(served_mode != '', served_mode, hosted_sts_mode) = 'enforce' AS enforced
        FROM faults
        WHERE is_last
    ),
    found AS
    (
        -- (cause, severity, fault): no severity, no finding; no cause, nothing that needs attention. A fault of its own is one at
        -- once, for it is no failed probe.
        SELECT
            policy_domain, probe, which, mx, words, not_after, max_age, since, probed_last, failed_probes, probes_made, again,
            arrayJoin([
                multiIf(
                    reason IN ('', 'outbound-port-25-blocked'), ('', '', ''),
                    probe = 'dns' AND reason = 'dns-error', (if(which = 'mx', 'dns-unanswered', ''), 'warning', reason),
                    probe = 'dns' AND reason = 'null-mx', ('mx-null', 'critical', reason),
                    probe = 'dns' AND reason = 'not-marked-as-parked', ('parked-not-marked', 'info', reason),
                    -- Neither opens anything: no key is empty, a record of a policy is left over.
                    probe = 'dns' AND parked AND ((which = 'dkim' AND reason = 'no-record') OR reason = 'parked-but-has-policy'),
                        ('parked-unprotected', 'info', reason),
                    probe = 'dns' AND parked, ('parked-unprotected', 'warning', reason),
                    probe = 'dns', ('record-wrong', 'warning', reason),
                    probe = 'mta-sts' AND reason = 'mx-not-covered',
                        ('mx-not-covered', if(enforced, 'critical', 'warning'), reason),
                    probe = 'mta-sts' AND reason LIKE 'policy-%' AND reason != 'policy-differs',
                        ('policy-unfetchable', 'warning', reason),
                    probe = 'mta-sts' AND differs, ('', '', ''),
                    probe != 'mx' OR reason IN ('dns-error', 'probe-timeout', 'probe-error'), ('', 'warning', reason),
                    is_away OR reason = 'unreachable', ('mx-unreachable', 'warning', reason),
                    reason = 'starttls-not-offered', ('mx-without-starttls', 'critical', reason),
                    reason = 'tlsa-mismatch', ('mx-tlsa-mismatch', 'critical', reason),
                    reason LIKE 'certificate-%', ('mx-certificate-invalid', if(enforced, 'critical', 'warning'), reason),
                    ('mx-failing', 'warning', reason)
                ),
                if(probe = 'mta-sts' AND differs,
                    ('policy-not-as-configured', 'warning', if(reason = '', 'policy-differs', reason)), ('', '', '')),
                if(probe = 'mta-sts' AND enforced AND mode = 'enforce' AND max_age < 604800,
                    ('policy-max-age-small', 'info', 'max-age-small'), ('', '', '')),
                if(ifNull(not_after < as_of + certificate_expiry_seconds, false) AND reason NOT LIKE 'certificate-%',
                    ('mx-certificate-expiring', 'warning', 'certificate-due'), ('', '', ''))
            ]) AS each
        FROM judged
    )
SELECT
    policy_domain, each.1 AS cause, multiIf(probe = 'mx', mx, cause IN ('record-wrong', 'parked-unprotected', ''), which, '') AS subject, each.2 AS severity,
    if(cause != '' AND max(again OR each.3 IN ('max-age-small', 'certificate-due')), 'any', 'nothing') AS judged_by,
    if(cause IN ('policy-max-age-small', 'mx-certificate-expiring'), NULL, toNullable(min(since))) AS since,
    toUInt64(0) AS affected, toUInt64(0) AS of,
    multiIf(
        cause = 'mx-certificate-expiring', concat('Its certificate expires on ', toString(toDate(min(assumeNotNull(not_after)))), '.'),
        cause = 'policy-max-age-small', concat('max_age is ', toString(any(max_age)), ' seconds.'),
        any(words)
    ) AS detail,
    CAST([], 'Array(String)') AS seen_by,
    any(probe) AS seen_in, arraySort(groupUniqArray(each.3)) AS faults,
    sum(failed_probes) AS failed, sum(probes_made) AS made, max(probed_last) AS last_probed_at
FROM found
WHERE each.2 != ''
GROUP BY policy_domain, cause, subject, severity
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'What our probes find wrong; query attention'
