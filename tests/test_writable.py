import pytest

from ssl_zoo import cli
from ssl_zoo.cli import main
from ssl_zoo.errors import InputError
from ssl_zoo.writable import check_writable


def test_a_folder_that_can_be_made_is_not_made(tmp_path):
    check_writable(tmp_path / "new" / "newer", "--out")
    assert not list(tmp_path.iterdir())


def test_what_lies_below_a_file_or_a_link_to_nothing_is_refused(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    with pytest.raises(InputError, match=r"file \(it is a file\): choose another --out or make room"):
        check_writable(tmp_path / "file" / "below", "--out")
    with pytest.raises(InputError, match=r"link \(it is a link to nothing\): choose another --runs_dir or"):
        check_writable(tmp_path / "link" / "below", "--runs_dir")


@pytest.mark.parametrize("command", [["compare", "."], ["sweep", "quickstart"], ["sweep", "quickstart", "--list"]])
def test_a_command_says_so_before_its_work_begins(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as ended:
        main([*command, "--out=file/below"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "ssl-zoo: error: Nothing can be written to file (it is a file): choose another --out or make room.\n"
    )


def test_what_is_closed_to_the_user_is_no_bug(monkeypatch, capsys):
    def denied(args):
        raise PermissionError(13, "Permission denied", "letters.txt")

    monkeypatch.setattr(cli, "run", denied)
    with pytest.raises(SystemExit) as ended:
        main(["compare"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "ssl-zoo: error: letters.txt cannot be opened (Permission denied): give access to it, or name another.\n"
    )
