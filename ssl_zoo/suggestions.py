"""From jsonargparse's tree of complaints to one sentence: what is wrong, where, and the nearest right name."""

import difflib
import importlib
import inspect
import re
import sys
from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from ssl_zoo.own_code import is_own, place_of, place_of_failure, said

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
# Names that may be those of a user's class, wherever the message has them, and the setting if it stands nowhere else.
_OWN_CLASS = re.compile(
    r"class_path '((?:[^\W\d]\w*\.)+[^\W\d]\w*)'|Expected a path but ((?:[^\W\d]\w*\.)+[^\W\d]\w*) either|"
    r"NestedArg\(key='[^']+', val='((?:[^\W\d]\w*\.)+[^\W\d]\w*)'\)|"
    r"'class_path': '((?:[^\W\d]\w*\.)+[^\W\d]\w*)'|but ((?:[^\W\d]\w*\.)+[^\W\d]\w*) is abstract"
)
_NESTED = re.compile(r"NestedArg\(key='([^']+)'")
_NO_FILE = re.compile(r"Expected a path but (\S+\.(?:yaml|yml|json)) either not accessible")
_WRONG_KIND = re.compile(r"Import path (?:(\S+) )?does not correspond to a subclass of (\w+)")
_FRAMES = ("Parser key", "Does not validate", "Subtypes:", "Errors:", "Given value", "Problem with given class_path")


