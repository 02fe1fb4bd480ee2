"""Two views of every text of a batch: by the encoder's dropout, without some of the words, or a stretch of them."""

import torch
from torch import Tensor

from ssl_zoo.batch import Batch
from ssl_zoo.errors import InputError
from ssl_zoo.randomness import fold_in, uniform
from ssl_zoo.views.base import Viewed, Views, require_probability
from ssl_zoo.vocabulary import Vocabulary

# Where a view has no token. What fills a row of a batch may be a token that texts have, too.
NOTHING = -1
# What a view's keys are folded with, so that its draws are independent of each other.
CROP, DELETION = 1, 2


class TextViews(Views):
    """Every text twice: a stretch of its words, without some of them.

    Where both copies keep all words, the dropout of the encoder makes them differ, as in SimCSE (Gao et al., 2021,
    arXiv:2104.08821), which starts from a pretrained encoder and takes a temperature of 0.05; stretches and missing
    words are what it compares itself with. Without dropout, as in validation, two such views are the same.

    Words are left out or kept with all their pieces, and the tokens that begin and end a text stay. At least one word
    does.

    Args:
        vocabulary: Properties of the tokens; comes from the data.
        deletion: Probability of leaving a word out, in [0, 1].
        crop: Words of the shortest stretch as a part of the text's, in (0, 1]; the lengths of stretches are uniform
            from there up to the whole text. 1 keeps it whole.

    Raises:
        InputError: an argument is out of its range.
    """

    views_per_example = 2
    is_special: Tensor
    continues: Tensor

    def __init__(self, vocabulary: Vocabulary, deletion: float = 0.0, crop: float = 1.0) -> None:
        super().__init__()
        require_probability("deletion", deletion)
        if not 0.0 < crop <= 1.0:
            raise InputError(f"crop is {crop}; give a number above 0 and at most 1.")
        self.deletion, self.crop, self.pad = deletion, crop, vocabulary["pad"]
        self.leaves_alike = deletion == 0 and crop == 1
        for name, ids in (("is_special", vocabulary["special"]), ("continues", vocabulary["continuations"])):
            among = torch.zeros(vocabulary["size"], dtype=torch.bool)
            # It comes back with the constructor; a checkpoint needs no copy.
            self.register_buffer(name, among.index_fill_(0, torch.tensor(ids, dtype=torch.int64), True), False)

    def of(self, batch: Batch, keys: Tensor) -> Viewed:
        """See `Views`; texts may be padded. On a CPU views are as long as the longest of them and no longer.

        Raises:
            InputError: rows are packed from several documents.
        """
        inputs, mask = batch.inputs, batch.mask
        if mask is not None and mask.dtype != torch.bool:
            raise InputError(
                "TextViews makes views of single documents, but got rows that are packed from several: set "
                "data.packing to false."
            )
        views = self(inputs if mask is None else inputs.masked_fill(~mask, NOTHING), keys, batch.fields)
        if mask is None and self.leaves_alike:
            return Viewed(views, None)
        kept = views != NOTHING
        if views.device.type == "cpu":  # elsewhere the length of the longest view would have to be waited for
            longest = max(1, int(kept.sum(1).max()))
            views, kept = views[:, :longest], kept[:, :longest]
        return Viewed(views.masked_fill(~kept, self.pad), kept)

    @torch.no_grad()
    def forward(self, inputs: Tensor, keys: Tensor, fields: dict[str, Tensor] | None = None) -> Tensor:
        """Views ``(2 B, T)`` int64 of token ids ``(B, T)``, with `NOTHING` where there is no token, on the right.

        Raises:
            InputError: the inputs are no token ids.
        """
        if inputs.dim() != 2 or inputs.is_floating_point():
            raise InputError(
                f"TextViews got a batch of {inputs.dtype} with shape {tuple(inputs.shape)}; give token ids of shape "
                "(B, T), int64."
            )
        twice = inputs.repeat(self.views_per_example, 1)
        if self.leaves_alike:
            return twice
        keys = torch.cat([fold_in(keys, view) for view in range(self.views_per_example)])
        real, ids = twice != NOTHING, twice.clamp_min(0)
        ordinary = real & ~self.is_special[ids]
        continues = self.continues[ids]
        continues[:, 1:] &= ordinary[:, :-1]  # what follows a special token begins a word
        continues[:, 0] = False
        word = (ordinary & ~continues).cumsum(1) - 1  # the number of each token's word in its text
        words = word[:, -1:] + 1

        length, start = uniform(fold_in(keys, CROP), 2).split(1, 1)
        length = ((self.crop + (1 - self.crop) * length) * words).ceil().long().clamp_min(1)
        first = (start * (words - length + 1)).long()
        kept = ordinary & (word >= first) & (word < first + length)

        draws = uniform(fold_in(keys, DELETION), twice.shape[1]).gather(1, word.clamp_min(0))
        last_to_go = draws == draws.masked_fill(~kept, -1.0).amax(1, keepdim=True)
        kept &= (draws >= self.deletion) | last_to_go
        kept |= real & ~ordinary
        to_the_left = (~kept).long().argsort(dim=1, stable=True)
        return twice.masked_fill(~kept, NOTHING).gather(1, to_the_left)
