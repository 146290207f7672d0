"""Hard limits on what a DMARC report may hold, each with its reason.

Half of all reports have fewer than 2 KB of XML, one in two hundred more than 4 MB; the largest seen have 900,000 lines.
"""

from typing import Final

XML_BYTES: Final = 64 * 1024 * 1024
MARKS: Final = 8_000_000  # `<`: each costs half a microsecond, known or not; 64 MiB of usual records have 5 million
DEPTH: Final = 50  # a report nests 5 deep
ATTRIBUTES: Final = 1_000  # of one element; reports have none but namespaces and languages
DIFFERENT_NAMES: Final = 1_000  # of elements and attributes; the schema has some fifty
PIECES: Final = 10_000  # of a text with elements in it; expat passes on 8 KiB at a time
LONGEST_TAG: Final = 1_000  # bytes of the name of an element
RECORDS: Final = 200_000  # in all reports of one message together: each costs half a kilobyte
RESULTS_IN_ALL: Final = 500_000  # results and overrides of all records: 64 MiB of usual ones have 300,000
RESULTS: Final = 100  # DKIM or SPF results of a record that are kept; real ones have up to a dozen
REASONS: Final = 20  # overrides of a record that are kept
REPAIRED_BYTES: Final = 16 * 1024 * 1024  # broken XML above this is not repaired: that needs several copies
STRAYS: Final = 50_000  # `<`, and `&`, that are repaired: one in each record
