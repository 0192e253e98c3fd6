"""The families that the 30 genres belong to, so that near neighbours (techno, trance) do not count as a mistake.

The grouping is by origin and band, as in common genre trees (AllMusic, Wikipedia); it was written down before any judge
was trained. Every genre is in exactly one family.
"""

from __future__ import annotations

from collections.abc import Sequence

from ditto.types import UserError

FAMILIES: dict[str, tuple[str, ...]] = {
    "jazz": ("big band", "broadway", "jazz", "ragtime"),
    "blues and soul": ("blues", "boogie", "funk", "gospel", "soul"),
    "latin": ("bossa nova", "rumba", "salsa", "samba", "tango"),
    "rock": ("metal", "rock", "ska"),
    "electronic": ("disco", "hip hop", "house", "techno", "trance"),
    "folk": ("country", "folk"),
    "old dances": ("march", "polka", "waltz"),
    "songs": ("ambient", "ballad", "pop"),
}
FAMILY: dict[str, str] = {genre: family for family, genres in FAMILIES.items() for genre in genres}
NAMES: tuple[str, ...] = tuple(FAMILIES)


def family_indices(genres: Sequence[str]) -> list[int]:
    """Place in `NAMES` of each genre's family; UserError that names a genre without one."""
    unknown = sorted(set(genres) - set(FAMILY))
    if unknown:
        raise UserError(f"no family for the genres {', '.join(unknown)}: add them to eval/recognition/families.py")
    return [NAMES.index(FAMILY[genre]) for genre in genres]
