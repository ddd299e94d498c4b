"""What other programs need: built or found once, else the tests are skipped and say why."""

import os
from collections.abc import Iterator

import pytest

from tests.interop.moov_process import Moov, NotHere, build


@pytest.fixture(scope="session")
def moov(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moov]:
    """moov-io/iso8583. With POSD_INTEROP=required (CI, where Go is) it is an error that it cannot be had."""
    try:
        program = build(tmp_path_factory.mktemp("moov"))
    except NotHere as error:
        if os.environ.get("POSD_INTEROP") == "required":
            raise
        pytest.skip(str(error))
    child = Moov(program)
    yield child
    child.close()
