"""From jsonargparse's tree of complaints to one sentence: what is wrong, where, and the nearest right name."""

import difflib
import importlib
import re
from collections.abc import Collection, Iterable

from jsonargparse import ArgumentParser

_KEY = re.compile(r'Parser key "([^"]+)"')
_CLASS = re.compile(r"Problem with given class_path '([^']+)'")
_NO_PART = re.compile(r'Parser key "(\w+)": Unable to load config "([^"]+)"')
_NO_SETTING_OF_PART = re.compile(
    r"Group '(?P<part>\w+)' does not accept option '(?P<name>[^']+)'|"
    r"[Uu]nrecognized arguments: --(?P<option_part>\w+)\.(?P<option_name>[^=\s]+)"
)
_NO_SETTING = re.compile(r"Option '([^']+)' is not accepted")
_NO_OPTION = re.compile(r"does not accept option '([^']+)'|[Uu]nrecognized arguments: (\S+)")
_NO_CLASS = re.compile(r"Expected a dot import path string: (\S+)|Unexpected import path format: (\S+)")
_REQUIRED = re.compile(r"the following arguments are required: (.+)")
_NO_CHOICE = re.compile(r"invalid choice: '([^']+)' \(choose from (.+)\)")
_WRONG_LENGTH = re.compile(r"(Expected a \w+ with \d+ elements).*?Given value: ([^\n]*)", re.DOTALL)
_NONE_OF_SEVERAL = re.compile(
    r"Errors:\n((?:\s+- Expected [^\n]+\n)+)\s+Given value type: [^\n]+\n\s+Given value: ([^\n]*)"
)
_WRONG_VALUE = re.compile(r"(Expected (?:a|an|to be) .+?\. Got value: .*)")


def explain(message: str, options: Iterable[str] = (), class_names: Collection[str] = ()) -> str:
    """One sentence for one parser error.

    Args:
        message: what jsonargparse says.
        options: full names of the command's options, such as `trainer.max_steps`.
        class_names: short names of the classes that may be named.
    """
    place = ".".join(key for key in _KEY.findall(message) if key != "config")
    owners = _CLASS.findall(message)
    if owners and (found := _NO_SETTING.search(message)):
        owner = _imported(_CLASS.findall(message[: found.start()])[-1])
        settings, parts = settings_of(owner), _settings_of_parts(owner)
        for part, inner in parts.items():
            if found[1] in inner:
                return f"{place}.{found[1]} is a setting of {part}: write {place}.{part}.{found[1]}."
        meant = nearest(found[1], [*settings, *(f"{part}.{name}" for part in parts for name in parts[part])])
        return f"{place}: {owner.__name__} has no setting '{found[1]}'{meant}; it has {', '.join(settings)}."
    if owners and (found := _NO_SETTING_OF_PART.search(message)):
        part, name = found["part"] or found["option_part"], found["name"] or found["option_name"]
        inner = _settings_of_parts(_imported(owners[-1])).get(part, [])
        return f"{place}.{part} has no setting '{name}'{nearest(name, inner)}; it has {', '.join(inner)}."
    found = _NO_PART.search(message)
    if owners and found and (belongs := _settings_of_parts(_imported(owners[-1])).get(found[1])):
        place = ".".join(dict.fromkeys(place.split(".")))  # the message names the part twice
        return (
            f"{place} is '{found[2]}', but it has settings of its own: write {', '.join(belongs)} below it, such as "
            f"{place}.{belongs[0]}: {found[2]}."
        )
    if found := _NO_OPTION.search(message):
        option = (found[1] or found[2]).removeprefix("--").split("=")[0]
        return f"There is no option '{option}'{nearest(option, options)}; --help lists them."
    if found := _NO_CHOICE.search(message):
        choices = found[2].replace("'", "").split(", ")
        return f"There is no command '{found[1]}'{nearest(found[1], choices)}; the commands are {', '.join(choices)}."
    if (found := _REQUIRED.search(message)) and (owners := _CLASS.findall(message[: found.start()])):
        return f"{place}: {owners[-1].rpartition('.')[2]} needs the setting {found[1].strip()}."
    if found := _WRONG_VALUE.search(message):
        choices = re.findall(r"'(\w+)'", found[1]) if "Literal" in found[1] else []
        meant = nearest(found[1].rpartition("Got value: ")[2], choices)
        return f"{place}: {_plain(found[1])}{meant or '.'}"
    if found := _WRONG_LENGTH.search(message):
        return f"{place}: {_plain(found[1])}, got {found[2]}."
    if found := _NO_CLASS.search(message):
        name = found[1] or found[2]
        if name in class_names:
            setting = place or message.split(":")[0].strip().removeprefix("--").removesuffix(".help")
            return f"{setting}: {name} is a class of another kind; --help lists those that fit."
        return (
            f"{place}: there is no class '{name}'{nearest(name, class_names)}; "
            "a class of your own is named module.Class, its module lying in this folder."
        )
    if found := _NONE_OF_SEVERAL.search(message):
        kinds = [_plain(line.strip(" -")).removeprefix("expected a ") for line in found[1].splitlines()]
        kinds = ["null" if kind == "NoneType" else kind.removeprefix("expected ") for kind in kinds]
        meant = nearest(found[2], re.findall(r"'(\w+)'", found[1]))
        return f"{place}: expected {' or '.join(kinds)}, got {found[2]}{meant or '.'}"
    lines = [line.strip(" -") for line in message.splitlines() if line.strip(" -")]
    return re.sub(r'^Parser key "config": ', "--config: ", " ".join(lines[:4]))


def nearest(name: str, names: Iterable[str]) -> str:
    """`, did you mean 'x'?` for the most similar of `names`; nothing when none is similar."""
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.6)
    return f", did you mean '{close[0]}'?" if close else ""


def _plain(complaint: str) -> str:
    complaint = re.sub(r"a typing\.Literal\[(.+?)\]", r"one of \1", complaint)
    complaint = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", complaint)
    return complaint[0].lower() + complaint[1:].replace(". Got value:", ", got")


def _imported(path: str) -> type:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _settings_of_parts(class_: type) -> dict[str, list[str]]:
    """What those arguments of a constructor take that are groups of settings, such as `optimizer`."""
    parser, parts = ArgumentParser(), dict[str, list[str]]()
    names = parser.add_class_arguments(class_)
    for action in parser._actions:
        part, _, setting = action.dest.partition(".")
        if setting and part in names:
            parts.setdefault(part, []).append(setting)
    return parts


def settings_of(class_: type) -> list[str]:
    """Constructor arguments of a class, those it passes on to its bases included."""
    return ArgumentParser().add_class_arguments(class_)
