"""Portrait photographs to cartoons: train, compare, pick, ship, serve, roll back."""

__version__ = "0.1.0"
