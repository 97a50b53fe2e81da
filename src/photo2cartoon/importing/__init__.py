"""Other people's trained weights, read without running anything of theirs, in the formats used here."""
