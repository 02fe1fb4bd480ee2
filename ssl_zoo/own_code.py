"""Code of the user's own: whose it is, and in which file and line it fails, in one sentence."""

import inspect
import os
import re
import sys
import sysconfig
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple, TextIO

from ssl_zoo.errors import InputError
from ssl_zoo.launched import is_first

_PACKAGE = Path(__file__).parent
# Of this package, of Python and of what is installed for it; the console script lies in the last one.
_OTHERS = tuple(
    f"{Path(folder).resolve()}{os.sep}"
    for folder in (str(_PACKAGE), *map(sysconfig.get_path, ("stdlib", "purelib", "platlib", "scripts")))
)
# What begins outside the command line, such as a script that calls it, is not what a command runs.
_OUTERMOST = "ssl_zoo.cli"
_IMPORT = re.compile(r"^\s*(from|import)\s+ssl_zoo\b", re.MULTILINE)


class Place(NamedTuple):
    """A line in a file of the user's.

    Attributes:
        file: the file.
        line: number of the line.
        function: the function that the line is in, such as `Rotation.losses`.
    """

    file: str
    line: int
    function: str = ""

    def __str__(self) -> str:
        """As sentences have it; a file below this folder by its path from here."""
        path = Path(self.file)
        near = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
        return f"{near}, line {self.line}"


def is_own(class_: type) -> bool:
    """Whether a class is the user's, and not one of this package or of a library."""
    found = sys.modules.get(class_.__module__)
    if class_.__module__ == "__main__":  # a notebook has no file
        return True
    return _is_own_file(getattr(found, "__file__", None) or "<unknown>")


def place_of(class_: type, function: str | None = None) -> str:
    """File and line in which a class is written, or a function of it; its name where there is no file.

    Args:
        class_: the user's.
        function: name of the function; None for the class.
    """
    thing = class_ if function is None else inspect.unwrap(getattr(class_, function))
    try:
        return str(Place(inspect.getsourcefile(thing) or "", inspect.getsourcelines(thing)[1]))
    except (OSError, TypeError):  # made at a prompt
        return f"{class_.__module__}.{class_.__qualname__}"


def place_of_failure(error: BaseException) -> Place | None:
    """The innermost line of the user's that an error has come through; None where it came through none."""
    if isinstance(error, SyntaxError) and error.filename and _is_own_file(error.filename):
        return Place(str(Path(error.filename).resolve()), error.lineno or 1)
    found, step = None, error.__traceback__
    while step is not None:
        if _is_own_code(step.tb_frame.f_code):
            found = Place(step.tb_frame.f_code.co_filename, step.tb_lineno, step.tb_frame.f_code.co_qualname)
        step = step.tb_next
    return found


def said(error: BaseException) -> str:
    """An error in words: its kind and the first line of its message."""
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    first = next(iter(message.strip().splitlines()), "")
    return f"{type(error).__name__}: {first.rstrip('.')}" if first else type(error).__name__


@contextmanager
def own_errors(*kinds: type, advice: Callable[[], str] = str) -> Iterator[None]:
    """Makes a sentence of what fails in the user's code, with file and line, and finds sentences in what wraps them.

    Args:
        *kinds: Classes of which one has to be the user's own for that; none where any code may be.
        advice: Says what else to do besides mending the line, such as `, and ...`.

    Raises:
        InputError: an error came through a line of the user's, or was such a sentence already.
    """
    try:
        yield
    except Exception as error:  # whatever a user's code raises is what is wrong with it
        wrapped: list[BaseException] = []
        cause: BaseException | None = error
        while cause is not None:
            if cause is error and isinstance(error, InputError):
                raise
            if isinstance(cause, InputError):
                raise cause from error
            wrapped.append(cause)
            cause = cause.__cause__
        for each in reversed(wrapped) if not kinds or any(map(is_own, kinds)) else ():
            if place := place_of_failure(each):
                found = f"{place.function} failed with {said(each)} ({place})"
                raise InputError(f"{found}: mend it there{advice()}.") from error
        raise


