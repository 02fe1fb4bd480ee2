import pytest
import torch

from ssl_zoo.decoders.recurrent import RecurrentDecoder
from ssl_zoo.errors import InputError
from tests.decoders.test_tokens import DIM, READ, ROWS, WRITTEN, inputs

each_kind = pytest.mark.parametrize("kind", ["none", "additive", "general"])
SUMMARY = torch.randn(ROWS, DIM, generator=torch.Generator().manual_seed(4))


def make(kind: str, depth: int = 2, **settings) -> RecurrentDecoder:
    torch.manual_seed(0)
    decoder = RecurrentDecoder(DIM, depth, kind, **settings).eval()
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.mul_(2).add_(0.1 * torch.randn_like(parameter))
    return decoder


def gru(layer: torch.nn.Module, vector: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
    """Cho et al.'s unit with PyTorch's placing of the reset gate, for one vector."""
    entering = layer.weight_ih_l0 @ vector + layer.bias_ih_l0
    staying = layer.weight_hh_l0 @ state + layer.bias_hh_l0
    (one, two, three), (four, five, six) = entering.chunk(3), staying.chunk(3)
    reset, update = (one + four).sigmoid(), (two + five).sigmoid()
    new = (three + reset * six).tanh()
    return (1 - update) * new + update * state


def look(scores: list[torch.Tensor], places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean of places, each as much as its score says, and how much that is."""
    odds = torch.stack(scores).exp()
    weights = odds / odds.sum()
    return sum(weight * place for weight, place in zip(weights, places, strict=True)), weights


def by_loops(decoder: RecurrentDecoder, vectors: torch.Tensor, memory: torch.Tensor, real: list[int]):
    """Row by row, token by token and place by place; predictions and weights of real places."""
    found, looked = torch.zeros(ROWS, WRITTEN, DIM), torch.zeros(ROWS, WRITTEN, READ)
    for row in range(ROWS):
        first = (decoder.first.weight @ SUMMARY[row] + decoder.first.bias).tanh()
        states = list(first.split(DIM))
        places = memory[row, : real[row]]
        for place, vector in enumerate(vectors[row]):
            entering, parts = vector, []
            if decoder.kind == "additive":
                asked = decoder.query.weight @ states[-1] + decoder.query.bias
                scores = [decoder.score.weight[0] @ (asked + decoder.key.weight @ h).tanh() for h in places]
                context, looked[row, place, : real[row]] = look(scores, places)
                entering, parts = torch.cat([vector, context]), [context, vector]
            for number, layer in enumerate(decoder.grus):
                entering = states[number] = gru(layer, entering, states[number])
            if decoder.kind == "general":
                scores = [states[-1] @ decoder.key.weight @ h for h in places]
                context, looked[row, place, : real[row]] = look(scores, places)
                parts = [context]
            found[row, place] = (decoder.output.weight @ torch.cat([states[-1], *parts]) + decoder.output.bias).tanh()
    return found, looked


@each_kind
@pytest.mark.parametrize("depth", [1, 2])
@torch.no_grad()
def test_predictions_and_weights_are_those_of_loops(kind, depth):
    decoder, (vectors, memory, mask) = make(kind, depth), inputs()
    expected, weights = by_loops(decoder, vectors, memory, mask.sum(1).tolist())
    torch.testing.assert_close(decoder(vectors, memory, mask, summary=SUMMARY), expected, atol=1e-5, rtol=1e-5)
    found = decoder.attention(vectors, memory, mask, SUMMARY)
    if kind == "none":
        assert found is None
    else:
        torch.testing.assert_close(found, weights, atol=1e-5, rtol=1e-5)
        assert (found[(~mask)[:, None].expand_as(found)] == 0).all()


@each_kind
def test_a_prediction_sees_nothing_that_comes_later_and_all_that_came_before(kind):
    decoder, (vectors, memory, mask) = make(kind), inputs()
    vectors.requires_grad_()
    for place in range(WRITTEN):
        (seen,) = torch.autograd.grad(decoder(vectors, memory, mask, summary=SUMMARY)[:, place].sum(), vectors)
        assert not seen[:, place + 1 :].any() and seen[:, : place + 1].abs().sum(2).all()


@each_kind
def test_padding_of_either_side_changes_nothing_and_without_attention_the_other_text_is_its_summary_alone(kind):
    decoder, (vectors, memory, mask) = make(kind), inputs()
    found = decoder(vectors, memory, mask, summary=SUMMARY)
    noise = torch.where(mask[..., None], memory, 100 * torch.randn_like(memory))
    torch.testing.assert_close(decoder(vectors, noise, mask, summary=SUMMARY), found)
    longer = torch.cat([vectors, torch.randn(ROWS, 3, DIM)], dim=1)
    again = decoder(longer, memory, mask, summary=SUMMARY)[:, :WRITTEN]
    torch.testing.assert_close(again, found, atol=1e-5, rtol=1e-5)
    for row, length in enumerate(mask.sum(1).tolist()):
        alone = decoder(vectors[row : row + 1], memory[row : row + 1, :length], None, summary=SUMMARY[row : row + 1])
        torch.testing.assert_close(alone[0], found[row], atol=1e-5, rtol=1e-5)
    memory.requires_grad_()
    summary = SUMMARY.clone().requires_grad_()
    total = decoder(vectors, memory, mask, summary=summary).square().sum()
    to_memory, to_summary = torch.autograd.grad(total, [memory, summary], allow_unused=True)
    assert to_summary.abs().sum(1).all()
    assert to_memory is None if kind == "none" else torch.equal(to_memory.abs().sum(2) > 0, mask)


@each_kind
@torch.no_grad()
def test_step_by_step_it_gives_what_it_gives_at_once_and_rows_may_be_exchanged_on_the_way(kind):
    decoder, (vectors, memory, mask) = make(kind), inputs()
    whole = decoder(vectors, memory, mask, summary=SUMMARY)
    state, rows = decoder.begin(memory, SUMMARY), torch.arange(ROWS)
    for place in range(WRITTEN):
        if place == 3:
            rows = torch.tensor([2, 2, 0])
            state = state.select(rows)
        found, state = decoder.step(vectors[rows, place : place + 1], state, mask[rows])
        torch.testing.assert_close(found[:, 0], whole[rows, place], atol=1e-5, rtol=1e-5)


@each_kind
def test_under_bfloat16_products_are_narrow_and_the_state_is_not_and_every_parameter_learns(kind):
    decoder, (vectors, memory, mask) = make(kind).train(), inputs()
    exact = decoder.eval()(vectors, memory, mask, summary=SUMMARY)
    with torch.autocast("cpu", torch.bfloat16):
        low = decoder(vectors, memory, mask, summary=SUMMARY)
        state = decoder.step(vectors[:, :1], decoder.begin(memory, SUMMARY), mask)[1]
        assert decoder.output(torch.zeros(1, decoder.output.in_features)).dtype == torch.bfloat16
    assert state.states.dtype == torch.float32
    assert torch.cosine_similarity(low.float(), exact, dim=2).min() > 0.99
    low.float().square().sum().backward()
    assert [name for name, p in decoder.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_dropout_is_for_training_alone_and_sizes_are_checked():
    decoder, (vectors, memory, mask) = make("general", dropout=0.5), inputs()
    one, two = (decoder(vectors, memory, mask, summary=SUMMARY) for _ in range(2))
    assert torch.equal(one, two) and not torch.equal(one, decoder.train()(vectors, memory, mask, summary=SUMMARY))
    with pytest.raises(InputError, match="RecurrentDecoder: dim is 8 and depth 0"):
        RecurrentDecoder(8, 0)
