"""data2vec: a teacher sees all of an input, and a student that sees a part of it predicts the teacher's layers."""

from functools import partial
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ssl_zoo import metrics
from ssl_zoo.batch import Batch
from ssl_zoo.corruption.blocks import RandomBlocks
from ssl_zoo.corruption.hidden import Hidden, all_real
from ssl_zoo.corruption.masking import Masking
from ssl_zoo.corruption.places import RandomPlaces
from ssl_zoo.corruption.spans import RandomSpans
from ssl_zoo.decoders.convolutional import PlaceConvolutions
from ssl_zoo.encoders.base import Embedded, Encoder
from ssl_zoo.encoders.feed_forward import recorded, require_feed_forwards
from ssl_zoo.encoders.requirements import require_droppable, require_maskable
from ssl_zoo.errors import InputError
from ssl_zoo.methods.base import Method
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.objectives.language_modeling import global_mean
from ssl_zoo.objectives.regression import squared_or_smooth
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.alarms import Alarm, constant_places
from ssl_zoo.parts.spread import global_feature_std, global_std
from ssl_zoo.parts.teacher import Teacher, linear_momentum
from ssl_zoo.randomness import fold_in
from ssl_zoo.targets.layers import Normalization, mean_of_layers
from ssl_zoo.views.base import require_at_least, require_probability
from ssl_zoo.vocabulary import Vocabulary


class Paper(NamedTuple):
    """What the papers and their published code take for a modality, in the order of the method's arguments."""

    masking: Masking
    part: float  # of the layers
    normalization: Normalization
    beta: float
    momentum: tuple[float, float]
    momentum_rise: float
    shared: bool
    decoder: tuple[int, int, int, int] = (0, 0, 0, 0)  # dim, depth, kernel, groups


FIRST = {
    "audio": Paper(RandomSpans(0.65, 10), 2 / 3, "instance", 0.0, (0.999, 0.9999), 0.075, True),
    "image": Paper(RandomBlocks(0.6), 1 / 2, "layer", 2.0, (0.9998, 0.9998), 0.0, False),
    "text": Paper(RandomSpans(0.35, 4), 5 / 6, "layer", 4.0, (0.999, 0.9999), 0.3, True),
}
_INVERSE = RandomBlocks(0.8, (0.046, 0.046), 1.0, inverse=True, rounding="up")  # 3 x 3 of 14 x 14 patches
SECOND = {
    "audio": Paper(RandomSpans(0.65, 5), 2 / 3, "instance", 0.0, (0.999, 0.99999), 0.19, True, (384, 4, 7, 16)),
    "image": Paper(_INVERSE, 1.0, "instance_layer", 0.0, (0.9998, 0.99999), 0.27, False, (768, 6, 3, 16)),
    "text": Paper(RandomPlaces(0.48), 1.0, "instance", 0.0, (0.9999, 0.99999), 0.1, True, (768, 5, 9, 1)),
}


