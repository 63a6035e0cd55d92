"""What all tables share: the naming convention, column types, the tenant mixin."""

from __future__ import annotations

from typing import Annotated

from sqlalchemy import BigInteger, ForeignKey, Integer, MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# SQLite only numbers rows by itself where the type is exactly INTEGER.
Big = BigInteger().with_variant(Integer, "sqlite")

BigKey = Annotated[int, mapped_column(Big, primary_key=True, autoincrement=True)]
Micros = Annotated[int, mapped_column(Big)]
"""Microseconds since 1970-01-01 UTC."""


class Base(DeclarativeBase):
    """Base of every table; constraint names are predictable, so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Tenant:
    """A row that belongs to a company: only a `Scope` of that company reaches it."""

    company_id: Mapped[int] = mapped_column(Big, ForeignKey("company.id"), index=True)
