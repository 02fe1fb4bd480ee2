"""Tasks that are answered at tokens: a tag for every word, and the part of a text that answers a question."""

from typing import NamedTuple

import torch
from torch import Tensor

from ssl_zoo.data.text.tokenizer import TextTokenizer
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.errors import InputError
from ssl_zoo.finetuning.records import Question, Records, TaggedSentence
from ssl_zoo.finetuning.tasks import Task, draw_some
from ssl_zoo.finetuning.tokens import (
    Offsets,
    Tokenized,
    TokenizedExamples,
    covering_pieces,
    first_pieces,
    split_texts,
    wrap,
    wrap_pair,
)
from ssl_zoo.tasks.heads import SpanHead, TagHead
from ssl_zoo.tasks.scores import accuracy, entity_f1, exact_match, overlap_f1


class TokenTask(Task):
    """What tags and spans share: examples are drawn without a look at their labels."""

    counted = "examples"
    train: TokenizedExamples
    test: TokenizedExamples

    def draw(self, number: int | None, draw: int) -> Tensor:
        """As in `Task`; see `draw_some`."""
        return draw_some(len(self.train), self.data, number, draw)

    def _keep(self, train: list[Tokenized], test: list[Tokenized], tokenizer: TextTokenizer, length: int) -> None:
        for name, part in {"training": train, "test": test}.items():
            if not part:
                raise InputError(f"{self.data}: {length} tokens leave no {name} example an answer: raise data.length.")
        self.train, self.test = (TokenizedExamples(part, tokenizer.special["pad"]) for part in (train, test))


class TagTask(TokenTask):
    """A tag for every word, predicted at its first token; words cut off, or of no token, do not count.

    Args:
        records: train and test.
        tokenizer: the run's.
        length: most tokens of a sentence.
    """

    def __init__(self, records: Records[TaggedSentence], tokenizer: TextTokenizer, length: int) -> None:
        self.data, self.split = records.name, records.hash()
        self.tags = sorted({tag for record in records.train for tag in record.tags})
        train, test = (self._tokenize(part, tokenizer, length) for part in (records.train, records.test))
        self.left_out = len(records.train) - len(train), len(records.test) - len(test)
        self._keep(train, test, tokenizer, length)

    def _tokenize(self, part: list[TaggedSentence], tokenizer: TextTokenizer, length: int) -> list[Tokenized]:
        numbers = {tag: number for number, tag in enumerate(self.tags)}
        examples = []
        texts = split_texts([" ".join(record.tokens) for record in part], tokenizer)
        for record, (ids, offsets) in zip(part, texts, strict=True):
            wrapped, first = wrap(ids, tokenizer, length)
            targets, places = torch.zeros(len(wrapped), dtype=torch.int64), torch.zeros(len(wrapped), dtype=torch.bool)
            for tag, piece in zip(record.tags, first_pieces(record.tokens, offsets), strict=True):
                if piece is not None and first + piece < len(wrapped) - 1:
                    targets[first + piece], places[first + piece] = numbers[tag], True
            if places.any():
                examples.append(Tokenized(torch.tensor(wrapped), targets, places))
        return examples

    def new_head(self, encoder: Encoder) -> TagHead:
        """As in `Task`."""
        return TagHead(encoder.dim, len(self.tags))

    def score(self, answers: list[list[int]]) -> dict[str, float]:
        """F1 of entities, and the accuracy of all tags."""
        wanted = [target[places].tolist() for _, target, places in self.test.examples]
        predicted_tags, wanted_tags = ([[self.tags[tag] for tag in row] for row in rows] for rows in (answers, wanted))
        return {"f1": entity_f1(predicted_tags, wanted_tags), "accuracy": accuracy(answers, wanted)}


class SpanTask(TokenTask):
    """The part of a context that answers a question, read as `begin question end context end`.

    What is too long is cut (see `wrap_pair`); an example whose answer is cut away is left out.

    Args:
        records: train and test.
        tokenizer: the run's.
        length: most tokens of an example.
    """

    def __init__(self, records: Records[Question], tokenizer: TextTokenizer, length: int) -> None:
        self.data, self.split = records.name, records.hash()
        train, _ = _tokenize_questions(records.train, tokenizer, length)
        test, self.asked = _tokenize_questions(records.test, tokenizer, length)
        self.left_out = len(records.train) - len(train), len(records.test) - len(test)
        self._keep(train, test, tokenizer, length)

    def new_head(self, encoder: Encoder) -> SpanHead:
        """As in `Task`."""
        return SpanHead(encoder.dim, 2)

    def score(self, answers: list[list[int]]) -> dict[str, float]:
        """F1 of the answers' words and the part of answers that match exactly."""
        predicted = [asked.answer(*answer) for asked, answer in zip(self.asked, answers, strict=True)]
        wanted = [asked.wanted for asked in self.asked]
        return {"f1": overlap_f1(predicted, wanted), "exact match": exact_match(predicted, wanted)}


class Asked(NamedTuple):
    """What turns tokens back into an answer.

    Attributes:
        context: the text that the answer is a part of.
        offsets: offsets of the context's tokens.
        first: where the context's first token stands in the example.
        wanted: the right answer.
    """

    context: str
    offsets: Offsets
    first: int
    wanted: str

    def answer(self, first: int, last: int) -> str:
        """The text between two tokens of the example, both included."""
        return self.context[self.offsets[first - self.first][0] : self.offsets[last - self.first][1]]


def _tokenize_questions(
    records: list[Question], tokenizer: TextTokenizer, length: int
) -> tuple[list[Tokenized], list[Asked]]:
    questions = split_texts([record.question for record in records], tokenizer)
    contexts = split_texts([record.context for record in records], tokenizer)
    examples, asked = [], []
    for record, question, context in zip(records, questions, contexts, strict=True):
        ids, first = wrap_pair(question.ids, context.ids, tokenizer, length)
        behind = len(ids) - 1  # the end token
        answer = covering_pieces(record.start, record.end, context.offsets)
        if answer is None or first + answer[1] >= behind:
            continue
        places = torch.zeros(len(ids), dtype=torch.bool)
        places[first:behind] = True
        examples.append(Tokenized(torch.tensor(ids), first + torch.tensor(answer), places))
        asked.append(Asked(record.context, context.offsets, first, record.context[record.start : record.end]))
    return examples, asked
