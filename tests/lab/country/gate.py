"""Applies interference at a gate and takes it back, while everything runs."""

import contextlib
import itertools
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from lab.country.interference import Interference, Measures, measures
from lab.country.topology import Network
from lab.country.world import World
from support.programs import module_command

EVERY_PORT = "for port in out $(ls /sys/class/net | grep ^p); do {}; done"
_numbers = itertools.count(1)


class Gate:
    """The gate of one network; `applied` is what is in force, by number."""

    def __init__(self, world: World, network: Network, folder: Path) -> None:
        self.network = network
        self.applied: dict[int, Interference] = {}
        self._world = world
        self._folder = folder
        self._undo: dict[int, tuple[list[str], list[subprocess.Popen[bytes]]]] = {}

    def apply(self, what: Interference) -> int:
        """Apply an interference before returning; raise ValueError on an unknown kind."""
        does, number = measures(what, self.network), next(_numbers)
        does = _placed(does, self.network, number)
        programs = list(self._programs(what, does, number))
        chain = f"lab{number}"
        steps = list(_steps(does, chain))
        self._world.script([*(do for do, _ in steps), *self._answers(does)], self.network.gate)
        undo = [undo for _, undo in reversed(steps)]
        self._undo[number] = ([*undo, *self._unanswer(does)], programs)
        self.applied[number] = what
        return number

    def lift(self, number: int) -> None:
        lines, programs = self._undo.pop(number)
        del self.applied[number]
        self._world.script(lines, self.network.gate)
        for program in programs:
            _stop(program)

    def lift_all(self) -> None:
        for number in list(self.applied):
            self.lift(number)

    def close(self) -> None:
        """Stop the programs; the rules end with the world."""
        for _, programs in self._undo.values():
            for program in programs:
                _stop(program)

    def _answers(self, does: Measures) -> Iterator[str]:
        """Change the resolver's answers; flush its cache, which would hide the lie."""
        zones = "".join(f"{name} {zone}\n" for name, zone, _ in does.zones)
        data = "".join(f"{name} 5 IN A {address}\n" for name, _, address in does.zones if address)
        yield from self._told("local_zones", zones)
        yield from self._told("local_datas", data)
        if zones or does.inject == "dns":
            yield f"{self._control} flush_zone ."

    def _unanswer(self, does: Measures) -> Iterator[str]:
        yield from self._told("local_zones_remove", "".join(f"{z[0]}\n" for z in does.zones))
        if does.zones or does.inject == "dns":
            yield f"{self._control} flush_zone ."

    @property
    def _control(self) -> str:
        return f"unbound-control -q -c {self._folder}/{self.network.name}.conf"

    def _told(self, command: str, lines: str) -> Iterator[str]:
        """Yield one command for all lines: a hundred names one by one would take seconds."""
        if lines:
            yield f"{self._control} {command} <<'end'\n{lines}end"

    def _programs(
        self, what: Interference, does: Measures, number: int
    ) -> Iterator[subprocess.Popen[bytes]]:
        if does.inject:
            answer = ["--answer", what.address] if what.address else []
            yield self._start("observer", does.inject, "--queue", str(number), *answer)
        if does.hellos:
            yield self._start("hello_dropper", does.hellos, *does.names, "--queue", str(number))
        if does.program:
            folder = ("--folder", str(self._folder))
            yield self._start("interceptor", does.program, *does.names, *folder)

    def _start(self, module: str, *arguments: str) -> "subprocess.Popen[bytes]":
        """Start a program; return once it is ready."""
        argv = module_command(f"lab.country.{module}", *arguments)
        with (self._folder / f"{self.network.name}-{module}.log").open("ab") as log:
            program = subprocess.Popen(
                self._world.command(self.network.gate, argv),
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        assert program.stdout is not None
        if program.stdout.readline() != b"ready\n":
            raise RuntimeError(f"{module} did not start, see {self._folder}")
        return program


def _placed(does: Measures, network: Network, number: int) -> Measures:
    """Return the measures with the gate's own address and queue in their rules."""
    queue = f"NFQUEUE --queue-num {number} --queue-bypass"
    return replace(
        does,
        forward=tuple(rule.replace("{queue}", queue) for rule in does.forward),
        turn=tuple(rule.replace("{gate}", network.resolver) for rule in does.turn),
    )


def _steps(does: Measures, chain: str) -> Iterator[tuple[str, str]]:
    """Yield shell lines that apply measures, each with its undo in reverse order."""
    for program, rules in (("iptables", does.forward), ("ip6tables", does.forward6)):
        if rules:
            yield from _chain(f"{program} -w", chain, rules, "FORWARD")
    if does.inject == "dns":
        yield f"iptables -w -I OUTPUT -j {chain}", f"iptables -w -D OUTPUT -j {chain}"
    if does.turn:
        yield from _chain("iptables -w -t nat", chain, does.turn, "PREROUTING")
    if does.line_kbit:
        burst = max(3_000, does.line_kbit * 15)
        tbf = f"tbf rate {does.line_kbit}kbit burst {burst} latency 300ms"
        yield (
            EVERY_PORT.format(f"tc qdisc replace dev $port root {tbf}"),
            EVERY_PORT.format("tc qdisc del dev $port root"),
        )


def _chain(table: str, chain: str, rules: tuple[str, ...], hook: str) -> Iterator[tuple[str, str]]:
    made = "\n".join(f"{table} -A {chain} {rule}" for rule in rules)
    yield f"{table} -N {chain}\n{made}", f"{table} -F {chain}\n{table} -X {chain}"
    yield f"{table} -I {hook} -j {chain}", f"{table} -D {hook} -j {chain}"


def _stop(program: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(program.pid, 9)
    program.wait(timeout=60)
    if program.stdout is not None:
        program.stdout.close()