class Data2Vec(Method):
    """data2vec (Baevski et al., 2022, arXiv:2202.03555), and data2vec 2.0 (Baevski et al., 2022, arXiv:2212.07525).

    A teacher, which follows the encoder as an exponential moving average, sees all of x, without dropout and without
    gradient. Its targets at place t are the mean over its last K layers of their feed-forward outputs f^l, before the
    residual, each normalised (section 3.3). With H the hidden places of the global batch and p_t what is predicted of
    the encoder's vectors of x with one learnt vector at the hidden places:

        y_t = 1/K sum over the last K layers of norm(f^l_t)      loss = 1/|H| sum over t in H of d(p_t, y_t)

    d is the squared error or the smooth L1 distance, summed over the D channels and, but for text, divided by sqrt(D).
    With `masks_per_target` it is data2vec 2.0: for each pass of the teacher the encoder gets so many other choices of
    what is visible, and nothing else, and a light decoder of convolutions fills in what is hidden. Not part of it here
    are its loss of the class token and its masks of equal size for speech.

    Watch `train/target_std`, how much targets differ from place to place, and `train/input_std`, the spread of the
    vectors that enter the encoder. When either falls towards 0, teacher and student have agreed on a constant. The loss
    itself may rise at first, while the targets become richer; if it rises again later and `health/rank` falls, lower
    the learning rate or raise the momentum.

    Args:
        encoder: The network to pretrain, a transformer that sees both sides.
        masking: What is hidden. None takes the papers': blocks of 0.6 of the patches, spans of 10 frames, spans of 4
            tokens; with `masks_per_target` all but blocks of 0.2 of the patches, spans of 5 frames, 0.48 of the tokens.
            No token is replaced by another, and those that stand for no text are not hidden.
        top_layers: Part of the layers, from the last one down, whose mean is predicted, in (0, 1]; K is at least 1.
            None takes the papers': for images half, for speech two thirds, for text five sixths; with
            `masks_per_target` all, for speech two thirds.
        normalization: How each layer is normalised: every channel over the input's places (`instance`), every place
            over its channels (`layer`), or the first and then the mean of the layers by the second (`instance_layer`).
            None takes the papers': `instance` for speech and with `masks_per_target`, where images have
            `instance_layer`, and `layer` otherwise.
        beta: Width of the smooth L1 distance, 0 for the squared error. None takes the papers': 2 for images and 4 for
            text without `masks_per_target`, else 0.
        momentum: Momentum of the teacher at the start and at the end of its rise. None takes the papers', which are for
            hundreds of thousands of steps; shorter runs want less.
        momentum_rise: Part of the run over which the momentum rises, along a line. None takes the papers'.
        shared_inputs: Whether the teacher takes front end, embeddings and positions from the student as they are, and
            follows in its layers alone. None takes the published code's: not for images.
        masks_per_target: Number of masks for each pass of the teacher, 8 for speech and text and 16 for images in
            data2vec 2.0; None is data2vec, in which the encoder sees the hidden places as one vector.
        decoder_dim: Channels of the decoder, a multiple of `decoder_groups`; None takes the paper's, 384 or 768.
        decoder_depth: Convolutions of the decoder; None takes the paper's, 4 to 6.
        decoder_groups: Groups of channels in the decoder, which divide the encoder's size too; None takes the paper's,
            16, or 1 for text.
        optimizer: Settings of the optimizer and of the learning rate over the run.

    Raises:
        InputError: the encoder is causal, no transformer, or lets nothing be replaced or left out, or an argument is
            out of its range.
    """

    is_special: Tensor | None

    both_sides = True

    def __init__(
        self,
        encoder: Encoder,
        masking: Masking | None = None,
        top_layers: float | None = None,
        normalization: Normalization | None = None,
        beta: float | None = None,
        momentum: tuple[float, float] | None = None,
        momentum_rise: float | None = None,
        shared_inputs: bool | None = None,
        masks_per_target: int | None = None,
        decoder_dim: int | None = None,
        decoder_depth: int | None = None,
        decoder_groups: int | None = None,
        optimizer: Optimizer = Optimizer(),
    ) -> None:
        super().__init__(encoder, optimizer)
        if encoder.causal:
            raise InputError(
                f"Data2Vec predicts hidden places from both sides, and {type(encoder).__name__} sees one of them: take "
                "a bidirectional transformer, such as ViT, BertEncoder or Wav2Vec2Encoder."
            )
        (require_maskable if masks_per_target is None else require_droppable)(encoder, "Data2Vec")
        require_feed_forwards(encoder, "Data2Vec")
        papers, plane = FIRST if masks_per_target is None else SECOND, encoder.in_plane
        paper = papers.get(encoder.modality, papers["audio"])
        if masking is None:
            masking = papers["image"].masking if plane else paper.masking  # spans lie in a line
        self.masking, self.masks = masking, 1 if masks_per_target is None else masks_per_target
        part = paper.part if top_layers is None else top_layers
        if not 0 < part <= 1:
            raise InputError(f"top_layers is {part}; give a part of the layers, above 0 and at most 1.")
        self.top_layers = max(1, round(part * len(encoder.feed_forwards())))
        self.normalization: Normalization = paper.normalization if normalization is None else normalization
        self.beta = paper.beta if beta is None else beta
        self.scale = 1.0 if encoder.modality == "text" else encoder.dim**-0.5
        momentum = paper.momentum if momentum is None else momentum
        rise = paper.momentum_rise if momentum_rise is None else momentum_rise
        require_at_least("masks_per_target", self.masks, 1)
        require_at_least("beta", self.beta, 0)
        for name, value in (("momentum", min(momentum)), ("momentum", max(momentum)), ("momentum_rise", rise)):
            require_probability(name, value)
        shares = paper.shared if shared_inputs is None else shared_inputs
        layers = encoder.parameter_layers()
        if shares and not layers:
            raise InputError(
                f"Data2Vec's teacher shares what enters the first layer, and {type(encoder).__name__} does not say "
                "what that is: write its parameter_layers(), or set shared_inputs to false."
            )
        shared = layers[0] if shares else ()
        self.teacher = Teacher(encoder, partial(linear_momentum, *momentum, rise), eval_mode=True, shared=shared)
        special = None
        if encoder.modality == "text":
            vocabulary: Vocabulary = encoder.vocabulary  # type: ignore[assignment]  # encoders of text have one
            special = torch.zeros(vocabulary["size"], dtype=torch.bool)
            special[vocabulary["special"]] = True
        self.register_buffer("is_special", special, persistent=False)
        self.decoder: PlaceConvolutions | None = None
        if masks_per_target is not None:
            given = (decoder_dim, decoder_depth, None, decoder_groups)
            dim, convolutions, kernel, groups = (
                p if g is None else g for g, p in zip(given, paper.decoder, strict=True)
            )
            kernel = SECOND["image"].decoder[2] if plane else kernel
            self.decoder = PlaceConvolutions(encoder.dim, encoder.dim, plane, dim, convolutions, kernel, groups)
            return
        self.mask_vector = nn.Parameter(0.02 * torch.randn(encoder.dim))
        sizes = (
            (encoder.dim, 2 * encoder.dim, encoder.dim) if encoder.modality == "text" else (encoder.dim, encoder.dim)
        )
        first, *others = (nn.Linear(*each) for each in pairwise(sizes))
        self.head = nn.Sequential(first, *(layer for linear in others for layer in (nn.GELU(), linear)))

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The loss, and how much targets, predictions and the vectors that enter the encoder differ from each other."""
        embedded = self.encoder.embed(batch.inputs, batch.mask)
        targets = self.targets(batch, embedded.mask)
        hidden, predicted = self.predict(batch, embedded)
        # Every mask of an example has the same targets.
        positions = hidden.positions.unflatten(0, (self.masks, -1))[..., None]
        wanted = torch.take_along_dim(targets[None], positions, dim=2).flatten(0, 1)
        loss, _ = global_mean(self.scale * squared_or_smooth(predicted, wanted, self.beta), hidden.valid)
        return {
            "loss": loss,
            "target_std": global_std(wanted, hidden.valid),
            "prediction_std": global_std(predicted, hidden.valid),
            "input_std": global_feature_std(embedded.vectors, all_real(embedded.vectors, embedded.mask)),
        }

    def targets(self, batch: Batch, mask: Tensor | None) -> Tensor:
        """What the teacher makes of every place, ``(B, N, D)``, of the whole input; `mask` is that of the places."""
        encoder: Encoder = self.teacher.module  # type: ignore[assignment]  # a teacher holds any module, and this one is a copy of the encoder
        with recorded(encoder) as outputs:
            self.teacher(batch.inputs, batch.mask)
        return mean_of_layers(outputs[-self.top_layers :], mask, self.normalization)

    def predict(self, batch: Batch, embedded: Embedded) -> tuple[Hidden, Tensor]:
        """What is hidden, one mask of the batch after the other, and what is predicted of it ``(masks * B, K, D)``."""
        keys = torch.cat([fold_in(self.keys(batch), number) for number in range(self.masks)])
        embedded = embedded.repeated(self.masks)
        grid, places = self.encoder.grid(batch.inputs), embedded.vectors.shape[1]
        hidden = self.masking(all_real(embedded.vectors, embedded.mask), keys, grid)
        if self.is_special is not None:
            # Spans are drawn over all tokens: were they drawn over ordinary ones alone, none would reach a row's end.
            special = self.is_special[batch.inputs].repeat(self.masks, 1)
            hidden = Hidden.of_mask(hidden.mask & ~special, hidden.positions.shape[1])
        if self.decoder is None:
            encoded = self.encoder.contextualize(hidden.replace(embedded, self.mask_vector))
            return hidden, self.head(hidden.at(encoded.sequence))
        left = self.masking.left(places)
        visible, seen = hidden.visible(embedded.mask, left if left < places and self.is_special is None else None)
        encoded = self.encoder.contextualize(embedded.at(visible, seen), places=visible)
        return hidden, hidden.at(self.decoder(encoded, visible, seen, embedded.mask, places, grid))

    def alarms(self, batch_size: int) -> list[Alarm]:
        """Targets, predictions and a front end that have become constant."""
        advice = "Lower the learning rate, raise the momentum, or predict fewer top_layers."
        return [
            *super().alarms(batch_size),
            constant_places(f"{metrics.TRAIN}/target_std", "targets", advice, below=0.1),  # as in the published code
            constant_places(f"{metrics.TRAIN}/prediction_std", "predictions", advice, below=0.01),
            constant_places(f"{metrics.TRAIN}/input_std", "vectors that enter the encoder", advice, below=0.01),
        ]
