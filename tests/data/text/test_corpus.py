import json
import pickle
import random
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from ssl_zoo.data.cache import mapped, progress
from ssl_zoo.data.cache.mapped import ArrayWriter, MappedArray, is_damaged
from ssl_zoo.data.splits import PARTS
from ssl_zoo.data.text import corpus as corpus_module
from ssl_zoo.data.text.corpus import Corpus, open_corpus
from ssl_zoo.data.text.sources.base import Document, TextSource
from ssl_zoo.data.text.tokenizer import TextTokenizer
from ssl_zoo.errors import InputError

RANDOM = random.Random(0)
WORDS = ["".join(RANDOM.choices("abcdefghijé", k=RANDOM.randint(1, 7))) for _ in range(100)]


class Made(TextSource):
    """Documents of random words; every reading leaves a line in a file."""

    name, licence = "Made", "none"

    def __init__(self, count: int = 50, seed: int = 0, log: Path | None = None, slow: float = 0.0) -> None:
        self.count, self.seed, self.log, self.slow = count, seed, log, slow

    @property
    def classes(self) -> list[str]:
        return ["even", "odd"]

    def fingerprint(self) -> str:
        return f"{self.count} {self.seed}"

    def documents(self) -> Iterator[Document]:
        if self.log is not None:
            with self.log.open("a") as file:
                file.write("read\n")
        time.sleep(self.slow)
        draw = random.Random(self.seed)
        for number in range(self.count):
            text = " ".join(draw.choices(WORDS, k=draw.randint(1, 30)))
            yield Document(text, number % 3 - 1, PARTS[number % 4])


class Listed(TextSource):
    """The given documents."""

    name, licence = "Listed", "none"

    def __init__(self, *documents: Document | str) -> None:
        self.listed = [Document(entry) if isinstance(entry, str) else entry for entry in documents]

    def fingerprint(self) -> str:
        return repr(self.listed)

    def documents(self) -> Iterator[Document]:
        yield from self.listed


def all_documents(labels: np.ndarray, parts: np.ndarray) -> np.ndarray:
    return np.arange(len(labels))


def opened(source: TextSource, tokenizer: str = "bpe", vocab_size: int = 300, choice: tuple[Any, ...] = ()) -> Corpus:
    return open_corpus(source, tokenizer, vocab_size, all_documents, list(choice))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(corpus_module, "CACHE", tmp_path / "cache")
    return tmp_path / "cache"


def test_a_corpus_holds_every_document_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_module, "CHUNK_CHARACTERS", 200)  # several chunks
    corpus = opened(Made())
    documents = list(Made().documents())
    encode = Tokenizer.from_str(corpus.tokenizer.backend.to_str()).encode
    assert len(corpus.offsets) == 51 and corpus.offsets[0] == 0 and corpus.offsets[-1] == len(corpus.tokens)
    for number, document in enumerate(documents):
        expected = [2, *encode(document.text, add_special_tokens=False).ids, 3]
        found = corpus.tokens.values[corpus.offsets[number] : corpus.offsets[number + 1]]
        assert found.tolist() == expected
    assert corpus.sizes.tolist() == [len(document.text.encode()) for document in documents]
    assert corpus.labels.tolist() == [document.label for document in documents]
    assert corpus.parts.tolist() == [PARTS.index(document.part) for document in documents]
    assert corpus.classes == ["even", "odd"] and corpus.tokens.values.dtype == np.uint16
    assert not (corpus.folder / "texts").exists()


def test_packed_documents_are_their_tokens_in_order_and_nothing_else() -> None:
    corpus = opened(Made())
    for chosen in ([0], [49], [3, 4, 5, 9, 20, 21, 49], list(range(50)), [0, 2, 4]):
        expected: list[int] = []
        for number in chosen:
            expected += corpus.tokens.values[corpus.offsets[number] : corpus.offsets[number + 1]].tolist()
        packed = corpus.packed(np.array(chosen))
        assert packed.values.tolist() == expected and packed.values.dtype == np.uint16
    assert len(list(corpus.folder.glob("packed-*.bin"))) == 5 and not list(corpus.folder.glob("*.partial"))


