"""Every method on every modality, by options alone: two steps of finite loss, or a sentence that says why not."""

import re

import pytest

import ssl_zoo.methods
from ssl_zoo.cli import run
from ssl_zoo.matrix import MODALITIES, read
from ssl_zoo.methods.base import Method
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
