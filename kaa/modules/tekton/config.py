"""What an operator may set."""

from pydantic import Field

from kaa.core.config import Settings


class TektonConfig(Settings):
    """Settings of a Tekton instance; `register` names the instance that keeps the endpoints of the applications."""

    register_: str = Field("epr", alias="register")
