"""Finding what was changed in a chain. Pure: rows go in one by one, findings come out.

A row holds the hash of the one before it and its own, so that most changes can be pinned to their
row::

    hash is not that of (prev, body)          this row was edited
    prev is not the hash of the row before    the row before was edited and hashed again
    n jumps                                   rows are missing
    n is not the one in the body              the row was moved, or rows before it removed or added
    the chain ends before the head            rows are missing at the end

Who hashes everything anew, to the head, is found by a head that was signed before: then only the
rows between two signatures can be named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from plantroom_cloud.audit.canonical import FIRST_PREV, FORMAT, chained
from plantroom_cloud.audit.heads import SignedHead, is_signed
from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.kit.times import rfc3339

REPEATED: Final[Mapping[int, tuple[str, ...]]] = {
    1: ("at_us", "actor", "action", "subject", "request_id")
}
"""By format: which members of the body stand in columns too."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it was written."""

    first: int
    last: int
    """The rows it is about: one where both are the same."""
    kind: str
    """``edited``, ``missing``, ``moved``, ``foreign``, ``added``, ``newer``, ``head``, ``signature``."""
    text: str

    def __str__(self) -> str:
        rows = f"row {self.first}" if self.first == self.last else f"rows {self.first}-{self.last}"
        return f"{rows}: {self.kind}: {self.text}"


@dataclass(slots=True)
class Chain:
    """One company's chain, as far as it was looked at."""

    company: int
    heads: Sequence[SignedHead] = ()
    """Signed, of this company; in any order."""
    rows: int = 0
    last: int = 0
    findings: list[Finding] = field(default_factory=list)
    _hash: str = FIRST_PREV
    """Of the last row, as stored."""
    _also: str = FIRST_PREV
    """Of the last row, as it would be of what it holds: another where its hash was edited."""
    _last_is_bad: bool = False
    _wanted: dict[int, str] = field(default_factory=dict)
    """Hashes of the rows that heads speak of."""

    def __post_init__(self) -> None:
        """Note which hashes are needed at the end."""
        self._wanted = {head.content["n"]: "" for head in self.heads}

    def _found(self, kind: str, text: str, first: int, last: int | None = None) -> None:
        self.findings.append(Finding(first, first if last is None else last, kind, text))

    def add(self, row: AnyRow) -> None:
        """Look at the next row: as it is stored, in the order of its numbers."""
        self.rows += 1
        follows_numbers = row.n == self.last + 1
        if row.n > self.last + 1:
            self._found("missing", "there are no such rows", self.last + 1, row.n - 1)
        elif not follows_numbers:
            self._found("added", "there is a row of this number already", row.n)
        made = self._hash_of(row)
        bad = made != row.hash
        if bad:
            self._found("edited", "its hash is not that of what it holds", row.n)
        elif follows_numbers and row.prev not in {self._hash, self._also}:
            self._broken(row.n)
        bad = self._compare(row) or bad
        if row.n in self._wanted:
            self._wanted[row.n] = row.hash
        self.last, self._hash, self._also, self._last_is_bad = row.n, row.hash, made, bad

    def _hash_of(self, row: AnyRow) -> str:
        try:
            return chained(row.prev, row.body)
        except ValueError:  # a prev that is no hex, a body that is no UTF-8
            return ""

    def _broken(self, n: int) -> None:
        if self._last_is_bad:
            return  # told already
        if n == 1:
            self._found("edited", "the first row follows none, yet names a hash before it", n)
        else:
            text = f"row {n} names another hash: this one was written anew, or put in its place"
            self._found("edited", text, n - 1)

    def _compare(self, row: AnyRow) -> bool:
        """Compare a row's columns with its body; tell whether something was found."""
        before = len(self.findings)
        try:
            content: Any = orjson.loads(row.body)
            written, company, form = content["n"], content["company"], content["format"]
        except (ValueError, TypeError, KeyError):
            self._found("edited", "its body is no row of an audit", row.n)
            return True
        if company != self.company:
            self._found("foreign", f"it was written for company {company}", row.n)
        if written != row.n:
            self._found("moved", f"it was written as row {written}", row.n)
        if not isinstance(form, int) or form > FORMAT:
            self._found("newer", f"format {form} is of a newer version; verify with that", row.n)
        else:
            other = [k for k in REPEATED.get(form, ()) if content.get(k) != getattr(row, k)]
            if other:
                self._found("edited", f"{', '.join(other)}: the body says otherwise", row.n)
        return len(self.findings) > before

    def end(
        self,
        head: tuple[int, str] | None,
        keys: Mapping[str, Ed25519PublicKey],
    ) -> None:
        """Compare the end of the chain with its head and with all heads that were signed."""
        n, digest = head if head is not None else (0, FIRST_PREV)
        if n > self.last:
            text = f"the chain had {n} rows: these are gone from its end"
            self._found("missing", text, self.last + 1, n)
        elif n < self.last:
            self._found("added", f"the head knows of {n} rows only", n + 1, self.last)
        elif digest not in {self._hash, self._also} and not self._last_is_bad:
            text = "it is not what the head names: written anew, or put in its place"
            self._found("edited", text, max(n, 1))
        self._end_signed(sorted(self.heads, key=lambda signed: signed.content["n"]), keys)

    def twice(self, rows: int) -> None:
        """Note that there are `rows` more than could be told apart by their numbers."""
        self._found("added", f"{rows} rows have the number of another", 1, max(self.last, 1))

    def _end_signed(
        self, heads: Iterable[SignedHead], keys: Mapping[str, Ed25519PublicKey]
    ) -> None:
        good = 0
        gone: tuple[int, str] | None = None
        for head in heads:
            says = head.content
            n, when = says["n"], rfc3339(says["at_us"])
            match is_signed(head, keys):
                case None:
                    text = f"the head of {when} is signed by {head.key_id}: give its key with --key"
                    self._found("signature", text, n)
                case False:
                    self._found("signature", f"the head of {when} is not what was signed", n)
                case True if n > self.last:
                    gone = n, when
                case True if self._wanted[n] == says["hash"]:
                    good = max(good, n)
                case True:
                    self._rewritten(good + 1, n, when)
        if gone and not any(f.kind == "missing" and f.last >= gone[0] for f in self.findings):
            text = f"on {gone[1]} the chain had {gone[0]} rows: these are gone from its end"
            self._found("missing", text, self.last + 1, gone[0])

    def _rewritten(self, first: int, last: int, when: str) -> None:
        told = any(f.first <= last and f.last >= first for f in self.findings)
        if not told:
            text = f"one of them was changed and all after it hashed anew, since {when}"
            self._found("edited", text, first, last)
