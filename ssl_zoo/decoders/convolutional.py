"""A decoder of convolutions over places: it fills in what stands where the encoder has seen nothing."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_zoo.encoders.base import Encoded
from ssl_zoo.errors import InputError


class PlaceConvolutions(nn.Module):
    """Convolutions on the vectors of the visible places and one vector at all others (data2vec 2.0, arXiv:2212.07525).

    As in the published code every convolution is followed by a norm without weights, GELU and a shortcut, and a linear
    layer is last. In place of its noise, of deviation 0.01, a learnt vector stands where nothing was seen.

    Args:
        entering: size of the encoder's vectors.
        leaving: size of the vectors that it gives.
        plane: whether places lie in a plane, and not in a line.
        dim: channels.
        depth: convolutions.
        kernel: places that each sees along a side; an odd number.
        groups: groups of channels; must divide `entering` and `dim`.

    Raises:
        InputError: sizes do not fit each other.
    """

    def __init__(
        self,
        entering: int,
        leaving: int,
        plane: bool,
        dim: int = 384,
        depth: int = 4,
        kernel: int = 7,
        groups: int = 16,
    ) -> None:
        super().__init__()
        if depth < 1 or kernel < 1 or kernel % 2 == 0 or groups < 1 or entering % groups or dim % groups:
            raise InputError(
                f"The decoder has a depth of {depth}, a kernel of {kernel} and {groups} groups of {entering} and {dim} "
                "channels; choose at least one layer, an odd kernel, and groups that divide both."
            )
        kind = nn.Conv2d if plane else nn.Conv1d
        self.convolutions = nn.ModuleList(
            kind(entering if number == 0 else dim, dim, kernel, padding=kernel // 2, groups=groups)
            for number in range(depth)
        )
        self.leave = nn.Linear(dim, leaving)
        self.mask_vector = nn.Parameter(0.01 * torch.randn(entering))

    def forward(
        self,
        encoded: Encoded,
        visible: Tensor,
        real: Tensor | None,
        mask: Tensor | None,
        places: int,
        grid: tuple[int, int] | None,
    ) -> Tensor:
        """Vectors ``(B, N, leaving)`` at all places.

        Args:
            encoded: the encoder's vectors of the visible places ``(B, K, entering)``.
            visible: ``(B, K)`` int64, those places.
            real: ``(B, K)`` bool, False where an example of fewer places is only filled up; None where none is.
            mask: ``(B, N)``, above 0 where a place is real; None when nothing is padded, which stays zero.
            places: number of all places, N.
            grid: rows and columns of all places where these lie in a plane.
        """
        known = encoded.sequence
        vector = self.mask_vector.to(known.dtype)
        if real is not None:
            known = torch.where(real[..., None], known, vector)
        vectors = vector.expand(len(known), places, -1).scatter(1, visible[..., None].expand_as(known), known)
        there = None if mask is None else (mask > 0)[..., None]
        shape = (places,) if grid is None else grid
        for convolution in self.convolutions:
            if there is not None:
                vectors = vectors * there
            maps = convolution(vectors.transpose(1, 2).unflatten(2, shape)).flatten(2).transpose(1, 2)
            made = F.gelu(F.layer_norm(maps, maps.shape[-1:]))
            vectors = made + vectors if made.shape == vectors.shape else made
        return self.leave(vectors)
