"""A bag of tokens: every token has one vector, whatever stands around it, and a text is their mean."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_zoo.encoders.base import Embedded, Encoded, Encoder
from ssl_zoo.encoders.text_base import check_sizes
from ssl_zoo.encoders.token_vectors import begin_as_those_of
from ssl_zoo.encoders.weights import Pretrained
from ssl_zoo.vocabulary import Vocabulary


class BagOfTokens(Encoder):
    """A table of token vectors without context, as word2vec learns it (Mikolov et al., 2013, arXiv:1301.3781).

    The sequence is the tokens' own vectors. Pooled is their mean over a row's real tokens that stand for text, as those
    that begin and end a document are the same in every text, brought to length 1. The order of the words is lost.

    Vectors begin as in the authors' released code, uniform in ``[-0.5, 0.5] / dim``.

    Args:
        vocabulary: vocabulary of the tokenizer; comes from the data.
        dim: size of the token vectors.
        unit_length: whether the mean is brought to length 1. Its length says how many words a text has and how much
            they agree, which drowns what it is about where a probe has few labels.
        token_vectors: a run of this project, or an experiment's folder for its newest one, whose token vectors this
            encoder's begin as, such as word2vec's; it has read the same tokens and has vectors of the same width.

    Attributes:
        token_embedding: the vectors of the vocabulary, ``(size, dim)``.

    Raises:
        InputError: `dim` is less than 1, or the run with token vectors cannot be read or does not fit.
    """

    modality = "text"
    stride = 1
    num_layers = 1
    means_text: Tensor

    def __init__(
        self,
        vocabulary: Vocabulary,
        dim: int = 200,
        unit_length: bool = True,
        token_vectors: Pretrained | None = None,
    ) -> None:
        super().__init__()
        check_sizes("BagOfTokens", dim=dim)
        self.vocabulary, self.dim, self.unit_length = vocabulary, dim, unit_length
        self.token_embedding = nn.Embedding(vocabulary["size"], dim)
        nn.init.uniform_(self.token_embedding.weight, -0.5 / dim, 0.5 / dim)
        if isinstance(token_vectors, str):
            begin_as_those_of(token_vectors, self, self.token_embedding, vocabulary, as_drawn=False)
        means_text = torch.ones(vocabulary["size"], dtype=torch.bool)
        means_text[vocabulary["special"]] = False
        self.register_buffer("means_text", means_text, persistent=False)

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """As in `Rebuildable`."""
        return {"dim": 32}

    def embed(self, inputs: Tensor, mask: Tensor | None = None) -> Embedded:
        """The tokens' vectors ``(B, T, dim)``, the mask as given, and which tokens count in the mean of a text."""
        counted = self.means_text[inputs]
        return Embedded(
            self.token_embedding(inputs), mask, {"counted": counted if mask is None else counted & (mask > 0)}
        )

    def contextualize(self, embedded: Embedded, *, places: Tensor | None = None, layers: bool = False) -> Encoded:
        """The vectors as they are, and their mean; of a text without a token that counts, zeros."""
        self.require_all(places)
        vectors, counted = embedded.vectors, embedded.hints["counted"]
        total = vectors.masked_fill(~counted[..., None], 0).sum(1, dtype=torch.float32)
        pooled = total / counted.sum(1, keepdim=True).clamp_min(1)
        pooled = (F.normalize(pooled, dim=1) if self.unit_length else pooled).to(vectors.dtype)
        real = None if embedded.mask is None else embedded.mask > 0
        return Encoded(vectors, pooled, real, (vectors,) if layers else ())

    def parameter_layers(self) -> list[list[str]]:
        """The table."""
        return [["token_embedding"]]
