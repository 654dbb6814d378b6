"""JSON Schemas: what a configuration must be to be taken."""

from collections.abc import Callable
from typing import Any, cast

from pydantic_core import from_json, to_json

from kaa.core.applications import Applications, Version
from kaa.core.errors import InvalidInput, NotFound

_MOST_BYTES = 128 * 1024
_BACKTRACKS = 10_000  # of a pattern; enough for any that is meant well
_VERDICTS = 10_000
_LONGEST = 300


def compiled(schema: Any) -> Any:
    """Give the validator of a schema; ValueError if it is none, is too large, or refers to another place.

    Nothing is ever fetched: a schema is whole, or refused.
    """
    if not isinstance(schema, dict | bool):
        raise ValueError("a JSON Schema is an object, true or false")  # noqa: TRY004  pydantic makes findings of it
    if len(to_json(schema)) > _MOST_BYTES:
        raise ValueError(f"a schema may have {_MOST_BYTES} bytes at most")
    import jsonschema_rs  # noqa: PLC0415  4 MB that a server without schemas has no use for

    options = jsonschema_rs.FancyRegexOptions(backtrack_limit=_BACKTRACKS)
    try:
        return jsonschema_rs.validator_for(schema, offline=True, pattern_options=options)
    except jsonschema_rs.ValidationError as error:
        place = "".join(f"[{part!r}]" for part in error.instance_path)
        raise ValueError(f"not a JSON Schema: {place and place + ': '}{error.message[:_LONGEST]}") from None


class Schemas:
    """Knows the schema of each application version, and what configurations it takes."""

    def __init__(self, applications: Applications[Any]) -> None:
        self._applications = applications
        self._validators: dict[str, Any] = {}
        self._verdicts: dict[tuple[str, str], bool] = {}
        applications.on_change(self._forget)

    def application(self, app_version: str) -> str:
        """Give the application that a version belongs to; NotFound if there is no such version."""
        return self._applications.get_version(app_version).application

    def get(self, app_version: str) -> dict[str, Any] | bool:
        """Give the schema of a version; NotFound if it has none."""
        version = self._applications.get_version(app_version)
        found = self._of(version)
        if found is None:
            raise NotFound(f"application version {app_version!r} has no schema, and neither has its application")
        return cast("dict[str, Any] | bool", found)

    def check(self, app_version: str, value: Any) -> None:
        """Raise InvalidInput, with the place, if the version's configurations may not look like that.

        NotFound if the version is unknown, or needs a schema and has none.
        """
        version = self._applications.get_version(app_version)
        validator = self._validator(version)
        if validator is None:
            if self._is_required(version):
                raise NotFound(f"schema: application version {app_version!r} needs one, and has none")
            return
        error = next(validator.iter_errors(value), None)
        if error is not None:
            place = "config" + "".join(f"[{part}]" if type(part) is int else f".{part}" for part in error.instance_path)
            raise InvalidInput(f"{place}: {error.message[:_LONGEST]}")

    def accepts(self, app_version: str, config_id: str, load: Callable[[str], bytes]) -> bool:
        """Whether a configuration that was stored for many versions fits this one; remembered.

        May be called on any thread: what it remembers is the same whoever works it out.
        """
        # the schemas may change meanwhile: a verdict on the old ones goes with them
        verdicts, key = self._verdicts, (app_version, config_id)
        known = verdicts.get(key)
        if known is not None:
            return known
        try:
            self.check(app_version, from_json(load(config_id)))
        except (InvalidInput, NotFound):
            verdict = False
        else:
            verdict = True
        if len(verdicts) >= _VERDICTS:
            verdicts.clear()
        verdicts[key] = verdict
        return verdict

    def _validator(self, version: Version[Any]) -> Any:
        validators = self._validators
        if version.name not in validators:
            found = self._of(version)
            validators[version.name] = None if found is None else compiled(found)
        return validators[version.name]

    def _of(self, version: Version[Any]) -> Any:
        own = version.settings
        if own.endpoint_configuration_schema is not None:
            return own.endpoint_configuration_schema
        if own.endpoint_configuration.schema_ is not None:
            return own.endpoint_configuration.schema_
        above = self._above(version)
        if above.endpoint_configuration.schema_ is not None:
            return above.endpoint_configuration.schema_
        return above.endpoint_configuration_schema

    def _is_required(self, version: Version[Any]) -> bool:
        own, above = version.settings, self._above(version)
        return bool(own.endpoint_configuration.schema_required or above.endpoint_configuration.schema_required)

    def _above(self, version: Version[Any]) -> Any:
        """Give the application's settings: a version that has some of its own may lack what they say."""
        application = self._applications.find(version.application)
        return version.settings if application is None else application.settings

    def _forget(self) -> None:
        self._validators, self._verdicts = {}, {}
