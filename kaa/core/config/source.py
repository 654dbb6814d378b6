"""The three sources, laid over each other: a flag is stronger than a variable, a variable stronger than the file.

The key `storage.max-bytes` of the file is the variable `KAA_STORAGE_MAX_BYTES`.
"""

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from kaa.core.errors import ConfigError

from .shape import from_text, item_of, keys, options, section_of, variable
from .units import validate_written
from .yaml_file import Place, YamlFile, read_yaml

M = TypeVar("M", bound=BaseModel)

ALLOWED_VARIABLES = frozenset({"KAA_CONFIG", "KAA_URL", "KAA_KEY", "KAA_CAFILE", "KAA_ONLY", "KAA_WITHOUT"})


def load(model: type[M], *, file: Path | None, environ: Mapping[str, str], flags: Mapping[str, object]) -> M:
    """Load the whole configuration into one model; raises ConfigError, one line a problem."""
    source = Source(file=file, environ=environ, flags=flags)
    loaded = source.load(model)
    source.refuse_unused()
    return loaded


class Source:
    """Loads models from the same sources, for parts whose model is known only after another part has been read.

    Flags are named as keys (`http-port`, `storage.max-bytes`; an underscore is a hyphen); one that is None was not
    given. When everything has been loaded, `refuse_unused` says which variables and flags meant nothing.
    """

    def __init__(
        self,
        *,
        file: Path | None,
        environ: Mapping[str, str],
        flags: Mapping[str, object],
        allowed: Collection[str] = ALLOWED_VARIABLES,
    ) -> None:
        variables = {name: text for name, text in environ.items() if name.startswith("KAA_")}
        given = {tuple(name.replace("_", "-").split(".")): value for name, value in flags.items() if value is not None}
        self._given = _Given(
            file=YamlFile(name="", values={}) if file is None else read_yaml(file),
            environ=variables,
            flags=given,
            unused=(set(variables) - set(allowed)) | {_flag(place) for place in given},
        )
        self.origins: dict[Place, str] = {}
        """Where each thing that has been loaded was said: `FILE:LINE`, a variable or a flag, by its place."""

    def load(self, model: type[M], *, under: Sequence[str] = (), skip: Collection[str] = ()) -> M:
        """Load the part below a place of the file, without the keys to skip; raises ConfigError, one line a problem."""
        loading = _Loading(self._given, model, tuple(under))
        loaded = loading.load(skip)
        self.origins.update({(*under, *place): origin for place, origin in loading.origins.items()})
        return loaded

    def refuse_unused(self) -> None:
        """Raise ConfigError for variables that begin with `KAA_`, and flags, that no model has an option for."""
        problems = [
            f"{name}: there is no such option{_guess(name, self._given.known)}" for name in sorted(self._given.unused)
        ]
        if problems:
            raise ConfigError("\n".join(problems))


@dataclass(slots=True, kw_only=True)
class _Given:
    """What there is to load from; `known` are the options seen so far, `unused` what none of them took."""

    file: YamlFile
    environ: Mapping[str, str]
    flags: Mapping[tuple[str, ...], object]
    unused: set[str]
    known: set[str] = field(default_factory=set)