def test_the_second_time_nothing_is_read_or_tokenized(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    source = Made(log=tmp_path / "log")
    first = opened(source)
    packed = first.packed(np.arange(10)).values.tolist()

    def forbidden(*args: Any) -> None:
        raise AssertionError("tokenized again")

    monkeypatch.setattr(TextTokenizer, "encode_with_bytes", forbidden)
    monkeypatch.setattr(corpus_module, "train_tokenizer", forbidden)
    monkeypatch.setattr(corpus_module, "ArrayWriter", forbidden)
    second = opened(Made(log=tmp_path / "log"))
    assert second.tokens.values.tolist() == first.tokens.values.tolist()
    assert second.tokenizer.hash == first.tokenizer.hash and second.digest == first.digest
    assert second.packed(np.arange(10)).values.tolist() == packed
    assert source.log.read_text() == "read\n"
    assert capfd.readouterr() == ("", "")


def test_nothing_that_differs_shares_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(opened(Made()).tokenizer.backend.to_str())
    (tmp_path / "b.json").write_text(opened(Made(), "wordpiece").tokenizer.backend.to_str())
    made = [
        opened(Made()),
        opened(Made(seed=1)),
        opened(Made(count=51)),
        opened(Made(), "wordpiece"),
        opened(Made(), "characters"),
        opened(Made(), vocab_size=301),
        opened(Made(), choice=(0.1,)),
        opened(Made(), str(tmp_path / "a.json")),
        opened(Made(), str(tmp_path / "b.json")),
    ]
    assert len({corpus.folder for corpus in made}) == len(made)
    assert made[7].tokens.values.tolist() == made[0].tokens.values.tolist()
    (tmp_path / "a.json").write_text((tmp_path / "b.json").read_text())
    assert opened(Made(), str(tmp_path / "a.json")).tokens.values.tolist() == made[8].tokens.values.tolist()


def test_the_digest_distinguishes_documents_and_not_tokenizers() -> None:
    text = Listed("ab", "c")
    others = [Listed("a", "bc"), Listed("c", "ab"), Listed("ab", Document("c", part="test")), Listed("ab", "c", "d")]
    assert opened(text).digest == opened(text, "characters").digest
    assert len({opened(source).digest for source in [text, *others]}) == 5


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "short":
        path.write_bytes(content[:-1])
    else:  # one bit
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])


@pytest.mark.parametrize("how", ["missing", "short", "flipped"])
@pytest.mark.parametrize("name", ["tokens.bin", "offsets.bin", "labels.bin", "tokenizer.json", "corpus.json"])
def test_a_damaged_corpus_is_made_again(name: str, how: str) -> None:
    first = opened(Made())
    tokens = first.tokens.values.tolist()
    damage(first.folder / name, how)
    with pytest.warns(UserWarning, match=rf"{first.folder.name} is damaged \({name}\) and is made again"):
        second = opened(Made())
    assert second.tokens.values.tolist() == tokens
    opened(Made())  # without a warning


@pytest.mark.parametrize("how", ["missing", "short", "flipped"])
@pytest.mark.parametrize("suffix", [".bin", ".json"])
def test_damaged_packed_tokens_are_made_again(suffix: str, how: str) -> None:
    corpus = opened(Made())
    tokens = corpus.packed(np.arange(20)).values.tolist()
    damage(next(corpus.folder.glob(f"packed-*{suffix}")), how)
    assert corpus.packed(np.arange(20)).values.tolist() == tokens


def test_large_files_are_known_by_their_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ArrayWriter(tmp_path / "x", "<u2") as writer:
        writer.write(np.arange(100))
    sealed = writer.seal
    assert sealed.size == 200 and not is_damaged(tmp_path / "x", sealed)
    damage(tmp_path / "x", "flipped")
    assert is_damaged(tmp_path / "x", sealed)
    monkeypatch.setattr(mapped, "CHECKED_BYTES", 199)
    assert not is_damaged(tmp_path / "x", sealed)
    damage(tmp_path / "x", "short")
    assert is_damaged(tmp_path / "x", sealed)


