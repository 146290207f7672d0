"""The other half of the demo's month: DMARC reports about mail from the same domains.

Who reports, and how: reporters.py. Which policy the domains have: policies.py. What mail comes in their name, and where
to find it again: stories.py. The month of reports: reports.py. As XML with each reporter's habits: documents.py. As
signed mails: mails.py.

The services that send for the domains are real ones, by the domains that they authenticate with, so that their names
are found; all their addresses are from the ranges for documentation (RFC 5737, RFC 3849).
"""
