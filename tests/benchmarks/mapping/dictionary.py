"""A baseline: names against class names by a table of abbreviations, as OpenRefine's service does.

The Brick reconciliation service cuts a name into words, writes out the abbreviations it knows and
offers the classes whose tags overlap most. This does the same with a table of our own making.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Final

from benchmarks.mapping.labelled import Labelled
from benchmarks.mapping.mappers import Asking
from benchmarks.mapping.score import Meaning
from benchmarks.mapping.taxonomy import ancestors, table
from benchmarks.mapping.text import after_last_number, line, words

_ABBREVIATIONS: Final = """
a=air ac=air,conditioning ahu=ahu al=alarm alm=alarm avg=average bldg=building bp=bypass byp=bypass
c=command cc=cooling,command ccv=cooling,valve cfm=flow chw=chilled,water chwp=chilled,water,pump
chwr=chilled,water,return chwrt=chilled,water,return,temperature chws=chilled,water,supply
chwst=chilled,water,supply,temperature chwv=chilled,water,valve clg=cooling cmd=command comd=command
cool=cooling ctl=control cw=condenser,water cwp=condenser,water,pump cwr=condenser,water,return
cws=condenser,water,supply da=discharge,air dat=discharge,air,temperature disch=discharge dmd=demand
dmpr=damper dp=differential,pressure dpr=damper ea=exhaust,air econ=economizer eff=effective
elec=electric ent=entering exh=exhaust fb=feedback fdbk=feedback flt=fault freq=frequency
hcv=heating,valve heat=heating htg=heating hum=humidity hw=hot,water hwp=hot,water,pump
hwr=hot,water,return hwrt=hot,water,return,temperature hws=hot,water,supply
hwst=hot,water,supply,temperature hwv=hot,water,valve kw=power kwh=energy lvg=leaving ma=mixed,air
mat=mixed,air,temperature max=max maximum=max min=min minimum=min mod=mode oa=outside,air
oad=outside,air,damper oat=outside,air,temperature occ=occupied pct=percent pos=position
pres=pressure press=pressure pri=primary psi=pressure pwr=power r=return ra=return,air
rad=return,air,damper rat=return,air,temperature ret=return rf=return,fan rh=relative,humidity
rm=room rmt=room,temperature rt=room,temperature sa=supply,air sat=supply,air,temperature
sec=secondary setpt=setpoint sf=supply,fan sp=setpoint spd=speed ss=start,stop sta=status
stat=status static=static stp=setpoint stpt=setpoint sts=status sup=supply t=temperature
temp=temperature tmp=temperature unocc=unoccupied v=valve vav=vav vfd=vfd vel=velocity vlv=valve
vol=volume zn=zone znt=zone,temperature zone=zone zt=zone,temperature
"""


class Dictionary(Asking):
    """Needs no training; its confidence is the share of words that agree."""

    def map(self, rows: Sequence[Labelled]) -> list[Meaning]:
        """Give each point the class whose words overlap most with its own."""
        found = []
        for row in rows:
            text = line(row)
            name, sure = _best(_expanded(text))
            group = after_last_number(row.name)
            found.append(Meaning(name, group, _equipment(group), sure or None, text))
        return found


def train(rows: Sequence[Labelled]) -> Dictionary:
    """Return the baseline; it learns nothing."""
    return Dictionary()


@cache
def _abbreviations() -> dict[str, tuple[str, ...]]:
    entries = (entry.partition("=") for entry in _ABBREVIATIONS.split())
    return {short: tuple(long.split(",")) for short, _, long in entries}


@lru_cache(maxsize=65536)
def _expanded(text: str) -> frozenset[str]:
    known = _abbreviations()
    names = (short for short in text.split() if short.isalnum())
    return frozenset(word for short in names for word in known.get(short, (short,)))


@cache
def _classes(root: str) -> tuple[tuple[str, str, frozenset[str]], ...]:
    """Return (its name, canonical name, words) of every class below `root`, in every spelling."""
    return tuple(
        (name, row.canonical, frozenset(words(name).split()))
        for name, row in sorted(table().items())
        if root in ancestors(row.canonical)
    )


@lru_cache(maxsize=65536)
def _best(own: frozenset[str], root: str = "Point") -> tuple[str, float]:
    best, name = (0.0, 0), ""
    for _, canonical, tags in _classes(root):
        both = len(own & tags)
        if both and (fit := (both / len(own | tags), -len(tags))) > best:
            best, name = fit, canonical
    return name, best[0]


def _equipment(group: str) -> str:
    return _best(_expanded(words(group)), "Equipment")[0]
