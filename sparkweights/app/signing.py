"""The key that signs models: read where the configuration names it, and kept in no record."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sparkweights.core.errors import ConfigError

if TYPE_CHECKING:
    from sparkweights.config.schema import Config

MIN_BYTES = 16


def signing_key(config: Config) -> bytes | None:
    """Return the key of a configuration's models; None where it asks for no signatures.

    White space around the key is no part of it, as editors end a file with a line break.

    Raises
    ------
    ConfigError
        If the key is not there, or too short; it is in no message.
    """
    signing = config.signing
    if signing is None:
        return None
    if signing.key_variable is not None:
        where, text = "signing.key_variable", os.environ.get(signing.key_variable)
        if text is None:
            raise ConfigError(
                f"{where}: the environment has no variable '{signing.key_variable}'.",
                hint=f"export {signing.key_variable} before the run.",
            )
        key = os.fsencode(text).strip()
    else:
        where, file = "signing.key_file", config.path(str(signing.key_file))
        try:
            key = file.read_bytes().strip()
        except OSError as error:
            raise ConfigError(
                f"{where}: '{file}' cannot be read: {error.strerror}.",
                hint="correct the path, or the rights of the running user.",
            ) from None
    if len(key) < MIN_BYTES:
        raise ConfigError(
            f"{where}: the key has {len(key)} bytes; at least {MIN_BYTES} are needed.",
            hint="make one, for instance by `openssl rand -hex 32`.",
        )
    return key
