"""Batch: what a datamodule hands to a method, whatever the modality."""

from typing import NamedTuple

from torch import Tensor

from ssl_zoo.errors import InputError


class Batch(NamedTuple):
    """One batch of examples of one modality.

    Attributes:
        inputs: images ``(B, C, H, W)``, uint8 in [0, 255] or float in [0, 1]; token ids ``(B, T)`` int64; waveforms
            ``(B, S)`` float32 in [-1, 1] at the data module's sample rate.
        mask: ``(B, T)`` or ``(B, S)`` bool, True where the input is real; padding is on the right. Where rows of tokens
            are packed from several documents, ``(B, T)`` int64, the number from 1 on of the document in its row that a
            token belongs to, and 0 where the input is padding. None when nothing is padded and no row is packed.
        labels: ``(B,)`` int64, or None when the data has none. A pretraining loss never sees them.
        index: ``(B,)`` int64, the position of each example in its data set; it names the example in every draw of
            random numbers (see `ssl_zoo.randomness`).
        fields: whatever else is aligned with the examples, by name, each ``(B, ...)``; None when there is nothing.
            Where views are to be cut from more of an image than `inputs` shows, `whole` ``(B, C, T, T)`` is all of it,
            of the kind of `inputs` and stretched to a square, and `aspect` ``(B,)`` float32 its true width / height.
            Where an example's second view is to be made of another image that shows the same, `partner` is that image,
            of the kind of `inputs`, and `partner_whole` and `partner_aspect` are its `whole` and `aspect`.
            Of tokens, `bytes` ``(B, T)`` int64 are how many bytes of the text each stands for (see
            `ssl_zoo.data.text.token_bytes`), 0 where the input is padding. Where texts come in pairs, `target`
            ``(B, U)`` int64 is the token ids of what each is to be translated into, with its begin and end, and
            `target_mask` ``(B, U)`` bool says where these are real.
    """

    inputs: Tensor
    mask: Tensor | None
    labels: Tensor | None
    index: Tensor  # type: ignore[assignment]  # hides tuple.index, which nobody asks of a batch
    fields: dict[str, Tensor] | None = None

    def field(self, name: str, owner: str) -> Tensor:
        """The field of this name, for what cannot do without it.

        Args:
            name: name of the field.
            owner: what needs it, for the message.

        Raises:
            InputError: the batch has no such field.
        """
        if self.fields is None or name not in self.fields:
            known = ", ".join(self.fields or {}) or "none"
            raise InputError(
                f"{owner} needs the field {name} of its batches, and this data gives {known}: take data that has it."
            )
        return self.fields[name]
