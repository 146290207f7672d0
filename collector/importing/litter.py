"""Files that nobody means when a folder or an archive is imported: what systems and mail programs keep for themselves.

By name: an archive shows nothing else before it is read. Everything else is looked at, and what is no report is named.
"""

from __future__ import annotations

import re
from typing import Final

_LITTER: Final = re.compile(
    r"""
    \.DS_Store | \._.* | \.localized | Icon\r                                   # macOS
    | Thumbs\.db | ehthumbs\.db | desktop\.ini | \.directory                    # Windows, KDE
    | \.nfs[0-9a-f]{8,} | \.fuse_hidden[0-9a-f]{8,}                             # deleted, and open still
    | dovecot[.-].* | subscriptions | maildirfolder | maildirsize               # Dovecot, Maildir quotas
    | courierimap.* | courierpop3.* | \.mailboxlist                             # Courier
    | cyrus\.(?:header|index|cache|annotations|squat|expunge)                   # Cyrus
    | .*\.msf | msgFilterRules\.dat | filterlog\.html                           # Thunderbird
    | table_of_contents | \.mh_sequences | \.xmhcache | \.overview | \.marks    # Apple Mail, MH, Gnus
    | \.(?:git|hg|bzr|cvs)(?:ignore|attributes|keep|modules)                    # version control
    | \.(?:claws|sylpheed)_(?:cache|mark) | \.uidvalidity | \.mbsyncstate.* | \.isyncuidmap\.db
    """,
    re.VERBOSE | re.DOTALL,
)
_FOLDERS: Final = frozenset(
    [
        *("__MACOSX", ".Spotlight-V100", ".Trashes", ".fseventsd", "$RECYCLE.BIN", "System Volume Information"),
        *("@eaDir", ".notmuch", ".git", ".hg", ".svn", ".bzr"),
    ]
)


def is_litter(path: str, size: int) -> bool:
    """Whether a file of this name and size in bytes, in a folder or an archive, is nobody's mail or report.

    A hidden file that is empty only marks its folder, as `.keep` does.
    """
    *folders, name = path.split("/")
    is_mark = size == 0 and name.startswith(".")
    return is_mark or _LITTER.fullmatch(name) is not None or not _FOLDERS.isdisjoint(folders)


def is_litter_folder(name: str) -> bool:
    """Whether nothing below a folder of this name is anybody's mail or report."""
    return name in _FOLDERS
