import re

import pytest

from ssl_zoo.cli import main
from ssl_zoo.errors import InputError
from ssl_zoo.yaml_files import read_yaml


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"trainer:\n  max_steps: 3\nprobe: {}\ntrainer:\n  devices: 1\n", "gives trainer twice, in lines 1 and 4"),
        (b"a:\n- b: 1\n  c: 2\n  'b': 3\n", "gives b twice, in lines 2 and 4"),
        ("a: b\n".encode("utf-16"), "is not UTF-8: save it as UTF-8"),
        ("# caf\u00e9\n".encode("latin-1"), "is not UTF-8: save it as UTF-8"),
        (b"a: 2024-13-01\n", "has a value that YAML cannot read"),
        (b"a: {\n", "is no YAML"),
        (None, "cannot be read"),
    ],
)
def test_files_that_cannot_be_read_are_refused_in_a_sentence(tmp_path, content, sentence):
    path = tmp_path / "mine.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=f"^{re.escape(f'what I gave {path}')} {sentence}"):
        read_yaml(path, "what I gave")


def test_aliases_are_no_repetition(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("one: &it {a: 1}\ntwo: *it\nthree:\n  <<: *it\n  <<: {b: 2}\n  a: 3\n")
    assert read_yaml(path) == {"one": {"a": 1}, "two": {"a": 1}, "three": {"a": 3, "b": 2}}


@pytest.mark.parametrize("option", [["--config=mine.yaml"], ["-c", "mine.yaml"], ["--config", "mine.yaml"]])
def test_a_command_refuses_a_setting_that_a_file_gives_twice(option, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("trainer:\n  max_steps: 3\ntrainer:\n  devices: 1\n")
    with pytest.raises(SystemExit) as ended:
        main(["fit", "--config", "quickstart", *option])
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "ssl-zoo: error: mine.yaml gives trainer twice, in lines 1 and 3: keep one of them.\n"
    )
