"""What there is to choose from, asked before anything has been chosen; and what a shell completes."""

import inspect
import shutil
import subprocess
from pathlib import Path

import pytest

from ssl_zoo.class_help import classes_for
from ssl_zoo.cli import import_named, main
from ssl_zoo.data.image.sources.base import ImageSource
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.methods.base import Method
from tests.made import Tones

import_named()


def helped(*args: str) -> None:
    """Asks for help, with which a command ends."""
    with pytest.raises(SystemExit) as ended:
        main(list(args))
    assert not ended.value.code


@pytest.mark.parametrize(
    ("place", "base", "others"),
    [("model", Method, ()), ("model.encoder", Encoder, ()), ("data.source", ImageSource, ("WordNet", "AudioFolder"))],
)
def test_help_alone_lists_every_class_with_a_line(capsys, place, base, others):
    helped("fit", f"--{place}.help")
    said = capsys.readouterr().out
    below, waiting = set(), [base]
    while waiting:
        class_ = waiting.pop()
        waiting += class_.__subclasses__()
        if not inspect.isabstract(class_) and class_.__module__.startswith("ssl_zoo.") and class_.__name__[0] != "_":
            below.add(class_)
    assert below
    for class_ in below:
        (line,) = (line for line in said.splitlines() if line.split()[:1] == [class_.__name__])
        assert (class_.__doc__ or "").split()[0] in line
    assert all(f"  {name} " in said for name in others)


def test_help_of_a_source_needs_no_data(capsys):
    helped("fit", "--data.source.help=ImageFolder")
    assert "--data.source.root" in capsys.readouterr().out
    helped("fit", "--data.source.help", "Digits")
    assert "handwritten digits" in capsys.readouterr().out


def test_of_the_data_that_is_chosen_only_its_sources_are_listed(capsys):
    helped("fit", "--data", "TextData", "--data.source.help")
    said = capsys.readouterr().out
    assert "WordNet" in said and "ImageFolder" not in said and Tones.__name__ not in said


def test_a_group_of_settings_is_explained_at_once(capsys):
    helped("fit", "--model.optimizer.help")
    assert "--model.optimizer.learning_rate" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("--model.encoder.help=ResNt", "model.encoder: there is no class 'ResNt', did you mean 'ResNet'?"),
        ("--model.encodr.help", "There is no setting model.encodr that is a class"),
        ("--data.batch_size.help", "There is no setting data.batch_size that is a class"),
    ],
)
def test_help_of_what_is_not_there(capsys, option, sentence):
    with pytest.raises(SystemExit) as ended:
        main(["fit", option])
    assert ended.value.code == 2 and sentence in capsys.readouterr().err


def test_parts_of_parts_are_found():
    assert {"LogMel", "WaveConvolutions"} <= {class_.__name__ for class_ in classes_for("model.encoder.front_end")}


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    paths = {shell: tmp_path_factory.mktemp("scripts") / shell for shell in ("bash", "zsh")}
    for shell, path in paths.items():
        with pytest.MonkeyPatch.context() as patch, path.open("w") as file:
            patch.setattr("sys.stdout", file)
            main(["completion", shell])
    return paths


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("ssl-zoo prob", {"probe", "probe-public"}),
        ("ssl-zoo fit --model SimS", {"SimSiam"}),
        ("ssl-zoo fit --trainer.max_s", {"--trainer.max_steps"}),
        ("ssl-zoo fit --model.temp", {"--model.temperature", "--model.temperature_rise"}),
        ("ssl-zoo fit --data.source Dig", {"Digits"}),
        ("ssl-zoo compare --ra", {"--rank_by"}),
        ("ssl-zoo sweep --li", {"--list"}),
        ("ssl-zoo probe --ceiling f", {"false"}),
        ("ssl-zoo completion z", {"zsh"}),
    ],
)
def test_bash_completes(scripts, typed, offered):
    ask = 'source "$0"; COMP_WORDS=($1); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _shtab_ssl_zoo; echo "${COMPREPLY[@]}"'
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash here")
    done = subprocess.run([bash, "-c", ask, scripts["bash"], typed], capture_output=True, text=True)
    assert set(done.stdout.split()) == offered, done.stderr


def test_zsh_gets_a_script_of_its_own(scripts):
    script = scripts["zsh"].read_text()
    assert script.startswith("#compdef ssl-zoo") and "--rank_by" in script and "SimSiam" in script
    zsh = shutil.which("zsh")
    if zsh is not None:
        subprocess.run([zsh, "-n", scripts["zsh"]], check=True)
