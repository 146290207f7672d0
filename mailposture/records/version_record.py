"""TXT records of the form `v=VERSION; name=value; …`, as RFC 8460 and RFC 8461 read them: exactly one, or none."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mailposture.quoting import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")


@dataclass(frozen=True, kw_only=True)
class Fields:
    """The fields of the one record, the first of duplicates; `faults` say why there is none, or what is wrong in it."""

    values: Mapping[str, str]
    faults: tuple[str, ...] = ()


def read_only_record(texts: Iterable[bytes], *, version: str, value: re.Pattern[str]) -> Fields:
    """Read the only record of a version among the TXT records at a name; `value` is what the values may look like."""
    found = list(texts)
    begins = re.compile(rb"v=" + version.encode("ascii") + rb"[ \t]*;")
    own = [text.decode("ascii", "replace") for text in found if begins.match(text)]
    if not own:
        shown = f"; what is there: {quoted(found[0].decode('ascii', 'replace'))}" if found else ""
        return Fields(values={}, faults=(f"no TXT record begins with `v={version};`{shown}",))
    if len(own) > 1:
        return Fields(values={}, faults=(f"{len(own)} TXT records begin with `v={version};`, exactly one may",))
    values: dict[str, str] = {}
    faults: list[str] = []
    for part in own[0].rstrip(" \t").removesuffix(";").split(";")[1:]:
        name, equals, text = part.strip(" \t").partition("=")
        if equals and _NAME.fullmatch(name) and value.fullmatch(text):
            values.setdefault(name, text)
        else:
            faults.append(f"the record has {quoted(part.strip())} where `name=value` belongs")
    return Fields(values=values, faults=tuple(faults))
