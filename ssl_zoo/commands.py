"""Every command of `ssl-zoo`: what it does in a line, and where it lives. A new command is one entry here."""

from typing import NamedTuple


class Command(NamedTuple):
    """A command.

    Attributes:
        line: What it does, for the list of all commands.
        module: Module with a function of the command's name, whose arguments are its options and whose docstring is
            its help; empty for the commands of Lightning.
        positional: Arguments that are given by their place alone, the last of them any number of times if it is a list.
        flags: Options without a value, by the argument that each sets to true.
        left_out: Arguments that no option sets.
        light: Whether its module imports nothing heavy, so that the command is run at once.
    """

    line: str
    module: str = ""
    positional: tuple[str, ...] = ()
    flags: tuple[tuple[str, str], ...] = ()
    left_out: tuple[str, ...] = ()
    light: bool = False

    @property
    def is_lightnings(self) -> bool:
        """Whether its options are those of a Trainer, a method and its data."""
        return not self.module


COMMANDS: dict[str, Command] = {
    "fit": Command("train a method without labels, then evaluate its frozen encoder"),
    "experiments": Command("list the experiments that come with the package", "ssl_zoo.packaged", light=True),
    "methods": Command("list the methods, and what each of them works on", "ssl_zoo.matrix", light=True),
    "new": Command(
        "write a skeleton of a class of your own, with its test",
        "ssl_zoo.new",
        ("kind", "name"),
        light=True,
    ),
    "probe": Command("evaluate a run again: kNN and linear probes beside the baselines", "ssl_zoo.evaluation.probe"),
    "compare": Command("rank finished runs, as tables and one page", "ssl_zoo.compare.compare", ("runs",)),
    "sweep": Command(
        "train many experiments and seeds on equal terms, and compare",
        "ssl_zoo.sweep.sweep",
        ("experiments",),
        (("list_only", "list"),),
        ("read", "overrides"),
    ),
    "predict": Command("embed examples with a run's encoder, or write with a GPT"),
    "translate": Command("translate the lines of a file by a run of Translation", "ssl_zoo.evaluation.translate"),
    "export": Command("write a run's encoder for others to load without this package", "ssl_zoo.export.export"),
    "finetune": Command("train a run's encoder further on a labelled task", "ssl_zoo.finetuning.finetune"),
    "in-context": Command("let a GPT classify texts from examples in its prompt", "ssl_zoo.evaluation.in_context"),
    "probe-public": Command("evaluate a published encoder beside your runs", "ssl_zoo.evaluation.public"),
    "validate": Command("the loss and online probes of a checkpoint on validation data"),
    "test": Command("the loss of a checkpoint on test data"),
    "dashboard": Command("make a workspace in a W&B project", "ssl_zoo.tracking.dashboard"),
    "completion": Command("print a script that completes commands in bash or zsh", "ssl_zoo.completion", ("shell",)),
}

# The first words of all options of Lightning's commands, so that a typo is answered before anything is imported.
LIGHTNINGS_OPTIONS = (
    "config", "print_config", "help", "trainer", "model", "data", "experiment", "seed_everything", "runs_dir", "resume",
    "root", "ckpt_path", "checkpoint_minutes", "allow_other_split", "probe_after_fit", "probe_data", "probe",
    "online_probe", "health", "embeddings", "weights_only", "verbose", "return_predictions", "run", "part", "out",
)  # fmt: skip

# What the help of Lightning's commands begins with: typical command lines, each with what it is for.
EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "fit": (
        ("ssl-zoo fit --config quickstart", "comes with the package, takes two minutes on two cores"),
        (
            "ssl-zoo fit --config mine.yaml --model.temperature 0.1 --trainer.max_steps 9",
            "a file of yours; options override it",
        ),
        ("ssl-zoo fit --resume runs/simclr/TIME-ID", "continues a run that was stopped"),
    ),
    "predict": (
        ("ssl-zoo predict --run RUN", "embeds all examples of a run's data, into the run's folder"),
        ("ssl-zoo predict --run RUN --data FOLDER --out there.parquet", "embeds data of your own"),
        (
            "ssl-zoo predict --config RUN/config.yaml --ckpt_path RUN/checkpoints/last.ckpt",
            "on several devices, or lets a GPT write",
        ),
    ),
    **{
        command: ((f"ssl-zoo {command} --config RUN/config.yaml --ckpt_path last", "the newest run of its experiment"),)
        for command in ("validate", "test")
    },
}


def function_of(command: str) -> str:
    """Name of the function that is a command, within its module."""
    return command.replace("-", "_")
