"""What the command line answers before anything heavy is imported."""

import ast
import inspect
import io
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ssl_zoo import __version__, front
from ssl_zoo.__main__ import main as start
from ssl_zoo.cli import main, parser_of
from ssl_zoo.commands import COMMANDS, EXAMPLES, LIGHTNINGS_OPTIONS
from ssl_zoo.errors import InputError
from ssl_zoo.packaged import folder
from ssl_zoo.signals import requests
from ssl_zoo.training_cli import SettingsOnly

ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "lightning", "numpy", "transformers", "torchvision", "sklearn", "wandb", "matplotlib"}
FUNCTIONS = [name for name, command in COMMANDS.items() if not command.is_lightnings]
ANSWERED = [
    [], ["-h"], ["--help"], ["--version"], ["experiments"], ["fitt"], ["compar", "runs"],
    ["fit", "--config", "nowhere.yaml"], ["fit", "--config=nowhere"], ["fit", "-c", "nowhere.yaml"],
    ["fit", "--modell", "x"], ["export"],
    ["fit", "--resume", "nowhere"], ["test", "--ckpt_path", "nowhere.ckpt"], ["compare", "nowhere"],
    ["sweep", "nowhere.yaml"], ["probe", "--run", "nowhere"], ["probe", "--run=nowhere"], ["compare", ".", "--rank=x"],
    *([name, "--help"] for name in FUNCTIONS),
]  # fmt: skip
ANSWER_ALL = f"""
import contextlib, io, sys
from ssl_zoo.__main__ import main
for args in {ANSWERED!r}:
    sys.argv = ["ssl-zoo", *args]
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            main()
        except SystemExit as ended:
            code = ended.code
        else:
            code = 0
        if code:
            assert code == 2, args
            assert err.getvalue().startswith("ssl-zoo: error: ") and err.getvalue().count("\\n") == 1, args
        else:
            assert out.getvalue() and not err.getvalue(), args
    assert not {HEAVY!r} & set(sys.modules), (args, {HEAVY!r} & set(sys.modules))
"""


def test_what_needs_nothing_heavy_imports_nothing_heavy(tmp_path):
    subprocess.run([sys.executable, "-c", ANSWER_ALL], cwd=tmp_path, check=True)


