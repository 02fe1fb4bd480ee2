"""Settings for the whole suite."""

import torch

# Tiny networks gain nothing from a second thread, and threads that wait for each other on a busy machine cost minutes.
torch.set_num_threads(1)
