"""The losses of wav2vec 2.0 on two gloo processes with different numbers of frames, against one on the whole batch."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn

from ssl_zoo.objectives.frame_negatives import cosine_logits, draw_candidates
from ssl_zoo.objectives.language_modeling import global_mean, token_nats
from ssl_zoo.parts.codebooks import GumbelQuantizer, code_use
from ssl_zoo.randomness import example_keys

ROWS, FRAMES, DIM = 4, 12, 6
COUNTS = torch.tensor([12, 11, 2, 5])  # the second process has far fewer


class Quantized(nn.Module):
    """The loss of frames that are told from their own codes."""

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


def one_of_two(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    model = Quantized()
    loss, perplexity = model(slice(2 * rank, 2 * rank + 2))
    loss.backward()
    # What DistributedDataParallel does, without its threads.
    for parameter in model.parameters():
        dist.all_reduce(parameter.grad)
        parameter.grad /= 2
    torch.save((loss.detach(), perplexity, [p.grad for p in model.parameters()]), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("gloo")
    torch.multiprocessing.start_processes(one_of_two, (str(folder),), nprocs=2, start_method="forkserver")
    return folder


def test_loss_perplexity_and_gradients_equal_those_of_one_process(folder):
    model = Quantized()
    loss, perplexity = model(slice(None))
    loss.backward()
    (loss_0, perplexity_0, gradients), (loss_1, perplexity_1, _) = (
        torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)
    )
    torch.testing.assert_close((loss_0 + loss_1) / 2, loss.detach(), atol=1e-5, rtol=0)
    torch.testing.assert_close(perplexity_0, perplexity, atol=1e-5, rtol=0)
    assert torch.equal(perplexity_0, perplexity_1)
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        torch.testing.assert_close(gradient, parameter.grad, atol=1e-5, rtol=1e-4)
