-- What our own probes find wrong as of a day (its last probes, and of the day before), before it is acknowledged; the only rule
-- about it. A fault is one when the last probe failed and the one before did too. What a probe cannot see (outbound port 25 is
-- closed, DNS does not answer) says nothing about a server. What one probe alone found is here too, judged by nothing: it needs
-- no attention yet.
--
-- A server may have several faults: TLSA records are compared with the certificate that is shown, be it valid or not, because
-- senders with DANE go by the one and senders with MTA-STS by the other.
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
                    certificate_not_after, toString(sts_mode), sts_max_age, reachable,
                    policy_agrees = false OR record_agrees = false
                ),
                probed_at
            ) AS last,
            groupArraySorted(2)(
                (-toUnixTimestamp64Milli(probed_at), toString(reason), tlsa = 'mismatch' OR reason = 'tlsa-mismatch')
            ) AS last_two,
            minIf(probed_at, NOT success) AS first_fault,
            max(probed_at) AS probed_last,
            countIf(NOT success AND reason != 'outbound-port-25-blocked') AS failed_probes,
            countIf(reason != 'outbound-port-25-blocked') AS probes_made
        FROM {tables}.probe_results FINAL
        WHERE
            day >= until - 1 AND day <= until AND probed_at <= as_of
            -- Of records that were all right there is nothing to say: of thousands of parked domains, that is.
            AND policy_domain IN (
                SELECT policy_domain FROM {tables}.probe_results
                WHERE day >= until - 1 AND day <= until AND (NOT success OR probe != 'dns')
            )
        GROUP BY policy_domain, probe, record, key_name, receiving_mx, receiving_ip
    ),
    kept AS
    (
        -- Senders keep a policy that they cannot fetch again for its max_age (RFC 8461, section 3.3), a year at most: when one
        -- machine loses its certificates, policy host and MX fail together, and mail to the MX is refused all the same.
        SELECT policy_domain, argMax(toString(sts_mode), probed_at) AS kept_mode
        FROM {tables}.probe_results
        WHERE day >= until - 366 AND day <= until AND probed_at <= as_of AND probe = 'mta-sts' AND sts_mode != ''
            AND policy_domain IN (
                SELECT policy_domain
                FROM {tables}.probe_results
                WHERE day >= until - 1 AND day <= until AND probed_at <= as_of AND probe = 'mta-sts'
                GROUP BY policy_domain
                HAVING argMax(sts_mode, probed_at) = ''
            )
        GROUP BY policy_domain
        HAVING max(probed_at) + toIntervalSecond(argMax(sts_max_age, probed_at)) > as_of
    ),
    faults AS
    (
        SELECT
            policy_domain, probe, toString(record) AS which, toString(receiving_mx) AS mx, last.1 AS reason, last.2 AS words,
            last.4 AS not_after, last.5 AS mode, last.6 AS max_age, last.7 = false AS is_away, ifNull(last.8, false) AS differs,
            last_two[1].3 AS tlsa_differs, parked,
            toDate(first_fault, 'UTC') AS since, hosted_sts_mode, certificate_expiry_seconds, probed_last, failed_probes, probes_made,
            anyIf(mode, mode != '') OVER (PARTITION BY policy_domain) AS served_mode, toString(kept_mode) AS kept_mode,
            -- A server that has left DNS since then no longer matters.
            probed_last = max(probed_last) OVER (PARTITION BY policy_domain, probe) AS is_last,
            length(last_two) = 2 AND last_two[1].2 != '' AND last_two[2].2 NOT IN ('', 'outbound-port-25-blocked') AS again,
            length(last_two) = 2 AND last_two[2].3 AS tlsa_differed
        FROM probed
        INNER JOIN {views}.domains USING (policy_domain)
        LEFT JOIN kept USING (policy_domain)
        -- The last look at the servers or the policy of a domain that was parked since then no longer matters.
        WHERE has(probes, probe)
    ),
    judged AS
    (
        -- Of a policy that nobody has seen served, the configuration says what senders may have.
        SELECT *, multiIf(served_mode != '', served_mode, kept_mode != '', kept_mode, hosted_sts_mode) = 'enforce' AS enforced
        FROM faults
        WHERE is_last
    ),
    found AS
    (
        -- (cause, severity, fault, whether two probes have it): no severity, no finding; no cause, nothing that needs attention.
        -- What is no failed probe needs no second one.
        SELECT
            policy_domain, probe, which, mx, reason, words, not_after, max_age, since, probed_last, failed_probes, probes_made,
            arrayJoin([
                multiIf(
                    reason IN ('', 'outbound-port-25-blocked', 'tlsa-mismatch'), ('', '', '', again),
                    probe = 'dns' AND reason = 'dns-error', (if(which = 'mx', 'dns-unanswered', ''), 'warning', reason, again),
                    probe = 'dns' AND reason = 'null-mx', ('mx-null', 'critical', reason, again),
                    probe = 'dns' AND reason = 'not-marked-as-parked', ('parked-not-marked', 'info', reason, again),
                    -- Neither opens anything: no key is empty, a record of a policy is left over.
                    probe = 'dns' AND parked AND ((which = 'dkim' AND reason = 'no-record') OR reason = 'parked-but-has-policy'),
                        ('parked-unprotected', 'info', reason, again),
                    probe = 'dns' AND parked, ('parked-unprotected', 'warning', reason, again),
                    probe = 'dns', ('record-wrong', 'warning', reason, again),
                    probe = 'mta-sts' AND reason = 'mx-not-covered',
                        ('mx-not-covered', if(enforced, 'critical', 'warning'), reason, again),
                    -- Of the policy, or of its host, whose certificate senders verify too.
                    probe = 'mta-sts' AND mode = '' AND match(reason, '^(policy|certificate)-|^answer-malformed$'),
                        ('policy-unfetchable', 'warning', reason, again),
                    probe = 'mta-sts' AND differs, ('', '', '', again),
                    probe != 'mx' OR reason IN ('dns-error', 'probe-timeout', 'probe-error'), ('', 'warning', reason, again),
                    is_away OR reason = 'unreachable', ('mx-unreachable', 'warning', reason, again),
                    reason = 'starttls-not-offered', ('mx-without-starttls', 'critical', reason, again),
                    reason LIKE 'certificate-%', ('mx-certificate-invalid', if(enforced, 'critical', 'warning'), reason, again),
                    ('mx-failing', 'warning', reason, again)
                ),
                if(tlsa_differs, ('mx-tlsa-mismatch', 'critical', 'tlsa-mismatch', tlsa_differed), ('', '', '', false)),
                if(probe = 'mta-sts' AND differs,
                    ('policy-not-as-configured', 'warning', if(reason = '', 'policy-differs', reason), again), ('', '', '', false)),
                if(mode = 'enforce' AND max_age < 604800, ('policy-max-age-small', 'info', 'max-age-small', true), ('', '', '', false)),
                if(ifNull({to_be_renewed}, false) AND reason NOT LIKE 'certificate-%',
                    ('mx-certificate-expiring', 'warning', 'certificate-due', true), ('', '', '', false))
            ]) AS each
        FROM judged
    )
SELECT
    policy_domain, each.1 AS cause, multiIf(probe = 'mx', mx, cause IN ('record-wrong', 'parked-unprotected', ''), which, '') AS subject, each.2 AS severity,
    if(cause != '' AND max(each.4), 'any', 'nothing') AS judged_by,
    if(cause IN ('policy-max-age-small', 'mx-certificate-expiring'), NULL, toNullable(min(since))) AS since,
    toUInt64(0) AS affected, toUInt64(0) AS of,
    multiIf(
        cause = 'mx-certificate-expiring', concat('Its certificate expires on ', toString(toDate(min(assumeNotNull(not_after)))), '.'),
        cause = 'policy-max-age-small', concat('max_age is ', toString(any(max_age)), ' seconds.'),
        cause = 'mx-tlsa-mismatch' AND NOT has(groupUniqArray(reason), 'tlsa-mismatch'),
            'None of its TLSA records names the certificate that it shows, which is not valid either.',
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
