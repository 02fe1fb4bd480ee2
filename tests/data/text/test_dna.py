import gzip
import warnings

import numpy as np
import pandas
import pytest
import rdata

from ssl_zoo.data.text.sources.base import BadText, Document
from ssl_zoo.data.text.sources.dna import (
    KINDS,
    SPLICE,
    SPLICE_FILE,
    UPSTREAM,
    UPSTREAM_FILE,
    FlyUpstream,
    SpliceJunctions,
    read_fasta,
)
from ssl_zoo.errors import InputError

FASTA = ">first chr1:1-8\nACGT\nnacg\n\n>empty\n>  third \nggta\r\n>fourth\nacgtnacg\n>fifth\ntttt"


def fasta(folder, text=FASTA, name=UPSTREAM_FILE):
    path = folder / UPSTREAM / name
    path.parent.mkdir(parents=True, exist_ok=True)
    data = text.encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def test_sequences_are_put_together_from_their_lines_in_lower_case(tmp_path):
    found = list(read_fasta(fasta(tmp_path)))
    assert found == [
        ("first chr1:1-8", "acgtnacg"),
        ("empty", ""),
        ("third", "ggta"),
        ("fourth", "acgtnacg"),
        ("fifth", "tttt"),
    ]
    assert list(read_fasta(fasta(tmp_path, name="plain.fa"))) == found


def test_an_empty_sequence_is_named_and_equal_ones_come_once(tmp_path):
    fasta(tmp_path)
    assert list(FlyUpstream(None, tmp_path).documents()) == [
        Document("acgtnacg", name="first chr1:1-8"),
        BadText("empty", "has no bases"),
        Document("ggta", name="third"),
        Document("tttt", name="fifth"),
    ]


def test_some_sequences_are_spread_over_the_file(tmp_path):
    fasta(tmp_path, "".join(f">{number}\n{'acgt' * (number + 1)}\n" for number in range(10)))
    assert [document.name for document in FlyUpstream(5, tmp_path).documents()] == ["0", "2", "4", "6", "8"]
    assert len(list(FlyUpstream(99, tmp_path).documents())) == 10
    assert FlyUpstream(5, tmp_path).fingerprint() != FlyUpstream(None, tmp_path).fingerprint()


def test_mistakes_and_damaged_files_end_in_a_sentence(tmp_path):
    with pytest.raises(InputError, match="unpack r-bioc-biostrings into the source's root"):
        FlyUpstream(root=tmp_path)
    path = fasta(tmp_path, "acgt\n>late\nacgt")
    with pytest.raises(InputError, match="has bases before the first name"):
        list(FlyUpstream(root=tmp_path).documents())
    path.write_bytes(gzip.compress(FASTA.encode())[:-9])
    with pytest.raises(InputError, match="is damaged"):
        list(FlyUpstream(root=tmp_path).documents())
    path.write_bytes(gzip.compress(">ä\nacgt".encode()))
    with pytest.raises(InputError, match="is damaged"):
        list(FlyUpstream(root=tmp_path).documents())
    path.unlink()
    with pytest.raises(InputError, match=r"There is no .*dm3_upstream2000\.fa\.gz"):
        FlyUpstream(root=tmp_path)
    for sequences in (0, -1):
        with pytest.raises(InputError, match="must be at least 1"):
            FlyUpstream(sequences)
    with pytest.raises(InputError, match="give four different words"):
        SpliceJunctions(["a", "a", "b", "c"])
    with pytest.raises(InputError, match="choose given or shuffled"):
        SpliceJunctions(order="random")  # type: ignore[arg-type]  # a user's mistake


@pytest.fixture
def splice(tmp_path):
    """Five stretches as mlbench has them, the last a second time the first."""
    draw = np.random.default_rng(0)
    bases = draw.integers(0, 4, (5, 60))
    bases[4] = bases[0]
    bits = np.eye(4, 3, dtype=int)[bases].reshape(5, 180)
    columns = {f"V{number}": pandas.Categorical(column.astype(str)) for number, column in enumerate(bits.T, start=1)}
    frame = pandas.DataFrame(columns)
    frame["Class"] = pandas.Categorical(["n", "ei", "ie", "n", "ei"])
    path = tmp_path / SPLICE / SPLICE_FILE
    path.parent.mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pandas' types, which rdata knows better
        rdata.write_rda(path, {"DNA": frame})
    return tmp_path, bases


def test_three_numbers_are_a_base_and_equal_stretches_come_once(splice):
    root, bases = splice
    found = list(SpliceJunctions(root=root).documents())
    assert [document.text for document in found] == ["".join("acgt"[base] for base in row) for row in bases[:4]]
    classes = SpliceJunctions(root=root).classes
    assert [classes[document.label] for document in found] == [KINDS[kind] for kind in ("n", "ei", "ie", "n")]


def test_words_stand_for_the_bases(splice):
    root, bases = splice
    words = ["river", "stone", "bird", "cloud"]
    first = next(iter(SpliceJunctions(words, root=root).documents()))
    assert first.text == " ".join(words[base] for base in bases[0])


def test_shuffled_stretches_keep_their_bases_and_lose_their_order(splice):
    root, _ = splice
    given = [document.text for document in SpliceJunctions(root=root).documents()]
    shuffled = [document.text for document in SpliceJunctions(root=root, order="shuffled").documents()]
    assert given != shuffled and [sorted(text) for text in given] == [sorted(text) for text in shuffled]
    assert shuffled == [document.text for document in SpliceJunctions(root=root, order="shuffled").documents()]


def test_a_damaged_file_of_rs_ends_in_a_sentence(splice):
    root, _ = splice
    path = root / SPLICE / SPLICE_FILE
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(InputError, match="is damaged"):
        list(SpliceJunctions(root=root).documents())


@pytest.mark.slow  # fetches 14 MB
def test_the_packages_have_what_they_should():
    found = list(SpliceJunctions().documents())
    assert len(found) == 3001
    middle = {kind: [d.text[28:32] for d in found if d.label == number] for number, kind in enumerate(KINDS)}
    # An intron begins with gt and ends with ag, nearly always: 1 in 100 is another kind, or a mistake in the data.
    assert np.mean([text[2:] == "gt" for text in middle["ei"]]) > 0.98
    assert np.mean([text[:2] == "ag" for text in middle["ie"]]) > 0.98
    assert (
        max(np.mean([text[2:] == "gt" for text in middle["n"]]), np.mean([text[:2] == "ag" for text in middle["n"]]))
        < 0.2
    )
    sequences = list(FlyUpstream().documents())
    assert len(sequences) > 2900 and {len(each.text) for each in sequences} == {2000}
