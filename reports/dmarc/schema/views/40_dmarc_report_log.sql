-- Reports without their text.
CREATE OR REPLACE VIEW {views}.dmarc_report_log {on_cluster}
(
    day Date COMMENT 'Report day: the UTC date of the middle of the reported period',
    report_key String COMMENT 'The report, as in dmarc_record_details',
    policy_domain LowCardinality(String) COMMENT 'Our domain that it is about',
    published_domain LowCardinality(String) COMMENT 'Where the reporter found the policy: our domain, or a subdomain with a record of its own',
    reporter LowCardinality(String) COMMENT 'Who reports: an organizational domain',
    reporter_proven Bool COMMENT 'Whether that is proven by a signature',
    organization LowCardinality(String) COMMENT 'What the reporter calls itself: a caption, never an identity',
    contact String COMMENT 'email',
    extra_contact String COMMENT 'extra_contact_info',
    submitter LowCardinality(String) COMMENT 'Submitter in the Subject of the mail, or empty',
    report_id String COMMENT 'report_id; not unique on its own',
    period_start DateTime('UTC') COMMENT 'Start of the reported period',
    period_end DateTime('UTC') COMMENT 'End of the reported period',
    received_at DateTime64(3, 'UTC') COMMENT 'When we accepted it',
    delay_hours Float64 COMMENT 'From the end of the period to arrival',
    source LowCardinality(String) COMMENT 'smtp, lmtp, https, imap, graph, maildir or file',
    name String COMMENT 'File, mailbox or queue id that it came in',
    peer String COMMENT 'IP address of the client that delivered it',
    trust LowCardinality(String) COMMENT 'Why it is trusted: dkim, authserv, spf, operator, mailbox, author',
    dkim_domain LowCardinality(String) COMMENT 'Domain of the DKIM signature that was verified, else empty',
    p LowCardinality(String) COMMENT 'Policy as the reporter found it: none, quarantine or reject',
    sp LowCardinality(String) COMMENT 'Policy for subdomains',
    np LowCardinality(String) COMMENT 'Policy for subdomains that do not exist',
    adkim LowCardinality(String) COMMENT 'Alignment of DKIM: r (relaxed) or s (strict)',
    aspf LowCardinality(String) COMMENT 'Alignment of SPF: r (relaxed) or s (strict)',
    pct UInt8 COMMENT 'Percentage of messages that the policy applied to (RFC 7489); 100 where the report has none',
    testing LowCardinality(String) COMMENT 'Tag t as the reporter found it (RFC 9989): y or n, empty if unsaid',
    applied_policy LowCardinality(String) COMMENT 'What receivers do with all mail that fails: p, one step less with t=y or pct below 100',
    applied_subdomain_policy LowCardinality(String) COMMENT 'The same for subdomains: sp, one step less with t=y or pct below 100',
    generator LowCardinality(String) COMMENT 'Program that made the report, as it says',
    error String COMMENT 'What the reporter says went wrong',
    records UInt32 COMMENT 'Records of the report',
    messages UInt64 COMMENT 'Messages of all records',
    passed_messages UInt64 COMMENT 'Messages that passed DMARC',
    warnings Array(String) COMMENT 'Oddities of the report, and how they were read'
)
SQL SECURITY DEFINER
AS
SELECT
    day, toString(report_key) AS report_key, policy_domains[1] AS policy_domain, published_domain,
    reporter, reporter_proven, organization, contact, extra_contact, submitter, report_id, period_start, period_end,
    received_at, dateDiff('second', period_end, received_at) / 3600 AS delay_hours, source, name, peer, trust,
    dkim_domain, p, sp, np, adkim, aspf, pct, testing, applied_policy, applied_subdomain_policy, generator, error, records, messages, passed_messages, warnings
FROM {tables}.dmarc_reports FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'DMARC reports, one row each, without their text'
