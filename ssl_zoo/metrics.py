"""The names under which every method, callback and logger records its numbers, so that runs can be compared."""

TRAIN, VALIDATION, TEST = "train", "val", "test"  # followed by "/loss" or another term of a method's losses

LEARNING_RATE = "train/learning_rate"
PROJECTION_STD = "train/std"  # of methods that could collapse: the spread of what their loss compares
PROJECTION_RANK = "train/rank"  # the same of how many dimensions that has

CONTRASTIVE = "train/contrastive"  # of methods whose loss has other terms: the one that `chance_loss` is about
EQUAL_NEGATIVES = "train/equal_negatives"  # of methods with learnt targets: negatives that are the positive itself
INFORMATION = "train/information"  # of methods whose teacher chooses among outputs: what its choice says, in nats
TEACHER_ENTROPY = "train/teacher_entropy"
PATCH_INFORMATION = "train/patch_information"  # of methods whose teacher chooses an output at every place, too
PATCH_ENTROPY = "train/patch_entropy"
CODE_PERPLEXITY = "train/code_perplexity"
BUSIEST_EXPERT = "train/busiest_expert"  # of encoders with experts: the part of the tokens that it gets
EXPLAINED = "train/explained"  # of methods that predict numbers: the part of their variance or deviation predicted

PROBE_KNN = "probe/knn"
PROBE_LINEAR = "probe/linear"

HEALTH = "health"  # what all of these begin with
HEALTH_STD = "health/std"  # of `ssl_zoo.probes.health`, which has them all
HEALTH_RANK = "health/rank"
HEALTH_ACTIVE_UNITS = "health/active_units"  # of a VAE

CODES = "codes"  # of `ssl_zoo.probes.clusters`: what codes say about phones

THROUGHPUT = "throughput/samples_per_second"
DATA_WAIT = "throughput/data_wait"

GENERATION = "generation"  # followed by "/samples" or another picture of what a generative method makes

STEP = "trainer/global_step"  # optimizer steps, as W&B's loggers call them

# What a run comes to in the end.
RESULT = "result"  # followed by the probe and the labels per class, by another task, or by "layer/last" and "/chosen"
RESULT_LINEAR = "result/linear/all"
RESULT_KNN = "result/knn/all"
RESULT_TABLE = "result/table"
COST = "cost"  # what all of these begin with
COSTS = ("cost/seconds", "cost/samples", "cost/flops", "cost/peak_memory")
FIGURES = "figures"  # followed by "/views" or another picture of a run's folder

# How W&B makes one number of a curve. Tables and claims rest on the last, never on the best.
SUMMARIES = {
    f"{TRAIN}/loss": "last,min",
    f"{VALIDATION}/loss": "last,min",
    PROBE_KNN: "last,max",
    PROBE_LINEAR: "last,max",
    f"{HEALTH}/*": "last",
    f"{CODES}/*": "last",
    THROUGHPUT: "mean",
    DATA_WAIT: "mean",
}
