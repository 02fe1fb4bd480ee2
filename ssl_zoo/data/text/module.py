"""Text for pretraining and probing."""

import warnings
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import lightning as L
import numpy as np
import torch
from torch import Tensor

from ssl_zoo.batch import Batch
from ssl_zoo.data.balance import Balance, BalancedSampler, check_balance
from ssl_zoo.data.base import DataModule, check_at_least
from ssl_zoo.data.examples import Examples
from ssl_zoo.data.loader import TrainLoader, train_loader
from ssl_zoo.data.representations import Baseline, TokenCounts
from ssl_zoo.data.same_split import OtherSplit
from ssl_zoo.data.splits import Split, identity, split_hash
from ssl_zoo.data.text.corpus import Corpus, open_corpus
from ssl_zoo.data.text.documents import Documents, PackedRows, Pairs, documents_of_rows, short_pairs
from ssl_zoo.data.text.kept_tokenizer import as_kept, from_kept
from ssl_zoo.data.text.left_out import answer_bad
from ssl_zoo.data.text.raw import texts_of
from ssl_zoo.data.text.sources.base import UNLABELLED, TextSource
from ssl_zoo.data.text.sources.files import TextFiles
from ssl_zoo.data.text.sources.pairs import PairSource
from ssl_zoo.data.text.sources.python_docs import PythonDocs
from ssl_zoo.data.text.tokenizer import TRAINERS, TextTokenizer, check_trained
from ssl_zoo.data.tokens import Tokens
from ssl_zoo.errors import InputError
from ssl_zoo.own_code import require_said
from ssl_zoo.rebuilding import require_kind
from ssl_zoo.vocabulary import Vocabulary

# Under which key a checkpoint keeps the tokenizer; `tokenizer` is its hash.
TOKENIZER = "tokenizer_itself"
CAPTION = 120  # characters


