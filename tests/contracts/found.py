"""Classes that are tested because they are there: no list of them has to be kept."""

import importlib
import inspect
import pkgutil
from functools import cache
from types import ModuleType


@cache
def concrete(base: type, package: ModuleType) -> list[type]:
    """Classes below a base that can be built, of all modules of a package, by name; a list for reading only."""
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
    waiting, found = [base], set()
    while waiting:
        class_ = waiting.pop()
        waiting.extend(class_.__subclasses__())
        if not inspect.isabstract(class_) and class_.__module__.startswith(package.__name__):
            found.add(class_)
    return sorted(found, key=lambda class_: class_.__name__)
