-- Names of addresses that sent mail in our name, as reports/dmarc/naming.py looked them up. Untrusted but for the form of a host name.
CREATE TABLE IF NOT EXISTS {tables}.sender_names {on_cluster}
(
    source_ip IPv6 COMMENT 'Address, IPv4 as ::ffff:a.b.c.d',
    host String COMMENT 'Reverse name that leads back to the address, in A-labels; empty if there is none',
    domain LowCardinality(String) COMMENT 'Registered domain of host',
    network LowCardinality(String) COMMENT 'Who runs the network that the address is in, as the MMDB file calls it; empty without one',
    looked_up_at DateTime('UTC') COMMENT 'When it was looked up',
    expires_at DateTime('UTC') COMMENT 'When it is looked up again'
)
ENGINE = {replacing}(looked_up_at)
ORDER BY source_ip
COMMENT 'Names of addresses that send mail'
