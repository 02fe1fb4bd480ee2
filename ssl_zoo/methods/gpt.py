"""GPT: every token is predicted from those before it, and so the model can write."""

import math
from copy import deepcopy
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_zoo import metrics
from ssl_zoo.batch import Batch
from ssl_zoo.encoders.text_base import TextEncoder
from ssl_zoo.errors import InputError
from ssl_zoo.methods.base import Method
from ssl_zoo.objectives.language_modeling import bits_per_byte, global_mean, next_token_targets
from ssl_zoo.objectives.token_loss import token_loss
from ssl_zoo.randomness import fold_in, uniform
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
        encoder: the network to pretrain; causal.
        max_new_tokens: the most tokens to write.
        prompt_tokens: first tokens of each document to go on from, the one that begins it included.
        temperature: divides the logits before drawing; 0 draws nothing and takes the likeliest token each time.
        top_k: draw among so many of the likeliest tokens only.
        top_p: draw among the likeliest tokens that together have this probability (arXiv:1904.09751).
        beams: texts kept at a time in a search for the likeliest whole; more than 1 needs temperature 0.
        **training: `optimizer`, `learning_rate`, `weight_decay` and `warmup` of `Method`.

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
        **training: Any,
    ) -> None:
        super().__init__(encoder, **training)
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
        self.max_new_tokens, self.prompt_tokens, self.beams = max_new_tokens, prompt_tokens, beams
        self.temperature, self.top_k, self.top_p = temperature, top_k, top_p

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The loss, as perplexity, and in bits per byte where the batch says how many bytes its tokens stand for."""
        targets, valid = next_token_targets(batch.inputs, batch.mask)
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
            _, valid = next_token_targets(batch.inputs, batch.mask)
            predicted = int((batch.fields["bytes"][:, 1:] * valid).sum())
            training = stage == metrics.TRAIN
            self.log(f"{stage}/{BITS}", terms[BITS], prog_bar=training, sync_dist=not training, batch_size=predicted)

    def token_logits(self, vectors: Tensor) -> Tensor:
        """What the tokens after some others could be: ``(B, T, V)`` logits of the encoder's vectors ``(B, T, D)``."""
        return F.linear(vectors, self.encoder.token_embedding.weight)

    def chance_loss(self, batch_size: int) -> float:
        """The log of the vocabulary's size, every token being equally likely."""
        return math.log(self.encoder.vocabulary["size"])

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """``(B, L)`` int64, the beginning of each document and how the model goes on."""
        return self.generate(batch)

    @torch.no_grad()
    def generate(self, batch: Batch) -> Tensor:
        """Continues documents by the transformers library's `generate`, with its cache of keys and values.

        Where a text has filled the encoder's `max_length`, the next tokens are predicted from the last half of it, with
        which the cache is filled anew. What is drawn for a document depends on its key and its prompt alone, not on
        the rest of the batch. Dropout is on when the method is in training mode.

        Args:
            batch: documents; of a packed row the first one counts. Their end token is no part of the prompt.

        Returns:
            ``(B, L)`` int64: prompt, new tokens up to the end token if one was written, padding. No other
            special token is written.

        Raises:
            InputError: a search by beams is to go on for longer than the encoder has positions for.
        """
        written, real = self._prompts(batch)
        prompt_width, window = written.shape[1], self.encoder.max_length
        if self.beams > 1 and prompt_width + self.max_new_tokens > window:
            raise InputError(
                f"{prompt_width} tokens of prompt and {self.max_new_tokens} new ones are more than the encoder's "
                f"max_length, {window}, and beams are compared as wholes; lower max_new_tokens or prompt_tokens."
            )
        missing, pad = (1 - real).sum(1, keepdim=True), self.encoder.vocabulary["pad"]
        model, keys = self._language_model(), self.keys(batch)
        ended = torch.zeros_like(missing, dtype=torch.bool)
        last = prompt_width + self.max_new_tokens
        while written.shape[1] < last and not ended.all():
            seen = written.shape[1] if written.shape[1] < window else window // 2
            more = model.generate(
                written[:, -seen:],
                attention_mask=real[:, -seen:],
                generation_config=self._generation(min(window, last - written.shape[1] + seen) - seen),
                logits_processor=self._processors(keys, seen - (written.shape[1] - prompt_width)),
            )[:, seen:]
            written = torch.cat([written, more.masked_fill(ended, pad)], dim=1)
            real = torch.cat([real, torch.ones_like(more)], dim=1)
            ended = (written[:, prompt_width:] == self.encoder.vocabulary["end"]).any(1, keepdim=True)
        # Back to padding on the right.
        place = torch.arange(written.shape[1], device=written.device) + missing
        shifted = written.gather(1, place.clamp(max=written.shape[1] - 1))
        return shifted.masked_fill(place >= written.shape[1], pad)

    def _generation(self, tokens: int) -> Any:
        """The library's settings for writing at most so many tokens."""
        from transformers import GenerationConfig

        end = self.encoder.vocabulary["end"]
        settings = GenerationConfig(
            max_new_tokens=tokens,
            use_cache=True,
            eos_token_id=end,
            pad_token_id=self.encoder.vocabulary["pad"],
            suppress_tokens=[token for token in self.encoder.vocabulary["special"] if token != end] or None,
        )
        if self.beams > 1:
            # Beams are ranked by their log-likelihood, not by its mean over tokens.
            settings.update(num_beams=self.beams, length_penalty=0.0)
        return settings

    def prompt_lengths(self, batch: Batch) -> Tensor:
        """``(B,)`` int64, how many of a document's first tokens `generate` goes on from."""
        inputs, mask = batch.inputs, batch.mask
        length = torch.full_like(batch.index, inputs.shape[1])
        if mask is not None:
            length = (mask == mask[:, :1]).sum(1)
        ended = inputs.gather(1, length[:, None] - 1)[:, 0] == self.encoder.vocabulary["end"]
        return (length - ended.long()).clamp(1, self.prompt_tokens)

    def configure_callbacks(self) -> list[L.Callback]:
        """What only a language model can do: leave texts that it has written."""
        from ssl_zoo.callbacks.generated_text import GeneratedText

        return [GeneratedText()]

    def _prompts(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """First tokens ``(B, P)``, padded on the left as `generate` wants them, and int64 1 where they are real."""
        inputs, length = batch.inputs, self.prompt_lengths(batch)[:, None]
        width = min(self.prompt_tokens, inputs.shape[1])
        place = torch.arange(width, device=inputs.device) - (width - length)
        prompts = inputs.gather(1, place.clamp_min(0)).masked_fill(place < 0, self.encoder.vocabulary["pad"])
        return prompts, (place >= 0).long()

    def _language_model(self) -> Any:
        """The encoder's own trunk, with its embeddings as output layer, in the library's class that can write."""
        from transformers import GPT2LMHeadModel

        trunk = self.encoder.model
        with torch.device("meta"):  # weights that are replaced at once
            model = GPT2LMHeadModel(deepcopy(trunk.config))
        model.transformer, model.lm_head.weight = trunk, self.encoder.token_embedding.weight
        return model

    def _processors(self, keys: Tensor, first: int) -> list[Any]:
        """What is done to the next token's logits in turn, before the highest one is taken.

        Args:
            keys: ``(B,)`` int64, of the documents.
            first: where the model would see the first new token; below 0 when it sees only later ones.
        """
        from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

        processors = LogitsProcessorList()
        if self.temperature == 0:
            return processors
        processors.append(TemperatureLogitsWarper(self.temperature))
        if self.top_k is not None:
            processors.append(TopKLogitsWarper(min(self.top_k, self.encoder.vocabulary["size"])))
        if self.top_p < 1:
            processors.append(TopPLogitsWarper(self.top_p))

        def add_gumbel_noise(written: Tensor, logits: Tensor) -> Tensor:
            """The highest of logits plus Gumbel noise is a draw from their softmax (Gumbel, 1954)."""
            draws = uniform(fold_in(keys, written.shape[1] - first), logits.shape[1])
            return logits - torch.log(-torch.log(draws))

        processors.append(add_gumbel_noise)
        return processors