def explain(message: str, options: Iterable[str] = (), class_names: Collection[str] = ()) -> str:
    """One sentence for one parser error.

    Args:
        message: what jsonargparse says.
        options: full names of the command's options, such as `trainer.max_steps`.
        class_names: short names of the classes that may be named.
    """
    place = ".".join(key for key in _KEY.findall(message) if key != "config")
    if found := _NO_FILE.search(message):
        return f"{place}: there is no file {found[1]}."
    nested, unknown = _NESTED.findall(message), set(_NO_SETTING.findall(message))
    classes = list(dict.fromkeys("".join(found) for found in _OWN_CLASS.findall(message)))
    if any(key.rpartition(".")[2] in unknown for key in nested):  # a setting that there is not: its value is no class
        classes = []
    for name in classes:
        trouble = _trouble_with(name)
        if trouble and Path(name).is_file():
            trouble = f"{name} is a file, and the name of a class belongs here: give the file to a setting of that."
        if trouble:
            setting = f"{place}.{nested[0]}" if nested and not place.endswith(nested[0]) else place
            return f"{setting}: {trouble}"
    owners = _CLASS.findall(message)
    if owners and (found := _NO_SETTING.search(message)):
        owner = imported(_CLASS.findall(message[: found.start()])[-1])
        settings, parts = settings_of(owner), settings_of_parts(owner)
        for part, inner in parts.items():
            if found[1] in inner:
                return f"{place}.{found[1]} is a setting of {part}: write {place}.{part}.{found[1]}."
        meant = nearest(found[1], [*settings, *(f"{part}.{name}" for part in parts for name in parts[part])])
        known = ", ".join(settings) or "none"
        return then(f"{place}: {owner.__name__} has no setting '{found[1]}'{meant}", f"it has {known}.")
    if owners and (found := _NO_SETTING_OF_PART.search(message)):
        part, name = found["part"] or found["option_part"], found["name"] or found["option_name"]
        owner = imported(owners[-1])
        taken = settings_of_parts(owner).get(part)
        if taken is None:  # what is wrong is the name of the part
            settings = settings_of(owner)
            said = f"{place}: {owner.__name__} has no setting '{part}'{nearest(part, settings)}"
            return then(said, f"it has {', '.join(settings) or 'none'}.")
        return then(f"{place}.{part} has no setting '{name}'{nearest(name, taken)}", f"it has {', '.join(taken)}.")
    found = _NO_PART.search(message)
    if owners and found and (belongs := settings_of_parts(imported(owners[-1])).get(found[1])):
        place = ".".join(dict.fromkeys(place.split(".")))  # the message names the part twice
        return (
            f"{place} is '{found[2]}', but it has settings of its own: write {', '.join(belongs)} below it, such as "
            f"{place}.{belongs[0]}: {found[2]}."
        )
    if found := _NO_OPTION.search(message):
        option = (found[1] or found[2]).removeprefix("--").split("=")[0]
        return no_option(option, options)
    if found := _NO_CHOICE.search(message):
        choices = found[2].replace("'", "").split(", ")
        return then(
            f"There is no command '{found[1]}'{nearest(found[1], choices)}", f"the commands are {_listed(choices)}."
        )
    if (found := _REQUIRED.search(message)) and (owners := _CLASS.findall(message[: found.start()])):
        missing = found[1].strip().split(", ")
        plural, given = "s" * (len(missing) > 1), _listed(f"--{place}.{name}" for name in missing)
        return f"{place}: {owners[-1].rpartition('.')[2]} needs the setting{plural} {_listed(missing)}: give {given}."
    if found := _REQUIRED.search(message):
        needed = sorted(found[1].strip().split(", "), reverse=True)
        if command := next(
            (name.partition(".")[0] for name in needed if re.fullmatch(r"\w+\.(model|data)", name)), None
        ):
            absent = _listed(name.removeprefix(f"{command}.") for name in needed)
            return (
                f"{command} needs the setting{'s' * (len(needed) > 1)} {absent}, which files of settings hold: give "
                "--config quickstart, or another one that `ssl-zoo experiments` lists."
            )
        if not place:
            return f"Nothing is given for {_listed(reversed(needed))}; --help says how."
    if found := _WRONG_VALUE.search(message):
        choices = re.findall(r"'(\w+)'", found[1]) if "Literal" in found[1] else []
        meant = nearest(found[1].rpartition("Got value: ")[2], choices)
        return f"{place}: {_plain(found[1])}{meant or '.'}"
    if found := _WRONG_LENGTH.search(message):
        return f"{place}: {_plain(found[1])}, got {found[2]}."
    if found := _NO_CLASS.search(message):
        name = found[1] or found[2]
        if (Path.cwd() / f"{name}.py").is_file():
            return f"{place}: {name} is a module: name a class in it, too, as {name}.Class."
        setting = place or message.split(":")[0].strip().removeprefix("--").removesuffix(".help")
        if name in class_names:
            return f"{setting}: {name} is a class of another kind; --help lists those that fit."
        return then(
            f"{setting}: there is no class '{name}'{nearest(name, class_names)}",
            "a class of your own is named module.Class, its module lying in this folder.",
        )
    if found := _WRONG_KIND.search(message):
        named = [found[1] or "", *("".join(name) for name in _OWN_CLASS.findall(message)), "the class"]
        name = next(filter(None, named))
        needs = f"which {owners[-1].rpartition('.')[2]} needs" if owners else "which is needed here"
        module, _, kind = name.rpartition(".")
        class_ = getattr(sys.modules.get(module), kind, None)
        if inspect.isclass(class_) and is_own(class_):
            return f"{place}: {name} is no {found[2]}, {needs} ({place_of(class_)}): derive it from that."
        return f"{place}: {name} is no {found[2]}, {needs}; --help lists those that fit."
    if found := _NONE_OF_SEVERAL.search(message):
        kinds = [_plain(line.strip(" -")).removeprefix("expected a ") for line in found[1].splitlines()]
        kinds = ["null" if kind == "NoneType" else kind.removeprefix("expected ") for kind in kinds]
        meant = nearest(found[2], re.findall(r"'(\w+)'", found[1]))
        return f"{place}: expected {' or '.join(kinds)}, got {found[2]}{meant or '.'}"
    lines = [line.strip(" -") for line in message.splitlines() if line.strip(" -")]
    inner = [line for line in lines if not line.startswith(_FRAMES) and line != "Expected a <class 'NoneType'>"]
    if owners and inner:  # the frames around it say nothing but where
        return f"{place}: {_plain(inner[-1])}."
    return re.sub(r'^Parser key "config": ', "--config: ", " ".join(lines[:4]))


