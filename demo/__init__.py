"""A plausible month of reports about domains that do not exist, for looking around without a domain of one's own.

Everything here is made up: organizations end in "(demo)", names end in .example (RFC 2606), addresses are from the
ranges for documentation and benchmarks (RFC 5737, RFC 2544). The mails are real, though: signed, and sent through the
SMTP listener like anybody's.

TLS reports. Who receives: domains.py. Who sends: senders.py. What goes wrong, and where to find it again: stories.py.
The month of reports: reports.py. As JSON with each sender's habits: documents.py. As signed mails: mails.py, keys.py.

DMARC reports about mail from the same domains: dmarc/, by the same steps.

On their way: send.py. What probes would have seen of the same stories, written as history straight into ClickHouse
(there is nothing outside to look at): probes.py. Since when its senders are known: arrivals.py.
"""
