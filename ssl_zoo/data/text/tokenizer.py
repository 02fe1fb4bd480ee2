"""Tokenizers: trained on a corpus or taken ready-made, and what the rest of the house wants to know of one."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from ssl_zoo.data.text.special_tokens import SpecialIds, find_special_ids, first_of, unmarked
from ssl_zoo.data.text.token_bytes import TokenBytes
from ssl_zoo.errors import InputError
from ssl_zoo.vocabulary import Vocabulary

# What trained tokenizers call their special tokens; a token's place here is its id.
SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
# Case, accents, numbers, spaces, other scripts: two tokenizers that differ at all differ on their words or on this.
SAMPLE = " The naïve café's 3,141 Ångström\n\tcost  €5 (or so)...  don't RE-TOKENIZE日本語 straße ½ 🙂\r\n"
MOST_CHARACTERS = 1000
LONG_RUN = re.compile(r"\S{1000}|\s{1000}")
# Stands at the start of a word while WordPiece is trained. No text has it: the normalizer drops private characters.
WORD_START = "\ue000"


class TextTokenizer:
    """Turns documents into token ids, each with its begin and end, and back.

    Args:
        backend: tokenizer of the library `tokenizers`; its settings for padding, truncation and special tokens are
            overruled.
        special: the special tokens' ids.

    Attributes:
        size: number of token ids.
        dtype: type of ids on the disk, uint16 where they fit and uint32 otherwise.
    """

    def __init__(self, backend: Tokenizer, special: SpecialIds) -> None:
        self.backend, self.special = backend, special
        backend.no_truncation()
        backend.no_padding()
        self.size = max(backend.get_vocab(with_added_tokens=True).values()) + 1
        self.dtype = "<u2" if self.size <= 2**16 else "<u4"

    @cached_property
    def special_ids(self) -> set[int]:
        """Every id that stands for no text."""
        added = self.backend.get_added_tokens_decoder()
        roles = (self.special[role] for role in ("pad", "begin", "end", "mask", "unknown"))
        named = {token for token in roles if token is not None}
        return named | {token for token, described in added.items() if described.special}

    @cached_property
    def splitter(self) -> Tokenizer:
        """The backend for texts: one that speaks about "[SEP]" has no token [SEP], so documents end where they end."""
        return unmarked(self.backend, self.special_ids)

    def encode(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Token ids of whole documents.

        Returns:
            The documents' ids one after the other, uint16 where the vocabulary fits and uint32 otherwise, and the
            number of ids of each, ``(len(texts),)`` int64.
        """
        ids, lengths, _ = self.encode_with_bytes(texts)
        return ids, lengths

    def encode_with_bytes(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Token ids of whole documents, as `encode` has them, and how many bytes of its text each stands for.

        Returns:
            Besides, of the length of the ids, int64 bytes as `TokenBytes` shares them out; a document's begin has none.
        """
        begin, end = self.special["begin"], self.special["end"]
        opening = [] if begin is None else [begin]
        found = self._token_bytes.split(texts)
        pieces = chain.from_iterable(chain(opening, ids, (end,)) for ids, _ in found)
        lengths = np.array([len(opening) + len(ids) + 1 for ids, _ in found], dtype=np.int64)
        nothing = np.zeros(len(opening), dtype=np.int64)
        shares = [part for _, shares in found for part in (nothing, shares)]
        return np.fromiter(pieces, self.dtype, int(lengths.sum())), lengths, np.concatenate([nothing[:0], *shares])

    @cached_property
    def _token_bytes(self) -> TokenBytes:
        return TokenBytes(self.splitter)

    def decode(self, ids: list[int]) -> str:
        """The text of token ids, without special tokens."""
        return self.backend.decode(ids, skip_special_tokens=True)

    @cached_property
    def hash(self) -> str:
        """Sixteen hex digits of the words, of begin and end, and of what becomes of a difficult sentence.

        Not of the tokenizer's file, whose form changes with the version of the library that writes it.
        """
        words = sorted(self.backend.get_vocab(with_added_tokens=True).items())
        sample = self.splitter.encode(SAMPLE, add_special_tokens=False).ids
        described = json.dumps([words, self.special["begin"], self.special["end"], sample])
        return hashlib.sha256(described.encode()).hexdigest()[:16]

    def vocabulary(self) -> Vocabulary:
        """What encoders and methods know of this tokenizer."""
        words = self.backend.get_vocab(with_added_tokens=True)
        return Vocabulary(
            size=self.size,
            **self.special,
            special=sorted(self.special_ids),
            continuations=continuations(words, self.special_ids, self.backend.model),
            hash=self.hash,
        )

    def spelling(self) -> list[str | None]:
        """How every token is written, in the order of the ids; None for those that stand for no text."""
        written = {token: word for word, token in self.backend.get_vocab(with_added_tokens=True).items()}
        return [None if token in self.special_ids else written.get(token) for token in range(self.size)]


def continuations(words: dict[str, int], special: set[int], model: models.Model) -> list[int]:
    """The ids, ascending, of the tokens that go on with a word.

    In WordPiece they carry a prefix, "##" as a rule. Elsewhere a word is what stands between spaces and takes the space
    before it along: a token begins a word if its first character is a space of any kind, as text or in the alphabets
    of byte-level BPE and of SentencePiece, and continues one otherwise.

    Args:
        words: all tokens and their ids.
        special: ids that stand for no text.
        model: what the tokens are pieces of.
    """
    if isinstance(model, models.WordLevel):
        return []
    prefix = getattr(model, "continuing_subword_prefix", None)
    if prefix:
        found = (token for word, token in words.items() if word.startswith(prefix))
    else:
        byte_level = set(pre_tokenizers.ByteLevel.alphabet()) <= set(words)
        spaces = tuple("ĠĊĉč" if byte_level else " \n\t\r▁")
        found = (token for word, token in words.items() if not word.startswith(spaces))
    return sorted(set(found) - special)


def train_tokenizer(kind: str, texts: Iterable[str], vocab_size: int) -> TextTokenizer:
    """A tokenizer made for these texts; the same texts make the same one.

    Args:
        kind: `wordpiece`, `bpe` (byte-level, as in GPT-2) or `characters`.
        texts: gone through more than once.
        vocab_size: the most ids it may have, special ones included; short texts fill fewer.
    """
    backend = TRAINERS[kind](texts, vocab_size)
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    return TextTokenizer(backend, find_special_ids(backend))


def check_trained(kind: str, vocab_size: int) -> None:
    """Refuses a vocabulary too small for its alphabet.

    Raises:
        InputError: it is.
    """
    least = len(SPECIAL_TOKENS) + {"wordpiece": 2, "bpe": 256, "characters": 1}[kind]
    if vocab_size < least:
        raise InputError(f"vocab_size is {vocab_size}: a tokenizer of the kind {kind} needs at least {least}.")


def _train_wordpiece(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Lower case without accents, split into words and punctuation, and words into pieces, as in BERT.

    Devlin et al., 2018, arXiv:1810.04805. WordPiece is trained as BPE is (Sennrich et al., 2015, arXiv:1508.07909). The
    library's own trainer numbers the pieces of words in an order that changes from run to run, and its BPE trainer does
    not: so BPE learns pieces that say whether they start a word, and those become WordPiece's.
    """
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    most = min(MOST_CHARACTERS, (vocab_size - len(SPECIAL_TOKENS)) // 2)
    without_spaces = (backend.normalizer.normalize_str(text).replace(" ", "") for text in texts)
    characters = frequent_characters(without_spaces, most)
    pieces = Tokenizer(models.BPE())
    pieces.normalizer = backend.normalizer
    mark = pre_tokenizers.Metaspace(replacement=WORD_START, prepend_scheme="always", split=False)
    pieces.pre_tokenizer = pre_tokenizers.Sequence([backend.pre_tokenizer, mark])
    # Merging WORD_START with a character makes no new word: one piece more for each, so that `vocab_size` is reached.
    _train(pieces, texts, vocab_size + len(characters), [WORD_START, *characters])
    words = list(SPECIAL_TOKENS)
    for character in characters:
        alone = len(backend.pre_tokenizer.pre_tokenize_str(f"a{character}")) == 2  # as punctuation is
        words += [character] if alone else [character, f"##{character}"]
    learnt = pieces.get_vocab()
    for piece in sorted(learnt, key=learnt.__getitem__)[len(characters) + 1 :]:  # in the order they were merged
        words.append(piece[1:] if piece.startswith(WORD_START) else f"##{piece}")
    kept = list(dict.fromkeys(words))[:vocab_size]
    backend.model = models.WordPiece({word: token for token, word in enumerate(kept)}, unk_token="[UNK]")
    return backend


def _train_bpe(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Byte-level BPE: nothing is unknown and every text comes back exactly. Radford et al., GPT-2, 2019."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    _train(backend, texts, vocab_size, sorted(pre_tokenizers.ByteLevel.alphabet()), SPECIAL_TOKENS)
    return backend


def _train_characters(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Every character is a token: BPE without a single merge."""
    words = [*SPECIAL_TOKENS, *frequent_characters(texts, vocab_size - len(SPECIAL_TOKENS))]
    numbered = {word: token for token, word in enumerate(words)}
    backend = Tokenizer(models.BPE(numbered, [], unk_token="[UNK]"))
    backend.decoder = decoders.Fuse()
    return backend


TRAINERS = {"wordpiece": _train_wordpiece, "bpe": _train_bpe, "characters": _train_characters}


def _train(
    backend: Tokenizer, texts: Iterable[str], vocab_size: int, alphabet: list[str], special: list[str] | None = None
) -> None:
    """Learns merges of this alphabet alone; what occurs once in all texts cannot be learnt and becomes no token."""
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        show_progress=False,
        special_tokens=special or [],
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
    )
    backend.train_from_iterator(_broken(texts), trainer)


def _broken(texts: Iterable[str]) -> Iterator[str]:
    """The texts, broken within runs of letters or of spaces so long that learning would take their length's square."""
    for text in texts:
        start = 0
        for run in LONG_RUN.finditer(text):
            yield text[start : run.end()]
            start = run.end()
        yield text[start:]


def frequent_characters(texts: Iterable[str], most: int) -> list[str]:
    """The most frequent characters, in their own order; of equally frequent ones the first."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    ranked = sorted(counts, key=lambda character: (-counts[character], character))
    return sorted(ranked[:most])


def load_tokenizer(name: str) -> TextTokenizer:
    """A tokenizer that others have made.

    Args:
        name: name of a model on the Hugging Face hub, a folder with a tokenizer, or a file in the form of
            tokenizer.json.

    Raises:
        InputError: there is none, or no token of it ends a document.
    """
    path = Path(name).expanduser()
    meant = get_close_matches(name, TRAINERS, cutoff=0.8)
    if meant and not path.exists():
        raise InputError(f"There is no tokenizer {name}: did you mean {meant[0]}?")
    if not path.exists() and (path.is_absolute() or name.startswith((".", "~")) or path.suffix == ".json"):
        raise InputError(f"There is no tokenizer at {name}: give a folder or a tokenizer.json that exists.")
    try:
        if path.is_file():
            backend, known = Tokenizer.from_file(str(path)), {}
        else:
            from transformers import AutoTokenizer

            loaded: Any = AutoTokenizer.from_pretrained(str(path) if path.exists() else name)
            backend = loaded.backend_tokenizer
            known = {
                "pad": loaded.pad_token_id,
                "begin": first_of(loaded.cls_token_id, loaded.bos_token_id),
                "end": first_of(loaded.sep_token_id, loaded.eos_token_id),
                "mask": loaded.mask_token_id,
                "unknown": loaded.unk_token_id,
            }
    except Exception as error:  # the network, the hub and a stranger's files fail in many ways
        raise InputError(
            f"The tokenizer {name} could not be loaded ({type(error).__name__}): choose {', '.join(TRAINERS)}, the "
            "name of a model on the Hugging Face hub (check the network), or a folder with a tokenizer.json."
        ) from error
    special = find_special_ids(backend, known)
    if special["end"] is None:
        raise InputError(f"The tokenizer {name} has no token that ends a document, such as [SEP] or </s>: add one.")
    return TextTokenizer(backend, special)
