"""Word similarity: do words that people find alike have vectors that point the same way?"""

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_zoo.data.tokens import Tokens
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.runs.results import Similarities, WordSimilarity

# As gensim's package calls them.
SETS = {"WordSim-353": "wordsim353.tsv", "SimLex-999": "simlex999.txt"}
WHOLE = ", words of one token"
FEWEST = 10  # pairs of words of one token, below which a correlation is one of pieces of words
MISSING = (
    "Word similarity is left out, as the scores that people gave to pairs of words come with gensim: "
    "`pip install gensim`, or `uv run --extra words ssl-zoo ...`."
)


class Pair(NamedTuple):
    """Two words, and how alike people find them, from 0 to 10."""

    first: str
    second: str
    score: float


class Vectors(NamedTuple):
    """Vectors of pairs of words.

    Attributes:
        cosines: ``(N,)``, between the two words of every pair.
        known: ``(N,)`` bool, whether both words can be written in tokens.
        whole: ``(N,)`` bool, whether both are one token.
    """

    cosines: Tensor
    known: Tensor
    whole: Tensor


def read_pairs() -> dict[str, list[Pair]]:
    """The sets that are there, by name: WordSim-353 (Finkelstein et al., 2002) and SimLex-999 (Hill et al., 2015)."""
    package = find_spec("gensim")
    if package is None or package.origin is None:
        return {}
    folder, found = Path(package.origin).parent / "test" / "test_data", {}
    for name, file in SETS.items():
        path = folder / file
        if path.is_file():  # some distributions leave test data out
            lines = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
            found[name] = [Pair(first, second, float(score)) for first, second, score in lines]
    return found


def word_similarities(encoders: dict[str, Encoder], tokens: Tokens) -> tuple[Similarities, list[str]]:
    """Spearman's correlation of people's scores with the cosines of the words' vectors, by set and by row.

    A sentence names the sets that are left out, as hardly any of their words is a token.

    A word's vector is the mean of what the encoder's `embed` gives of its tokens, without context: for word2vec the
    learnt table, for a transformer the one that its first layer reads. Pairs with a word that cannot be written in
    tokens are left out. Pairs of words of one token are a set of their own: of the others word pieces are averaged, and
    a small vocabulary has many of them. Both vectors and people's scores matter by their order alone.

    Args:
        encoders: encoders of texts by row, in evaluation mode.
        tokens: how texts become inputs of theirs.
    """
    from scipy.stats import spearmanr

    found: Similarities = {}
    few: list[str] = []
    for name, pairs in read_pairs().items():
        scores = torch.tensor([pair.score for pair in pairs])
        for row, encoder in encoders.items():
            vectors = _vectors(encoder, tokens, pairs)
            if int(vectors.whole.sum()) < FEWEST:
                few.append(f"{name} ({int(vectors.whole.sum())} of {len(pairs)} pairs)")
                break
            for kind, chosen in ((name, vectors.known), (f"{name}{WHOLE}", vectors.whole)):
                if int(chosen.sum()) >= FEWEST and vectors.cosines[chosen].std() > 0:
                    rho = spearmanr(scores[chosen].numpy(), vectors.cosines[chosen].numpy()).statistic
                    found.setdefault(kind, {})[row] = WordSimilarity(float(rho), int(chosen.sum()), len(pairs))
    if few:
        sentence = (
            f"Left out is what has hardly any pairs of words that are one token each, {' and '.join(few)}: of others, "
            "pieces of words would be compared. More text or a larger data.vocab_size has more words."
        )
        return found, [sentence]
    return found, []


@torch.no_grad()
def _vectors(encoder: Encoder, tokens: Tokens, pairs: list[Pair]) -> Vectors:
    tokenizer = tokens.tokenizer
    words = sorted({word for pair in pairs for word in (pair.first, pair.second)})
    # After a space, as in the midst of a text, where tokenizers of bytes have other tokens than at its beginning.
    ids = {word: tokenizer.splitter.encode(f" {word}", add_special_tokens=False).ids for word in words}
    device = next(encoder.parameters()).device
    flat = torch.tensor([token for each in ids.values() for token in each], device=device)
    table = encoder.embed(flat[:, None]).vectors[:, 0].float().cpu()
    split = dict(zip(words, table.split([len(each) for each in ids.values()]), strict=True))
    means = {word: vectors.mean(0) if len(vectors) else torch.zeros(table.shape[1]) for word, vectors in split.items()}
    first = torch.stack([means[pair.first] for pair in pairs])
    second = torch.stack([means[pair.second] for pair in pairs])
    unknown = tokenizer.special["unknown"]
    known = {word: len(each) > 0 and unknown not in each for word, each in ids.items()}
    both = torch.tensor([known[pair.first] and known[pair.second] for pair in pairs])
    single = torch.tensor([len(ids[pair.first]) == len(ids[pair.second]) == 1 for pair in pairs])
    return Vectors(F.cosine_similarity(first, second, dim=1), both, both & single)
