"""CPC: future frames are identified among others of the same recording."""

from ssl_zoo.encoders.audio_base import AudioEncoder
from ssl_zoo.methods.wav2vec import Wav2Vec
from ssl_zoo.optim import Optimizer


class CPC(Wav2Vec):
    """Contrastive predictive coding (van den Oord et al., 2018, arXiv:1807.03748, eq. 4) of speech.

    It is `Wav2Vec` with CPC's loss. In the paper the encoder is a GRU, twelve steps of 10 ms are predicted, and the
    first of them is the next frame.

    Args:
        encoder: The network to pretrain; causal, of frames.
        steps: How many steps ahead are predicted; 12 of 10 ms are the paper's.
        negatives: Number of negatives for every frame and step.
        offset: Frames from a vector to the first one that it predicts; 1 is the next. None takes the first frame
            whose window of samples begins after that of the vector's own frame has ended.
        optimizer: Settings of the optimizer and of the learning rate over the run.

    Raises:
        InputError: the encoder is not causal or has no frames, an argument is out of its range, or recordings are too
            short to see a frame and predict another.
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
