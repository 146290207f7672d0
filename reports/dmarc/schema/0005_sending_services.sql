-- The catalogue of reports/dmarc/catalogue.yaml, a row per domain that a service authenticates as. Written at every start, and
-- joined when somebody asks: so names of services follow for all of history when the catalogue grows.
CREATE TABLE IF NOT EXISTS {tables}.sending_services {on_cluster}
(
    domain String COMMENT 'The service authenticates as this domain, or as a name below it',
    service LowCardinality(String) COMMENT 'Name of the service',
    rank UInt16 COMMENT 'Of several services that authenticate a message the one of the lowest rank is named',
    kind LowCardinality(String) COMMENT 'application, marketing, platform, gateway, mailbox or hosting',
    shared Bool COMMENT 'Whether anybody who has an account can send in any name',
    forwards Bool COMMENT 'Whether it passes on mail of others',
    tenants Bool COMMENT 'Whether each name below the domain is of one customer',
    action String COMMENT 'What to do, so that its mail is aligned',
    active Bool COMMENT 'false once the domain has left the catalogue',
    updated_at DateTime64(3, 'UTC') COMMENT 'When the catalogue was read'
)
ENGINE = {replacing}(updated_at)
ORDER BY domain
COMMENT 'Services that send mail, by the domains that they authenticate as'
