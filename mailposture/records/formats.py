"""Records written for the tools that publish them: a zone file, JSON, Terraform."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mailposture.records.dns_records import DnsRecord

_LONGEST_STRING = 255  # bytes in one character-string of a TXT record (RFC 1035, section 3.3)

_TERRAFORM_HEAD = """Records as data for any DNS provider. With Route 53, for example:

resource "aws_route53_record" "mailposture" {
  for_each = local.mailposture_records
  zone_id  = var.zone_ids[each.value.domain]
  name     = each.value.name
  type     = each.value.type
  ttl      = each.value.ttl
  records  = [for strings in each.value.strings : join("\\"\\"", strings)]
}"""


def txt_strings(text: str) -> tuple[str, ...]:
    """A TXT text in pieces that fit a character-string; readers join them without a space (RFC 7208, section 3.3)."""
    pieces = tuple(text[start : start + _LONGEST_STRING] for start in range(0, len(text), _LONGEST_STRING))
    return pieces or ("",)


def zone_line(record: DnsRecord) -> str:
    """One record in master file format (RFC 1035, section 5); a comment where a value is lacking."""
    if record.value is None:
        return f"; {record.name}. {record.ttl} IN {record.type} ?"
    value = record.value
    if record.type == "TXT":
        value = " ".join(f'"{_zone_escaped(piece)}"' for piece in txt_strings(record.value))
    return f"{record.name}. {record.ttl} IN {record.type} {value}"


def zone(records: Iterable[DnsRecord]) -> str:
    """A piece of a zone file."""
    return "".join(f"; {record.note}\n{zone_line(record)}\n" for record in records)


def as_json(records: Iterable[DnsRecord]) -> str:
    """A JSON array; `strings` are the pieces of a TXT text, `value` is null where the configuration lacks it."""
    return json.dumps([{**_plain(record), "note": record.note} for record in records], indent=2) + "\n"


def terraform(records: Iterable[DnsRecord]) -> str:
    """A file in Terraform's JSON syntax (`*.tf.json`) whose local value holds the records.

    Those of one name and type are together, as providers want them. What has no value is named in the comment.
    """
    together: dict[tuple[str, str], list[DnsRecord]] = {}
    comment = _TERRAFORM_HEAD.split("\n")
    for record in records:
        if record.value is None:
            comment.append(f"{record.name} {record.type}: value unknown")
        else:
            together.setdefault((record.name, record.type), []).append(record)
    sets = {
        f"{name} {type_}": {
            "domain": some[0].domain,
            "name": name,
            "type": type_,
            "ttl": some[0].ttl,
            "values": [record.value for record in some],
            "strings": [_strings(record) for record in some],
        }
        for (name, type_), some in together.items()
    }
    return json.dumps({"//": comment, "locals": {"mailposture_records": _literal(sets)}}, indent=2) + "\n"


def _plain(record: DnsRecord) -> dict[str, object]:
    return {
        "domain": record.domain,
        "name": record.name,
        "type": record.type,
        "ttl": record.ttl,
        "value": record.value,
        "strings": _strings(record),
    }


def _strings(record: DnsRecord) -> list[str]:
    if record.value is None:
        return []
    return list(txt_strings(record.value)) if record.type == "TXT" else [record.value]


def _zone_escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _literal(value: Any) -> Any:
    """The same for Terraform, to which each string of a JSON file is a template."""
    if isinstance(value, str):
        return value.replace("${", "$${").replace("%{", "%%{")
    if isinstance(value, dict):
        return {_literal(key): _literal(each) for key, each in value.items()}
    return [_literal(each) for each in value] if isinstance(value, list) else value
