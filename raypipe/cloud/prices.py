"""Prices of machines: a small dated table in the package, or a user's own of the same form."""

from __future__ import annotations

import tomllib
from datetime import date
from importlib.resources import files
from pathlib import Path

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, PositiveInt, ValidationError

from raypipe.errors import ConfigError, MissingError

_HOURS_A_MONTH = 730.0


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Machine(_Strict):
    """A type of machine: virtual CPUs, dollars an hour at the list price and on the spot market."""

    cpus: PositiveInt
    on_demand: NonNegativeFloat
    spot: NonNegativeFloat


class Prices(_Strict):
    """A price table, in US dollars.

    Attributes:
        date: When its prices were known to hold.
        region: Where they hold.
        gp3_gb_month: A GB of disk for a month.
        ipv4_hour: A public address for an hour.
        instances: Machines by EC2's name.
    """

    date: date
    region: str
    gp3_gb_month: NonNegativeFloat
    ipv4_hour: NonNegativeFloat
    instances: dict[str, Machine]

    def hour(self, instance: str, *, spot: bool, disk: int) -> float | None:
        """Return dollars an hour of a node with disk and address, None for an unknown machine.

        Args:
            instance: EC2's name of the machine.
            spot: Whether it is bought on the spot market.
            disk: Its disk, GB.
        """
        machine = self.instances.get(instance)
        if machine is None:
            return None
        own = machine.spot if spot else machine.on_demand
        return own + disk * self.gp3_gb_month / _HOURS_A_MONTH + self.ipv4_hour


def load(path: str | None) -> Prices:
    """Read a price table, the package's own without a path.

    Raises:
        MissingError: If there is no such file.
        ConfigError: If it is not a price table.
    """
    remedy = "write it as raypipe/cloud/prices.toml"
    try:
        text = (
            Path(path).read_text(encoding="utf-8") if path
            else (files("raypipe.cloud") / "prices.toml").read_text(encoding="utf-8")
        )  # fmt: skip
        return Prices.model_validate(tomllib.loads(text))
    except OSError as error:
        raise MissingError(f"{path}: {error.strerror or error}", remedy) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML ({error})", remedy) from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path}: {place}: {first['msg']}", remedy) from None
