"""What experts cost: training steps of BERT with the experts of text/bert_experts.yaml and of BERT without, in turns.

Both have 4 layers of 256 dimensions; every second feed-forward part is one of so many experts. A step is the loss on 64
rows of 64 random tokens, its gradient and AdamW, in the machine's fastest precision on one thread, and takes CPU time.
The ratio is the median over the rounds. What dense network would reach the same loss is not measured here.

    python benchmarks/bert_experts.py --experts 8 --rounds 8
"""

import argparse
import time
from statistics import median

import torch
from torch import Tensor

from ssl_zoo.batch import Batch
from ssl_zoo.encoders.switch import SwitchBertEncoder
from ssl_zoo.encoders.text import BertEncoder
from ssl_zoo.hardware import fastest_precision
from ssl_zoo.methods.bert import BERT
from ssl_zoo.vocabulary import Vocabulary

ROWS, LENGTH, SIZE = 64, 64, 8192
VOCABULARY: Vocabulary = {
    "size": SIZE, "pad": 0, "begin": 1, "end": 2, "mask": 3, "unknown": 4, "special": [0, 1, 2, 3, 4],
    "continuations": [], "hash": "0" * 16,
}  # fmt: skip


def step(model: BERT, optimizer: torch.optim.Optimizer, ids: Tensor) -> float:
    """Seconds of CPU time."""
    start = time.process_time()
    with torch.autocast("cpu", torch.bfloat16, enabled=fastest_precision("cpu") == "bf16-mixed"):
        loss = model.losses_in_precision(Batch(ids, None, None, torch.arange(ROWS)))["loss"]
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return time.process_time() - start


def main() -> None:
    """Prints tokens per second of both, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experts", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=8)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    models = {
        "dense": BERT(BertEncoder(VOCABULARY, max_length=LENGTH)).train(),
        "experts": BERT(SwitchBertEncoder(VOCABULARY, max_length=LENGTH, experts=options.experts)).train(),
    }
    optimizers = {name: torch.optim.AdamW(model.parameters(), fused=True) for name, model in models.items()}
    ids = torch.randint(5, SIZE, (ROWS, LENGTH))
    rounds = [
        {name: step(model, optimizers[name], ids) for name, model in models.items()} for _ in range(options.rounds + 2)
    ][2:]
    for name, model in models.items():
        rate = ROWS * LENGTH / median(each[name] for each in rounds)
        weights = sum(parameter.numel() for parameter in model.parameters()) / 1e6
        print(f"{name:<8}{weights:>6.1f} M weights {rate:>8.0f} tokens per second of CPU time")
    print(f"experts / dense {median(each['dense'] / each['experts'] for each in rounds):.2f} x the tokens per second")


if __name__ == "__main__":
    main()
