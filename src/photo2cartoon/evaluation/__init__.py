"""How good a checkpoint is, in numbers that carry their own names, and which one is chosen."""
