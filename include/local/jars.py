"""The jars of the Kafka broker and of Spark's Kafka source, resolved once by the Ivy inside pyspark.

Ivy verifies each download against its published checksum; a folder counts as done only when
its marker names exactly the wanted modules and every file listed there has its recorded size.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr

from tenacity import (
    retry,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential,
)

from include.local.layout import Layout
from include.local.service import LocalPlatformError

MARKER = "resolved.json"


@dataclass(frozen=True)
class Module:
    """A Maven module; `transitive` brings along what it depends on."""

    organisation: str
    name: str
    revision: str
    transitive: bool = False


KAFKA_BROKER = (
    Module("org.apache.kafka", "kafka_2.13", "4.1.1", transitive=True),
    # The broker logs through slf4j 1.7; without a binding it logs nothing.
    Module("org.apache.logging.log4j", "log4j-slf4j-impl", "2.24.3"),
)
SPARK_KAFKA_SOURCE = (
    Module("org.apache.spark", "spark-sql-kafka-0-10_2.13", "4.2.0"),
    # Serves delegation tokens only; not every mirror holds 4.2.0 and 4.0.0 works with it.
    Module("org.apache.spark", "spark-token-provider-kafka-0-10_2.13", "4.0.0"),
    Module("org.apache.kafka", "kafka-clients", "3.9.2"),
    Module("org.apache.commons", "commons-pool2", "2.12.1"),
)


class _ResolveError(RuntimeError):
    """One attempt of Ivy failed; another may not."""


def _ivy_file(modules: tuple[Module, ...]) -> str:
    dependencies = "\n".join(
        f"    <dependency org={quoteattr(module.organisation)} name={quoteattr(module.name)} "
        f"rev={quoteattr(module.revision)} conf={quoteattr('default' if module.transitive else 'default->master')}/>"
        for module in modules
    )
    return (
        '<ivy-module version="2.0">\n  <info organisation="platform" module="jars"/>\n'
        '  <configurations><conf name="default"/></configurations>\n'
        f"  <dependencies>\n{dependencies}\n  </dependencies>\n</ivy-module>\n"
    )


def _wanted(modules: tuple[Module, ...]) -> list[str]:
    return [
        f"{module.organisation}:{module.name}:{module.revision}" for module in modules
    ]


def is_resolved(folder: Path, modules: tuple[Module, ...]) -> bool:
    """Return whether `folder` holds exactly what resolving `modules` gave."""
    try:
        marker = json.loads((folder / MARKER).read_text())
        sizes = {path.name: path.stat().st_size for path in folder.glob("*.jar")}
    except (OSError, ValueError):
        return False
    return bool(marker == {"modules": _wanted(modules), "sizes": sizes})


@retry(
    retry=retry_if_exception_type(_ResolveError),
    stop=stop_after_attempt(4),
    wait=wait_exponential(multiplier=2, max=15),
    reraise=True,
)
def _run_ivy(
    java: str, pyspark: Path, cache: Path, folder: Path, ivy_file: Path
) -> None:
    command = [
        java,
        "-cp",
        f"{pyspark / 'jars'}/*",
        "org.apache.ivy.Main",
        "-cache",
        str(cache),
    ]
    command += [
        "-ivy",
        str(ivy_file),
        "-retrieve",
        f"{folder}/[artifact]-[revision].[ext]",
        "-types",
        "jar",
        "bundle",
    ]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=300, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise _ResolveError("Ivy did not end within 300 s") from error
    if done.returncode != 0:
        raise _ResolveError("\n".join((done.stdout + done.stderr).splitlines()[-15:]))


def resolve(
    layout: Layout, java: str, folder: Path, modules: tuple[Module, ...]
) -> None:
    """Fill `folder` with the jars of `modules`; a folder that is complete is left as it is.

    Raises:
        LocalPlatformError: Ivy failed in every attempt, or did not bring a module.
    """
    if is_resolved(folder, modules):
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    cache = layout.home / "ivy" / folder.name
    cache.mkdir(parents=True, exist_ok=True)
    ivy_file = cache / "ivy.xml"
    ivy_file.write_text(_ivy_file(modules))
    try:
        _run_ivy(java, layout.pyspark, cache, folder, ivy_file)
    except _ResolveError as error:
        raise LocalPlatformError(
            f"the jars for {folder} could not be fetched: check the network, then `make up` again\n{error}"
        ) from error
    missing = [
        m for m in modules if not (folder / f"{m.name}-{m.revision}.jar").exists()
    ]
    if missing:
        raise LocalPlatformError(
            f"Ivy brought no {', '.join(_wanted(tuple(missing)))}; `make clean`, then `make up`"
        )
    sizes = {path.name: path.stat().st_size for path in folder.glob("*.jar")}
    (folder / MARKER).write_text(
        json.dumps({"modules": _wanted(modules), "sizes": sizes}, indent=1)
    )
