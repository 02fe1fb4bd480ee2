"""A source's documents as token ids: made once, kept on the disk, mapped into memory."""

import hashlib
import json
import os
import warnings
from array import array
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from filelock import FileLock
from tokenizers import Tokenizer

from ssl_zoo.data.cache import folder as cache_folder
from ssl_zoo.data.cache.kept_warnings import kept_warnings
from ssl_zoo.data.cache.mapped import ArrayWriter, MappedArray, Seal, is_damaged, seal_of
from ssl_zoo.data.cache.progress import Show, patient_progress
from ssl_zoo.data.cache.sealed import lock_of, open_sealed, read_facts, write_facts
from ssl_zoo.data.splits import PARTS
from ssl_zoo.data.text.cutting import Copied, cut_few, hash_of_text
from ssl_zoo.data.text.left_out import Bad, nothing_left
from ssl_zoo.data.text.sources.base import UNLABELLED, BadText, TextSource
from ssl_zoo.data.text.tokenizer import TRAINERS, TextTokenizer, load_tokenizer, train_tokenizer
from ssl_zoo.errors import InputError

CACHE = cache_folder.CACHE / "text"
# Raised whenever the files below change, or what is written into them.
FORMAT = 9
# Documents are tokenized so many characters at a time, or one document if it is longer.
CHUNK_CHARACTERS = 2**18

# From the labels and official parts of all documents, the positions of those that a tokenizer may learn from.
Choose = Callable[[np.ndarray, np.ndarray], np.ndarray]

# Seals of files by their names.
Seals = dict[str, Seal]

# How texts become tokens: the name of a trainer or of what is ready-made, or a tokenizer.
Wanted = str | TextTokenizer


