"""MarianMT folders of three sizes."""

from pathlib import Path

import pytest

from tests.support.marian_models import SIZES, make_marian


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("marian")
    for number, (size, wanted) in enumerate(SIZES.items()):
        make_marian(root / size, seed=number, **wanted)  # type: ignore[arg-type]
    return {size: root / size for size in SIZES}


@pytest.fixture(params=[pytest.param(n, marks=[pytest.mark.long] * (n == "medium")) for n in SIZES])
def folder(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Path:
    return folders[request.param]
