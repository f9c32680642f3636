# ruff: noqa: E501 (a row of names is a line here)
"""Names of people, places and organisations, of many tongues. People and organisations are put together: nobody's."""

from __future__ import annotations

from random import Random
from typing import Final

GIVEN_NAMES: Final = (
    "Amara", "Anneliese", "Aoife", "Arjun", "Beatriz", "Bo", "Camille", "Chidi", "Dagny", "Daniel", "Dmitri", "Elif",
    "Emily", "Fatima", "Femke", "Giulia", "Hana", "Hiroshi", "Ines", "Ivan", "Jamal", "Jana", "Joao", "Kofi", "Lars",
    "Leila", "Liam", "Lucia", "Mateusz", "Mei", "Michael", "Mohammed", "Nadia", "Ngozi", "Olga", "Omar", "Paolo",
    "Priya", "Rachel", "Ravi", "Rosa", "Samuel", "Sanne", "Sarah", "Siobhan", "Sofia", "Tariq", "Thomas", "Tomoko",
    "Ulrich", "Valentina", "Wanjiru", "Wei", "Yasmin", "Youssef", "Zofia", "Robert", "Grace", "Mark", "Will",
)  # fmt: skip
FAMILY_NAMES: Final = (
    "Achterberg", "Adeyemi", "Andersson", "Baker", "Banerjee", "Bianchi", "Brennan", "Castellanos", "Chen", "Costa",
    "Delacroix", "Demir", "Eriksen", "Fischer", "Fofana", "Garc\u00eda", "Goldberg", "Haddad", "Hernandez", "Ito",
    "Ivanova", "Johansson", "Kamau", "Kaplan", "Khan", "Kim", "Kowalski", "Lindqvist", "Lopez", "MacDonald", "Mbeki",
    "Meyer", "Moreau", "M\u00fcller", "Nakamura", "Nguyen", "Novak", "O'Connor", "Okafor", "Oliveira", "Park", "Patel",
    "Petrov", "Quispe", "Ramos", "Rossi", "Santos", "Schneider", "Sharma", "Silva", "Smith", "Svensson", "Tanaka",
    "Van Dijk", "Walker", "Wang", "Weber", "Wright", "Yilmaz", "Zieli\u0144ski",
)  # fmt: skip
PLACES: Final = (
    "Accra", "Amsterdam", "Antwerp", "Auckland", "Bavaria", "Belgrade", "Bogot\u00e1", "Brazil", "Bristol", "Cairo",
    "Calgary", "Cape Town", "Chennai", "Copenhagen", "Cornwall", "Dakar", "Denver", "Dublin", "Edinburgh", "Finland",
    "Geneva", "Hanoi", "Helsinki", "Istanbul", "Jakarta", "Kenya", "Krak\u00f3w", "Kyoto", "Lagos", "Lima", "Lisbon",
    "Lyon", "Madrid", "Manchester", "Marseille", "Melbourne", "Mexico City", "Milan", "Montreal", "Mumbai", "Nairobi",
    "New Zealand", "Ohio", "Osaka", "Oslo", "Peru", "Porto", "Prague", "Quebec", "Reykjavik", "Rotterdam", "S\u00e3o Paulo",
    "Seattle", "Seoul", "Sicily", "Singapore", "Stockholm", "Tallinn", "Texas", "Toronto", "Tuscany", "Utrecht", "Vienna",
    "Warsaw", "Yorkshire", "Zurich",
)  # fmt: skip
_FIRM_HEADS: Final = (
    "Northwind", "Blue Heron", "Alder", "Castlegate", "Meridian", "Orchard Hill", "Silverlake", "Tamarind", "Kestrel",
    "Lindgren & Vos", "Harrow", "Pinecrest", "Redwater", "Sable", "Thornbury", "Umbra", "Vantage Point", "Wexley",
)  # fmt: skip
_FIRM_TAILS: Final = (
    "Logistics", "Bank", "Insurance", "Pharmaceuticals", "University", "Hospital", "Industries Ltd", "Holdings PLC",
    "Foods Inc.", "GmbH", "Energy", "Foundation", "Labs", "Airlines", "Partners LLP",
)  # fmt: skip


def person(rng: Random) -> str:
    """Mostly given and family name; at times with a title, an initial, or the given name alone."""
    given, family = rng.choice(GIVEN_NAMES), rng.choice(FAMILY_NAMES)
    style = rng.randrange(10)
    if style < 6:
        return f"{given} {family}"
    if style == 6:
        return f"{given} {rng.choice('ABCDEFGHJKLMPRST')}. {family}"
    return given if style < 9 else family


def place(rng: Random) -> str:
    """A city, a region or a country."""
    return rng.choice(PLACES)


def organisation(rng: Random) -> str:
    """A firm, a school, a hospital."""
    return f"{rng.choice(_FIRM_HEADS)} {rng.choice(_FIRM_TAILS)}"
