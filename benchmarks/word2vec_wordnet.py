"""word2vec on WordNet's definitions, next to gensim on the same machine: how fast does it train, and how well?

Both learn skip-gram with negative sampling on the same tokens: 200 dimensions, windows of 8, 5 drawn tokens per pair, a
threshold of 0.001 for frequent tokens, documents kept apart, on one thread. A turn is one pass over all tokens with
fresh weights, and everybody takes turns within one run so that a machine's moods hit everybody alike. In tokens per
second, those included that are left out as too frequent:

- ours: ssl_zoo from the data to the optimizer step, under a Lightning Trainer with the callbacks that its command line
  always adds, in float32;
- limit: ssl_zoo's method and optimizer in a bare loop on one ready-made batch;
- gensim: its compiled loop, of which only training is timed and not the vocabulary.

Then word similarity of both after the passes of a turn. The peer comes with the extra `words`:

    uv run --extra words python benchmarks/word2vec_wordnet.py

The last line is everything as JSON. A ratio is the median over rounds of the ratio within a round.
"""

import argparse
import json
import logging
import time
import warnings
from collections.abc import Callable

import torch
from gensim.models import Word2Vec as Gensim
from timing import compare, train, train_on_one_batch
from torch import Tensor

from ssl_zoo.data.text.module import TextData
from ssl_zoo.data.text.sources.wordnet import WordNet
from ssl_zoo.encoders.bag_of_tokens import BagOfTokens
from ssl_zoo.evaluation.word_similarity import word_similarities
from ssl_zoo.methods.word2vec import Word2Vec

DIM, WINDOW, NEGATIVES, SUBSAMPLING = 200, 8, 5, 1e-3
PRECISION = "32-true"


def documents(data: TextData, rows: Tensor) -> list[list[str]]:
    """The same tokens as gensim wants them: a list of words for each document, or part of one, in a row."""
    special, found = set(data.vocabulary["special"]), []
    for row in rows.tolist():
        words: list[str] = []
        for token in row:
            if token not in special:
                words.append(str(token))
            elif words:
                found.append(words)
                words = []
        found.append(words)
    return found


def main() -> None:
    """Reads the command line, measures and prints."""
    parser = argparse.ArgumentParser(description="ssl_zoo's word2vec next to gensim's.")
    parser.add_argument("--rounds", type=int, default=3, help="turns for everybody")
    parser.add_argument("--passes", type=int, default=1, help="passes over the data in a turn")
    parser.add_argument("--batch_size", type=int, default=64, help="rows of 64 tokens in a batch of ours")
    args = parser.parse_args()

    warnings.filterwarnings("ignore", module="lightning")  # its advice would stand between the lines of the table
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    data = TextData(WordNet(), length=64, batch_size=args.batch_size)
    data.setup()
    rows = data.pretrain_set.__getitems__(list(range(len(data.pretrain_set)))).inputs
    sentences = documents(data, rows)
    each = sum(map(len, sentences)) / len(rows) * args.batch_size  # tokens in a batch that stand for text
    steps = args.passes * len(rows) // args.batch_size
    learnt = {name: BagOfTokens(data.vocabulary, DIM) for name in ("ours", "gensim")}

    def ours() -> float:
        learnt["ours"] = BagOfTokens(data.vocabulary, DIM)
        method = Word2Vec(learnt["ours"], "skip-gram", WINDOW, NEGATIVES, SUBSAMPLING)
        return each * train(method, data, steps, PRECISION)

    def limit() -> float:
        method = Word2Vec(BagOfTokens(data.vocabulary, DIM), "skip-gram", WINDOW, NEGATIVES, SUBSAMPLING)
        method.refits()[0].use(method.refits()[0].fit(rows.flatten()[:, None].float()))
        batch = data.pretrain_set.__getitems__(list(range(args.batch_size)))
        return each * train_on_one_batch(method, batch, min(steps, 100))

    def gensim() -> float:
        model = Gensim(
            vector_size=DIM, window=WINDOW, sg=1, negative=NEGATIVES, sample=SUBSAMPLING, min_count=1, workers=1, seed=1
        )
        model.build_vocab(sentences)
        start = time.perf_counter()
        model.train(sentences, total_examples=len(sentences), epochs=args.passes)
        rate = args.passes * sum(map(len, sentences)) / (time.perf_counter() - start)
        places = [int(word) for word in model.wv.index_to_key]
        with torch.no_grad():
            learnt["gensim"].token_embedding.weight[places] = torch.from_numpy(model.wv.vectors)
        return rate

    turns: dict[str, Callable[[], float]] = {"ours": ours, "limit": limit, "gensim": gensim}
    results = compare(turns, args.rounds, ["gensim"], "tokens")
    tokens = data.tokens()
    assert tokens is not None
    similarities = word_similarities({name: encoder.eval() for name, encoder in learnt.items()}, tokens)
    for name, found in similarities.items():
        print(f"{name:<40}" + "".join(f"{row:>10} {each.rho:.3f}" for row, each in found.items()))
    similar = {name: {row: each._asdict() for row, each in found.items()} for name, found in similarities.items()}
    print(json.dumps({"passes": args.passes, **results, "word_similarity": similar}))


if __name__ == "__main__":
    main()