class _Loading(Generic[M]):
    def __init__(self, given: _Given, model: type[M], under: tuple[str, ...]) -> None:
        self._given = given
        self._model = model
        self._under = under
        self.origins: dict[Place, str] = {}
        self._problems: list[str] = []

    def load(self, skip: Collection[str]) -> M:
        written = {key: value for key, value in self._part().items() if key not in skip}
        values = self._respell(self._model, written, (), self._under)
        self._overlay(values)
        try:
            loaded = validate_written(self._model, values)
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
            self._problems += [self._sentence(item) for item in found]
        else:
            if not self._problems:
                return loaded
        raise ConfigError("\n".join(dict.fromkeys(self._problems)))

    def _part(self) -> dict[str, Any]:
        part = self._given.file.values
        for depth, key in enumerate(self._under):
            inner = part.get(key)
            if inner is None:
                return {}
            if not isinstance(inner, dict):
                place = self._under[: depth + 1]
                self._problems.append(f"{self._line(place)}: {_dotted(place)}: expected keys with values")
                return {}
            part = inner
        return part

    def _respell(self, annotation: Any, value: Any, place: Place, written: Place) -> Any:
        """Give keys their proper spelling wherever a model says which, and note where everything was written."""
        if written != self._under:
            self.origins[place] = self._line(written)
        section = section_of(annotation)
        if section is not None:
            if value is None and place:
                return {}  # a section of which every line is commented out
            return self._respell_section(section, value, place, written) if isinstance(value, dict) else value
        item = item_of(annotation)
        if isinstance(value, dict):
            return {k: self._respell(item, v, (*place, k), (*written, k)) for k, v in value.items()}
        if isinstance(value, list):
            return [self._respell(item, v, (*place, i), (*written, i)) for i, v in enumerate(value)]
        return value

    def _respell_section(self, section: type[BaseModel], value: dict[str, Any], place: Place, written: Place) -> Any:
        fields, respelled = keys(section), {}
        for key, inner in value.items():
            proper = key if key in fields else key.replace("_", "-")
            if proper not in fields:
                proper = key
            if proper in respelled:
                twice = (
                    f"{_dotted((*written, key))}: stands here twice, first as {proper} or {proper.replace('-', '_')}"
                )
                self._problems.append(f"{self._line((*written, key))}: {twice}")
                continue
            annotation = fields[proper].annotation if proper in fields else None
            respelled[proper] = self._respell(annotation, inner, (*place, proper), (*written, key))
        return respelled

    def _overlay(self, values: dict[str, Any]) -> None:
        given = self._given
        for place, info in options(self._model):
            whole = (*self._under, *place)
            name, flag = variable(whole), _flag(whole)
            given.known |= {name, flag}
            if name in given.environ:
                given.unused.discard(name)
                self._put(values, place, from_text(given.environ[name], info.annotation), name)
            if whole in given.flags:
                given.unused.discard(flag)
                self._put(values, place, given.flags[whole], flag)

    def _put(self, values: dict[str, Any], place: tuple[str, ...], value: object, origin: str) -> None:
        for key in place[:-1]:
            values = values.setdefault(key, {})
            if not isinstance(values, dict):
                return  # the file has something else than a section there, which is reported
        values[place[-1]] = value
        self.origins[place] = origin

    def _sentence(self, item: ErrorDetails) -> str:
        loc = tuple(part for part in item["loc"] if part != "[key]")  # what pydantic says behind a key that is wrong
        known = max((place for place in self.origins if loc[: len(place)] == place), key=len, default=None)
        origin = self.origins[known] if known is not None else self._given.file.name
        key = _dotted((*self._under, *loc))
        if item["type"] == "extra_forbidden":
            what = f"there is no such option{_guess(str(loc[-1]), self._siblings(loc))}"
        elif item["type"] == "missing":
            what = "is needed, and not given"
        else:
            message = item["msg"].removeprefix("Value error, ")
            what = (message[:1].lower() + message[1:]).replace("input should be", "must be")
        return f"{origin}: {key}: {what}" if origin else f"{key}: {what}"

    def _siblings(self, loc: Place) -> Iterable[str]:
        annotation: Any = self._model
        for part in loc[:-1]:
            section = section_of(annotation)
            info = keys(section).get(str(part)) if section is not None else None
            annotation = info.annotation if info is not None else item_of(annotation)
        section = section_of(annotation)
        return keys(section) if section is not None else ()

    def _line(self, written: Place) -> str:
        file = self._given.file
        return f"{file.name}:{file.lines[written]}" if written in file.lines else file.name


def _flag(place: Sequence[str]) -> str:
    return "--" + "-".join(place).replace(".", "-")


def _guess(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _dotted(place: Iterable[object]) -> str:
    return ".".join(map(str, place))
