"""Token tables that begin as those of a finished run, such as word2vec's."""

import torch
from torch import nn

from ssl_zoo.encoders.published_run import any_encoder_of_run, find_run
from ssl_zoo.encoders.weights import remember
from ssl_zoo.errors import InputError
from ssl_zoo.rebuilding import Rebuildable
from ssl_zoo.vocabulary import Vocabulary


def begin_as_those_of(
    source: str, encoder: Rebuildable, table: nn.Embedding, vocabulary: Vocabulary, *, as_drawn: bool
) -> None:
    """Puts a run's token vectors into a table that has just been drawn, and writes down which they are.

    They are those that the run's features are made of: of word2vec with `add_outputs` the sums of both of a token.

    Args:
        source: folder of the run, or of its experiment, whose newest run it is then.
        encoder: whose setting `token_vectors` this is.
        table: the encoder's.
        vocabulary: the encoder's.
        as_drawn: whether the vectors are scaled to the root mean square of the drawn ones, where layers above are made
            for that: directions stay, and how lengths compare. Without such layers they stay as they are.

    Raises:
        InputError: the folder is no run, or one of another tokenizer, without a table, or with one of another width.
    """
    name, folder = type(encoder).__name__, find_run(source)
    if folder is None:
        raise InputError(
            f"{name}: token_vectors is {source}, which is no run; train one with `ssl-zoo fit --config text/word2vec` "
            "and give its folder."
        )
    other, added = any_encoder_of_run(folder)
    theirs, read = getattr(other, "token_embedding", None), getattr(other, "vocabulary", None)
    if not isinstance(theirs, nn.Embedding) or read is None:
        raise InputError(
            f"{name}: token_vectors is {source}, whose {type(other).__name__} has no table of tokens; give a run of a "
            "text encoder that has, such as one of text/word2vec."
        )
    if read["hash"] != vocabulary["hash"]:
        raise InputError(
            f"{name}: the tokens of {source} are not those of this run; train both on the same source with the same "
            "tokenizer and vocab_size, or give one's tokenizer to the other."
        )
    if theirs.embedding_dim != table.embedding_dim:
        raise InputError(
            f"{name}: the token vectors of {source} have {theirs.embedding_dim} numbers and this encoder's "
            f"{table.embedding_dim}; set its dim (or embedding_dim) to {theirs.embedding_dim}, or give another run."
        )
    with torch.no_grad():
        if added is not None:
            theirs.weight += added
        sizes = [each.weight.square().mean().sqrt() for each in (table, theirs)]
        table.weight.copy_(theirs.weight * (sizes[0] / sizes[1].clamp_min(1e-12) if as_drawn else 1))
        if table.padding_idx is not None:
            table.weight[table.padding_idx] = 0
    remember(encoder, theirs, {}, "token_vectors")
