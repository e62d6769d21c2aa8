# SPDX-License-Identifier: GPL-3.0-or-later
"""Write what is generated, and remove pages that nothing generates any more."""

from __future__ import annotations

from reference import FOLDER, arguments, awx, packaging, pages, playbooks, roles
from reference.text import BY_HAND


def main() -> None:
    """Write ``docs/reference``, the playbooks' comments, the roles' argument specifications and READMEs,
    and what is packaged."""
    made = pages()
    for path in sorted(FOLDER.rglob("*")):
        if path.is_file() and str(path.relative_to(FOLDER)) not in {*made, *BY_HAND}:
            path.unlink()
    for name, text in made.items():
        path = FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    written = (playbooks.texts(), arguments.texts(), roles.readmes(), packaging.texts(), awx.texts())
    for path, text in (pair for texts in written for pair in texts.items()):
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