def test_it_takes_far_less_than_a_second_and_a_half(tmp_path):
    """Of the processor, as the clock on a busy machine says nothing."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "ssl_zoo", "compare", "-h"], cwd=tmp_path, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.5


def test_all_commands_are_listed_with_one_line_each(capsys):
    with pytest.raises(SystemExit) as ended:
        front.answer([])
    assert not ended.value.code
    said = capsys.readouterr().out
    for name, command in COMMANDS.items():
        (line,) = (line for line in said.splitlines() if line.split()[:1] == [name])
        assert command.line in line
    assert max(map(len, said.splitlines())) <= 80
    with pytest.raises(SystemExit):
        front.answer(["--help"])
    assert capsys.readouterr().out == said


def test_in_process_the_answers_are_the_same(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert not ended.value.code
    assert capsys.readouterr().out == f"{__version__}\n"
    with pytest.raises(SystemExit) as ended:
        main(["probe", "--run", "nowhere"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("ssl-zoo: error: There is no run at nowhere: give a folder")


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["fitt"], "no command 'fitt', did you mean 'fit'? The commands are fit, "),
        (["fit", "--config", "qickstart"], "there is no file qickstart, did you mean 'quickstart'? `ssl-zoo exper"),
        (["fit", "--config", "mine.yaml"], "there is no file mine.yaml, did you mean 'mime.yaml'?"),
        (
            ["compare", "below", "--rankby", "x"],
            "no option '--rankby', did you mean '--rank_by'? `ssl-zoo compare --help` lists them.",
        ),
        (["-v"], "no option '-v' without a command; `ssl-zoo --help` lists the commands"),
        (
            ["fit", "--modell.temperature", "1"],
            "no option '--modell.temperature', did you mean '--model.temperature'? `ssl-zoo fit --help` lists them.",
        ),
        (["test", "--ckptpath=x"], "no option '--ckptpath', did you mean '--ckpt_path'?"),
        (["fit", "--nonsense"], "no option '--nonsense'; `ssl-zoo fit --help` lists them."),
        (["probe", "--run", "below"], "There is no run at below: give a folder like runs/<experiment>/<time>-<id>."),
        (["probe", "--run", "."], "There is no run at .: give a folder such as run, the newest below it."),
        (["export", "--run", "run"], "export needs --out; `ssl-zoo export --help` says what it takes."),
        (["fit", "--config"], "--config: nothing follows it"),
        (["fit", "--config", "--model", "SimCLR"], "--config: nothing follows it"),
        (["probe", "--run="], "--run: nothing follows it"),
        (
            ["fit", "quickstart"],
            "fit: 'quickstart' stands where an option is expected, did you mean --config quickstart?",
        ),
        (["fit", "run"], "did you mean --resume run?"),
        (["fit", "a run"], "did you mean --resume 'a run'?"),
        (["probe", "run"], "did you mean --run run?"),
        (["predict", "run"], "did you mean --run run?"),
        (["test", "run"], "did you mean --config run/config.yaml --ckpt_path run/checkpoints/last.ckpt?"),
        (
            ["experiments", "image"],
            "experiments: 'image' stands where an option is expected; `ssl-zoo experiments --help`",
        ),
        (["fit", "--resume", "below"], "--resume: there is no run at below, as it holds no config.yaml"),
    ],
)
def test_mistakes_get_one_sentence_with_the_nearest_right_name(tmp_path, monkeypatch, args, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mime.yaml").touch()
    (tmp_path / "below").mkdir()
    for run in ("run", "a run"):
        (tmp_path / run).mkdir()
        (tmp_path / run / "config.yaml").touch()
    with pytest.raises(InputError) as refused:
        front.answer(args)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    "args",
    [
        ["fit", "--config", "quickstart"], ["fit", "--config", str(folder() / "quickstart.yaml")],
        ["fit", "--config", "{model: {class_path: SimCLR}}"], ["fit", "--config", "s3://bucket/mine.yaml"],
        ["fit", "--resume", "auto"], ["fit", "--ckpt_path", "last"], ["fit", "--resume"], ["--config", "x.yaml", "fit"],
        ["sweep", "quickstart", "--list", "--", "--config", "nowhere.yaml"], ["compare", "--out", "nowhere"],
        ["probe", "--run", "run", "--labels_per_class+=3", "--ceiling", "false"],
        ["probe-public", "--data.source.help=Digits"],
    ],
)  # fmt: skip
def test_what_may_be_right_is_left_to_those_who_know(tmp_path, monkeypatch, args):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").touch()
    assert not front.answer(args)


def test_the_first_words_of_lightnings_options_are_known_without_lightning(monkeypatch):
    first = set()

    class Names(SettingsOnly):
        def parse_arguments(self, parser, args):
            names = (option for action in self.parsers[args[0]]._actions for option in action.option_strings)
            first.update(re.split(r"[.+]", name.removeprefix("--"))[0] for name in names if name.startswith("--"))
            raise SystemExit

    for name, command in COMMANDS.items():
        if command.is_lightnings:
            with pytest.raises(SystemExit):
                Names([name])
    of_predict = {"run", "part", "out"}  # with --run it takes these
    assert first | of_predict == set(LIGHTNINGS_OPTIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_help_read_from_the_source_is_of_the_options_that_there_are(name):
    parser, function = parser_of(name)
    real = {action.dest.split(".")[0] for action in parser._actions} - {"help"}
    flags = dict(COMMANDS[name].flags)
    description, options = front.options_of(name)
    assert {flags.get(option.name, option.name) for option in options} == real
    defaults = {name: each.default for name, each in inspect.signature(function).parameters.items()}
    assert all((option.default is None) == (defaults[option.name] is inspect.Parameter.empty) for option in options)
    assert description.split("\n")[0] in (function.__doc__ or "") and all(option.help for option in options)
    assert all(f"--{flags.get(option.name, option.name)}" in front.command_help(name) or option.name in
               COMMANDS[name].positional for option in options)  # fmt: skip


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_help_of_what_trains_begins_with_config_and_examples(capsys, name):
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith(f"usage: ssl-zoo {name} --config FILE")
    examples = [line for line in said.split("options:")[0].splitlines() if line.startswith(f"  ssl-zoo {name} ")]
    assert examples == [f"  {line}" for line, _ in EXAMPLES[name]]
    assert "--trainer.max_steps" in said
    line = COMMANDS[name].line  # with its names as they are written: a GPT, not a gpt
    assert f"\n\n{line[0].upper()}{line[1:]}.\n" in said
    assert max(map(len, said.split("options:")[0].splitlines())) <= 80
    assert len(EXAMPLES["fit"]) == 3


def test_a_terminal_sees_a_sign_of_life_and_a_pipe_does_not(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stream, shown in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        with front.sign_of_life():
            assert ("loading" in stream.getvalue()) == shown
        assert stream.getvalue().endswith("\r\033[K") == shown


def test_a_pipe_gets_a_line_where_imports_take_long(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(front, "SILENCE", 0.01)
    with front.sign_of_life():
        time.sleep(0.2)
    said = stream.getvalue().splitlines()
    assert len(said) > 1 and all(re.fullmatch(r"ssl-zoo: loading .* \(\d+ s so far\)", line) for line in said)


def test_libraries_are_imported_where_they_are_used():
    """Not with the module: every command and every run would wait for all of them."""
    late = ("datasets", "matplotlib", "scipy", "sklearn", "timm", "torchaudio", "torchvision", "transformers", "wandb")
    for path in (ROOT / "ssl_zoo").rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.split(".")[0] in late], path


def test_one_of_several_processes_leaves_the_answer_to_them_all(monkeypatch):
    """They all would say it; which of them speaks is known when they can meet."""
    asked = []
    monkeypatch.setattr("ssl_zoo.cli.main", lambda: asked.append("all"))
    monkeypatch.setattr(requests, "take", lambda: False)
    monkeypatch.setattr(sys, "argv", ["ssl-zoo", "fitt"])
    for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SystemExit):
        start()
    assert not asked
    monkeypatch.setenv("RANK", "1")
    start()
    assert asked == ["all"]


@pytest.mark.parametrize("command", ["methods", "experiments"])
def test_a_reader_that_has_seen_enough_gets_no_traceback(command):
    started = subprocess.Popen(
        [sys.executable, "-m", "ssl_zoo", command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    started.stdout.close()  # before it has printed anything
    assert started.stderr.read() == "" and started.wait() == 0
    started.stderr.close()
