"""Object storage for the tests of this folder: SeaweedFS on loopback."""

import pytest

from pipelines.object_storage import seaweedfs


@pytest.fixture(scope="session")
def storage(tmp_path_factory):
    """S3 client of a running SeaweedFS."""
    with seaweedfs(tmp_path_factory.mktemp("storage")) as server:
        yield server
