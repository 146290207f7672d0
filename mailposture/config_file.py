"""Reading the configuration file, with errors that name file, line, key and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from mailposture.config import Config

# In C where PyYAML was built with libyaml: a configuration of ten thousand domains takes seconds in Python.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class ConfigError(Exception):
    """The configuration cannot be used; the message names file, line, key, reason and next step."""


def load(path: Path) -> Config:
    """Read a configuration file; relative paths in it are relative to the file's folder.

    Raises ConfigError, whose message names the file, the line, the key and what to do.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); `mailposture init DIR --domain example.com` writes one"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start})") from error
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        twice = _key_given_twice(root) if root else None  # before merge keys (`<<`) copy what they bring
        values = loader.construct_document(root) if root else None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}:{line}: is not YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # control characters, days such as 2026-13-45
        raise ConfigError(f"{path}: is not YAML that can be read: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}:1: must hold keys and values, beginning with `domains:`")
    if twice:
        raise ConfigError(f"{path}:{twice.start_mark.line + 1}: {twice.value}: is given twice; join the two")
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(path, root, fault) for fault in error.errors())) from None
    absolute: Config = _with_absolute_paths(config, path.resolve().parent)
    return absolute


def _explain(path: Path, root: yaml.Node | None, fault: Any) -> str:
    location = tuple(part for part in fault["loc"] if isinstance(part, int | str))
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
    reason = (
        "there is no such key" if fault["type"] == "extra_forbidden" else fault["msg"].removeprefix("Value error, ")
    )
    return f"{path}:{_line_of(root, location)}: {key or 'file'}: {reason}"


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
