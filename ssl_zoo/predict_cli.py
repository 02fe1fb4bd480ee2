"""`ssl-zoo predict --run RUN`: embeds the run's data, or any other data of the kind, read as the run's own is."""

from pathlib import Path
from typing import Any

import lightning as L
from jsonargparse import ArgumentParser, Namespace

from ssl_zoo.data.base import DataModule
from ssl_zoo.errors import InputError
from ssl_zoo.evaluation.embed import Part, embed
from ssl_zoo.lightning_inside import CLASS_PATH, INSTANTIATOR
from ssl_zoo.own_code import own_errors
from ssl_zoo.parsing import STRICT, parse, resolve_paths
from ssl_zoo.runs.resuming import value_of
from ssl_zoo.runs.run import Run, data_settings, read_run

# What a folder or a file of one's own is to each kind of data.
FOLDERS = {"image": "ImageFolder", "text": "TextFiles", "audio": "AudioFolder"}
# What a file of pairs is to a run on pairs.
PAIRS = "ParallelTexts"
# What other data must have in common with the run's for its encoder to read it.
SHARED = ("channels", "sample_rate")


def names_run(args: list[str]) -> bool:
    """Whether a command line of `predict` names a run, and not the files of one as LightningCLI wants them."""
    return value_of(args, "--run") is not None


def predict(
    run: Path,
    part: Part = "all",
    out: Path | None = None,
    root: Path | None = None,
) -> None:
    """Embeds all examples of a run's data, or of other data of the kind, by the run's encoder.

    Writes what probes see, ``(N, D)`` float32, in the order of the source, with the names of files, the labels and the
    names of their classes, and positions in the source; of the run's own data also which part each example belongs to.

    Args:
        run: the run directory, runs/<experiment>/<time>-<id>.
        part: all, train, val, test or pretrain, which has the unlabelled examples too.
        out: a new file, .npz or .parquet (with ssl_zoo[parquet]); in the run's folder when left out.
        root: where the run's data lies now, where it was moved; short for --data.source.root.
    """


def predict_run(args: list[str]) -> None:
    """Runs the command.

    Args:
        args: the command line after `predict`.

    Raises:
        InputError: the run, the data or an option cannot be used.
    """
    directory = value_of(args, "--run")
    assert directory is not None, "asked by `names_run`"
    if any(option.split("=")[0] in ("--config", "-c", "--ckpt_path") for option in args):
        raise InputError("--run has its own settings and checkpoint: leave --config and --ckpt_path out.")
    run = read_run(directory, value_of(args, "--root"))
    args = _with_folder(args, run)
    others = [option.split("=")[0] for option in args if option.split("=")[0].split(".")[0] == "--data"]
    parser = ArgumentParser(
        prog="ssl-zoo predict --run RUN", description=(predict.__doc__ or "").split("\n")[0], **STRICT
    )
    parser.add_function_arguments(predict)
    parser.add_subclass_arguments(
        L.LightningDataModule, "data", required=False, help="Other data, with the run's own settings as defaults."
    )
    parser.set_defaults({"data": _defaults(run)})
    settings = parse(parser, args)
    data: DataModule = run.data
    if others:
        _same_channels(settings, others, run)
        resolve_paths(settings)
        with own_errors():
            data = parser.instantiate(settings).data
        _require_same_kind(data, run)
        data.read_like(run.data)
    else:
        data.allow_other_split = True  # nothing is evaluated: a warning will do
    embed(run, data, settings.part, settings.out)


def _with_folder(args: list[str], run: Run) -> list[str]:
    """A command line whose `--data FOLDER` names the source that reads such a folder or file."""
    given = value_of(args, "--data")
    if given is None or run.data.modality not in FOLDERS:
        return args
    if not Path(given).expanduser().exists():
        if _is_path(given):
            raise InputError(f"--data: there is no file or folder {given}: give the path of one.")
        return args
    rest = list(args)
    if f"--data={given}" in rest:
        place = rest.index(f"--data={given}")
        del rest[place]
    else:
        place = rest.index("--data")
        del rest[place : place + 2]
    kind = PAIRS if getattr(run.data, "paired", False) and _has_tabs(Path(given)) else FOLDERS[run.data.modality]
    source = run.checkpoint["datamodule_hyper_parameters"].get("source") or {"class_path": ""}
    chosen = [] if source["class_path"].endswith(f".{kind}") else [f"--data.source={kind}"]
    return [*rest[:place], *chosen, f"--data.source.root={Path(given).expanduser().resolve()}", *rest[place:]]


def _has_tabs(path: Path) -> bool:
    """Whether there is a tab in the first line of a file, as between a text and its translation."""
    if not path.expanduser().is_file():
        return False
    with path.expanduser().open("rb") as file:
        return b"\t" in file.readline()


def _is_path(given: str) -> bool:
    """Whether what is given cannot be meant as a class: a name like `ImageData`, or `module.Class`."""
    return not all(name.isidentifier() for name in given.split(".")) or ("." not in given and given.islower())


def _defaults(run: Run) -> dict[str, Any]:
    """The settings of the run's data, for other data: of its sizes, and all of it."""
    kept = data_settings(run.checkpoint)
    settings = {name: value for name, value in kept.items() if name not in (CLASS_PATH, INSTANTIATOR)}
    source = settings.get("source")
    if isinstance(source, dict) and source["class_path"].endswith(f".{FOLDERS['image']}"):
        settings["source"] = {**source, "init_args": {**source["init_args"], "labels": None}}  # a file of the run's
    if "train_size" in settings:
        settings["train_size"] = None
    if "image_size" in settings:  # where it is left out, a source's own
        settings["image_size"] = getattr(run.data, "image_size", None)
    return {"class_path": kept[CLASS_PATH], "init_args": settings}


def _same_channels(settings: Namespace, given: list[str], run: Run) -> None:
    """Lets a source that can read any number of channels read the run's, unless the user says otherwise."""
    source = settings.get("data.init_args.source")
    channels = getattr(run.data, "channels", None)
    if not isinstance(source, Namespace) or channels is None or any(name.endswith(".channels") for name in given):
        return
    if "channels" in source.get("init_args", {}):
        source.init_args.channels = channels


def _require_same_kind(data: DataModule, run: Run) -> None:
    if data.modality != run.data.modality:
        raise InputError(
            f"--data: the run's encoder reads {run.data.noun}, and {type(data).__name__} has {data.noun}: give data "
            f"of the run's kind, such as {type(run.data).__name__}."
        )
    for name in SHARED:
        here, wanted = getattr(data, name, None), getattr(run.data, name, None)
        if here != wanted:
            raise InputError(f"--data: its {name} is {here}, and the run's encoder reads {wanted}: leave it out.")
