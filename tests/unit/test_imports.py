"""What import-linter cannot see: an import line tells by its first character whether it stays at home."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import kaa

ROOT = Path(kaa.__file__).parent
MODULES = sorted(path.name for path in (ROOT / "modules").iterdir() if (path / "module.py").exists())


def imports(file: Path) -> list[tuple[int, str]]:
    """Give the level and the module of each `from … import`, and 0 with the name of each `import …`."""
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            found.append((node.level, node.module or ""))
        elif isinstance(node, ast.Import):
            found += [(0, alias.name) for alias in node.names]
    return found


@pytest.mark.parametrize("module", MODULES)
def test_inside_a_module_imports_are_relative_and_never_leave_it(module: str) -> None:
    home = ROOT / "modules" / module
    for file in home.rglob("*.py"):
        depth = len(file.relative_to(home).parts)
        for level, name in imports(file):
            assert not name.startswith(f"kaa.modules.{module}"), f"{file}: {name} is at home; say it with a dot"
            assert level <= depth, f"{file}: {'.' * level}{name} leaves the module; say it from kaa on"


@pytest.mark.parametrize("floor", ["core", "protocols"])
def test_across_floors_imports_are_absolute(floor: str) -> None:
    for file in (ROOT / floor).rglob("*.py"):
        for level, name in imports(file):
            assert level <= len(file.relative_to(ROOT / floor).parts), f"{file}: {'.' * level}{name} leaves its floor"


def test_there_are_modules_to_look_at() -> None:
    assert {"cm", "dcx", "epr", "epts", "kpc", "tekton"} <= set(MODULES)


def test_what_a_server_rarely_needs_is_not_loaded_with_it() -> None:
    heavy = ["alembic", "cryptography", "jsonschema_rs", "nats", "re2", "rich", "swagger_ui", "kaa.core.openapi"]
    line = f"import sys, kaa.app; print([name for name in {heavy} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
