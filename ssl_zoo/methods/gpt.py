"""GPT: every token is predicted from those before it, and so the model can write."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_zoo import metrics
from ssl_zoo.batch import Batch
from ssl_zoo.encoders.text_base import TextEncoder
from ssl_zoo.errors import InputError
from ssl_zoo.methods.base import Method
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.objectives.language_modeling import bits_per_byte, global_mean
from ssl_zoo.objectives.token_loss import token_loss
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.generation import Sampling, generate
from ssl_zoo.parts.texts import Texts
from ssl_zoo.targets.tokens import next_tokens
from ssl_zoo.views.base import require_at_least, require_probability

BITS = "bits_per_byte"


class GPT(Method):
    """Generative pre-training (Radford et al., 2018; 2019, "Language models are unsupervised multitask learners").

    With h the vectors of a causal encoder, E its own token embeddings, and the mean over all tokens of the global batch
    but the first of each document and the padding:

        loss = mean of -log softmax(E h_(i-1))[x_i]

    Watch `train/perplexity`, among how many equally likely tokens the model wavers, and `val/bits_per_byte`, which
    compares with models of another tokenizer and counts what a lossless code of the text with its ends would need. When
    the training loss falls and the validation loss rises, the model learns the text by heart. The perplexity of an
    epoch is the mean of its batches', its bits per byte are all its nats over all its bytes: of the tokens that are
    predicted, as `ssl_zoo.objectives.language_modeling.bits_per_byte` counts them.

    Predicting continues each document from its first tokens; the settings from `max_new_tokens` on say how, and
    training knows nothing of them.

    Args:
        encoder: The network to pretrain; causal.
        max_new_tokens: The most tokens to write when predicting.
        prompt_tokens: Number of first tokens of each document to go on from, the one that begins it included.
        temperature: Divides the logits before tokens are drawn; 0 draws nothing and takes the likeliest each time.
        top_k: Draw among so many of the likeliest tokens only; None means among all.
        top_p: Draw among the likeliest tokens that together have this probability (arXiv:1904.09751); 1 means all.
        beams: Number of texts kept at a time in a search for the likeliest whole; more than 1 needs temperature 0.
        optimizer: Settings of the optimizer and of the learning rate over the run.

    Raises:
        InputError: the encoder is not causal or reads no text, or an argument is out of its range.
    """

    encoder: TextEncoder

    def __init__(
        self,
        encoder: TextEncoder,
        max_new_tokens: int = 64,
        prompt_tokens: int = 16,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float = 1.0,
        beams: int = 1,
        optimizer: Optimizer = Optimizer(),
    ) -> None:
        super().__init__(encoder, optimizer)
        if encoder.modality != "text" or not encoder.causal:
            raise InputError(
                "GPT predicts each token from those before it and needs a causal text encoder, which "
                f"{type(encoder).__name__} is not: take GPT2Encoder."
            )
        counts = {"max_new_tokens": max_new_tokens, "prompt_tokens": prompt_tokens, "beams": beams}
        for name, value in counts.items():
            require_at_least(name, value, 1)
        require_at_least("temperature", temperature, 0)
        require_at_least("top_k", 1 if top_k is None else top_k, 1)
        require_probability("top_p", top_p)
        if beams > 1 and temperature > 0:
            raise InputError(
                "beams search for the likeliest text and draw nothing: set temperature to 0, or beams to 1."
            )
        self.prompt_tokens, self.sampling = prompt_tokens, Sampling(max_new_tokens, temperature, top_k, top_p, beams)

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The loss, as perplexity, and in bits per byte where the batch says how many bytes its tokens stand for."""
        targets, valid = next_tokens(batch.inputs, batch.mask)
        context = None if batch.mask is None else batch.mask[:, :-1]
        sequence = self.encoder(batch.inputs[:, :-1], context).sequence
        loss, nats = token_loss(sequence, self.encoder.token_embedding.weight, None, targets, valid).mean
        terms = {"loss": loss, "perplexity": nats.exp()}
        if batch.fields is not None and "bytes" in batch.fields:
            per_token = global_mean(batch.fields["bytes"][:, 1:], valid).value
            terms[BITS] = bits_per_byte(nats, per_token.clamp_min(1e-8))  # nothing but ends stands for nothing
        return terms

    def _log(self, terms: dict[str, Tensor], stage: str, batch: Batch) -> None:
        """Weighs bits per byte by the bytes that a batch predicts: an epoch's are all its nats over all its bytes."""
        super()._log({name: value for name, value in terms.items() if name != BITS}, stage, batch)
        if batch.fields is not None and BITS in terms:
            _, valid = next_tokens(batch.inputs, batch.mask)
            predicted = int((batch.fields["bytes"][:, 1:] * valid).sum())
            training = stage == metrics.TRAIN
            self.log(f"{stage}/{BITS}", terms[BITS], prog_bar=training, sync_dist=not training, batch_size=predicted)

    def token_logits(self, vectors: Tensor) -> Tensor:
        """What the tokens after some others could be: ``(B, T, V)`` logits of the encoder's vectors ``(B, T, D)``."""
        return F.linear(vectors, self.encoder.token_embedding.weight)

    def chance_loss(self, batch_size: int) -> float:
        """The log of the vocabulary's size, every token being equally likely."""
        return math.log(self.encoder.vocabulary["size"])

    def predict_step(self, batch: Batch, batch_idx: int) -> Texts:
        """The beginning of each document and how the model goes on."""
        ids = self.generate(batch)
        return Texts(ids, torch.arange(ids.shape[1], device=ids.device) >= self.prompt_lengths(batch)[:, None])

    def texts(self, batch: Batch) -> Texts | None:
        """As predicted; None where `generate` would refuse, with the reason, to go on for so long."""
        room = self.prompt_tokens + self.sampling.max_new_tokens
        return None if self.sampling.beams > 1 and room > self.encoder.max_length else self.predict_step(batch, 0)

    def generate(self, batch: Batch) -> Tensor:
        """Continues documents, as `ssl_zoo.parts.generation.generate` says; errors as there.

        Args:
            batch: documents; of a packed row the first one counts. Their end token is no part of the prompt.

        Returns:
            ``(B, L)`` int64: prompt, new tokens up to the end token if one was written, padding.
        """
        return generate(self.encoder, *self._prompts(batch), self.keys(batch), self.sampling)

    def prompt_lengths(self, batch: Batch) -> Tensor:
        """``(B,)`` int64, how many of a document's first tokens `generate` goes on from."""
        inputs, mask = batch.inputs, batch.mask
        length = torch.full_like(batch.index, inputs.shape[1])
        if mask is not None:
            length = (mask == mask[:, :1]).sum(1)
        ended = inputs.gather(1, length[:, None] - 1)[:, 0] == self.encoder.vocabulary["end"]
        return (length - ended.long()).clamp(1, self.prompt_tokens)

    def _prompts(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """First tokens ``(B, P)``, padded on the left as `generate` wants them, and int64 1 where they are real."""
        inputs, length = batch.inputs, self.prompt_lengths(batch)[:, None]
        width = min(self.prompt_tokens, inputs.shape[1])
        place = torch.arange(width, device=inputs.device) - (width - length)
        prompts = inputs.gather(1, place.clamp_min(0)).masked_fill(place < 0, self.encoder.vocabulary["pad"])
        return prompts, (place >= 0).long()
