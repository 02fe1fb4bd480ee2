"""APC: the spectrogram a few frames ahead is predicted from all that has come before."""

import math

from torch import Tensor, nn

from ssl_zoo.batch import Batch
from ssl_zoo.corruption.hidden import all_real
from ssl_zoo.encoders.audio_base import AudioEncoder
from ssl_zoo.errors import InputError
from ssl_zoo.methods.base import Method
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.objectives.prediction_error import absolute_error
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.alarms import Alarm, collapsed_representation, nothing_explained


class APC(Method):
    """Autoregressive predictive coding (Chung et al., 2019, arXiv:1904.03240; Chung and Glass, 2020, arXiv:1910.12607).

    With x_i the log-mel frames that place i covers, c_i the vectors of a causal encoder and W a linear layer (eq. 2 of
    the first paper):

        loss = mean over all i and the entries of x of |x_{i + steps} - W c_i|

    in the global batch; padding is neither a place to predict from nor one to predict. The window of x_{i + steps}
    shares no sample with what c_i has seen, so that nothing can be predicted by copying the part in common.

    Watch `train/explained`, the part of the frames' mean absolute deviation that is predicted: 0 for their mean frame.
    The further ahead, the less of it there is, and the more of it is about sounds and words.

    Args:
        encoder: The network to pretrain; causal, of frames. The papers' is `GRUEncoder` with `dim` 512, `depth` 3 and
            `residual`.
        steps: How many places ahead lies what is predicted; 5 of 10 ms are those of the authors' code.
        optimizer: Settings of the optimizer and of the learning rate over the run.

    Raises:
        InputError: the encoder is not causal or has no frames, `steps` is so small that windows overlap, or recordings
            are too short to see a frame and predict another.
    """

    encoder: AudioEncoder

    def __init__(self, encoder: AudioEncoder, steps: int = 5, optimizer: Optimizer = Optimizer()) -> None:
        super().__init__(encoder, optimizer)
        if not isinstance(encoder, AudioEncoder) or not encoder.causal:
            raise InputError(
                "APC predicts frames from those before them and needs a causal encoder of frames of speech, which "
                f"{type(encoder).__name__} is not: take GRUEncoder or CausalConvEncoder."
            )
        least = math.ceil(encoder.front_end.receptive_field / encoder.front_end.stride)
        if steps < least:
            raise InputError(
                f"APC: the frame {steps} ahead overlaps with what the encoder has seen, and could be copied: set steps "
                f"to at least {least}."
            )
        self.steps = steps
        self.head = nn.Linear(encoder.dim, encoder.content_dim)

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The loss, and the part of the frames' deviation that is predicted."""
        loss, explained = absolute_error(*self.look_ahead(batch))
        return {"loss": loss, "explained": explained}

    def look_ahead(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """What is predicted of every place but the first `steps`, what is there, and which of them are real.

        Returns:
            ``(B, N - steps, P)`` twice and ``(B, N - steps, 1)`` bool.

        Raises:
            InputError: the longest recording has no more than `steps` frames.
        """
        embedded = self.encoder.embed(batch.inputs, batch.mask)
        predicting = embedded.vectors.shape[1] - self.steps  # the others have nothing to predict
        if predicting < 1:
            raise InputError(
                f"APC predicts the frame {self.steps} ahead, and the longest recording of a batch has "
                f"{embedded.vectors.shape[1]} frames: raise data.min_seconds and data.crop_seconds, or lower steps."
            )
        predicted = self.head(self.encoder.contextualize(embedded).sequence[:, :predicting])
        targets = self.encoder.contents(batch.inputs, batch.mask)[:, self.steps :]
        return predicted, targets, all_real(embedded.vectors, embedded.mask)[:, self.steps :, None]

    def alarms(self, batch_size: int) -> list[Alarm]:
        """A representation that has collapsed, and predictions that are no better than the mean frame."""
        return [collapsed_representation(), nothing_explained()]
