"""What the probes found out about one run, typed; `ssl_zoo.runs.result_file` keeps it in results.json."""

from typing import NamedTuple

from ssl_zoo.probes.accuracy import Score

# Raised whenever a change makes numbers incomparable with those of earlier runs; docs/evaluation.md says what changed.
PROTOCOL = 3

# Rows besides the run's own, which is called by its method or, of a published encoder, by the encoder.
UNTRAINED = "untrained encoder"
SUPERVISED = "supervised"
BEFORE = "before"  # the encoder as it was loaded, of a run that continued from published weights
# What they are, for whoever reads a table.
MEANINGS = {
    UNTRAINED: "the same encoder before any training",
    BEFORE: "the same encoder with the published weights that a run continued from, before it did",
}
ALL = "all"  # labels, where others are numbers per class
LINEAR, KNN = "linear", "knn"
# The main task of a run that was evaluated without labels, and has neither rows nor tasks.
WITHOUT_LABELS = "health"
# The task that says most where a file of an older version has it and does not say which does.
PHONES = "phones"


class TaskScore(NamedTuple):
    """An accuracy in a task besides the classes.

    Attributes:
        accuracy: accuracy in [0, 1].
        balanced: the mean accuracy over classes, where these differ in size.
        layers: what every layer counts in the probe, from the first layer's input on; empty without layers.
    """

    accuracy: float
    balanced: float | None = None
    layers: list[float] = []  # noqa: RUF012  # a tuple's default, and never changed


class WordSimilarity(NamedTuple):
    """How well vectors of words agree with people on which words are alike.

    Attributes:
        rho: Spearman's rank correlation of cosines with people's scores, in [-1, 1].
        pairs: pairs of words that it is of.
        of: pairs in the whole set.
    """

    rho: float
    pairs: int
    of: int


Similarities = dict[str, dict[str, WordSimilarity]]  # by set of pairs and by row


# A row of translations: what copying the sources is rated.
COPIED = "source as it is"


class Bleu(NamedTuple):
    """How near translations are to those of people.

    Attributes:
        bleu: BLEU, from 0 to 100.
        pairs: number of texts.
        longest: tokens of the longest source among them.
    """

    bleu: float
    pairs: int
    longest: int


Translations = dict[str, dict[str, Bleu]]  # by part of the sources and by row


# A row of retrievals: what answers in random order are rated.
CHANCE = "chance"


class Retrieval(NamedTuple):
    """How well examples find the one in another style that shows the same.

    Attributes:
        first: share of the examples to which it is the nearest, in [0, 1].
        among_five: share of those to which it is among the five nearest.
        reciprocal_rank: mean of 1 / its rank, in (0, 1].
        asked: number of examples that have such a one.
        answers: number of examples in the other style.
    """

    first: float
    among_five: float
    reciprocal_rank: float
    asked: int
    answers: int


Retrievals = dict[str, dict[str, Retrieval]]  # by direction, such as `Noto to EmojiOne`, and by row


class LayerScores(NamedTuple):
    """What linear probes of the single layers reach.

    Attributes:
        validation: accuracy on validation data, from the first layer's input on.
        test: accuracy on test data, by layer from the first layer's input on.
        chosen: the layer that is best on validation data, the last one of equals: nothing of the test part enters.
    """

    validation: list[float]
    test: list[float]
    chosen: int


class Parts(NamedTuple):
    """The data and how it was split.

    Attributes:
        source: what the data is called.
        identity: identity of the data, whatever it is called and wherever it lies; empty where an old file does not
            say.
        split: hash of the parts.
        train: number of training examples.
        validation: number of validation examples.
        test: number of test examples.
    """

    source: str
    identity: str
    split: str
    train: int
    validation: int
    test: int


class Budget(NamedTuple):
    """What a run cost; nothing where an encoder was trained elsewhere.

    Attributes:
        steps: optimizer steps.
        samples: examples seen.
        seconds: spent on training steps.
        flops: FLOPs of the training, forward and backward; None where unknown.
        peak_memory: bytes; None where unknown.
        hardware: what it was trained on; empty where unknown.
    """

    steps: int = 0
    samples: int = 0
    seconds: float = 0.0
    flops: float | None = None
    peak_memory: float | None = None
    hardware: str = ""


Rows = dict[str, dict[str, dict[str, Score]]]  # by row, by probe and by labels per class
Tasks = dict[str, dict[str, TaskScore]]  # by task and by row


class Result(NamedTuple):
    """What the probes found out about one run, or about a published encoder.

    Attributes:
        protocol: version of the evaluation.
        run: name of its folder.
        experiment: name of the folder above.
        method: name of its method, `public` where it was trained elsewhere.
        encoder: name of its encoder.
        modality: `image`, `text`, `audio`, or empty where an old file does not say.
        seed: seed of the run; None where unknown.
        pretrained: the published weights that the run continued from; empty where it began from random ones.
        parameters: number of parameters of the encoder.
        data: the data that the encoder was evaluated on.
        budget: what it cost.
        chance_loss: the loss of an encoder that ignores its input; None where unknown.
        health: last values of the health figures, by name.
        remarks: sentences about what the numbers do not say.
        rows: accuracies on the classes, the run's own row first; empty without classes.
        tasks: accuracies in other tasks, by task and by row, the run's own row first.
        task_sizes: how many classes, and labels in every part, a task has, by task.
        layers: accuracy of every layer by row.
        main_task: the one that says most of a representation: one of `tasks`, or `classes`; `health` where it was
            evaluated without labels.
        meanings: what the rows besides the run's own are, by row, as far as somebody says.
        word_similarity: how well vectors of words agree with people, by set of pairs and by row; of texts alone.
        translation: how well it translates, by part of the sources and by row; of a method that does alone.
        retrieval: how well test examples find those that show the same in another style, by direction and by row; of
            data that has such pairs alone.
    """

    protocol: int
    run: str
    experiment: str
    method: str
    encoder: str
    modality: str
    seed: int | None
    pretrained: str
    parameters: int
    data: Parts
    budget: Budget
    chance_loss: float | None
    health: dict[str, float]
    remarks: list[str]
    rows: Rows
    tasks: Tasks
    task_sizes: dict[str, dict[str, int]]
    layers: dict[str, LayerScores]
    main_task: str
    meanings: dict[str, str] = {}  # noqa: RUF012  # a tuple's default, and never changed
    word_similarity: Similarities = {}  # noqa: RUF012  # a tuple's default, and never changed
    translation: Translations = {}  # noqa: RUF012  # a tuple's default, and never changed
    retrieval: Retrievals = {}  # noqa: RUF012  # a tuple's default, and never changed

    @property
    def own_row(self) -> str:
        """What the run's own row is called."""
        if self.main_task == WITHOUT_LABELS:
            return self.method
        return next(iter(self.rows)) if self.rows else next(iter(next(iter(self.tasks.values()))))
