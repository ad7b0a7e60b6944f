import json

import pytest
import tiny

from rpo_trainer import train


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """A tiny Llama folder with random weights."""
    return tiny.write_model(tmp_path_factory.mktemp("model") / "base")


@pytest.fixture(scope="session")
def pairs_file(tmp_path_factory):
    """48 pairs of 8 profiles, g from 1 to 4."""
    return tiny.write_pairs(tmp_path_factory.mktemp("data") / "pairs.parquet", tiny.make_pairs(48, g=0, profiles=8))


@pytest.fixture(scope="session")
def pairs_g3(tmp_path_factory):
    return tiny.write_pairs(tmp_path_factory.mktemp("data") / "g3.parquet", tiny.make_pairs(12, g=3))


@pytest.fixture
def start(tmp_path, base):
    """Run the trainer in this process; returns its out_dir. Defaults are small."""

    def run(data, out="out", expect=0, **values):
        out_dir = str(tmp_path / out)
        document = {"model_dir": base, "data": [data] if isinstance(data, str) else data, "out_dir": out_dir,
                    "pairs_per_step": 8, "pairs_per_batch": 8, "epochs": 1000, "max_steps": 3, "export": [], "device": "cpu",
                    "threads": 1, **values}
        path = tmp_path / "train.json"
        path.write_text(json.dumps(document))
        assert train.main(["--config", str(path)]) == expect
        return out_dir

    return run
