"""Every method on every modality, by options alone: two steps of finite loss, or a sentence that says why not."""

import re

import pytest

import ssl_zoo.methods
from ssl_zoo.cli import run
from ssl_zoo.matrix import MODALITIES, read
from ssl_zoo.methods.base import Method
from tests.contracts.experiments import FOLDER, SMALL, SMALL_TEXTS, UNWATCHED, checkpoint, texts, tiny
from tests.contracts.found import concrete
from tests.contracts.matrix import PAGE, on_page, parts, tried

AGAIN = "`python -m tests.contracts.matrix` writes it anew"


@pytest.mark.parametrize("method", concrete(Method, ssl_zoo.methods), ids=lambda method: method.__name__)
def test_a_method_trains_on_a_modality_or_says_in_one_sentence_why_not(method):
    found = tried(method)
    assert {*found.encoders, *found.refused} == set(MODALITIES) and found.encoders
    for sentence in found.refused.values():
        assert sentence.endswith(".") and len(re.findall(r"[.!?](?= [A-Z])", sentence)) == 0
        assert "take " in sentence or "set " in sentence  # what to do
    assert [found] == [row for row in read().rows if row.method == method.__name__], AGAIN


def test_options_alone_take_a_method_of_images_to_text(tmp_path):
    path, data = FOLDER / "image" / "byol.yaml", ["--data=TextData", "--data.source=TextFiles", "--data.packing=false"]
    parts = ["--model.encoder=BertEncoder", "--model.views=TextViews", "--model.views.deletion=0.2"]
    parts += tiny("model.encoder", {"class_path": "BertEncoder"})
    options = [*data, f"--data.source.root={texts()}", *SMALL_TEXTS, *parts, "--trainer.max_steps=1", *UNWATCHED]
    run(["fit", "--config", str(path), *SMALL, *options, f"--runs_dir={tmp_path / 'runs'}"])
    (directory,) = tmp_path.glob("runs/*/*")
    settings = checkpoint(directory)["hyper_parameters"]
    assert checkpoint(directory)["global_step"] == 1 and settings["views"]["class_path"].endswith("TextViews")
    assert settings["views"]["init_args"]["vocabulary"] == settings["encoder"]["init_args"]["vocabulary"]


def test_the_matrix_has_all_methods_and_nothing_else():
    assert [row.method for row in read().rows] == [method.__name__ for method in concrete(Method, ssl_zoo.methods)], (
        AGAIN
    )
    assert read().parts == parts(), AGAIN


def test_the_documentation_has_the_matrix():
    assert PAGE.read_text() == on_page(read()), AGAIN


def test_the_command_prints_it(capsys):
    run(["methods"])
    printed = capsys.readouterr().out
    for row in read().rows:
        (line,) = [line for line in printed.splitlines() if line.split()[:1] == [row.method] and " on " not in line]
        assert line.split()[-3:] == row.cells()[-3:]
        assert all(f"{row.method} on {modality}: {reason}" in printed for modality, reason in row.refused.items())
