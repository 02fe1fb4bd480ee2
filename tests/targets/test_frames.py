import torch

from ssl_zoo.parts.codebooks import GumbelQuantizer, code_use
from ssl_zoo.randomness import example_keys
from ssl_zoo.targets.frames import frames_ahead, hidden_frames


def frames() -> torch.Tensor:
    return torch.randn(3, 7, 6, generator=torch.Generator().manual_seed(0))


def valid() -> torch.Tensor:
    return torch.arange(7) < torch.tensor([7, 4, 1])[:, None]


def test_targets_are_the_frames_themselves_or_the_entries_of_their_codes():
    keys = example_keys(0, 1, torch.arange(3))
    plain, terms = hidden_frames(frames(), valid(), None, keys, 1.0)
    assert torch.equal(plain, frames()) and terms == {}
    torch.manual_seed(0)
    quantizer = GumbelQuantizer(6, 2, 5, 8).eval()
    codes, terms = hidden_frames(frames(), valid(), quantizer, keys, 1.0)
    logits = quantizer.logits(frames()).view(3, 7, 2, 5)
    for row, frame in ((0, 3), (1, 0), (2, 6)):
        entries = [quantizer.codebooks[group, logits[row, frame, group].argmax()] for group in range(2)]
        assert torch.equal(codes[row, frame], torch.cat(entries))
    # Frames in slots that are left over count for nothing.
    changed = torch.where(valid()[..., None], frames(), 100.0)
    _, others = hidden_frames(changed, valid(), quantizer, keys, 1.0)
    assert terms.keys() == {"diversity", "code_perplexity"}
    assert all(torch.equal(value, others[name]) for name, value in terms.items())
    assert torch.equal(terms["diversity"], code_use(quantizer(frames(), keys, 1.0), valid()).diversity_loss)
    assert terms["diversity"].requires_grad and not terms["code_perplexity"].requires_grad


def test_the_frames_ahead_by_loops():
    counts, offset, steps = torch.tensor([9, 5, 2]), 2, 3
    places, real = frames_ahead(counts, 7, offset, steps)
    assert places.shape == real.shape == (3, 7 * steps)
    for row, count in enumerate(counts.tolist()):
        wanted = [frame + offset + step for frame in range(7) for step in range(steps)]
        assert places[row].tolist() == wanted
        assert real[row].tolist() == [place < count for place in wanted]
