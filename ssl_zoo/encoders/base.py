"""The contract between methods and networks: one encoder interface for every modality."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from ssl_zoo.errors import InputError
from ssl_zoo.mixed_precision import in_own_precision
from ssl_zoo.rebuilding import Rebuildable


class Embedded(NamedTuple):
    """What an encoder makes of a batch before any vector knows where it stands or what is around it.

    A method replaces vectors by `_replace(vectors=...)` and leaves some out by `at`.

    Attributes:
        vectors: ``(B, N, D')``, one per place (token, patch, frame), of what is at that place and nothing else.
        mask: ``(B, N)`` True where the place is real, or the number of its document as in `ssl_zoo.batch.Batch`; None
            when nothing is padded.
        hints: whatever else `contextualize` of the same encoder needs to know of the whole input, by name, such as an
            image's size; methods pass it on as it is. Tensors among them begin with the batch's dimension.
    """

    vectors: Tensor
    mask: Tensor | None = None
    hints: dict[str, Any] = {}  # noqa: RUF012  # never changed

    def at(self, places: Tensor, real: Tensor | None = None) -> Self:
        """The vectors at some places only, for `contextualize(..., places=places)`.

        Args:
            places: ``(B, K)`` int64, ascending and no place twice.
            real: ``(B, K)`` bool, False where an example of fewer places is only filled up, which comes last; None
                where none is.
        """
        mask = None if self.mask is None else self.mask.gather(1, places)
        if real is not None:
            mask = real if mask is None else mask * real
        return self._replace(vectors=torch.take_along_dim(self.vectors, places[..., None], dim=1), mask=mask)

    def repeated(self, times: int) -> Self:
        """The batch so many times over, ``(times * B, N, D')``, for methods that hide other places each time."""
        hints = {
            name: torch.cat([hint] * times) if isinstance(hint, Tensor) else hint for name, hint in self.hints.items()
        }
        mask = None if self.mask is None else torch.cat([self.mask] * times)
        return type(self)(torch.cat([self.vectors] * times), mask, hints)


class Encoded(NamedTuple):
    """What an encoder makes of a batch.

    Attributes:
        sequence: ``(B, N, D)``, one vector per place (token, patch, frame).
        pooled: ``(B, D)``, one vector per example.
        mask: ``(B, N)`` bool, True where the place is real; None when nothing is padded.
        layers: what enters the first layer, then what each layer gives, ``(B, P + N, D_layer)`` with the encoder's
            `prefix` of P vectors in front; empty unless asked for. Norms after the last layer come later.
        prefix: ``(B, P, D)``, the vectors that stand for no place; None where the encoder has none.
    """

    sequence: Tensor
    pooled: Tensor
    mask: Tensor | None
    layers: tuple[Tensor, ...] = ()
    prefix: Tensor | None = None


class Encoder(Rebuildable, nn.Module, ABC):
    """Turns raw inputs of one modality into vectors, in two steps.

    `embed` makes local vectors, `contextualize` says where they stand and lets them see each other. The split is where
    a masked method corrupts its input, and where it leaves parts of it out; a contrastive method calls the encoder as a
    whole. An encoder normalises its inputs itself, so that everything outside sees images in [0, 1] and waveforms in
    [-1, 1]. Padding never changes a real vector, and the order of a batch never matters.

    Attributes:
        modality: what the encoder reads.
        dim: size D of the vectors it gives.
        num_layers: how many sequences `layers` holds, the first layer's input included.
        stride: raw inputs (tokens, pixels along a side, samples) per vector.
        channels: numbers at every raw input: those of an image's pixel, or of a series' time step; 1 of a token or of a
            sample. What stands for a place of an image is ``channels * stride**2`` numbers.
        offset: the raw input at the centre of the first vector; vector n's is at ``offset + n * stride``.
        causal: whether a vector sees only what stands before it.
        prefix: vectors in front of the sequence that stand for no place, such as a class token.
        maskable: whether `embed` gives local vectors that a method may replace. The same vector at two places then
            leaves as two different ones.
        droppable: whether some of them may be left out, which is the same as hiding them from all others.
        stepwise: whether it reads one place after the other in a loop, as a recurrent network does, of which an
            exported program would have as many steps as the example that it was traced with.
        two_way: whether a vector's first half sees what stands before it alone, and its second half what is behind it.
        halves: whether a vector's first half is made of one part of every raw input alone, and its second half of the
            rest, by two networks that share nothing.
        content_dim: numbers P that `contents` gives of a place; 0 where an encoder has none, such as one of tokens.
        content_range: the values of `contents` that are black and white in pictures.
    """

    modality: str
    dim: int
    num_layers: int
    stride: int
    channels: int = 1
    offset: int = 0
    causal: bool = False
    prefix: int = 0
    maskable: bool = False
    droppable: bool = False
    stepwise: bool = False
    two_way: bool = False
    halves: bool = False
    content_dim: int = 0
    content_range: tuple[float, float] = (0.0, 1.0)

    def __init_subclass__(cls) -> None:
        """Sees to it that images come as numbers in [0, 1], and vectors to a loss in float32, whoever calls what."""
        super().__init_subclass__()
        if "contents" in vars(cls):
            cls.contents = torch.no_grad()(_of_unit_images(cls.contents))  # type: ignore[method-assign]  # the same method, wrapped
        for name in {"embed", "contextualize", "forward"} & vars(cls).keys():
            function = vars(cls)[name]
            setattr(cls, name, in_own_precision(_of_unit_images(function) if name != "contextualize" else function))

    @abstractmethod
    def embed(self, inputs: Tensor, mask: Tensor | None = None) -> Embedded:
        """Local vectors: what one token, patch or frame says by itself, without position, prefix or context.

        Args:
            inputs: raw inputs as in `ssl_zoo.batch.Batch`, of images float in [0, 1]: uint8 ones become so on the way.
            mask: mask as in `ssl_zoo.batch.Batch`: True where the input is real, the number of its document, or None.
        """

    @abstractmethod
    def contextualize(self, embedded: Embedded, *, places: Tensor | None = None, layers: bool = False) -> Encoded:
        """Vectors that know where they stand and what is around them.

        Args:
            embedded: vectors as `embed` gives them, or with some replaced or left out by a method.
            places: ``(B, K)`` int64, where the vectors ``(B, K, D')`` that are left stand among the N places of the
                whole input, as in `Embedded.at`; None when all are there.
            layers: also return what enters the first layer and what each layer gives.

        Raises:
            InputError: there are `places` but the encoder is not `droppable`.
        """

    @in_own_precision
    def forward(self, inputs: Tensor, mask: Tensor | None = None, *, layers: bool = False) -> Encoded:
        """`contextualize` of `embed`; shapes as there."""
        return self.contextualize(self.embed(inputs, mask), layers=layers)

    def contents(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """What is at each place as raw numbers, before anything is hidden, for methods that predict it or its codes.

        A patch's pixels in [0, 1]; the log-mel frames of the normalised recording that a place of speech covers.
        Numbered as the places of `embed`, without gradient, and always float32.

        Args:
            inputs: raw inputs as those of `embed`.
            mask: mask as that of `embed`.

        Returns:
            ``(B, N, P)`` float32; what it gives of padding means nothing, but is finite.

        Raises:
            InputError: its places are no numbers, such as tokens, or the encoder does not say.
        """
        raise InputError(
            f"{type(self).__name__} does not say what is at its places as numbers"
            + (
                ", as tokens are codes already: take a method of tokens, such as BERT."
                if self.modality == "text"
                else ": take ViT for images, or AudioViT or Wav2Vec2Encoder for speech."
            )
        )

    def grid(self, inputs: Tensor) -> tuple[int, int] | None:
        """Rows and columns of the places where these lie in a plane, row by row; None where they lie in a line.

        Patches of an image do; those of a spectrogram have time for rows, so that padding is in the last ones.

        Args:
            inputs: raw inputs as those of `embed`.
        """
        return None

    @property
    def in_plane(self) -> bool:
        """Whether the places lie in a plane, so that `grid` has rows and columns of them."""
        return type(self).grid is not Encoder.grid

    def arrange(self, values: Tensor, inputs: Tensor) -> Tensor:
        """Numbers of all places put where they belong: a picture, of what `contents` gives or of a prediction of it.

        Args:
            values: ``(B, N, P)``, as `contents` orders them.
            inputs: the raw inputs that the places are those of.

        Returns:
            ``(B, C, H, W)``, with the values as they are.
        """
        raise InputError(f"{type(self).__name__} does not say how pictures of what is at its places are put together.")

    @property
    def time_dim(self) -> int:
        """Size of the vectors of `by_time`."""
        return self.dim

    def by_time(self, encoded: Encoded) -> Encoded:
        """One vector per time where several places share one, for what is asked of a time, such as phones.

        Vector n then stands at the raw input ``offset + n * stride``.

        Args:
            encoded: vectors as `contextualize` gives them, of all places.
        """
        return encoded

    def no_weight_decay(self) -> list[str]:
        """Parameters, or parts with all of theirs, that weight decay must not shrink besides norms and biases.

        Those that stand for a position, and class tokens.
        """
        return []

    def parameter_layers(self) -> list[list[str]]:
        """Which parameters each layer has, from the input up; empty where an encoder cannot say.

        The first entry is what makes the first layer's input, if that has parameters: patches, embeddings, positions, a
        front end. Names are as in `no_weight_decay`. What is in no layer, such as a norm after the last one, is trained
        at the learning rate of a method's heads.
        """
        return []

    def feed_forwards(self) -> list[nn.Module]:
        """The part of every transformer layer that gives its feed-forward output; empty where there is no such layer.

        In evaluation mode what they give ``(B, P + N, D)`` is that output, before anything is added to it and before
        any norm, which `ssl_zoo.encoders.feed_forward.recorded` reads.
        """
        return []

    def check_longest(self, length: int) -> None:
        """Raise `InputError` where it has positions for fewer than so many tokens of a text."""
        most: int | None = getattr(self, "max_length", None)
        if most is not None and length > most:
            raise InputError(
                f"{type(self).__name__}: texts have up to {length} tokens, data.length, but max_length is {most}: "
                "lower data.length to that, or raise the encoder's max_length."
            )

    def require_all(self, places: Tensor | None) -> None:
        """Raise `InputError` where vectors have been left out: what an encoder that is not `droppable` does first."""
        if places is not None:
            raise InputError(
                f"{type(self).__name__} needs the vectors of all places, because context runs through each of them; "
                "take an encoder that can do without some, such as ViT, BertEncoder or Wav2Vec2Encoder."
            )


def _of_unit_images(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function of an encoder, which gets images in [0, 1] where it is called with uint8 ones."""

    @wraps(function)
    def wrapped(self: Encoder, inputs: Tensor, *args: Any, **kwargs: Any) -> Any:
        if inputs.dtype == torch.uint8 and self.modality == "image":
            inputs = inputs.float() / 255
        return function(self, inputs, *args, **kwargs)

    return wrapped


def mean_over_places(sequence: Tensor, mask: Tensor | None) -> Tensor:
    """The mean over real places, ``(B, D)``, of ``(B, N, D)`` with mask ``(B, N)`` bool or None."""
    if mask is None:
        return sequence.mean(1)
    # Counts above 256 are not all to be had in bfloat16.
    total = sequence.masked_fill(~mask[..., None], 0).sum(1, dtype=torch.float32)
    return (total / mask.sum(1, keepdim=True)).to(sequence.dtype)
