CREATE OR REPLACE VIEW {views}.sending_services {on_cluster}
(
    service LowCardinality(String) COMMENT 'Name of the service, as dmarc_sources_daily shows it',
    kind LowCardinality(String) COMMENT 'application, marketing, platform, gateway, mailbox or hosting',
    domains Array(String) COMMENT 'It authenticates as these, or as names below them',
    shared Bool COMMENT 'Whether anybody who has an account can send in any name',
    forwards Bool COMMENT 'Whether it passes on mail of others',
    action String COMMENT 'What to do, so that its mail is aligned'
)
SQL SECURITY DEFINER
AS
SELECT
    service, any(of_domain.kind) AS kind, arraySort(groupArray(domain)) AS domains, any(of_domain.shared) AS shared,
    any(of_domain.forwards) AS forwards, any(of_domain.action) AS action
FROM {tables}.sending_services AS of_domain FINAL
WHERE active
GROUP BY service
COMMENT 'Services of the catalogue that send mail for others'
