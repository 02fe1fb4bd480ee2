"""How the numbers of a report were made, in words for somebody who was not there."""

from ssl_zoo.compare.entry import CEILING
from ssl_zoo.compare.leaderboard import Leaderboard
from ssl_zoo.compare.results import BALANCED, LAST_LAYER
from ssl_zoo.probes.cross_validation import ENOUGH, FIXED_PENALTY
from ssl_zoo.runs.results import MEANINGS


def explain(boards: list[Leaderboard]) -> list[tuple[str, str]]:
    """Terms and what they mean, those that the leaderboards need."""
    entries = [entry for board in boards for entry in board.entries]
    baselines = list(dict.fromkeys(entry.method for entry in entries if entry.kind == "baseline"))
    meanings = dict(MEANINGS)
    for run in (run for board in boards for run in board.group.runs):
        meanings |= run.result.meanings
    explained = "; ".join(f"{baseline}: {meanings[baseline]}" for baseline in baselines if baseline in meanings)
    terms = [
        (
            "What is compared",
            "Only runs on the same data that share its split into training, validation and test part, by its hash, and "
            "the version of the evaluation, its protocol. Of every data set the newest protocol and, of its runs, the "
            "split of most are taken, and the others are listed as left out.",
        ),
        (
            "Linear probe",
            "Multinomial logistic regression on the frozen features of labelled training examples, its accuracy taken "
            "on the test part. With few labels per class the same random choices of examples are used for every row, "
            "and their accuracies averaged; the penalty is chosen by five-fold cross-validation within the labelled "
            f"examples, and with fewer than {ENOUGH} per class it is {FIXED_PENALTY:g} over their number; nothing else "
            "chooses anything. With all labels the validation part chooses the penalty.",
        ),
        (
            "kNN",
            "A vote of the k nearest labelled training examples by cosine similarity, weighted by exp(similarity / "
            "temperature). Of few labelled examples each is predicted by the others, and the k and temperature taken "
            "that are right most often (k is 1 with one label per class); with all labels the validation part chooses.",
        ),
        (
            "Rank",
            f"{'; '.join(dict.fromkeys(f'{board.group.source} by {board.ranking.words}' for board in boards))}. Unless "
            "somebody chooses otherwise, ten labels per class decide, where pretraining is meant to help, or on speech "
            "the phones where they are known: voice and channel, which any average of a recording shows, may predict "
            "its classes. Equal ones are ranked by the kNN. Where intervals overlap, the order may be chance.",
        ),
        (
            "Seeds and intervals",
            "Runs that differ in nothing but their seed make one row: their mean, ± half the width of its 95 % "
            "interval by Student's t. One run has no interval, and says nothing of how far another seed would fall.",
        ),
    ]
    if explained:
        terms.append(
            (
                "Baselines",
                f"What a method has to beat, evaluated by the same probes. {explained[0].upper()}{explained[1:]}.",
            )
        )
    if any(board.probes for board in boards):
        meaning = (
            "Labels besides the classes, known of recordings or of moments in them, are predicted by a linear probe on "
            "a weighted sum of the encoder's layers; the weights are learnt with it, on all labels of the training "
            "part, and the validation part chooses its penalty."
        )
        terms.append(("Further tasks", meaning))
    if any(LAST_LAYER in entry.accuracy for entry in entries):
        meaning = (
            "A linear probe of every layer, on vectors averaged over an example's places, with all labels of at most "
            "10,000 examples. What a pretext task leaves in the middle may say more than what is at the end. The last "
            "layer is shown beside the one whose probe is best on validation data; the test part chooses nothing."
        )
        terms.append(("Layer by layer", meaning))
    if any(probe.startswith(BALANCED) for entry in entries for probe in entry.accuracy):
        meaning = "The accuracy in each class, averaged over classes: always predicting the commonest earns nothing."
        terms.append(("Balanced accuracy", meaning))
    if any(entry.kind == CEILING for entry in entries):
        meaning = (
            "The same encoder, views, batches and steps, from published weights where the run began from them, but "
            "trained with all labels, by cross entropy."
        )
        terms.append(("Ceiling (supervised)", meaning))
    if any(board.conditions for board in boards):
        meaning = "All weights of the encoder are trained further on labelled examples, and so are those of the same "
        terms.append(("Fine-tuning", f"{meaning}encoder untrained, on the same examples in the same order."))
    return [
        *terms,
        (
            "Cost",
            "Time is that of training steps and the wait for their data, without validation and probes, on whatever "
            "machine a run had. FLOPs are counted on one batch, forward and backward, a multiplication and an addition "
            "as two, without the optimizer, and scaled to the samples seen; they are the same on every machine. Memory "
            "is the most that the first process had in use, of its GPU, or on a CPU all of its main memory, libraries "
            "included.",
        ),
    ]
