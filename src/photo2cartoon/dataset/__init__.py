"""Pictures on disk: where they come from, how they become portraits, how training reads them."""

DRAWN = "drawnA"  # folder of a dataset: drawings of photographs, under their names
