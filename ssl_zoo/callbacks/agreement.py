"""At which step all ranks of a run save or stop, agreed on without a collective operation."""

import torch.distributed as dist
from torch.distributed.distributed_c10d import _get_default_store

from ssl_zoo.distributed import rank, world_size

NEVER = -1


class Agreement:
    """Rank 0 names a step ahead of the ranks; they look it up in the store through which they have found each other.

    What rank 0 writes after step N names step N + 1 at the earliest. No rank finishes that one without rank 0's
    gradients, so by then all of them can read it. That costs a short message a step, and no device waits for it; a
    broadcast of a decision makes every rank wait for the slowest one after every batch.
    """

    def __init__(self) -> None:
        self._store = _get_default_store() if world_size() > 1 else None
        self._save, self._stop, self._number = NEVER, NEVER, 0
        if self._store is not None:
            if rank() == 0:
                self._store.set("ssl_zoo/asked", "0")
                self._publish()
            dist.barrier()

    def look(self, step: int, save: bool, signal_number: int | None) -> tuple[bool, int | None]:
        """What is to be done now, after a step that all ranks have finished.

        Args:
            step: number of optimizer steps done.
            save: whether it is time to save; only rank 0's opinion counts.
            signal_number: number of the signal that this rank was sent, if it was.

        Returns:
            Whether to save, and the signal to stop for, if there is one; the same on all ranks.
        """
        if self._store is None:
            return save, signal_number
        if rank() == 0:
            number = signal_number or int(self._store.get("ssl_zoo/asked"))
            due = (self._save == step, self._number if self._stop == step else None)
            if save and self._save < step:  # a slower rank may not yet have read of a save after this step
                self._save = step + 1
            if number and self._stop == NEVER:
                self._stop, self._number = step + 1, number
            self._publish()
            return due
        if signal_number is not None:
            self._store.set("ssl_zoo/asked", str(signal_number))
        self._save, self._stop, self._number = map(int, self._store.get("ssl_zoo/agenda").split())
        return self._save == step, self._number if self._stop == step else None

    def _publish(self) -> None:
        assert self._store is not None
        self._store.set("ssl_zoo/agenda", f"{self._save} {self._stop} {self._number}")
