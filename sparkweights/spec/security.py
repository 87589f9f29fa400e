"""Settings of who may read what is written, and of who may have written a model."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StrictStr

from sparkweights.spec.settings import Section, Text

# In quotes, as YAML reads 0750 as 488.
OutputMode = Annotated[StrictStr, Field(pattern="^07[0-7][0-7]$")]


class Signing(Section):
    """The key by which models are signed when they are trained, and verified when they are used.

    Without this section, checksums find accidents: a file that is truncated, lost or mixed up.
    Whoever may write to ``artifacts`` can write new checksums; a signature by a key that they do
    not have finds their changes as well. A model without a signature, or with one by another key,
    is refused. The key has at least 16 bytes, and is in no record. One of the two is given.

    Attributes
    ----------
    key_file
        A file that holds the key, relative to the configuration file.
    key_variable
        A variable of the environment that holds the key.
    """

    key_file: Text | None = None
    key_variable: Annotated[Text | None, Field(pattern="^[A-Za-z_][A-Za-z0-9_]*$")] = None
