"""Hard limits on what a TLS report may hold, each with its reason.

The widest senders' are 1 to 20 KB of JSON, the largest seen a few megabytes; every limit lies far above that.
"""

from typing import Final

JSON_BYTES: Final = 16 * 1024 * 1024  # one document unpacked: some 50,000 failure details
JSON_VALUES: Final = 500_000  # values in one document: each costs up to 250 bytes once parsed
JSON_DEPTH: Final = 254  # a report nests 6 deep; orjson writes no more than this
POLICIES: Final = 1_000  # in one report: one for each policy domain and policy type
FAILURE_DETAILS: Final = 50_000  # in all reports of one message together: each costs a kilobyte or two
REASONS: Final = 2_000  # different result types and reason codes in a message that are searched for what they mean
LIST_ENTRIES: Final = 100  # policy-string and mx-host: a policy file has a handful
