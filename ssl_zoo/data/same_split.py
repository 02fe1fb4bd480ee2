"""A checkpoint knows how its data was split; on data that is split otherwise it would be tested on what it has seen."""

from typing import NotRequired, TypedDict

from lightning.pytorch.utilities import rank_zero_warn

from ssl_zoo.errors import InputError

OVERRIDE = "allow_other_split"


class OtherSplit(InputError):
    """The data is there, and another than a checkpoint was trained on."""


class SplitRecord(TypedDict):
    """What a checkpoint keeps of its data's split.

    Attributes:
        source: what the data is called.
        hash: the data module's `split_hash`.
        train: number of training examples.
        validation: number of validation examples.
        test: number of test examples.
        pretrain: number of examples that `train_dataloader` draws from; old checkpoints lack it.
    """

    source: str
    hash: str
    train: int
    validation: int
    test: int
    pretrain: NotRequired[int]


def require_same_split(made: SplitRecord | None, here: SplitRecord, allow_other: bool) -> str | None:
    """Compares a checkpoint's split with that of the data that it is to be used on.

    Args:
        made: the checkpoint's; None in checkpoints of 0.1.0 before splits were kept, which gives a warning.
        here: the data's.
        allow_other: a difference is a warning only.

    Returns:
        The warning's sentence; None where they are the same.

    Raises:
        OtherSplit: they differ, and that is not allowed.
    """
    if made is None:
        remark = (
            f"The checkpoint does not say how its data was split: make sure that {here['source']} is as it was, or "
            "it is tested on examples that it has seen."
        )
        rank_zero_warn(remark)
        return remark
    if made["hash"] == here["hash"]:
        return None
    difference = f"The checkpoint was trained on {_counts(made)}, but here {_what_differs(made, here)}"
    if allow_other:
        remark = f"{difference}: it may be tested on examples that it has seen."
        rank_zero_warn(remark)
        return remark
    raise OtherSplit(
        f"{difference}, so it may be tested on examples that it has seen: give it the data and the settings it was "
        f"trained with, or set {OVERRIDE} to true to go on all the same."
    )


def _counts(split: SplitRecord) -> str:
    parts = f"{split['train']:,} training, {split['validation']:,} validation and {split['test']:,} test examples"
    return f"{split['source']} ({parts})"


def _what_differs(made: SplitRecord, here: SplitRecord) -> str:
    if _counts(made) == _counts(here):
        return "as many examples of that name are others, or divided otherwise"
    return f"is {_counts(here)}"