class TextData(DataModule):
    """Documents of one source as token ids, split the same way in every run.

    The official validation and test parts are used where there are some. Otherwise a part is held out for testing, and
    then a tenth of the training documents (`validation_fraction`) for validation. The split is by whole documents, with
    every class in proportion in each part, and depends on no seed. Where a source has labels, its training documents
    without one serve only for pretraining.

    Of a source of pairs an example is a text, and its translation stands among the batch's fields; one tokenizer reads
    both. Pairs are split as wholes, and those with a text of more than `length` tokens are left out.

    Tokens are made once and kept in ~/.cache/ssl_zoo/text, from where they are mapped: a second run starts at once, and
    memory does not grow with the text.

    Args:
        source: where the documents come from; the running Python's manual when left out.
        tokenizer: `wordpiece` (lower case, as in BERT), `bpe` (byte-level, as in GPT-2) or `characters` trains one on
            the documents of `pretrain_set`; a model's name on the Hugging Face hub, a folder or a tokenizer.json takes
            that one.
        vocab_size: token ids of a trained tokenizer, at most; one taken ready-made has its own size.
        length: tokens per packed row, and the most tokens of a single document, with its begin and end. A longer one
            is cut there and has no end.
        packing: pretrain on rows of `length` tokens without padding, cut from the documents one after the other. False
            pretrains on single documents.
        batch_size: rows or documents per optimizer step, over all processes together.
        train_size: use only so many of the training documents; all when left out.
        validation_fraction: part of the training documents held out for validation when there is no official
            validation part, in (0, 1).
        test_fraction: part of all documents held out for testing when there is no official test set, in (0, 1).
        num_workers: processes that fetch batches; 0 is best, as nothing has to be decoded.
        on_error: what a bad text does, one that is blank or not UTF-8: `skip` warns and goes on without it, `stop` ends
            the run.
        balance: power of its number of rows that a class's share of the pretraining batches is proportional to: where
            classes are languages, those with little text come more often. 0.7 as in multilingual BERT, 1 for shares as
            they are, 0 for all alike; left out, every row comes once a pass. A row is of its first token's class.

    Attributes:
        length: tokens per packed row, and the most of a single document.
        train_set: single documents of a source with labels, packed rows of one without.

    Raises:
        InputError: an argument is out of its range.
    """

    modality = "text"
    noun = "texts"
    padded = True
    program_inputs = "`inputs` are token ids `(B, T)` int64, `mask` is bool `(B, T)`, True where a token is real."

    _own_tokenizer: TextTokenizer | None = None

    def __init__(
        self,
        source: TextSource | None = None,
        tokenizer: str = "wordpiece",
        vocab_size: int = 8192,
        length: int = 128,
        packing: bool = True,
        batch_size: int = 32,
        train_size: int | None = None,
        validation_fraction: float = 0.1,
        test_fraction: float = 0.2,
        num_workers: int = 0,
        on_error: Literal["skip", "stop"] = "skip",
        balance: float | None = None,
    ) -> None:
        require_kind("TextData", "source", source, TextSource)
        super().__init__(batch_size, train_size, validation_fraction, test_fraction, num_workers)
        self.save_hyperparameters()
        if on_error not in ("skip", "stop"):
            raise InputError(f"on_error is {on_error}: choose skip or stop.")
        check_at_least(3, length=length)  # begin, a token and end
        check_balance(balance)
        if tokenizer in TRAINERS:
            check_trained(tokenizer, vocab_size)
        self.source = source or PythonDocs()
        require_said(self.source, TextSource)
        self.source_name, self.finer = self.source.name, self.source.finer
        self.on_error, self.balance = on_error, balance
        self.tokenizer, self.vocab_size, self.length, self.packing = tokenizer, vocab_size, length, packing
        self.paired = isinstance(self.source, PairSource)
        if self.paired and packing:
            raise InputError(
                f"{self.source_name} has pairs of texts, of which rows cannot be packed: set data.packing to false."
            )

    @cached_property
    def corpus(self) -> Corpus:
        """All documents as token ids, made at the first call.

        Raises:
            InputError: the data or the tokenizer cannot be had, or there is too little data.
        """
        choice = [self.train_size, self.validation_fraction, self.test_fraction]
        tokenizer = self.tokenizer if self._own_tokenizer is None else self._own_tokenizer
        return open_corpus(self.source, tokenizer, self.vocab_size, self._choose_pretraining, choice)

    def remember(self, state_dict: dict[str, Any]) -> None:
        """See `DataModule`; texts are read by the tokenizer that the checkpoint keeps."""
        super().remember(state_dict)
        kept = state_dict.get(TOKENIZER)
        self._own_tokenizer = None if kept is None else from_kept(kept)

    def read_like(self, other: DataModule) -> None:
        """See `DataModule`; by the other data's tokenizer, for which a run of before it was kept reads that data."""
        tokens = other.tokens()
        self._own_tokenizer = None if tokens is None else tokens.tokenizer

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """What encoders and methods know of the tokenizer; errors as for `corpus`."""
        return self.tokens().tokenizer.vocabulary()

    @property
    def spelling(self) -> list[str | None]:
        """How every token is written, in the order of the ids, for encoders that read characters."""
        return self.tokens().tokenizer.spelling()

    def decode(self, ids: Tensor) -> str:
        """The text of ``(T,)`` token ids, without special tokens."""
        return self.tokens().tokenizer.decode(ids.tolist())

    def read(self) -> None:
        """Finds or makes the tokens, and splits the documents.

        Raises:
            InputError: the data or the tokenizer cannot be had, or there is too little data.
        """
        corpus = self._said_what_is_left_out()
        train, validation, test, unlabelled = self._split(corpus.labels, corpus.parts)
        if self.paired:
            train, validation, test = short_pairs(corpus, [train, validation, test], self.length, self.source_name)
        self.classes = corpus.classes
        self.name_of = corpus.name_of if corpus.named else None
        self.identity = identity(corpus.digest, corpus.classes)
        self.split_hash = split_hash(self.identity, train, validation, test)
        pretrain = torch.cat([train, unlabelled]).sort().values
        self.warn_of_shared(corpus.hashes, [pretrain, validation, test], "texts")
        check_balance(self.balance, self.source_name, self.classes)
        self.pretrain_set = self._packed(pretrain, "to train on") if self.packing else self._documents(pretrain)
        if self.classes or not self.packing:
            self.train_set, self.validation_set, self.test_set = map(self._documents, (train, validation, test))
        else:
            self.train_set = self.pretrain_set
            self.validation_set = self._packed(validation, "to validate on")
            self.test_set = self._packed(test, "to test on")

    def shuffled(self, examples: Examples, batch_size: int, seed: int, trainer: L.Trainer | None = None) -> TrainLoader:
        """See `DataModule`; with `balance`, what is pretrained on comes in those shares."""
        if self.balance is None or examples is not self.pretrain_set:
            return super().shuffled(examples, batch_size, seed, trainer)
        chosen = self._choose_pretraining(self.corpus.labels, self.corpus.parts)
        documents = documents_of_rows(self.corpus, chosen, self.length) if self.packing else chosen
        balance = Balance(torch.from_numpy(self.corpus.labels[documents]), self.balance)
        return train_loader(examples, batch_size, seed, self.num_workers, trainer, partial(BalancedSampler, balance))

    def baselines(self) -> dict[str, Baseline]:
        """See `DataModule`; the words of a text in no order."""
        return {"tf-idf": TokenCounts(self.vocabulary)}

    def captions(self, batch: Batch) -> list[str]:
        """See `DataModule`; the beginning of every text."""
        real = torch.ones_like(batch.inputs, dtype=torch.bool) if batch.mask is None else batch.mask > 0
        texts = [self.decode(ids[mask]) for ids, mask in zip(batch.inputs, real, strict=True)]
        return [f"{text[:CAPTION]}{'...' if len(text) > CAPTION else ''}" for text in texts]

    def tokens(self) -> Tokens:
        """See `DataModule`; the tokenizer and the length of this data, for which it need not be read again."""
        own = None if "corpus" in self.__dict__ else self._own_tokenizer
        tokenizer = self.corpus.tokenizer if own is None else own
        self._require_tokenizer(self.kept or {}, tokenizer.hash)  # an old run kept no more of it than that
        return Tokens(tokenizer, self.length, self.packing)

    def batch_of(self, raw: Any, sample_rate: int | None = None) -> Batch:
        """See `DataModule`; texts as `ssl_zoo.data.text.raw.texts_of` takes them."""
        return texts_of(raw, self.tokens())

    def stand_ins(self, count: int) -> Batch:
        """See `DataModule`; token ids at random."""
        ids = torch.randint(self.vocabulary["size"], (count, self.length))
        return Batch(ids, None, None, torch.arange(count))

    def everything(self) -> list[Examples]:
        """See `DataModule`; documents one by one, also where rows are packed from them."""
        corpus = self._said_what_is_left_out()
        self.classes = corpus.classes
        self.name_of = corpus.name_of if corpus.named else None
        known = torch.from_numpy(corpus.labels != UNLABELLED)
        if self.paired:  # every other document is a translation, which the one before it has among its fields
            return [self._documents(torch.arange(0, len(known), 2))]
        parts = [chosen.nonzero()[:, 0] for chosen in (known, ~known)]
        return [self._documents(chosen) for chosen in parts if len(chosen)]

    def _said_what_is_left_out(self) -> Corpus:
        """All documents, after a word about those that cannot be used, or a refusal."""
        corpus = self.corpus
        for remark in corpus.remarks:
            warnings.warn(remark, stacklevel=3)
        answer_bad(self.source_name, corpus.bad, self.on_error)
        return corpus

    def _documents(self, chosen: Tensor) -> Examples:
        kind = Pairs if self.paired else Documents
        return kind(self.corpus, chosen, self.length)

    def _packed(self, chosen: Tensor, purpose: str) -> Examples:
        tokens = self.corpus.packed(chosen.numpy())
        if len(tokens) < self.length:
            raise InputError(
                f"{self.source_name} has {len(tokens)} tokens {purpose}, less than one row of {self.length}: "
                "lower the data's length, or give more text."
            )
        shares = self.corpus.packed(chosen.numpy(), "bytes")
        return PackedRows(tokens, shares, self.length, self.corpus.tokenizer.special["end"])

    def on_folder(self, root: Path) -> "TextData":
        """See `DataModule`; with this data's tokenizer, which is trained once."""
        tokenizer = self.corpus.folder / "tokenizer.json"
        source, length = TextFiles(root), self.length
        data = TextData(source, str(tokenizer), length=length, packing=self.packing, batch_size=self.batch_size)
        if data.vocabulary["hash"] != self.vocabulary["hash"]:
            raise InputError(f"probe_data: {root} cannot be read with the tokenizer {self.tokenizer}: leave it out.")
        return data

    def _split(self, labels: np.ndarray, parts: np.ndarray) -> Split:
        """Positions of the documents of each part, or of the first of every pair."""
        if self.paired:
            cut = self.split(torch.tensor(labels[::2]), torch.tensor(parts[::2]), "pairs")
            return Split(*(2 * each for each in cut))
        return self.split(torch.tensor(labels), torch.tensor(parts), "documents")

    def _choose_pretraining(self, labels: np.ndarray, parts: np.ndarray) -> np.ndarray:
        train, _, _, unlabelled = self._split(labels, parts)
        read = torch.cat([train, unlabelled, *([train + 1] if self.paired else [])])  # translations, too
        return read.sort().values.numpy()

    def state_dict(self) -> dict[str, Any]:
        """The seed of the order, the split, which tokenizer it is, and the tokenizer itself."""
        tokenizer = self.tokens().tokenizer
        return {**super().state_dict(), "tokenizer": tokenizer.hash, TOKENIZER: as_kept(tokenizer)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over a checkpoint's order.

        Raises:
            InputError: the checkpoint was made with another tokenizer or on another split.
        """
        self._require_tokenizer(state_dict, self.vocabulary["hash"])
        super().load_state_dict(state_dict)

    def _require_tokenizer(self, state_dict: dict[str, Any], here: str) -> None:
        made = state_dict.get("tokenizer")
        if made is not None and made != here:
            raise OtherSplit(
                f"The checkpoint was made with another tokenizer ({made}) than {self.tokenizer} is on "
                f"{self.source_name} here ({here}): give it the data and the tokenizer it was trained with."
            )
