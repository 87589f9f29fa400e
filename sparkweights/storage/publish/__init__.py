"""Publishing: a date of a table is replaced as a whole or not at all."""
