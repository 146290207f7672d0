-- What `senders:` of the configuration says. Written at every start.
CREATE TABLE IF NOT EXISTS {tables}.configured_senders {on_cluster}
(
    policy_domain LowCardinality(String) COMMENT 'Our domain',
    sender String COMMENT 'Name of the sender, as configured',
    service String COMMENT 'A service of the catalogue that sends for the domain; else empty',
    domain String COMMENT 'A domain that it authenticates as, or above such; else empty',
    first_ip IPv6 COMMENT 'First address of the network, IPv4 as ::ffff:a.b.c.d',
    last_ip IPv6 COMMENT 'Last address of the network',
    active Bool COMMENT 'false once it has left the configuration',
    updated_at DateTime64(3, 'UTC') COMMENT 'When the configuration was read'
)
ENGINE = {replacing}(updated_at)
ORDER BY (policy_domain, sender, service, domain, first_ip, last_ip)
COMMENT 'Senders of our domains, as configured'
