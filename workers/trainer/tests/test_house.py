"""The package's own order: arrows between its files, and what may be slow to import."""

import ast
import pathlib
import subprocess
import sys

import pytest

PACKAGE = pathlib.Path(__file__).parent.parent / "rpo_trainer"


def arrows():
    """{file: the files that it imports}, inside functions too."""
    found = {}
    for path in PACKAGE.glob("*.py"):
        targets = found.setdefault(path.stem, set())
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level == 1:
                targets.update([node.module] if node.module else [name.name for name in node.names])
    return found


def test_no_file_imports_itself_by_way_of_others():
    found = arrows()

    def reach(name, path):
        for target in sorted(found.get(name, ())):
            assert target not in path, " -> ".join([*path, target])
            reach(target, [*path, target])

    for name in found:
        reach(name, [name])


@pytest.mark.parametrize("name", ["config", "plan", "gguf", "folder", "events", "serve"])
def test_what_runs_before_or_beside_the_training_does_not_wait_for_torch(name):
    subprocess.run([sys.executable, "-c", f"import rpo_trainer.{name}, sys; sys.exit('torch' in sys.modules)"],
                   cwd=PACKAGE.parent, check=True)


def test_every_file_can_be_read_in_one_sitting():
    for path in [*PACKAGE.glob("*.py"), *PACKAGE.parent.glob("tests/*.py"), *PACKAGE.parent.glob("bench/*.py")]:
        assert len(path.read_text(encoding="utf-8").splitlines()) < 400, path
