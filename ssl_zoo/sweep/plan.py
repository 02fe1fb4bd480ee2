"""Which runs a sweep consists of."""

import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ssl_zoo.errors import InputError
from ssl_zoo.packaged import locate
from ssl_zoo.runs.named import check_experiments
from ssl_zoo.sweep.terms import Terms
from ssl_zoo.yaml_files import check_configs, read_yaml

# What the sweep itself decides about every run.
OWN = ("--seed_everything", "--runs_dir", "--ckpt_path", "--resume")
OWN_LENGTH = ("--trainer.max_steps", "--trainer.max_epochs", "--trainer.max_time", "--trainer.val_check_interval",
              "--trainer.check_val_every_n_epoch", "--trainer.log_every_n_steps")  # fmt: skip
# What a variant has no say in either: its experiment's file, and the name that distinguishes it.
OWN_OF_VARIANTS = ("--config", "--experiment")
# Settings that do not make a run another one.
NOT_PART = ("config", "seed_everything", "runs_dir", "ckpt_path", "resume", "root", "checkpoint_minutes")

ReadSettings = Callable[[list[str]], dict[str, Any]]


class Experiment(NamedTuple):
    """An experiment on the terms of a sweep.

    Attributes:
        name: name of the experiment's file.
        options: options of `ssl-zoo fit`, without those that the sweep adds.
        settings: what these come to.
        folder: where its runs lie; its name changes with the settings and the terms.
    """

    name: str
    options: list[str]
    settings: dict[str, Any]
    folder: Path


def plan(
    paths: list[Path], overrides: list[str], terms: Terms, out: Path, read: ReadSettings, variants: Path | None = None
) -> list[Experiment]:
    """The experiments of a sweep, each checked before any is trained.

    Args:
        paths: YAML files, or folders that hold some.
        overrides: options for every run.
        terms: how long runs are.
        out: folder of the sweep.
        read: gives the settings that options of `ssl-zoo fit` come to.
        variants: file of the variants that every experiment is trained in, as `read_variants` has them; None for none.

    Raises:
        InputError: a file or an option cannot be used, or there is nothing to run.
    """
    changes = {"": []} if variants is None else read_variants(variants)
    own = {*OWN, *(OWN_LENGTH if terms != Terms(None, None) else ())}
    for option in (each.split("=")[0] for each in overrides):
        if option in own:
            raise InputError(f"sweep: {option} is for the sweep to set: leave it out after the --.")
    for variant, changed in changes.items():
        for option in (each.split("=")[0] for each in changed):
            if option in {*own, *OWN_OF_VARIANTS}:
                raise InputError(
                    f"sweep: {variants} sets {option.removeprefix('--')} in the variant {variant}, which is for the "
                    "sweep to set: leave it out there."
                )
    experiments: dict[Path, Experiment] = {}
    for path, (variant, changed) in itertools.product(find_experiments(paths), changes.items()):
        name = f"{path.stem}-{variant}" if variant else path.stem
        named = [f"--experiment={name}"] if variant else []
        options = ["--config", str(path), *named, *changed, *overrides]
        check_configs(options)
        try:
            read_settings = read(options)
        except InputError as error:
            raise InputError(f"sweep: {name}: {error}") from error
        settings = {name: value for name, value in read_settings.items() if name not in NOT_PART}
        digest = hashlib.sha256(json.dumps([settings, terms], sort_keys=True, default=str).encode()).hexdigest()
        folder = out / f"{name}-{digest[:8]}"
        experiments.setdefault(folder, Experiment(name, options, settings, folder))
    return list(experiments.values())


def find_experiments(paths: list[Path]) -> Iterator[Path]:
    """The YAML files among `paths`, and in the folders among them those that have a model.

    What is no path may be the name of an experiment that comes with the package.

    Raises:
        InputError: a path does not exist, or a folder holds no experiment.
    """
    check_experiments(paths)
    for path in (Path(locate(str(given))) for given in paths):
        if path.is_dir():
            found = sorted(file for file in path.iterdir() if file.suffix in (".yaml", ".yml") and has_model(file))
            if not found:
                raise InputError(f"sweep: the folder {path} holds no experiment, which is a .yaml file with a model.")
            yield from found
        else:
            yield path


def read_variants(path: Path) -> dict[str, list[str]]:
    """Options of `ssl-zoo fit` by the name of the variant that they make of an experiment.

    Args:
        path: YAML file, or the name of one that comes with the package: names, below each of them settings such as
            `model.masking` with their values.

    Raises:
        InputError: it is no such file.
    """
    path = Path(locate(str(path)))
    content = read_yaml(path, "sweep: the variants")
    if not isinstance(content, dict) or not content or not all(isinstance(each, dict) for each in content.values()):
        raise InputError(f"sweep: {path} holds no variants: give names, and below each of them settings with values.")
    for name in content:
        if not isinstance(name, str | int | float) or isinstance(name, bool):
            raise InputError(f"sweep: {path} has a variant whose name YAML reads as {name}: write it in quotes.")
        if not re.fullmatch(r"[\w.-]+", str(name)):
            raise InputError(f"sweep: {path} has a variant called {name}: name it by letters, digits, _, - and dots.")
    return {
        str(name): [
            f"--{setting}={value if isinstance(value, str) else json.dumps(value, default=str)}"
            for setting, value in _dotted(each)
        ]
        for name, each in content.items()
    }


def _dotted(settings: dict[Any, Any]) -> Iterator[tuple[str, Any]]:
    """Settings with their values; those of the trainer, of which the sweep sets some, one by one."""
    for name, value in settings.items():
        if name == "trainer" and isinstance(value, dict):
            yield from ((f"trainer.{inner}", given) for inner, given in value.items())
        else:
            yield str(name), value


def has_model(path: Path) -> bool:
    """Whether a YAML file describes an experiment, and not only changes to one."""
    content = read_yaml(path, "sweep:")
    return isinstance(content, dict) and "model" in content
