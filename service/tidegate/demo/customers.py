"""The demo's customer file: people who do not exist, with values that are reserved for examples."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Customer:
    """One made-up record. Everything but the name and the note is what must not leave unmasked."""

    name: str
    email: str
    phone: str
    card: str
    iban: str
    ssn: str
    note: str

    @property
    def first_name(self) -> str:
        """What people call this customer."""
        return self.name.split()[0]


@cache
def customers() -> tuple[Customer, ...]:
    """The whole file, in file order."""
    rows = json.loads(files("tidegate.demo").joinpath("customers.json").read_text("utf-8"))
    return tuple(Customer(**row) for row in rows)


def find_customer(text: str) -> Customer | None:
    """The first customer whom `text` names, by first name or by e-mail address."""
    wanted = text.casefold()
    for customer in customers():
        if customer.first_name.casefold() in wanted or customer.email in wanted:
            return customer
    return None
