"""Proteins: a file as modlAMP has it."""

import pytest

from ssl_zoo.data.text.module import TextData
from ssl_zoo.data.text.sources import proteins
from ssl_zoo.data.text.sources.base import Document
from ssl_zoo.data.text.sources.proteins import FILE, AntimicrobialPeptides
from ssl_zoo.errors import InputError

LINES = "4,1,UniProt,AMP\nGLWSKIKEVG, 1\nMTQSNPNEQN, 0\nGLWSKIKEVG, 0\nRLCRIVVIRV, 1\n"


def test_sequences_come_once_with_what_they_do(tmp_path):
    (tmp_path / FILE).write_text(LINES)
    source = AntimicrobialPeptides(tmp_path)
    assert list(source.documents()) == [
        Document("GLWSKIKEVG", 1, name="line 2"),
        Document("MTQSNPNEQN", 0, name="line 3"),
        Document("RLCRIVVIRV", 1, name="line 5"),
    ]
    assert source.classes == ["other", "antimicrobial"]
    before = source.fingerprint()
    (tmp_path / FILE).write_text(LINES + "GG, 0\n")
    assert source.fingerprint() != before


def test_a_token_is_an_amino_acid(tmp_path):
    acids = "ACDEFGHIKLMNPQRSTVWY"
    rows = [f"{acids[number:]}{acids[:number]}, {number % 2}\n" for number in range(20)]
    (tmp_path / FILE).write_text("".join(["20,1,UniProt,AMP\n", *rows]))
    data = TextData(AntimicrobialPeptides(tmp_path), tokenizer="characters", vocab_size=32, length=24)
    data.setup()
    examples = [row for part in data.parts().values() for row in part.__getitems__(list(range(len(part)))).inputs]
    assert {data.decode(row) for row in examples} == {row.split(",")[0] for row in rows}
    assert all(len(row) == 22 for row in examples)  # a token each, and those that begin and end it


def test_what_is_missing_or_damaged_ends_in_a_sentence(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"There is no .*AMPvsUniProt\.csv: give modlAMP's folder `data`"):
        AntimicrobialPeptides(tmp_path)
    (tmp_path / FILE).write_text(LINES + "GLWSK 1\n")
    with pytest.raises(InputError, match=r"has no sequence, comma and 0 or 1 in line 6: fetch it again"):
        list(AntimicrobialPeptides(tmp_path).documents())
    monkeypatch.setattr(proteins, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"come with modlAMP: `pip install modlamp`"):
        list(AntimicrobialPeptides().documents())
