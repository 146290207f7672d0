"""How much text of a report is kept, whatever its kind: it is untrusted input, and people read it in tables."""

from typing import Final

TEXT_LENGTH: Final = 1_000  # characters kept of free text
TERM_LENGTH: Final = 100  # characters kept of what should be a term of an RFC, such as a result type
NAME_LENGTH: Final = 255  # characters kept of organization, report id, EHLO name and file names
WARNINGS: Final = 20  # kept with a report; the rest is counted