@contextmanager
def warnings_in_own_lines() -> Iterator[None]:
    """Within, a warning that code of the user's has caused shows its line, and not one of the library that calls it.

    A warning of this package is one sentence, which needs no line of code, and is not said again when a run reads its
    data again, to be evaluated. One about data, which all processes of a run read alike, is said by the first of them.
    """
    show, form = warnings.showwarning, warnings.formatwarning
    said: set[str] = set()

    def shown(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        said_by = _said_by_the_package(sys._getframe(1)) if category is UserWarning else None
        if said_by and not _is_own_file(filename):  # the caller that it names is a decorator of PyTorch's, say
            filename, lineno = said_by.file, said_by.line
        if category is UserWarning and Path(filename).is_relative_to(_PACKAGE):
            of_data = Path(filename).is_relative_to(_PACKAGE / "data")
            if str(message) in said or (of_data and not is_first()):
                return
            said.add(str(message))
        elif not _is_own_file(filename) and (place := _innermost(sys._getframe(1))):
            filename, lineno = place.file, place.line
        show(message, category, filename, lineno, file, line)

    def formed(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
    ) -> str:
        if category is UserWarning and Path(filename).is_relative_to(_PACKAGE):
            return f"ssl-zoo: warning: {message}\n"
        return form(message, category, filename, lineno, line)

    warnings.showwarning, warnings.formatwarning = shown, formed
    try:
        yield
    finally:
        warnings.showwarning, warnings.formatwarning = show, form


def unsaid(thing: Any, base: type) -> list[str]:
    """Attributes that a base class declares, and an object of the user's class lacks."""
    return [name for name in base.__annotations__ if not hasattr(thing, name)]


def require_said(thing: Any, base: type) -> None:
    """Refuses an object that lacks what every object of its base class has.

    Args:
        thing: what was built.
        base: the class it derives from, whose annotations it must have.

    Raises:
        InputError: it lacks some.
    """
    lacking = unsaid(thing, base)
    if lacking:
        raise InputError(
            f"{type(thing).__name__} ({place_of(type(thing))}) does not say its {', '.join(lacking)}: set "
            f"{'it' if len(lacking) == 1 else 'them'} in the class or in __init__, as the docstring of "
            f"{base.__module__}.{base.__name__} says."
        )


def require_initialised(module: Any) -> None:
    """Refuses a module with a part whose constructor leaves out that of its base class.

    Args:
        module: what was built, a `torch.nn.Module`, which takes too long to import for this file.

    Raises:
        InputError: PyTorch could not so much as list the part's parameters.
    """
    for part in vars(module)["_modules"].values():
        if part is None:
            continue
        if "_modules" not in vars(part):
            kind = type(part)
            raise InputError(
                f"{kind.__name__}.__init__ ({place_of(kind, '__init__')}) does not initialise its base class: begin it "
                "with super().__init__()."
            )
        require_initialised(part)


def _said_by_the_package(frame: FrameType | None) -> Place | None:
    """The line that a warning comes from, where it is one of this package.

    Args:
        frame: the one that shows it.
    """
    while frame is not None and frame.f_code.co_filename == warnings.__file__:
        frame = frame.f_back
    if frame is None or not Path(frame.f_code.co_filename).is_relative_to(_PACKAGE):
        return None
    return Place(frame.f_code.co_filename, frame.f_lineno)


def _innermost(frame: FrameType | None) -> Place | None:
    while frame is not None and frame.f_globals.get("__name__") != _OUTERMOST:
        if _is_own_code(frame.f_code):
            return Place(frame.f_code.co_filename, frame.f_lineno)
        frame = frame.f_back
    return None


def _is_own_code(code: CodeType) -> bool:
    return _is_own_file(code.co_filename)


def _is_own_file(name: str) -> bool:
    path = Path(name)
    if name.startswith("<") or path.is_relative_to(_PACKAGE):
        return False
    if {"site-packages", "dist-packages"} & set(path.parts):  # a package of the user's may be installed, too
        return _imports_this_package(path)
    return not str(path.resolve()).startswith(_OTHERS)


@cache
def _imports_this_package(file: Path) -> bool:
    """Whether an installed file is written for ssl_zoo, as no library that ssl_zoo is built on can be."""
    try:
        return _IMPORT.search(file.read_text(errors="replace")) is not None  # the import is ASCII at least
    except OSError:  # compiled, or within an archive
        return False