def test_an_interrupted_build_leaves_nothing_that_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    encode = TextTokenizer.encode_with_bytes

    def interrupted(*args: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(TextTokenizer, "encode_with_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        opened(Made())
    monkeypatch.setattr(TextTokenizer, "encode_with_bytes", encode)
    corpus = opened(Made())
    assert len(corpus.labels) == 50 and not list(corpus.folder.parent.glob("*.partial"))


def test_two_at_a_time_make_it_once(tmp_path: Path) -> None:
    source = Made(log=tmp_path / "log", slow=0.3)
    with ThreadPoolExecutor(2) as pool:  # the lock is on a file and keeps threads apart just as processes
        corpora = list(pool.map(opened, [source, source]))
    assert [len(corpus.labels) for corpus in corpora] == [50, 50] and source.log.read_text() == "read\n"


def test_a_tokenizer_with_many_words_takes_four_bytes(tmp_path: Path) -> None:
    words = {"[SEP]": 0, "[UNK]": 1, **{f"w{i}": i for i in range(2, 2**16 + 1)}}
    backend = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.save(str(tmp_path / "tokenizer.json"))
    corpus = opened(Listed(f"w{2**16} w7", "w2"), str(tmp_path / "tokenizer.json"))
    assert corpus.tokens.values.dtype == np.uint32 and corpus.tokens.values.tolist() == [2**16, 7, 0, 2, 0]
    assert corpus.packed(np.array([1])).values.dtype == np.uint32


def test_packing_and_pickling_take_no_memory() -> None:
    corpus = opened(Listed(*("ab" * 10_000 for _ in range(100))), "characters")
    assert len(corpus.tokens) == 100 * 20_002
    tracemalloc.start()
    packed = corpus.packed(np.delete(np.arange(100), [17, 50]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.1 * packed.values.nbytes and packed.values.nbytes == 98 * 20_002 * 2
    pickled = pickle.dumps(packed)
    assert len(pickled) < 1000 and np.array_equal(pickle.loads(pickled).values, packed.values)


def test_an_empty_array(tmp_path: Path) -> None:
    with ArrayWriter(tmp_path / "x", "<u2") as writer:
        writer.write(np.arange(0))
    assert writer.seal == (0, 0) and len(MappedArray(tmp_path / "x", "<u2")) == 0


def test_half_a_character_is_replaced() -> None:
    corpus = opened(Listed(json.loads('"a\\ud83db"')), "characters")
    assert corpus.tokenizer.decode(corpus.tokens.values.tolist()) == "a?b"


def test_what_takes_long_says_so_once(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    opened(Made())
    assert capfd.readouterr() == ("", "")
    monkeypatch.setattr(progress, "PATIENCE_SECONDS", 0.05)
    opened(Made(seed=1, slow=0.3))
    assert capfd.readouterr() == ("", "Tokenizing Made, once for all runs ...\n")


def test_mistakes_are_one_sentence(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="Listed has no text in it"):
        opened(Listed())
    with pytest.raises(InputError, match="Listed has labels from 0 to 2 but 0 classes"):
        opened(Listed(Document("a", 0), Document("b", 2)))
    (cache / "file").write_text("")
    monkeypatch.setattr(corpus_module, "CACHE", cache / "file" / "text")
    with pytest.raises(InputError, match=r"The cache .*text cannot be written \(.*\): make room or give access"):
        opened(Made())


def test_documents_keep_their_names() -> None:
    corpus = opened(Listed(Document("ab", name="a.txt"), Document("cd"), Document("ef", name="\u00e9.txt")))
    assert [corpus.name_of(position) for position in range(3)] == ["a.txt", "", "\u00e9.txt"]
    assert corpus.named and not opened(Listed("ab", "cd")).named
