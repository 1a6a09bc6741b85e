import numpy as np
import pytest
from trainings import CORPUS


@pytest.fixture
def text(tmp_path):
    """The corpus as files of words."""
    folder = tmp_path / "text"
    folder.mkdir()
    for part, ids in (("train", CORPUS.train), ("valid", CORPUS.valid), ("test", CORPUS.test)):
        rows = np.array_split(ids, max(1, len(ids) // 20))
        (folder / f"{part}.txt").write_text("\n".join(" ".join(f"w{i}" for i in row) for row in rows) + "\n")
    return folder