class Corpus:
    """The documents of a source in a folder of the cache; every document is `begin, tokens, end`.

    Args:
        folder: made by `open_corpus`.

    Attributes:
        tokenizer: the tokenizer that made the tokens.
        tokens: all documents' ids, one document after the other, uint16 where the vocabulary fits, or uint32.
        bytes: number of bytes of its text that each of these tokens stands for, uint16 or uint32; see `TokenBytes`.
        offsets: ``(N + 1,)`` int64; document i is ``tokens[offsets[i] : offsets[i + 1]]``.
        sizes: ``(N,)`` int64, UTF-8 bytes of every document's text.
        labels: ``(N,)`` int64, -1 for a document without one.
        parts: ``(N,)`` int8, the number in `PARTS` of every document's official part.
        hashes: ``(N,)`` uint64, equal for equal texts.
        named: whether documents have names.
        classes: names of the classes in label order.
        bad: what was left out, by the reason.
        remarks: what else the user is to know of the source, in sentences.
        digest: digest of all texts, labels and parts; the same wherever the documents are the same.

    Raises:
        Damaged: a file is missing or not as it was written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        facts = read_facts(folder / "corpus.json")
        self.tokenizer = TextTokenizer(Tokenizer.from_file(str(folder / "tokenizer.json")), facts["special"])
        self.tokens = MappedArray(folder / "tokens.bin", self.tokenizer.dtype)
        self.bytes = MappedArray(folder / "bytes.bin", facts["bytes_dtype"])
        self.offsets, self.sizes, self.labels = (
            MappedArray(folder / f"{name}.bin", "<i8").values for name in ("offsets", "sizes", "labels")
        )
        self.parts = MappedArray(folder / "parts.bin", "|i1").values
        self.hashes = MappedArray(folder / "hashes.bin", "<u8").values
        self.named: bool = facts["named"]
        self._names = MappedArray(folder / "names.bin", "|u1").values
        self._name_ends = MappedArray(folder / "name_ends.bin", "<i8").values
        self.classes: list[str] = facts["classes"]
        self.bad = {reason: Bad(*entry) for reason, entry in facts["bad"].items()}
        self.remarks: list[str] = facts["remarks"]
        self.digest: str = facts["digest"]

    def name_of(self, position: int) -> str:
        """What a document is called in its source, such as the path of its file."""
        first = self._name_ends[position - 1] if position else 0
        return self._names[first : self._name_ends[position]].tobytes().decode()

    def packed(self, chosen: np.ndarray, what: Literal["tokens", "bytes"] = "tokens") -> MappedArray:
        """The tokens of some documents without anything between them, in a file that is written at the first call.

        Args:
            chosen: ``(n,)`` int64, ascending positions of the documents.
            what: the tokens themselves, or the bytes they stand for.
        """
        name = hashlib.sha256(chosen.astype("<i8").tobytes()).hexdigest()[:16]
        path = self.folder / f"packed-{what}-{name}.bin"
        whole = self.tokens if what == "tokens" else self.bytes
        if not _is_sealed(path):
            with FileLock(lock_of(self.folder)):
                if not _is_sealed(path):  # otherwise another process was faster
                    self._pack(whole, chosen, path)
        return MappedArray(path, whole.dtype)

    def _pack(self, whole: MappedArray, chosen: np.ndarray, path: Path) -> None:
        with ArrayWriter(path.with_suffix(".partial"), whole.dtype) as writer:
            for first, last in _runs(chosen):
                writer.write(whole.values[self.offsets[first] : self.offsets[last + 1]])
        os.replace(path.with_suffix(".partial"), path)
        path.with_suffix(".json").write_text(json.dumps(writer.seal))


def open_corpus(source: TextSource, tokenizer: Wanted, vocab_size: int, choose: Choose, choice: list[Any]) -> Corpus:
    """A source's corpus from the cache, where it is made if need be, once for all processes of the machine.

    Args:
        source: the documents.
        tokenizer: `wordpiece`, `bpe` or `characters` to train one, what `load_tokenizer` takes, or a tokenizer.
        vocab_size: vocabulary size of a trained tokenizer.
        choose: the documents to train a tokenizer on.
        choice: plain values, the same when `choose` chooses the same.

    Raises:
        InputError: source or tokenizer cannot be had, or the cache cannot be written.
    """
    with kept_warnings() as remarks:
        folder = CACHE.expanduser() / _key(source, tokenizer, vocab_size, choice)
    try:
        corpus = open_sealed(folder, Corpus, lambda empty: _build(empty, source, tokenizer, vocab_size, choose))
    except InputError:  # why there is too little may be what was left out
        for remark in remarks:
            warnings.warn(remark, stacklevel=2)
        raise
    corpus.remarks = list(dict.fromkeys([*remarks, *corpus.remarks]))  # many are found by finding the files, too
    return corpus


def _key(source: TextSource, tokenizer: Wanted, vocab_size: int, choice: list[Any]) -> str:
    if isinstance(tokenizer, TextTokenizer):
        made: list[Any] = [tokenizer.hash]
    elif tokenizer in TRAINERS:
        made = [tokenizer, vocab_size, *choice]
    else:
        path = Path(tokenizer).expanduser()
        files = [path] if path.is_file() else sorted(path.glob("*")) if path.is_dir() else []
        texts = [file for file in files if file.suffix in (".json", ".txt", ".model")]
        made = [tokenizer, *(hashlib.sha256(file.read_bytes()).hexdigest() for file in texts)]
    described = json.dumps([FORMAT, type(source).__qualname__, source.fingerprint(), made])
    return hashlib.sha256(described.encode()).hexdigest()[:16]


def _is_sealed(path: Path) -> bool:
    """Whether a file of packed tokens and the seal beside it are there and sound."""
    try:
        return not is_damaged(path, Seal(*json.loads(path.with_suffix(".json").read_text())))
    except (OSError, ValueError, TypeError):  # missing or damaged, which is what is asked
        return False


def _runs(chosen: np.ndarray) -> Iterator[tuple[int, int]]:
    """First and last of every stretch of consecutive numbers."""
    breaks = np.flatnonzero(np.diff(chosen) != 1)
    firsts, lasts = [0, *(breaks + 1).tolist()], [*breaks.tolist(), len(chosen) - 1]
    return zip(chosen[firsts].tolist(), chosen[lasts].tolist(), strict=True)


class _Texts:
    """Texts in one file, read as often as wanted: a source is asked once, and may take long or never answer alike.

    Args:
        path: the file.
        sizes: bytes of each text.
        wanted: whether each text is among those that an iteration gives.
    """

    def __init__(self, path: Path, sizes: np.ndarray, wanted: np.ndarray) -> None:
        self.path, self.sizes, self.wanted = path, sizes, wanted

    def __iter__(self) -> Iterator[str]:
        with self.path.open("rb") as file:
            for size, wanted in zip(self.sizes.tolist(), self.wanted.tolist(), strict=True):
                text = file.read(size)
                if wanted:
                    yield text.decode()


def _build(folder: Path, source: TextSource, tokenizer: Wanted, vocab_size: int, choose: Choose) -> None:
    """Fills an empty folder with a corpus."""
    made = tokenizer if isinstance(tokenizer, TextTokenizer) else None
    if isinstance(tokenizer, str) and tokenizer not in TRAINERS:
        made = load_tokenizer(tokenizer)
    with patient_progress(f"Tokenizing {source.name}") as show:
        path = folder / "texts"
        with kept_warnings() as remarks:
            copied, bad, digest = _copy_texts(source, path, show)
            copied = cut_few(copied, path, folder / "names.bin", source.name, source.finer)
            sizes, labels, parts, hashes, name_ends = copied
            classes = source.classes if (labels >= 0).any() else []
        if len(sizes) == 0:
            raise InputError(nothing_left(source.name, bad))
        if labels.max() >= len(classes) or labels.min() < UNLABELLED:
            raise InputError(
                f"{source.name} has labels from {labels.min()} to {labels.max()} but {len(classes)} classes: mend it."
            )
        if made is None:
            assert isinstance(tokenizer, str)
            show("training the tokenizer", None)
            learnt = np.zeros(len(sizes), dtype=bool)
            learnt[choose(labels, parts)] = True
            made = train_tokenizer(tokenizer, _Texts(path, sizes, learnt), vocab_size)
        made.backend.save(str(folder / "tokenizer.json"))
        seals, offsets = _write_tokens(folder, made, sizes, show)
        seals["tokenizer.json"] = seal_of(folder / "tokenizer.json")
    path.unlink()
    columns = {"offsets": offsets, "sizes": sizes, "labels": labels, "parts": parts, "hashes": hashes}
    columns["name_ends"] = name_ends
    seals["names.bin"] = seal_of(folder / "names.bin")
    for name, values in columns.items():
        with ArrayWriter(folder / f"{name}.bin", values.dtype.newbyteorder("<").str) as writer:
            writer.write(values)
        seals[f"{name}.bin"] = writer.seal
    facts: dict[str, Any] = {"special": made.special, "bytes_dtype": _bytes_dtype(sizes), "classes": classes}
    facts |= {"bad": bad, "remarks": remarks, "named": bool(name_ends[-1]), "digest": digest, "files": seals}
    write_facts(folder / "corpus.json", facts)


def _write_tokens(folder: Path, tokenizer: TextTokenizer, sizes: np.ndarray, show: Show) -> tuple[Seals, np.ndarray]:
    """Writes the tokens of all texts and their bytes; returns where every document begins and the last one ends."""
    lengths, done = [np.zeros(1, dtype=np.int64)], 0
    tokens = ArrayWriter(folder / "tokens.bin", tokenizer.dtype)
    shares = ArrayWriter(folder / "bytes.bin", _bytes_dtype(sizes))
    with tokens, shares:
        for chunk in _chunks(_Texts(folder / "texts", sizes, np.ones(len(sizes), dtype=bool))):
            ids, counts, stood_for = tokenizer.encode_with_bytes(chunk)
            tokens.write(ids)
            shares.write(stood_for)
            lengths.append(counts)
            done += len(chunk)
            show(f"{done:,} of {len(sizes):,} documents", done / len(sizes))
    return {"tokens.bin": tokens.seal, "bytes.bin": shares.seal}, np.cumsum(np.concatenate(lengths))


def _bytes_dtype(sizes: np.ndarray) -> str:
    """Of the bytes that a token stands for, which are no more than the longest text has."""
    return "<u2" if sizes.max() < 2**16 else "<u4"


def _copy_texts(source: TextSource, path: Path, show: Show) -> tuple[Copied, dict[str, Bad], str]:
    """Writes all texts into one file, and their names into one beside it.

    Returns:
        What is known of them, what was left out, and a digest of all but the names.
    """
    sizes, labels, parts, hashes, name_ends = array("q"), array("q"), array("b"), array("Q"), array("q")
    bad: dict[str, Bad] = {}
    digest = hashlib.sha256()
    with path.open("wb") as file, path.with_name("names.bin").open("wb") as names_file:
        for document in source.documents():
            if isinstance(document, BadText):
                bad[document.reason] = bad.get(document.reason, Bad(0, [])).and_named(document.name)
                continue
            text = document.text.encode(errors="replace")  # half a surrogate pair, say, from a JSON escape
            digest.update(f"{len(text)}:{document.label}:{document.part}\n".encode() + text)
            file.write(text)
            sizes.append(len(text))
            labels.append(document.label)
            parts.append(PARTS.index(document.part))
            names_file.write(document.name.encode(errors="backslashreplace"))
            name_ends.append(names_file.tell())
            hashes.append(hash_of_text(text))
            if len(sizes) % 1024 == 0:
                show(f"{len(sizes):,} documents read", None)
    return Copied(*map(np.array, (sizes, labels, parts, hashes, name_ends))), bad, digest.hexdigest()


def _chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    characters = 0
    for text in texts:
        chunk.append(text)
        characters += len(text)
        if characters >= CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk
