"""Sphinx: the site that `make docs` builds."""

from snekhouse import __version__

project = "snekhouse"
project_copyright = "2026, the snekhouse developers"
version = release = __version__
root_doc = "index"
extensions = ["myst_parser", "sphinxcontrib.mermaid"]
myst_fence_as_directive = ["mermaid"]
exclude_patterns = ["README.md"]  # index.md includes it
html_theme = "furo"
html_title = f"snekhouse {__version__}"
myst_heading_anchors = 3
suppress_warnings = [
    "myst.xref_missing"
]  # links out of docs/ (the Jinja templates, the changelog): tests/docs checks them
