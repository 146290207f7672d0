"""The MTA-STS policy host (RFC 8461's word): serves `https://mta-sts.<domain>/.well-known/mta-sts.txt` for our domains.

It depends on nothing but its configuration: when ClickHouse, collector and exporter are down, senders still find the
policy. A policy host that fails is not harmless: senders that know an `enforce` policy keep to their copy until it
expires, and after that mail is open to downgrade again.
"""
