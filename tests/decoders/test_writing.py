import torch
from torch import nn

from ssl_zoo.decoders.writing import write
from tests.decoders.test_tokens import DIM, ROWS, inputs, make

START, END, TOKENS, MOST = 10, 0, 11, 8


@torch.no_grad()
def by_recomputing(decoder, memory, mask, before, table, positions=None):
    """Everything anew for every token."""
    read, written = torch.zeros_like(before[:, :0]), torch.zeros_like(before[:, :0])
    for number in range(before.shape[1]):
        last = written[:, -1:] if number else before[:, :1]
        now = before[:, number : number + 1]
        read = torch.cat([read, torch.where(now < 0, last, now)], dim=1)
        places = None if positions is None else positions[:, : number + 1]
        vectors = decoder(table[read], memory, mask, places)[:, -1]
        written = torch.cat([written, (vectors @ table[:-1].T).argmax(1, keepdim=True)], dim=1)
    return written


def test_it_takes_the_likeliest_token_each_time_as_recomputing_everything_does():
    decoder, (_, memory, mask) = make(), inputs()
    table = torch.randn(TOKENS, DIM, generator=torch.Generator().manual_seed(2))
    before = torch.full((ROWS, MOST), -1)
    before[:, 0] = START
    given = torch.randint(0, 10, (ROWS, MOST), generator=torch.Generator().manual_seed(3))
    given[:, [2, 3, 6]] = -1
    for places in (None, torch.tensor([0, 1, 3, 4, 5, 8, 9, 10]).expand(ROWS, -1)):
        for reads in (before, given):
            expected = by_recomputing(decoder, memory, mask, reads, table, places)
            found = write(
                decoder, memory, mask, reads, lambda ids: table[ids], lambda v: v @ table[:-1].T, None, places
            )
            assert torch.equal(found, expected) and len(expected.unique()) > 2


def test_it_stops_when_all_texts_have_ended():
    decoder, (_, memory, mask) = make(), inputs()
    embed = nn.Embedding(TOKENS, DIM)
    before = torch.full((ROWS, MOST), -1)
    before[:, 0] = START
    ending = torch.zeros(ROWS, TOKENS)
    ending[:, END] = 1
    assert write(decoder, memory, mask, before, embed, lambda vectors: ending, END).tolist() == [[END]] * ROWS
    assert write(decoder, memory, mask, before, embed, lambda vectors: ending, None).shape == (ROWS, MOST)
    going_on = ending.clone()
    going_on[1] = 0.0
    going_on[1, 5] = 1
    found = write(decoder, memory, mask, before, embed, lambda vectors: going_on, END)
    assert found.shape == (ROWS, MOST) and found[1].unique().tolist() == [5]
