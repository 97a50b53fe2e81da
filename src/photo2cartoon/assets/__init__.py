"""Third-party files: the catalogue, finding or fetching them, and verifying their hashes before use."""
