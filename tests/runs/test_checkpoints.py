"""Checkpoints are whole under their final name, whatever happens, and nothing else is read."""

import multiprocessing
import os
import random
import signal
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import torch

from ssl_zoo.errors import InputError
from ssl_zoo.runs.checkpoints import (
    before,
    check_weights,
    is_whole,
    method_settings,
    read_checkpoint,
    read_newest_whole,
    write_checkpoint,
)


def content(step: int) -> dict[str, Any]:
    return {"global_step": step, "state_dict": {"weight": torch.full((1000,), float(step)), "bias": torch.arange(3.0)}}


def assert_is(step: int, path: Path) -> None:
    found = read_checkpoint(path)
    assert found["global_step"] == step and torch.equal(found["state_dict"]["weight"], torch.full((1000,), float(step)))


def test_the_one_before_stays_beside_the_new_one_and_nothing_else_does(tmp_path):
    path = tmp_path / "checkpoints" / "last.ckpt"
    for step in range(3):
        write_checkpoint(content(step), path)
    assert_is(2, path)
    assert_is(1, before(path))
    assert sorted(each.name for each in path.parent.iterdir()) == ["last.ckpt", "last.previous.ckpt"]


def test_an_altered_byte_is_found_or_changes_nothing(tmp_path):
    path = tmp_path / "last.ckpt"
    write_checkpoint(content(1), path)
    whole, generator, found = path.read_bytes(), random.Random(0), 0
    for place in generator.sample(range(len(whole)), 200):
        altered = bytearray(whole)
        altered[place] ^= 1 << generator.randrange(8)
        path.write_bytes(altered)
        try:
            assert_is(1, path)  # what lies between two tensors is nobody's
        except InputError as error:  # which is right: what it says is asserted
            found += 1
            assert "damaged" in str(error) and str(path) in str(error) and "\n" not in str(error)
    assert found > 100


@pytest.mark.parametrize("part", [0.0, 0.3, 0.99])
def test_half_a_file_falls_back_to_the_one_before_and_says_so(tmp_path, capsys, part):
    path = tmp_path / "last.ckpt"
    for step in (1, 2):
        write_checkpoint(content(step), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])
    used, found = read_newest_whole([path, before(path)])
    assert used == before(path) and found["global_step"] == 1
    said = capsys.readouterr().err
    assert "is damaged" in said and str(used) in said and "of step 1" in said
    before(path).unlink()
    with pytest.raises(InputError, match="is damaged"):
        read_newest_whole([path, before(path)])


def test_a_file_that_would_run_code_is_refused_before_it_does(tmp_path):
    class Malicious:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"state_dict": {}, "extra": Malicious()}, tmp_path / "last.ckpt")
    with pytest.raises(InputError, match=r"holds Python objects \(posix.mkdir\).*refused") as refused:
        read_checkpoint(tmp_path / "last.ckpt")
    assert "\n" not in str(refused.value) and not (tmp_path / "ran").exists()


def test_what_is_no_checkpoint_is_named(tmp_path):
    with pytest.raises(InputError, match="no checkpoint at"):
        read_checkpoint(tmp_path / "nowhere.ckpt")
    torch.save([1, 2], tmp_path / "list.ckpt")
    with pytest.raises(InputError, match="holds a list"):
        read_checkpoint(tmp_path / "list.ckpt")


def test_another_model_is_named_in_one_sentence(tmp_path):
    model = {"encoder.conv.weight": torch.zeros(4, 3), "head.weight": torch.zeros(2)}
    check_weights({"state_dict": dict(model)}, tmp_path, model)
    wider = {"encoder.conv.weight": torch.zeros(8, 3), "head.weight": torch.zeros(5)}
    with pytest.raises(InputError, match=r"encoder.conv.weight is 8x3, the model's 4x3 \(1 more differ\)"):
        check_weights({"state_dict": wider}, tmp_path, model)
    check_weights({"state_dict": {"codes": torch.zeros(7)}}, tmp_path, {"codes": torch.zeros(0)})  # as many as examples
    with pytest.raises(InputError, match=r"it lacks the model's encoder\.conv\.weight"):
        check_weights({"state_dict": {"head.weight": torch.zeros(2)}}, tmp_path, model)


def test_a_full_disk_leaves_the_one_before(tiny_disk):
    path = tiny_disk / "last.ckpt"
    write_checkpoint(content(1), path)
    with pytest.raises(
        InputError, match=r"could not be written \(No space left on device\).*the one before is still whole"
    ) as refused:
        write_checkpoint({"global_step": 2, "state_dict": {"weight": torch.zeros(2**21)}}, path)
    assert "\n" not in str(refused.value)
    assert_is(1, path)
    assert [each.name for each in tiny_disk.iterdir()] == ["last.ckpt"]  # half a file would fill the disk for good


@pytest.mark.parametrize("name", ["mask_fraction", "mask_probability"])
def test_a_mask_ratio_is_read_under_the_names_it_had(name):
    settings = {name: 0.3, "mask_length": 5, "optimizer": {"name": "sgd"}}
    found = method_settings({"hyper_parameters": settings})
    assert found == {"mask_ratio": 0.3, "mask_length": 5, "optimizer": {"name": "sgd"}}
    assert name in settings  # the checkpoint is as it was


def write_for_ever(path: Path, written: Connection) -> None:
    step = 0
    while True:
        step += 1
        write_checkpoint({"global_step": step, "state_dict": {"weight": torch.full((300_000,), float(step))}}, path)
        written.send(step)


def test_a_killed_process_leaves_whole_files(tmp_path):
    path, generator, context = tmp_path / "last.ckpt", random.Random(0), multiprocessing.get_context("forkserver")
    for _ in range(3):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=write_for_ever, args=(path, theirs), daemon=True)
        process.start()
        theirs.close()
        for _ in range(generator.randint(2, 40)):
            written = ours.recv()
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert is_whole(path) and is_whole(before(path))
        found = read_checkpoint(path)
        assert found["global_step"] >= written
        assert torch.equal(found["state_dict"]["weight"], torch.full((300_000,), float(found["global_step"])))
