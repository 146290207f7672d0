-- Mail to a subdomain has a policy of its own or none (RFC 8461, section 3.4), so only what is reported for the very domain
-- speaks of ours. A sender that does DANE need not look at MTA-STS (section 2). A report may name a policy of type sts
-- without its mode: then it could not be fetched or read, and was not applied.
--
-- A report about us may itself be a session with us, and senders send it with TLS-Required: no (RFC 8460, section 3; RFC 8689),
-- for which no policy is looked up. So how many sessions were without a policy is kept: few may be yesterday's reports.
CREATE MATERIALIZED VIEW IF NOT EXISTS {tables}.tls_sender_days_filled {on_cluster} TO {tables}.tls_sender_days
SQL SECURITY DEFINER
AS
WITH
    bitShiftLeft(toUInt32(1), toDayOfMonth(day) - 1) AS bit,
    reported_policy_domain = policy_domain AS of_domain,
    of_domain AND policy_type = 'sts' AND sts_mode = 'enforce' AS enforced,
    of_domain AND policy_type = 'sts' AND sts_mode IN ('testing', 'none') AS other_mode,
    successful_sessions + failed_sessions AS sessions,
    of_domain AND policy_type = 'sts' AND sts_mode = '' AND sessions > 0 AS unread,
    of_domain AND policy_type = 'no-policy-found' AND sessions > 0 AS unfound
SELECT
    policy_domain,
    reporter,
    trust,
    toStartOfMonth(day) AS month,
    groupBitOr(bit) AS report_days,
    groupBitOr(if(counts AND successful_sessions > 0, bit, 0)) AS tls_days,
    groupBitOr(if(enforced, bit, 0)) AS enforced_days,
    groupBitOr(if(other_mode, bit, 0)) AS other_mode_days,
    groupBitOr(if(policy_type = 'tlsa', bit, 0)) AS dane_days,
    groupBitOr(if(unread, bit, 0)) AS unread_days,
    maxMap(if(unfound, [toUInt8(toDayOfMonth(day))], []), if(unfound, [toUInt64(sessions)], [])) AS unfound_sessions
FROM {tables}.tls_policies
GROUP BY policy_domain, reporter, trust, month
COMMENT 'Fills tls_sender_days'
