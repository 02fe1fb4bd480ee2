import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ssl_zoo.encoders.text_recurrent import GRUTextEncoder
from ssl_zoo.errors import InputError
from tests.contracts.test_encoders import VOCABULARY, inputs

DIM, DEPTH = 12, 2


def make(directions: str, **settings) -> GRUTextEncoder:
    torch.manual_seed(0)
    return GRUTextEncoder(VOCABULARY, DIM, DEPTH, directions, **settings).eval()


def reference(encoder: GRUTextEncoder) -> nn.GRU:
    """PyTorch's own with the same weights."""
    both = encoder.directions == "both"
    theirs = nn.GRU(DIM, DIM // 2 if both else DIM, DEPTH, batch_first=True, bidirectional=both)
    for number in range(DEPTH):
        for grus, suffix in ((encoder.ahead, ""), (encoder.back, "_reverse" if both else "")):
            for name, weight in grus[number].named_parameters() if len(grus) else ():
                getattr(theirs, f"{name[:-1]}{number}{suffix}").data = weight.detach()
    return theirs


@torch.no_grad()
@pytest.mark.parametrize("directions", ["forward", "backward", "both"])
def test_vectors_are_those_of_pytorchs_grus_which_know_where_a_text_ends(directions):
    encoder, (ids, mask) = make(directions), inputs(make(directions))
    lengths, read = mask.sum(1), ids.clone()
    if directions == "backward":  # the source reversed, each text in its own length
        for row, length in enumerate(lengths.tolist()):
            read[row, :length] = ids[row, :length].flip(0)
    packed = pack_padded_sequence(encoder.token_embedding(read), lengths, batch_first=True, enforce_sorted=False)
    output, last = reference(encoder)(packed)
    expected, _ = pad_packed_sequence(output, batch_first=True)
    found = encoder(ids, mask)
    for row, length in enumerate(lengths.tolist()):
        real = expected[row, :length].flip(0) if directions == "backward" else expected[row, :length]
        torch.testing.assert_close(found.sequence[row, :length], real, atol=1e-6, rtol=1e-5)
    finals = torch.cat([last[-2], last[-1]], dim=1) if directions == "both" else last[-1]
    torch.testing.assert_close(found.pooled, finals, atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_the_source_reversed_is_the_encoder_of_reversed_texts():
    ahead, back = make("forward"), make("backward")
    back.load_state_dict({name.replace("ahead", "back"): value for name, value in ahead.state_dict().items()})
    ids = torch.randint(5, 40, (3, 9), generator=torch.Generator().manual_seed(0))
    one, two = ahead(ids.flip(1)), back(ids)
    torch.testing.assert_close(two.sequence, one.sequence.flip(1))
    torch.testing.assert_close(two.pooled, one.pooled)


@pytest.mark.parametrize("directions", ["forward", "backward"])
def test_one_direction_sees_one_side_and_says_so(directions):
    encoder = make(directions)
    assert encoder.causal == (directions == "forward")
    embedded = encoder.embed(torch.randint(5, 40, (1, 9)))
    vectors = embedded.vectors.detach().requires_grad_()
    (seen,) = torch.autograd.grad(
        encoder.contextualize(embedded._replace(vectors=vectors)).sequence[0, 4].sum(), vectors
    )
    before, behind = seen[0, :4].abs().sum(), seen[0, 5:].abs().sum()
    unseen, visible = (behind, before) if directions == "forward" else (before, behind)
    assert unseen == 0 and visible > 0


def test_what_cannot_work_is_refused():
    with pytest.raises(InputError, match=r"GRUTextEncoder: dim is 7 and depth 1; .* an even dim for both"):
        GRUTextEncoder(VOCABULARY, 7)
    with pytest.raises(InputError, match=r"not packed rows: set data\.packing to false"):
        make("both")(torch.full((1, 4), 6), torch.tensor([[1, 1, 2, 2]]))


def test_under_bfloat16_the_state_stays_in_float32():
    encoder = make("both")
    ids, mask = inputs(encoder)
    with torch.autocast("cpu", torch.bfloat16):
        assert encoder(ids, mask).sequence.dtype == torch.float32
