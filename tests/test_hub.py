"""Without a network nobody waits for the Hugging Face Hub."""

import socket
import time

import pytest
from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import LocalEntryNotFoundError

from ssl_zoo import hub
from ssl_zoo.encoders.published import read_released
from ssl_zoo.errors import InputError
from ssl_zoo.hub import without_waiting


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    def refuse(*_: object, **__: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(hub, "getproxies", dict)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))


def test_a_file_that_is_not_here_is_missing_at_once(no_network):
    began = time.monotonic()
    with without_waiting(), pytest.raises(LocalEntryNotFoundError):
        hf_hub_download("nobody/nothing", "config.json")
    assert time.monotonic() - began < 10 and not constants.HF_HUB_OFFLINE


def test_an_encoder_by_its_name_in_timm_is_missing_at_once(no_network):
    pytest.importorskip("timm")  # an extra
    began = time.monotonic()
    with pytest.raises(InputError, match="pretrained: timm:resnet10t cannot be loaded; check the name and the network"):
        read_released("timm:resnet10t")
    assert time.monotonic() - began < 20  # the first import of timm included; it was 46 seconds


def test_where_others_ask_for_us_the_hub_is_asked(no_network, monkeypatch):
    monkeypatch.setattr(hub, "getproxies", lambda: {"https": "http://proxy"})
    with without_waiting():
        assert not constants.HF_HUB_OFFLINE
