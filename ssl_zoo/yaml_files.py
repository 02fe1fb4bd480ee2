"""YAML files read strictly: one that cannot be read, and a name that is given twice, become one sentence."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from ssl_zoo.errors import InputError


def read_yaml(path: Path, what: str = "") -> Any:
    """What is in a YAML file.

    Args:
        path: the file, in UTF-8.
        what: what it is, in front of its path in messages, such as "the variants".

    Raises:
        InputError: there is no such file, it is no YAML, or it gives a name twice at one place, of which YAML would
            take the last in silence.
    """
    named = f"{what} {path}".lstrip()
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except OSError as error:
        raise InputError(f"{named} cannot be read ({error.strerror}): give a YAML file.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{named} is not UTF-8: save it as UTF-8, as `iconv -t UTF-8` does.") from error
    except yaml.YAMLError as error:
        raise InputError(f"{named} is no YAML: {' '.join(str(error).split())}.") from error
    except ValueError as error:  # a date such as 2024-13-01, which YAML's own errors know nothing of
        raise InputError(f"{named} has a value that YAML cannot read ({error}): write it in quotes.") from error
    for name, first, second in _given_twice(root):
        raise InputError(f"{named} gives {name} twice, in lines {first} and {second}: keep one of them.")
    return content


def check_configs(args: list[str]) -> None:
    """Refuses a file behind `--config` as `read_yaml` does; what is no file is left to the parser.

    Args:
        args: a command line, in which files stand with their paths.
    """
    for before, arg in zip(["", *args], args, strict=False):
        given = arg if before in ("-c", "--config") else arg.removeprefix("--config=")
        if (given != arg or before in ("-c", "--config")) and Path(given).is_file():
            read_yaml(Path(given))


def _given_twice(root: yaml.Node | None) -> Iterator[tuple[str, int, int]]:
    """Names that stand twice in one mapping, with the lines of both, from 1 on."""
    left, seen = [root], set[int]()
    while left:
        node = left.pop()
        if node is None or id(node) in seen:  # an alias stands for a node that was looked at
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            left += node.value
        elif isinstance(node, yaml.MappingNode):
            lines: dict[str, int] = {}
            for key, value in node.value:
                left.append(value)
                if isinstance(key, yaml.ScalarNode) and key.value != "<<":  # which takes in what stands elsewhere
                    line = key.start_mark.line + 1
                    if key.value in lines:
                        yield key.value, lines[key.value], line
                    lines.setdefault(key.value, line)
