"""CPC: the frames to come are picked out among others of the same recording."""

from ssl_zoo.encoders.audio_base import AudioEncoder
from ssl_zoo.methods.wav2vec import Wav2Vec
from ssl_zoo.optim import Optimizer


class CPC(Wav2Vec):
    """Contrastive predictive coding (van den Oord et al., 2018, arXiv:1807.03748, eq. 4) of speech.

    It is `Wav2Vec` with CPC's loss. In the paper the encoder is a GRU, twelve steps of 10 ms are told, and the first of
    them is the next frame.

    Args:
        encoder: the network to pretrain; causal, of frames.
        steps: how many steps ahead are told.
        negatives: for every frame and step.
        offset: frames from a vector to the first one that it tells; None as in `Wav2Vec`.
        optimizer: Settings of the optimizer and of the learning rate over the run.

    Raises:
        InputError: as `Wav2Vec`.
    """

    def __init__(
        self,
        encoder: AudioEncoder,
        steps: int = 12,
        negatives: int = 10,
        offset: int | None = 1,
        optimizer: Optimizer = Optimizer(),
    ) -> None:
        super().__init__(encoder, steps=steps, negatives=negatives, loss="infonce", offset=offset, optimizer=optimizer)
