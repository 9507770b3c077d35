"""One experiment a file; each opens with the command that runs it."""
