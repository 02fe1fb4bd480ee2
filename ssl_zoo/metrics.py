"""The names under which every method, callback and logger records its numbers, so that runs can be compared."""

TRAIN, VALIDATION, TEST = "train", "val", "test"  # followed by "/loss" or another term of a method's losses

LEARNING_RATE = "train/learning_rate"
PROJECTION_STD = "train/std"  # of methods that could collapse: the spread of what their loss compares

PROBE_KNN = "probe/knn"
PROBE_LINEAR = "probe/linear"

HEALTH_RANK = "health/rank"
HEALTH_STD = "health/std"
HEALTH_ALIGNMENT = "health/alignment"
HEALTH_UNIFORMITY = "health/uniformity"
HEALTH_ACTIVE_UNITS = "health/active_units"

THROUGHPUT = "throughput/samples_per_second"
DATA_WAIT = "throughput/data_wait"

GENERATION = "generation"  # followed by "/samples" or another picture of what a generative method makes
