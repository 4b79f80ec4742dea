"""All that may happen next in a state."""

from __future__ import annotations

from collections.abc import Iterator

from tests.protocol import compactor, driver, environment, reader, sealer
from tests.protocol.state import Compactor, Driver, Process, Reader, Replayer, Sealer, State, Step, Tables
from tests.protocol.world import World


def of_process(world: World, state: State, index: int) -> Iterator[tuple[Step, State]]:
    """Yield each step that one process may take, named, with the state afterwards."""
    tables, processes = state
    me = processes[index]
    for label, after, self_after in _steps(world, tables, me, processes):
        changed = (*processes[:index], self_after, *processes[index + 1 :])
        yield Step(f"{type(me).__name__.lower()} {index}", label), State(after, changed)


def _steps(
    world: World, tables: Tables, me: Process, processes: tuple[Process, ...]
) -> Iterator[tuple[str, Tables, Process]]:
    if isinstance(me, Driver):
        yield from driver.steps(world, tables, me)
    elif isinstance(me, Sealer):
        yield from sealer.steps(world, tables, me, processes)
    elif isinstance(me, Reader):
        yield from reader.steps(world, tables, me)
    elif isinstance(me, Compactor):
        yield from compactor.steps(world, tables, me, processes)
    elif isinstance(me, Replayer):
        yield from driver.replayer_steps(world, tables, me)


def every(world: World, state: State) -> Iterator[tuple[Step, State]]:
    """Yield each step of every process and of the world around; of equal idle processes the first goes first."""
    for index, process in enumerate(state.processes):
        if index and process in state.processes[:index] and process == world.initial_processes[index]:
            continue
        yield from of_process(world, state, index)
    for step, tables in environment.steps(world, state.tables):
        yield step, State(tables, state.processes)
