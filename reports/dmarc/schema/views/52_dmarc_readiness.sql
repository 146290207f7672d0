-- May the DMARC policy go to quarantine, to reject? What dmarc_readiness_steps says, and says how, kept (reports/dmarc/keeping.py).
CREATE OR REPLACE VIEW {views}.dmarc_readiness {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    scope LowCardinality(String) COMMENT 'domain; subdomains in a row of their own where they have another policy (sp); a subdomain with a DMARC record of its own, by its name',
    step LowCardinality(String) COMMENT 'quarantine or reject',
    verdict LowCardinality(String) COMMENT 'safe, not-yet or unclear',
    reasons Array(String) COMMENT 'Why, in sentences',
    policy LowCardinality(String) COMMENT 'Policy that receivers apply to all mail that fails, as most reporters that count found it last; empty if none did',
    published LowCardinality(String) COMMENT 'What is published, where that is stricter and for a test or a part of the mail only (p=quarantine; t=y); else empty',
    own_messages UInt64 COMMENT 'Aligned, forwarded and failing messages of ours, of reporters that count',
    refused_messages UInt64 COMMENT 'Of these those that fail: the step refuses them',
    share Nullable(Float64) COMMENT 'refused_messages / own_messages',
    unknown_messages UInt64 COMMENT 'Messages that nothing shows to be ours',
    reporters UInt64 COMMENT 'Reporters that count and saw one source of own mail, where most did',
    days UInt64 COMMENT 'Report days on which one source of own mail was seen, where that is most'
)
SQL SECURITY DEFINER
AS
SELECT
    policy_domain, scope, step, verdict, reasons, policy, published, own_messages, refused_messages, share, unknown_messages, reporters, days
FROM {tables}.dmarc_ready FINAL
COMMENT 'Whether the DMARC policy of each domain may go to quarantine, to reject, and why'