def nearest(name: str, names: Iterable[str], alike: float = 0.6) -> str:
    """`, did you mean 'x'?` for the most similar of `names`; nothing when none is similar.

    Args:
        name: what was written.
        names: what may have been meant.
        alike: how similar it must be, in [0, 1].
    """
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=alike)
    return f", did you mean '{close[0]}'?" if close else ""


def then(beginning: str, rest: str) -> str:
    """A sentence that goes on after a semicolon; after a question, as `nearest` asks one, another sentence follows.

    Args:
        beginning: without its end.
        rest: beginning with a small letter, or with what is written small anywhere.
    """
    return f"{beginning} {rest[0].upper()}{rest[1:]}" if beginning.endswith("?") else f"{beginning}; {rest}"


def no_option(option: str, known: Iterable[str], command: str = "") -> str:
    """The sentence that refuses an option.

    Args:
        option: name of the option, without dashes.
        known: names of the options that there are.
        command: name of the command, where it is known.
    """
    meant = nearest(f"--{option}", (f"--{each}" for each in known))
    listed = f"`ssl-zoo {command} --help` lists them." if command else "the command's --help lists them."
    return then(f"There is no option '--{option}'{meant}", listed)


def _listed(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _trouble_with(path: str) -> str | None:
    """Why there is no object of the class at `module.Class`, and what to do; None where that is not the trouble."""
    module, _, name = path.rpartition(".")
    try:
        class_ = getattr(importlib.import_module(module), name, None)
    except Exception as error:  # whatever a user's module raises is what is wrong with it
        return _failed_import(module, error)
    if class_ is None:
        own = [each for each, value in vars(sys.modules[module]).items() if _is_defined_in(module, value)]
        meant = nearest(name, own) or (f"; it has {', '.join(own)}." if own else ".")
        return f"{module} has no class '{name}'{meant}"
    if inspect.isabstract(class_):
        return (
            f"{path} lacks what its base class leaves to it: write {', '.join(sorted(class_.__abstractmethods__))} "
            f"({place_of(class_)})."
        )
    return None


def _failed_import(module: str, error: Exception) -> str:
    place = place_of_failure(error)
    if isinstance(error, ModuleNotFoundError) and error.name is not None:
        if f"{module}.".startswith(f"{error.name}."):  # its own absence, and not that of what it imports
            meant = nearest(error.name, [file.stem for file in Path.cwd().glob("*.py")])
            return then(
                f"there is no module '{error.name}'{meant}", "a class of your own lies in a module in this folder."
            )
        where = f" ({place})" if place else ""
        return (
            f"{module} cannot be imported, because there is no module '{error.name}'{where}: install it, or correct "
            "its name."
        )
    return f"{module} cannot be imported, {said(error)}{f' ({place})' if place else ''}: mend it there."


def _is_defined_in(module: str, value: object) -> bool:
    return inspect.isclass(value) and value.__module__ == module


def _plain(complaint: str) -> str:
    complaint = re.sub(r"(?:a )?typing\.Literal\[(.+?)\]", r"one of \1", complaint)
    complaint = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", complaint)
    complaint = re.sub(r"\ba (?=[aeio])", "an ", complaint)
    return complaint[0].lower() + complaint[1:].replace(". Got value:", ", got")


def imported(path: str) -> Any:
    """The class of a full name such as `ssl_zoo.encoders.image.ResNet`."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


@cache
def settings_of_parts(class_: type) -> dict[str, list[str]]:
    """What those arguments of a constructor take that are groups of settings, such as `optimizer`."""
    parser, parts = ArgumentParser(), dict[str, list[str]]()
    names = parser.add_class_arguments(class_)
    for action in parser._actions:
        part, _, setting = action.dest.partition(".")
        if setting and setting != "help" and part in names:  # classes have help alone
            parts.setdefault(part, []).append(setting)
    return parts


@cache
def settings_of(class_: type) -> list[str]:
    """Constructor arguments of a class, those it passes on to its bases included."""
    return ArgumentParser().add_class_arguments(class_)
