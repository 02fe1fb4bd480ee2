from collections import Counter
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

# They give a tensor a new shape or hold a number of the host; no kernel is launched for them.
FREE = {"aten._unsafe_view.default", "aten.detach.default", "aten.scalar_tensor.default"}


class Operations(TorchDispatchMode):
    """Counts the operations that compute: what PyTorch runs below autograd, but for views of the same memory.

    On a GPU each of them is the launch of a kernel, or of several.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counted: Counter[str] = Counter()

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        returned = operation._schema.returns
        view = bool(returned) and returned[0].alias_info is not None and not returned[0].alias_info.is_write
        if not view and str(operation) not in FREE:
            self.counted[str(operation)] += 1
        return operation(*args, **(kwargs or {}))
