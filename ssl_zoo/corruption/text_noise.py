"""What an encoder is shown of a text with noise, and what a decoder writes of it: T5's, MASS's and BART's ways."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_zoo.corruption.hidden import Hidden
from ssl_zoo.corruption.infilling import Infilling
from ssl_zoo.corruption.masking import Masking
from ssl_zoo.corruption.token_spans import Suffix, TextSpans
from ssl_zoo.errors import InputError
from ssl_zoo.randomness import fold_in, uniform
from ssl_zoo.vocabulary import Vocabulary

Shown = Literal["mask_tokens", "mask_spans", "sentinels", "drop", "permute"]
Written = Literal["full", "sentinels", "hidden", "in_place"]
# What an example's keys are folded with, so that its draws are independent of each other.
PLACES, CHANGE, TOKEN, ORDER, DOCUMENTS = range(5)


class Noised(NamedTuple):
    """Texts with noise; token ids from the vocabulary's size on are sentinels, the last of all begins what is written.

    Attributes:
        inputs: ``(B, S)`` int64, what the encoder is shown.
        mask: ``(B, S)`` bool, where that is real; something is in every row.
        targets: ``(B, T)`` int64, what the decoder writes.
        valid: ``(B, T)`` bool, where that is real.
        hidden: ``(B, T)`` bool, which of it is text that was hidden.
        before: ``(B, T)`` int64, what the decoder reads to predict each target; -1 where that is the target before.
        positions: ``(B, T)`` int64, where it stands; None where that is 0, 1, 2 and so on.
    """

    inputs: Tensor
    mask: Tensor
    targets: Tensor
    valid: Tensor
    hidden: Tensor
    before: Tensor
    positions: Tensor | None

    def read(self) -> Tensor:
        """``(B, T)`` int64, what the decoder reads when it is given the true targets before."""
        return torch.where(self.before < 0, F.pad(self.targets[:, :-1], (1, 0)), self.before)


class TextNoise(nn.Module):
    """Makes noise of the places that a `Masking` hides; the arguments are those of `ssl_zoo.methods.denoising`.

    Tokens that stand for no text are never hidden, but those between the documents of a packed row are part of an end
    of a text that `Suffix` hides. A row is one text, as in T5, however many documents it has.
    """

    is_special: Tensor
    ordinary: Tensor

    def __init__(
        self,
        vocabulary: Vocabulary,
        masking: Masking,
        inputs: Shown,
        targets: Written,
        sentinels: int,
        replaced: float,
        kept: float,
        shuffle_documents: bool,
    ) -> None:
        super().__init__()
        if vocabulary["mask"] is None and inputs in ("mask_tokens", "mask_spans"):
            raise InputError("The tokenizer has no mask token to hide tokens with: take another, like wordpiece.")
        self.masking, self.shown, self.written, self.sentinels = masking, inputs, targets, sentinels
        self.replaced, self.kept, self.shuffle_documents = replaced, kept, shuffle_documents
        self.size, self.pad, self.end = vocabulary["size"], vocabulary["pad"], vocabulary["end"]
        self.numbered = "sentinels" in (inputs, targets)
        self.mask_token = self.pad if vocabulary["mask"] is None else vocabulary["mask"]  # with others it is not read
        special = torch.zeros(vocabulary["size"], dtype=torch.bool)
        special[vocabulary["special"]] = True
        self.register_buffer("is_special", special, persistent=False)  # they come back with the constructor
        self.register_buffer("ordinary", (~special).nonzero()[:, 0], persistent=False)

    def forward(self, inputs: Tensor, mask: Tensor | None, keys: Tensor) -> Noised:
        """Makes noise of a batch.

        Args:
            inputs: ``(B, N)`` int64 token ids.
            mask: ``(B, N)``, as in `ssl_zoo.batch.Batch`, or None.
            keys: ``(B,)`` int64, one per example; what a row gets depends on nothing else than its key and its tokens.
        """
        real = torch.ones_like(inputs, dtype=torch.bool) if mask is None else mask > 0
        order = self._order(inputs, mask, keys)
        source = inputs if order is None else inputs.gather(1, order)
        maskable = real if isinstance(self.masking, Suffix) else real & ~self.is_special[source]
        spans = self._spans(maskable, fold_in(keys, PLACES))
        shown, there = self._show(source, real, spans, keys)
        targets = self._write(inputs, source, real, spans, order)
        return Noised(shown, there, *targets)

    def check(self, places: int, packed: bool) -> None:
        """Refuses what rows of a data set would show to be wrong at some step or other.

        Args:
            places: the most tokens of a row.
            packed: whether a row is cut from documents one after the other.

        Raises:
            InputError: documents are to be shuffled and a row has one, or a row can have more spans than there are
                sentinels.
        """
        if self.shuffle_documents and not packed:
            raise InputError("Documents are shuffled within packed rows: set data.packing to true.")
        most = self.masking.most_spans(places)
        if self.numbered and most > self.sentinels:
            raise InputError(
                f"A row of {places} tokens can have {most} spans, and there are {self.sentinels} sentinels: raise "
                "model.sentinels, or lower data.length."
            )

    def most_inputs(self, places: int) -> int:
        """The most tokens that the encoder is shown of a row of so many."""
        return places + (self._most_inserted(places) if self.shown in ("mask_spans", "sentinels") else 0)

    def most_targets(self, places: int) -> int:
        """The most tokens that are written of a row of so many; in_place, the places at which they can stand."""
        slots = self.masking.slots(places)
        most = {"full": places + 1, "hidden": slots + 1, "in_place": places}
        return most.get(self.written, slots + min(self.sentinels, slots + self._most_inserted(places)) + 1)

    def _most_inserted(self, places: int) -> int:
        return self.masking.most_inserted(places) if isinstance(self.masking, Infilling) else 0

    def _order(self, inputs: Tensor, mask: Tensor | None, keys: Tensor) -> Tensor | None:
        """``(B, N)`` int64, the places of the tokens in the order in which their documents come; None as they are."""
        if not self.shuffle_documents:
            return None
        documents = torch.ones_like(inputs) if mask is None else mask.long()  # bool: each row's one document
        draws = uniform(fold_in(keys, DOCUMENTS), inputs.shape[1] + 1).gather(1, documents)
        return draws.masked_fill(documents == 0, 2.0).argsort(dim=1, stable=True)

    def _spans(self, maskable: Tensor, keys: Tensor) -> TextSpans:
        if isinstance(self.masking, Infilling):
            spans = self.masking.spans(maskable, keys)
        else:
            spans = TextSpans.of_runs(self.masking(maskable, keys))
        return spans.first(self.sentinels) if self.numbered else spans

    def _show(self, source: Tensor, real: Tensor, spans: TextSpans, keys: Tensor) -> tuple[Tensor, Tensor]:
        """What the encoder sees ``(B, S)``, and which of it is real."""
        hidden, width = spans.hidden, source.shape[1]
        if self.shown == "permute":
            draws = uniform(fold_in(keys, ORDER), width).masked_fill(~hidden.mask, 2.0)
            others = source.gather(1, draws.argsort(dim=1, stable=True)[:, : hidden.valid.shape[1]])
            return hidden.put(source, others).masked_fill(~real, self.pad), real
        if self.shown == "mask_tokens":
            return hidden.put(source, self._masked(hidden.at(source), keys)).masked_fill(~real, self.pad), real
        marks, visible = spans.marks(), real & ~hidden.mask
        if self.shown == "drop":
            return self._compact(source, visible, width, least=1)
        filler = self._numbered(marks) if self.shown == "sentinels" else marks.long() * self.mask_token
        shown = torch.cat([filler, source[..., None]], dim=2).flatten(1)
        keep = torch.cat([marks, visible[..., None]], dim=2).flatten(1)
        return self._compact(shown, keep, self.most_inputs(width), least=1)

    def _masked(self, truth: Tensor, keys: Tensor) -> Tensor:
        """What stands for hidden tokens ``(B, K)``: the mask token, a random one, or themselves."""
        change, token = (uniform(fold_in(keys, number), truth.shape[1]) for number in (CHANGE, TOKEN))
        choice = (token * len(self.ordinary)).long().clamp(max=len(self.ordinary) - 1)
        shown = torch.where(change < self.replaced, self.ordinary[choice], self.mask_token)
        return torch.where((change >= self.replaced) & (change < self.replaced + self.kept), truth, shown)

    def _numbered(self, marks: Tensor) -> Tensor:
        """A sentinel of its own for every span of a row ``(B, N, 2)``, counted up along the row."""
        return (marks.flatten(1).cumsum(1) - 1).clamp_min(0).view(marks.shape) + self.size

    def _write(
        self, inputs: Tensor, source: Tensor, real: Tensor, spans: TextSpans, order: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
        """What the decoder writes, and the rest of `Noised`."""
        hidden, start = spans.hidden, self.size + self.sentinels
        if self.written == "in_place":
            return self._in_place(source, hidden, start)
        nothing = torch.zeros_like(real)
        if self.written == "full":
            text, keep, own = inputs, real, hidden.mask
            own = own if order is None else nothing.scatter(1, order, own)
            tokens, kept, is_hidden = inputs, real, own
        else:
            text, keep = source, hidden.mask
            tokens, kept, is_hidden = source, keep, keep
        if self.written == "sentinels":
            marks = spans.marks()
            tokens = torch.cat([self._numbered(marks), source[..., None]], dim=2).flatten(1)
            kept = torch.cat([marks, keep[..., None]], dim=2).flatten(1)
            is_hidden = torch.cat([torch.zeros_like(marks), keep[..., None]], dim=2).flatten(1)
        # What is written ends with the token that ends a document, which may be its own.
        last = (real.sum(1, keepdim=True) - 1).clamp_min(0)
        closed = keep.gather(1, last) & (text.gather(1, last) == self.end)
        tokens, kept = F.pad(tokens, (0, 1), value=self.end), torch.cat([kept, ~closed], dim=1)
        targets, valid, chosen = self._compacted(tokens, kept, self.most_targets(source.shape[1]), least=0)
        own = F.pad(is_hidden, (0, 1)).gather(1, chosen) & valid
        before = torch.full_like(targets, -1)
        before[:, 0] = start
        return targets, valid, own, before, None

    def _in_place(self, source: Tensor, hidden: Hidden, start: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """MASS: hidden tokens where they stand in the text, each after the token before it, which may be visible."""
        # Maskings of single places give them in random order, in which none would come after the one before it.
        hidden = Hidden.of_mask(hidden.mask, hidden.positions.shape[1])
        places = hidden.positions
        previous = (places - 1).clamp_min(0)
        before = torch.where(hidden.mask.gather(1, previous), -1, source.gather(1, previous))
        before = torch.where(places == 0, start, before)
        return hidden.at(source), hidden.valid, hidden.valid, before, places

    def _compact(self, values: Tensor, keep: Tensor, most: int, least: int) -> tuple[Tensor, Tensor]:
        return self._compacted(values, keep, most, least)[:2]

    def _compacted(self, values: Tensor, keep: Tensor, most: int, least: int) -> tuple[Tensor, Tensor, Tensor]:
        """What is kept of ``(B, M)`` values, moved to the left, with padding; where that is real; where it came from.

        Args:
            values: token ids.
            keep: bool, what is kept, at most `most` of a row.
            most: width of what is returned.
            least: so much of a row counts as real where nothing is kept, as attention needs something to look at.
        """
        number = keep.sum(1, keepdim=True)
        if values.device.type == "cpu":  # where looking costs nothing, and padding does
            most = min(most, max(1, int(number.max())))
        chosen = keep.long().argsort(dim=1, descending=True, stable=True)[:, :most]
        place = torch.arange(chosen.shape[1], device=values.device)
        ids = values.gather(1, chosen).masked_fill(place >= number, self.pad)
        return ids, place < number.clamp_min(least), chosen
