"""Fine-tuning: a run's encoder trained further on a labelled task, next to the same encoder without pretraining."""
