"""Data Docs on disk: `<artifacts_dir>/data_docs/<run>/`, one site for each run, and a page that lists the runs.

Owns: making the pages free of external addresses, the list, and how many runs are kept. The pages themselves
are Great Expectations' (validate.py). `assets/` holds one copy of what all of them load.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from html import escape
from pathlib import Path

from include.quality.report import QualityReport

ASSETS_SOURCE = Path(__file__).parent / "offline"
KEPT_RUNS = 100
SUMMARY = "summary.json"

# Great Expectations' page asks for these; what is not named here (charts, date picker, dark theme) is left out.
LOCAL_COPIES = {
    "bootstrap.min.css": "bootstrap.min.css",
    "bootstrap-table.min.css": "bootstrap-table.min.css",
    "bootstrap-table-filter-control.css": "bootstrap-table-filter-control.min.css",
    "bootstrap-table-filter-control.min.css": "bootstrap-table-filter-control.min.css",
    "all.min.css": "icons.css",
    "jquery-3.7.1.min.js": "jquery.min.js",
    "bootstrap.min.js": "bootstrap.bundle.min.js",
    "bootstrap-table.min.js": "bootstrap-table.min.js",
    "bootstrap-table-filter-control.min.js": "bootstrap-table-filter-control.min.js",
}
# Without its date picker, which is left out, the list of results stays empty.
_DATE_FILTER = ("'filterControl': 'datepicker'", "'filterControl': 'input'")
_SCRIPT = re.compile(r'<script[^>]*\ssrc="(https?://[^"]+)"[^>]*>\s*</script>')
_STYLE = re.compile(r'<link[^>]*\shref="(https?://[^"]+)"[^>]*>')
_LOGO = re.compile(r'https://[^"\']*/(logo-long\.png)[^"\']*')
_OWN_IMAGES = re.compile(r"(?:\.{1,2}/)+static/images")  # one level short on a validation's page
_FOOTER = re.compile(r"<footer>.*?</footer>", re.DOTALL)
_LINK = re.compile(r'<a href="https?://[^"]*">(.*?)</a>', re.DOTALL)
_IMAGE = re.compile(r"url\(['\"]?https?://[^)]*\)")

EXTERNAL_ADDRESS = re.compile(
    r"""(?:src|href)\s*=\s*["']?https?://|url\(\s*["']?https?://|@import\s+["']?https?://"""
)


def docs_folder(artifacts_dir: Path) -> Path:
    """Return the folder of all Data Docs."""
    return artifacts_dir / "data_docs"


def make_offline(page: str, assets: str, images: str) -> str:
    """Return the page with local copies for what it loads; `assets` and `images` are paths relative to it."""

    def script(match: re.Match[str]) -> str:
        local = LOCAL_COPIES.get(_file_name(match[1]))
        return f'<script src="{assets}/{local}"></script>' if local else ""

    def style(match: re.Match[str]) -> str:
        local = LOCAL_COPIES.get(_file_name(match[1]))
        return f'<link rel="stylesheet" href="{assets}/{local}">' if local else ""

    page = page.replace(*_DATE_FILTER)
    page = _STYLE.sub(style, _SCRIPT.sub(script, page))
    page = _LOGO.sub(rf"{images}/\1", _OWN_IMAGES.sub(images, _FOOTER.sub("", page)))
    return _LINK.sub(r"\1", _IMAGE.sub("none", page))


def publish(site: Path, report: QualityReport) -> None:
    """Make a run's site loadable without internet access, list it, and drop the oldest runs.

    Two runs may publish at once: each owns its folder, and the list is replaced as a whole.
    """
    root = site.parent
    _install_assets(root / "assets")
    for page in site.rglob("*.html"):
        up = "/".join([".."] * (len(page.relative_to(root).parts) - 1))
        up_in_site = "/".join([".."] * (len(page.relative_to(site).parts) - 1)) or "."
        text = make_offline(page.read_text(encoding="utf-8"), f"{up}/assets", f"{up_in_site}/static/images")
        page.write_text(text, encoding="utf-8")
    for unused in ("fonts", "styles"):
        shutil.rmtree(site / "static" / unused, ignore_errors=True)
    for image in (site / "static" / "images").iterdir():
        if image.name not in ("favicon.ico", "logo-long.png"):
            image.unlink()
    _replace(site / SUMMARY, json.dumps(_summary(report)))
    runs = sorted((path for path in root.iterdir() if (path / SUMMARY).is_file()), reverse=True)
    for old in runs[KEPT_RUNS:]:
        shutil.rmtree(old, ignore_errors=True)
    _replace(
        root / "index.html", _index([json.loads((run / SUMMARY).read_text()) for run in runs[:KEPT_RUNS]])
    )


def _file_name(address: str) -> str:
    return address.split("?")[0].rsplit("/", 1)[-1]


def _install_assets(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for source in ASSETS_SOURCE.iterdir():
        target = folder / source.name
        if not target.exists() or target.stat().st_size != source.stat().st_size:
            partial = folder / f".{source.name}.{os.getpid()}"
            shutil.copyfile(source, partial)
            partial.replace(target)


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def _summary(report: QualityReport) -> dict[str, object]:
    return {
        "run": report.run,
        "stream": report.stream,
        "hours": sorted({f"{hour:%Y-%m-%dT%H}" for hour in report.hours}),
        "passed": sum(r.success for r in report.results),
        "critical": len(report.failed("critical")),
        "warning": len(report.failed("warning")),
        "unchecked": [item.suite for item in report.unchecked],
    }


def _index(runs: list[dict[str, object]]) -> str:
    rows = []
    for run in runs:
        hours = run["hours"]
        assert isinstance(hours, list)
        span = str(hours[0]) if len(hours) == 1 else f"{hours[0]} to {hours[-1]} ({len(hours)})"
        unchecked = run.get("unchecked", [])
        assert isinstance(unchecked, list)
        cells = [run["stream"], span, run["passed"], run["critical"], run["warning"], ", ".join(unchecked)]
        failed = run["critical"] or unchecked
        state = "table-danger" if failed else "table-warning" if run["warning"] else ""
        link = f'<a href="{escape(str(run["run"]))}/index.html">{escape(str(run["run"]))}</a>'
        rows.append(
            f'<tr class="{state}"><td>{link}</td>{"".join(f"<td>{escape(str(c))}</td>" for c in cells)}</tr>'
        )
    titles = ("run", "stream", "hours (UTC)", "passed", "critical", "warning", "not checked")
    head = "".join(f"<th>{title}</th>" for title in titles)
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Data quality</title>'
        '<link rel="stylesheet" href="assets/bootstrap.min.css"></head><body class="container pt-4">'
        f"<h1>Data quality</h1><p>The newest {KEPT_RUNS} runs; older results stay in the table quality_checks.</p>"
        f'<table class="table table-sm"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></body></html>'
    )
