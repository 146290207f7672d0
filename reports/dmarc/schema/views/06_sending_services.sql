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
SELECT service, any(kind), arraySort(groupArray(domain)), any(shared), any(forwards), any(action)
FROM {tables}.sending_services FINAL
WHERE active
GROUP BY service
COMMENT 'Services of the catalogue that send mail for others'
