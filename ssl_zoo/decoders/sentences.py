"""A decoder of texts word by word: an LSTM that has a latent vector before it at every step."""

from typing import cast

import torch
from torch import Tensor, nn

from ssl_zoo.vocabulary import Vocabulary


class SentenceDecoder(nn.Module):
    """Predicts every token from those before it and from the text's code (Bowman et al., 2015, arXiv:1511.06349, 3).

    The code makes the LSTM's first state and stands beside every token that it reads. Its table of tokens is its output
    layer, too.

    Args:
        vocabulary: vocabulary of the tokenizer, which has a token that begins a text.
        latent_dim: size L of the codes.
        dim: size of the LSTM's state.
        token_dim: size of the tokens' vectors.
    """

    def __init__(self, vocabulary: Vocabulary, latent_dim: int, dim: int, token_dim: int) -> None:
        super().__init__()
        self.begin, self.end, self.pad = cast(int, vocabulary["begin"]), vocabulary["end"], vocabulary["pad"]
        self.silent = [token for token in vocabulary["special"] if token != self.end]  # they stand for no text
        self.tokens = nn.Embedding(vocabulary["size"], token_dim)
        nn.init.normal_(self.tokens.weight, std=token_dim**-0.5)
        self.dropped = nn.Parameter(torch.zeros(token_dim))  # stands where a word is left out
        self.state = nn.Linear(latent_dim, 2 * dim)
        self.lstm = nn.LSTM(token_dim + latent_dim, dim, batch_first=True)
        self.output = nn.Linear(dim, token_dim)
        self.bias = nn.Parameter(torch.zeros(vocabulary["size"]))

    def start(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """The state ``(1, B, dim)`` and cell of the same shape that a text begins with, of codes ``(B, L)``."""
        state, cell = self.state(latents).chunk(2, dim=1)
        return state.tanh()[None], cell[None]

    def forward(
        self, latents: Tensor, inputs: Tensor, dropped: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """What is said of the token after each one.

        Args:
            latents: ``(B, L)`` float32.
            inputs: ``(B, T)`` int64 token ids, from the one that begins a text on.
            dropped: ``(B, T)`` bool, True where a token is not to be seen.
            state: what a call before has left; None begins a text.

        Returns:
            ``(B, T, token_dim)``, whose products with `tokens` and `bias` are the logits of the next token, and
            the state to go on from.
        """
        # A state that is added to wants float32, in which PyTorch's LSTM is also the faster one on a CPU.
        with torch.autocast(latents.device.type, enabled=False):
            read = torch.where(dropped[..., None], self.dropped, self.tokens(inputs))
            beside = latents[:, None].expand(-1, inputs.shape[1], -1)
            vectors, left = self.lstm(torch.cat([read, beside], dim=2), self.start(latents) if state is None else state)
        return self.output(vectors), left

    @torch.no_grad()
    def write(self, latents: Tensor, length: int) -> Tensor:
        """The text of each code, its likeliest token taken every time.

        Args:
            latents: ``(B, L)`` float32.
            length: most tokens that a text may have.

        Returns:
            ``(B, length)`` int64, the end token where it was written, padding after it.
        """
        written, state = [torch.full_like(latents[:, :1], self.begin, dtype=torch.int64)], None
        seen, over = torch.zeros_like(written[0], dtype=torch.bool), torch.zeros_like(written[0], dtype=torch.bool)
        for _ in range(length):
            vectors, state = self(latents, written[-1], seen, state)
            logits = vectors @ self.tokens.weight.T + self.bias
            logits[..., self.silent] = -torch.inf
            token = logits.argmax(-1).masked_fill(over, self.pad)
            over = over | (token == self.end)
            written.append(token)
        return torch.cat(written[1:], dim=1)
