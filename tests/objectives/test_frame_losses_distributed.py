"""The losses of wav2vec 2.0 on two gloo processes with different numbers of frames, against one on the whole batch."""

import torch
import torch.distributed as dist
from torch import nn

from ssl_zoo.objectives.frame_negatives import cosine_logits, draw_candidates
from ssl_zoo.objectives.language_modeling import global_mean, token_nats
from ssl_zoo.parts.codebooks import GumbelQuantizer, code_use
from ssl_zoo.randomness import example_keys
from tests.two_processes import in_group

ROWS, FRAMES, DIM = 4, 12, 6
COUNTS = torch.tensor([12, 11, 2, 5])  # the second process has far fewer


class Quantized(nn.Module):
    """The loss of frames that are predicted from their own codes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.quantizer, self.head = GumbelQuantizer(DIM, 2, 5, 8), nn.Linear(DIM, 8)

    def forward(self, share: slice) -> tuple[torch.Tensor, torch.Tensor]:
        frames = torch.randn(ROWS, FRAMES, DIM, generator=torch.Generator().manual_seed(1))[share]
        keys, counts = example_keys(0, 1, torch.arange(ROWS)[share]), COUNTS[share]
        places = torch.arange(FRAMES).expand(len(frames), -1)
        valid = places < counts[:, None]
        quantized = self.quantizer(frames, keys, 1.0)
        candidates = draw_candidates(places, counts, 7, keys)
        logits = cosine_logits(self.head(frames), quantized.vectors, candidates, 0.5)
        use = code_use(quantized, valid)
        contrastive = global_mean(token_nats(logits, torch.zeros_like(places)), valid).share
        # A weight at which the penalty's gradient cannot hide behind the other's.
        return contrastive + 5 * use.diversity_loss, use.perplexity


def share_of_the_loss() -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    """Loss, perplexity and gradients."""
    model = Quantized()
    loss, perplexity = model(slice(2 * dist.get_rank(), 2 * dist.get_rank() + 2))
    loss.backward()
    # What DistributedDataParallel does, without its threads.
    for parameter in model.parameters():
        dist.all_reduce(parameter.grad)
        parameter.grad /= 2
    return loss.detach(), perplexity, [p.grad for p in model.parameters()]


def test_loss_perplexity_and_gradients_equal_those_of_one_process(two_processes):
    model = Quantized()
    loss, perplexity = model(slice(None))
    loss.backward()
    (loss_0, perplexity_0, gradients), (loss_1, perplexity_1, _) = two_processes(in_group, share_of_the_loss)
    torch.testing.assert_close((loss_0 + loss_1) / 2, loss.detach(), atol=1e-5, rtol=0)
    torch.testing.assert_close(perplexity_0, perplexity, atol=1e-5, rtol=0)
    assert torch.equal(perplexity_0, perplexity_1)
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        torch.testing.assert_close(gradient, parameter.grad, atol=1e-5, rtol=1e-4)
