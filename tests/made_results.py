"""Results of evaluations that never were."""

from ssl_zoo.runs.results import Budget, LayerScores, Parts, Result, Retrieval, Score, TaskScore, WordSimilarity


def score(mean: float, std: float = 0.0, balanced: float | None = None) -> Score:
    """An accuracy of one draw."""
    return Score(mean, std, [mean], None if balanced is None else score(balanced))


def made(**settings) -> Result:
    """A result; settings take the place of what it has."""
    settings = {
        "protocol": 3,
        "run": "20260101-000000-abcd",
        "experiment": "simclr",
        "method": "SimCLR",
        "encoder": "ResNet",
        "modality": "image",
        "seed": 0,
        "pretrained": "",
        "parameters": 10,
        "data": Parts("Digits", "12", "34", 3, 2, 1),
        "budget": Budget(5, 40, 1.5, 3e9, None, "a machine"),
        "chance_loss": None,
        "health": {"health/rank": 3.5},
        "remarks": ["It is small."],
        "rows": {"SimCLR": {"linear": {"all": Score(0.5, 0.0, [0.5], Score(0.4, 0.0, [0.4]), [{"penalty": 0.1}])}}},
        "tasks": {"phones": {"SimCLR": TaskScore(0.3, None, [0.25, 0.75]), "majority class": TaskScore(0.1, 0.5, [])}},
        "task_sizes": {"phones": {"classes": 3, "train": 9, "validation": 8, "test": 7}},
        "layers": {"SimCLR": LayerScores([0.2, 0.3], [0.1, 0.4], 1)},
        "main_task": "phones",
        "retrieval": {"a to b": {"SimCLR": Retrieval(0.25, 0.5, 0.375, 8, 9)}},
        "word_similarity": {"WordSim-353": {"SimCLR": WordSimilarity(-0.25, 340, 353)}},
        **settings,
    }
    return Result(**settings)
