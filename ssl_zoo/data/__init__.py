"""Data modules, one per modality, fed by small sources."""
