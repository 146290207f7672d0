"""Reading the configuration file, with errors that name file, line, key and what to do."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from mailposture.config.domains import ACKNOWLEDGEABLE, Domain
from mailposture.config.groups import SEVERAL, expand
from mailposture.config.model import Config
from mailposture.problems import ConfigError
from mailposture.quoting import printable, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# In C where PyYAML was built with libyaml: a configuration of ten thousand domains takes seconds in Python.
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DEEPEST = 50  # our own sections nest four deep; some thousands overflow the stack of the parser in C, which is fatal


class _Loader(_SafeLoader):  # type: ignore[misc]
    """YAML of bounded depth: what resolves tags sees each node on the way down and up."""

    depth = 0

    def descend_resolver(self, parent: Any, _: Any) -> None:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise yaml.MarkedYAMLError(
                problem=f"nested more than {_DEEPEST} levels deep", problem_mark=parent.start_mark
            )

    def ascend_resolver(self) -> None:
        self.depth -= 1


_MOST_FAULTS = 20  # of one file are shown at once: a key that is wrong in each of ten thousand domains is one mistake


def load(path: Path, *, acknowledgeable: Callable[[str, str], None] | None = None) -> Config:
    """Read a configuration file; relative paths in it are relative to the file's folder.

    `acknowledgeable` raises ValueError for a cause and subject that there cannot be: what there is, is known above this
    floor (reports/configuration.py).

    Raises ConfigError, whose message names the file, the line, the key and what to do.
    """
    root, values = _parse(path, _text(path))
    if not isinstance(values, dict):
        raise ConfigError(f"{path}:1: must hold keys and values, beginning with `domains:`")
    origins: list[int] = []
    if isinstance(values.get("domains"), list):
        expanded = expand(values["domains"], path.resolve().parent)
        if expanded.faults or expanded.file_faults:
            lines = [_placed(path, root, ("domains", *place), reason) for place, reason in expanded.faults]
            raise ConfigError("\n".join((*lines, *expanded.file_faults)))
        values, origins = {**values, "domains": expanded.entries}, expanded.origins
    try:
        config = Config.model_validate(values, context={ACKNOWLEDGEABLE: acknowledgeable})
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        # What is wrong in an entry that stands for several is wrong in each of them.
        lines = list(dict.fromkeys(_explain(path, root, fault, origins) for fault in faults))
        if len(lines) > _MOST_FAULTS:
            lines[_MOST_FAULTS:] = [f"{path}: and {len(lines) - _MOST_FAULTS:,} faults more"]
        raise ConfigError("\n".join(lines)) from None
    absolute: Config = _with_absolute_paths(config, path.resolve().parent)
    return absolute


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except IsADirectoryError as error:
        raise ConfigError(f"{path}: is a folder; name the file in it") from error
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: is not there; `mailposture init DIR --domain example.com` writes one") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); let the user read it who runs this") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8") from error


def _parse(path: Path, text: str) -> tuple[yaml.Node | None, Any]:
    """The nodes of a YAML document, which know their lines, and its values."""
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        twice = _key_given_twice(root) if root else None  # before merge keys (`<<`) copy what they bring
        values = loader.construct_document(root) if root else None
    except yaml.MarkedYAMLError as error:
        raise ConfigError(_explain_yaml(path, text, error)) from error
    except yaml.reader.ReaderError as error:
        line = text.encode()[: error.position].count(b"\n") + 1
        raise ConfigError(f"{path}:{line}: is not YAML: {error.reason}") from error
    except (ArithmeticError, AttributeError, LookupError, RecursionError, ValueError) as error:
        # What PyYAML does with days such as 2026-13-45, and with `!!bool x`.
        raise ConfigError(f"{path}: is not YAML that can be read: {error}") from error
    if twice:
        raise ConfigError(f"{path}:{twice.start_mark.line + 1}: {printable(twice.value)}: is given twice; join the two")
    return root, values


def _explain_yaml(path: Path, text: str, error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 1
    if text.splitlines()[line - 1 : line] and "\t" in _indentation(text.splitlines()[line - 1]):
        return f"{path}:{line}: is not YAML: the line is indented by a tab; use spaces"
    words = ", ".join(filter(None, (error.context, error.problem)))
    return f"{path}:{line}: is not YAML: {printable(words)}"


def _indentation(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _explain(path: Path, root: yaml.Node | None, fault: Any, origins: Sequence[int]) -> str:
    location = tuple(part for part in fault["loc"] if isinstance(part, int | str))
    if location[:1] == ("domains",) and len(location) > 1 and origins:
        location = ("domains", origins[int(location[1])], *location[2:])
    if fault["type"] == "extra_forbidden":
        near = get_close_matches(str(location[-1]), _keys_at(location[:-1]), n=1)
        reason = "there is no such key" + (f"; did you mean {near[0]}?" if near else "")
    else:
        reason = _REASONS.get(fault["type"]) or _plain(fault["msg"])
    return _placed(path, root, location, reason)


def _placed(path: Path, root: yaml.Node | None, location: tuple[int | str, ...], reason: str) -> str:
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
    place = f"{key if key.isprintable() else quoted(key)}: " if key else ""
    return f"{path}:{_line_of(root, location)}: {place}{reason}"


def _plain(words: str) -> str:
    return words.removeprefix("Value error, ").replace("Input should be", "must be", 1)


# Where pydantic's own words are about Python.
_REASONS = {
    "missing": "is missing",
    "model_type": "must hold keys and values, each on a line of its own and indented",
    "tuple_type": "must be a list, each entry on a line of its own after `- `",
    "string_type": "must be text; put it in quotes",
    "path_type": "must be a path; put it in quotes",
    "invalid_key": "must be text; put it in quotes",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number, such as 0.05",
    "float_type": "must be a number, such as 0.05",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
}


def _keys_at(location: tuple[int | str, ...]) -> list[str]:
    """The keys that there are in a section, named by its place in the file."""
    section: Any = Config
    for part in location:
        if isinstance(part, str):
            section = _section_in(section.model_fields[part].annotation)
    return [*section.model_fields, *(SEVERAL if section is Domain else ())]


def _section_in(annotation: Any) -> Any:
    """The section that a field holds: itself, several of it, or perhaps none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_section_in, get_args(annotation))), None)


def _key_given_twice(root: yaml.Node) -> yaml.ScalarNode | None:
    """A key that its mapping has already, or None: YAML parsers let the last one win in silence.

    An alias is the very node that its anchor names, maybe the one around it: each node is looked at once.
    """
    waiting, known = [root], set[int]()
    while waiting:
        node = waiting.pop()
        if id(node) in known:
            continue
        known.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            keys = set[str]()
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode):
                    if key.value in keys:
                        return key
                    keys.add(key.value)
                waiting.append(value)
    return None


def _line_of(node: yaml.Node | None, location: tuple[int | str, ...]) -> int:
    """The line (from 1) of the deepest part of a key path that the file really has."""
    line = node.start_mark.line + 1 if node else 1
    for part in location:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == part), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line


def _with_absolute_paths(section: Any, base: Path) -> Any:
    """A copy of a configuration section whose relative paths start at the configuration's folder."""
    if isinstance(section, Path):
        return base / section
    if isinstance(section, tuple):
        return tuple(_with_absolute_paths(item, base) for item in section)
    if isinstance(section, BaseModel):
        changed = {name: _with_absolute_paths(getattr(section, name), base) for name in type(section).model_fields}
        return section.model_copy(update=changed)
    return section
