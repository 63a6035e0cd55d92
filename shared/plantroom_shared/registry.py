"""One registry for every plug-in family: a plug-in is one file that registers itself."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from plantroom_shared.errors import ConfigError

T = TypeVar("T")


class Registry(Generic[T]):
    """Names → plug-ins of one family; a name can be taken only once.

    Args:
        family: what the plug-ins are, for messages: ``driver``.
        package: the package whose modules register themselves on `load`.
    """

    def __init__(self, family: str, package: str) -> None:
        self._family, self._package = family, package
        self._items: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that registers a plug-in under `name`."""

        def add(item: T) -> T:
            if name in self._items:
                msg = f"{self._family} {name!r} is registered twice"
                raise ValueError(msg)
            self._items[name] = item
            return item

        return add

    def load(self) -> None:
        """Import every module of the family's package, so that each registers itself."""
        package = importlib.import_module(self._package)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{self._package}.{module.name}")

    def _import(self, name: str) -> bool:
        """Import the module `name` of the package; return whether that registered `name`."""
        importlib.import_module(self._package)
        where = f"{self._package}.{name}"
        if name.isidentifier() and importlib.util.find_spec(where) is not None:
            importlib.import_module(where)
        return name in self._items

    def get(self, name: str) -> T:
        """Return the plug-in `name`; ConfigError names the ones there are.

        Only the module of that name is imported, if it is there: a gateway without BACnet need not
        keep the megabytes of the BACnet driver.
        """
        if name not in self._items and not self._import(name):
            self.load()
        try:
            return self._items[name]
        except KeyError:
            known = ", ".join(sorted(self._items))
            what = f"there is no {self._family} {name!r}"
            raise ConfigError(what, fix=f"choose one of: {known}") from None

    def __iter__(self) -> Iterator[tuple[str, T]]:
        self.load()
        return iter(sorted(self._items.items()))
