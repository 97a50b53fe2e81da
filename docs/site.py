"""A hook of MkDocs: links from the pages to files outside of docs/ lead to the repository that this clone is of."""

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def repository():
    """Return the address of the files of this commit's branch, from REPOSITORY or git's origin; empty if it has no page."""
    command = ["git", "remote", "get-url", "origin"]
    asked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.strip()
    address = os.environ.get("REPOSITORY") or re.sub(r"^git@([^:]+):", r"https://\1/", asked)
    return f"{address.removesuffix('.git')}/blob/main" if address.startswith("https://") else ""


def on_page_markdown(markdown, page, **_):
    """Replace links to files of the repository that are not part of the site; without an address, by their text."""
    folder, address = (ROOT / "docs" / page.file.src_uri).parent, repository()

    def led(found):
        text, link = found.groups()
        path, _, anchor = link.partition("#")
        target = (folder / path).resolve()
        if "://" in path or not path or target.is_relative_to(ROOT / "docs") or not target.exists():
            return found[0]
        file = f"{target.relative_to(ROOT)}{'#' + anchor if anchor else ''}"
        return f"[{text}]({address}/{file})" if address else text

    return re.sub(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)", led, markdown)
