"""Language models: their settings, bodies, training with exact resume, checkpoints and records of runs."""
