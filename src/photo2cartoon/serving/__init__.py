"""Model repository, Triton server and client."""
