"""The jars of the Kafka broker and of Spark's Kafka source, fetched once by the Ivy inside pyspark.

Which jars, and the SHA-256 of each, is in `locks/*.txt`; a folder is complete when it holds
exactly those. Nothing is resolved while jobs run: Spark gets the files through `--jars`.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr

from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_exponential

from include.local.layout import Layout
from include.local.service import LocalPlatformError

LOCKS = Path(__file__).parent / "locks"
_ATTEMPT_SECONDS = 240
# The locks name every jar, so the modules' own descriptions (a third of the downloads) are not read.
_IVY_SETTINGS = (
    '<ivysettings><settings defaultResolver="central"/><resolvers>'
    '<ibiblio name="central" m2compatible="true" usepoms="false" useMavenMetadata="false"/>'
    "</resolvers></ivysettings>\n"
)


@dataclass(frozen=True)
class Jar:
    """A line of a lock: Maven coordinates and the SHA-256 of the file."""

    organisation: str
    name: str
    revision: str
    sha256: str

    @property
    def file_name(self) -> str:
        """The name of the file in its folder."""
        return f"{self.name}-{self.revision}.jar"


class _FetchError(RuntimeError):
    """One attempt of Ivy failed; another may not."""


def read_lock(name: str) -> tuple[Jar, ...]:
    """Return the jars of `locks/<name>.txt`: one `organisation:name:revision sha256` a line, # for remarks."""
    lines = (LOCKS / f"{name}.txt").read_text().splitlines()
    jars = []
    for line in lines:
        if line and not line.startswith("#"):
            coordinates, sha256 = line.split()
            organisation, module, revision = coordinates.split(":")
            jars.append(Jar(organisation, module, revision, sha256))
    return tuple(jars)


def wrong_jars(folder: Path, jars: tuple[Jar, ...]) -> list[str]:
    """Return the names of files that `folder` lacks, has in excess, or holds with another content."""
    there = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.jar")}
    wanted = {jar.file_name: jar.sha256 for jar in jars}
    return sorted(name for name in there.keys() | wanted.keys() if there.get(name) != wanted.get(name))


def _ivy_module(jars: tuple[Jar, ...]) -> str:
    dependencies = "\n".join(
        f"    <dependency org={quoteattr(jar.organisation)} name={quoteattr(jar.name)} "
        f'rev={quoteattr(jar.revision)} transitive="false" conf="default->default"/>'
        for jar in jars
    )
    return (
        '<ivy-module version="2.0">\n  <info organisation="platform" module="jars"/>\n'
        '  <configurations><conf name="default"/></configurations>\n'
        f"  <dependencies>\n{dependencies}\n  </dependencies>\n</ivy-module>\n"
    )


@retry(
    retry=retry_if_exception_type(_FetchError),
    stop=stop_after_attempt(4),
    wait=wait_exponential(multiplier=2, max=15),
    reraise=True,
)
def _fetch(command: list[str], folder: Path, jars: tuple[Jar, ...]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_ATTEMPT_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise _FetchError(f"Ivy did not end within {_ATTEMPT_SECONDS} s") from error
    if done.returncode != 0:
        raise _FetchError("\n".join((done.stdout + done.stderr).splitlines()[-12:]))
    if wrong := wrong_jars(folder, jars):
        raise _FetchError(f"missing, or not what {LOCKS} says: {', '.join(wrong)}")


def provide_jars(layout: Layout, java: str, folder: Path) -> None:
    """Fill `folder` with the jars of the lock of its name; a folder that is complete is left as it is.

    Raises:
        LocalPlatformError: they could not be fetched, or have another content than the lock says.
    """
    jars = read_lock(folder.name)
    if not wrong_jars(folder, jars):
        return
    shutil.rmtree(folder, ignore_errors=True)
    work = layout.home / "ivy" / folder.name
    shutil.rmtree(work, ignore_errors=True)
    for path in (folder, work):
        path.mkdir(parents=True)
    (work / "settings.xml").write_text(_IVY_SETTINGS)
    (work / "ivy.xml").write_text(_ivy_module(jars))
    command = [java, "-cp", f"{layout.pyspark / 'jars'}/*", "org.apache.ivy.Main"]
    command += ["-settings", str(work / "settings.xml"), "-ivy", str(work / "ivy.xml")]
    command += ["-cache", str(work / "cache"), "-retrieve", f"{folder}/[artifact]-[revision].[ext]"]
    try:
        _fetch(command, folder, jars)
    except _FetchError as error:
        raise LocalPlatformError(
            f"the jars of {folder} could not be fetched: check the network, then `make up` again\n{error}"
        ) from error
    shutil.rmtree(work, ignore_errors=True)
