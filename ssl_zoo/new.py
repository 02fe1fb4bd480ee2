"""`ssl-zoo new`: a skeleton of a class of one's own, with an experiment that runs it and a test."""

import ast
import importlib.util
import keyword
import re
import shlex
import sys
from pathlib import Path

from ssl_zoo.errors import InputError
from ssl_zoo.suggestions import nearest, then

TEMPLATES = Path(__file__).parent / "templates"
KINDS = ("method", "encoder", "source", "views", "callback", "task")


def new(kind: str, name: str) -> None:
    """Writes NAME.py, a class of your own to begin with, an experiment that runs it, and its test, into this folder.

    The experiment takes less than a minute on a CPU. What is there already is never overwritten.

    Args:
        kind: What to write: method, encoder, source (of images), views, callback, or task (for probes).
        name: What to call it, such as `rotation`, whose class is Rotation.

    Raises:
        InputError: There is no such kind, the name is none for a module, or a file of the name exists.
    """
    if kind not in KINDS:
        said = f"There is no skeleton of '{kind}'{nearest(kind, KINDS)}"
        raise InputError(then(said, f"there are {', '.join(KINDS)}."))
    module = _module_of(name)
    skeleton = ast.parse((TEMPLATES / f"my_{kind}.py").read_text(encoding="utf-8"))
    if _class_of(module) in {node.id for node in ast.walk(skeleton) if isinstance(node, ast.Name)}:
        raise InputError(
            f"'{_class_of(module)}' is a name that the skeleton itself needs for something else: choose another."
        )
    texts = rendered(kind, module)
    if taken := [file for file in texts if Path(file).exists()]:
        exists, it = ("exists", "it") if len(taken) == 1 else ("exist", "them")
        raise InputError(f"{', '.join(taken)} {exists} in this folder: choose another name, or move {it} away.")
    for file, text in texts.items():
        Path(file).write_text(text, encoding="utf-8")
    print(f"Wrote {', '.join(texts)}. Next:\n")
    print(f"  ssl-zoo fit --config {module}.yaml\n  python -m pytest {shlex.quote(f'test_{module}.py')}\n")


def rendered(kind: str, module: str) -> dict[str, str]:
    """The files of a skeleton, by name.

    Args:
        kind: One of `KINDS`.
        module: Name of the module; that of its class is made of the same words.
    """
    here, class_ = f"my_{kind}", f"My{kind.capitalize()}"
    wanted = _class_of(module)
    files = (f"{here}.py", f"{here}.yaml", f"test_{here}.py")
    return {
        file.replace(here, module): (TEMPLATES / file)
        .read_text(encoding="utf-8")
        .replace(here, module)
        .replace(class_, wanted)
        for file in files
    }


def _class_of(module: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in module.split("_"))


def _module_of(name: str) -> str:
    """The name of the module: `my_rotation` of `MyRotation`, `my-rotation` and `my_rotation.py`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.removesuffix(".py"))
    module = words.replace("-", "_").lower()
    reserved = keyword.iskeyword(module) or keyword.iskeyword(_class_of(module))  # None, True and False are classes'
    if not module.isidentifier() or reserved or not module.strip("_"):
        raise InputError(
            f"'{name}' cannot be the name of a module: give one of letters, digits and _, such as rotation."
        )
    beside = Path(f"{module}.py").exists()  # which is refused by whoever writes there
    if not beside and (module in sys.stdlib_module_names or importlib.util.find_spec(module) is not None):
        raise InputError(f"'{module}' is the name of an installed module, which yours would hide: choose another.")
    return module
