import math
from itertools import product

import pytest
import torch

from ssl_zoo.decoders import beams as module
from ssl_zoo.decoders.beams import Memory, search
from ssl_zoo.decoders.recurrent import RecurrentDecoder
from ssl_zoo.decoders.tokens import TokenDecoder
from ssl_zoo.decoders.writing import write

PAD, BEGIN, END, TOKENS, DIM, ROWS = 0, 1, 2, 6, 8, 12
DECODERS = {
    "transformer": lambda: TokenDecoder(DIM, 1, 2, 16, 0.0),
    "general": lambda: RecurrentDecoder(DIM, 1, "general", 0.0),
    "none": lambda: RecurrentDecoder(DIM, 2, "none", 0.0),
}
each_decoder = pytest.mark.parametrize("name", DECODERS)


class Writer:
    """A decoder with a table of tokens, of which it writes 2 to 5."""

    def __init__(self, name: str) -> None:
        torch.manual_seed(0)
        self.decoder = DECODERS[name]().eval()
        with torch.no_grad():
            for parameter in self.decoder.parameters():
                if parameter.ndim > 1:
                    parameter.mul_(3)
        self.table = 0.5 * torch.randn(TOKENS, DIM)
        mask = torch.arange(7) < torch.tensor([7, 3, 1, 5] * 3)[:, None]
        self.memory = Memory(3 * torch.randn(ROWS, 7, DIM), mask, torch.randn(ROWS, DIM))

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        return self.table[ids]

    def logits(self, vectors: torch.Tensor) -> torch.Tensor:
        found = vectors @ self.table.T
        found[:, [PAD, BEGIN]] = -torch.inf
        found[:, END] -= 1
        return found

    def search(self, length: int, beams: int, penalty: float) -> module.Found:
        return search(
            self.decoder, self.memory, self.embed, self.logits, BEGIN, END, PAD, length, beams, penalty
        )  # fmt: skip

    def log_probability(self, row: int, text: list[int]) -> float:
        """Of a text's tokens, each given those before, in one pass."""
        vectors, mask, summary = (each[row : row + 1] for each in self.memory)
        read = self.embed(torch.tensor([[BEGIN, *text[:-1]]]))
        found = self.logits(self.decoder(read, vectors, mask, summary=summary)[0]).log_softmax(1)
        return float(found.gather(1, torch.tensor(text)[:, None]).sum())


def real(row: torch.Tensor) -> list[int]:
    ids = row.tolist()
    return ids[: ids.index(END) + 1] if END in ids else [token for token in ids if token != PAD]


@each_decoder
@torch.no_grad()
def test_one_beam_is_the_likeliest_token_each_time(name):
    writer = Writer(name)
    before = torch.full((ROWS, 6), -1)
    before[:, 0] = BEGIN
    vectors, mask, summary = writer.memory
    greedy = write(writer.decoder, vectors, mask, before, writer.embed, writer.logits, END, summary=summary)
    assert [real(row) for row in writer.search(6, 1, 1.0).ids] == [real(row) for row in greedy]
    assert len({tuple(real(row)) for row in greedy}) > 1


@each_decoder
@pytest.mark.parametrize("beams", [1, 3])
@torch.no_grad()
def test_a_score_is_the_sum_of_log_probabilities_over_the_lengths_power(name, beams):
    writer = Writer(name)
    for penalty in (0.0, 1.0, 0.6):
        ids, scores = writer.search(5, beams, penalty)
        for row in range(ROWS):
            text = real(ids[row])
            expected = writer.log_probability(row, text) / len(text) ** penalty
            assert float(scores[row]) == pytest.approx(expected, abs=1e-4)
            assert (ids[row, len(text) :] == PAD).all()


def all_texts(length: int) -> list[list[int]]:
    """Those that end within a length, and those that are cut there."""
    words = [token for token in range(TOKENS) if token not in (PAD, BEGIN, END)]
    ended = [[*text, END] for size in range(length) for text in product(words, repeat=size)]
    return ended + [list(text) for text in product(words, repeat=length)]


@each_decoder
@pytest.mark.parametrize("penalty", [0.0, 1.0])
@torch.no_grad()
def test_beams_enough_for_all_texts_find_the_best_of_all(name, penalty):
    writer, length = Writer(name), 3
    texts = all_texts(length)
    ids, scores = writer.search(length, len(texts), penalty)
    differs = False
    for row in range(ROWS):
        every = {tuple(text): writer.log_probability(row, text) / len(text) ** penalty for text in texts}
        best = max(every, key=every.__getitem__)
        assert tuple(real(ids[row])) == best and float(scores[row]) == pytest.approx(every[best], abs=1e-4)
        differs |= real(writer.search(length, 1, penalty).ids[row]) != list(best)
    probabilities = [math.exp(writer.log_probability(0, text)) for text in texts]
    assert sum(probabilities) == pytest.approx(1, abs=1e-4)  # there are no others
    assert differs or penalty == 0  # for which the likeliest token each time is not enough


@torch.no_grad()
def test_rows_do_not_depend_on_each_other_and_the_search_stops_when_all_have_ended():
    writer = Writer("general")
    whole = writer.search(5, 3, 1.0)
    memory = writer.memory
    for row in range(ROWS):
        writer.memory = Memory(*(each[row : row + 1] for each in memory))
        alone = writer.search(5, 3, 1.0)
        assert real(alone.ids[0]) == real(whole.ids[row]) and float(alone.score[0]) == pytest.approx(
            float(whole.score[row]), abs=1e-5
        )
    steps = []
    step = writer.decoder.step
    writer.decoder.step = lambda *given: steps.append(1) or step(*given)
    writer.logits = lambda vectors: torch.full((len(vectors), TOKENS), -20.0).index_fill(1, torch.tensor([END]), 0.0)
    assert writer.search(5, 1, 1.0).ids.tolist() == [[END]] and len(steps) == 1
