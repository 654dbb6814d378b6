"""CM's rules."""

from .basic import NewUser, Users
from .clients import Clients
from .passwords import Passwords
from .tokens import Tokens
from .x509 import Certificates, NewCertificate

__all__ = ["Certificates", "Clients", "NewCertificate", "NewUser", "Passwords", "Tokens", "Users"]
