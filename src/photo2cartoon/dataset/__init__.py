"""Pictures on disk: where they come from, how they become portraits, how training reads them."""
