"""What attention in blocks saves: memory and time of BigBird's layers and of BERT's, over the length of a text.

A step is forward and backward through four layers of 256 dimensions and 4 heads, on one text, in float32 on one thread.
Memory is what autograd keeps for the backward pass, counted exactly: every storage once. Time is CPU time, the lower of
two turns. PyTorch's fused attention keeps no weights, but it has no dropout on CPUs: with dropout on attention, which
BERT is trained with, it falls back to the plain one, which keeps them. Both are shown.

    python benchmarks/big_bird.py --lengths 256 512 1024 2048 4096 8192 --most 4096
"""

import argparse
import time

import torch
from torch import Tensor

from ssl_zoo.encoders.big_bird import BigBirdEncoder
from ssl_zoo.encoders.text import BertEncoder
from ssl_zoo.vocabulary import Vocabulary

SIZE = 2000
VOCABULARY: Vocabulary = {
    "size": SIZE, "pad": 0, "begin": 1, "end": 2, "mask": 3, "unknown": 4, "special": [0, 1, 2, 3, 4],
    "continuations": [], "hash": "0" * 16,
}  # fmt: skip


def step(encoder: BertEncoder, ids: Tensor) -> tuple[int, float]:
    """Bytes that are kept for the backward pass, and seconds of CPU time."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    start = time.process_time()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = encoder(ids).pooled.sum()
    loss.backward()
    return sum(kept.values()), time.process_time() - start


def main() -> None:
    """Prints one line per length."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=int, nargs="+", default=[256, 512, 1024, 2048, 4096, 8192])
    parser.add_argument("--most", type=int, default=4096, help="longest text for attention that keeps its weights")
    options = parser.parse_args()
    torch.set_num_threads(1)
    kinds = {"BERT": (BertEncoder, 0.0), "BigBird": (BigBirdEncoder, 0.0), "BERT, dropout": (BertEncoder, 0.1),
             "BigBird, dropout": (BigBirdEncoder, 0.1)}  # fmt: skip
    print("| tokens |" + "".join(f" {name}: MB | s |" for name in kinds))
    print("|---|" + "---|---|" * len(kinds))
    for length in options.lengths:
        ids, cells = torch.randint(5, SIZE, (1, length)), []
        for kind, dropout in kinds.values():
            if kind is BertEncoder and dropout and length > options.most:
                cells += ["", ""]
                continue
            torch.manual_seed(0)
            encoder = kind(VOCABULARY, max_length=length, dropout=dropout).train()
            turns = [step(encoder, ids) for _ in range(2)]
            cells += [f"{turns[0][0] / 1e6:.0f}", f"{min(seconds for _, seconds in turns):.2f}"]
        print(f"| {length} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
