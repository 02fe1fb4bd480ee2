"""Many experiments on equal terms: planned, trained one after the other, taken up again after an interruption."""
