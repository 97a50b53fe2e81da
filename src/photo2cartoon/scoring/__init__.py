"""How good drawings are: features of pictures, distances between sets of them, and the scorer that takes both."""
