"""What the tests of model files share."""

import json


def convert(studio, source, target, *options):
    return studio("convert", source, target, *options)


def inspect(studio, path):
    return json.loads(studio("inspect", path, "--json").stdout)


def refused(studio, *command, words, status=1):
    """The command fails with one clear line, which is returned."""
    result = studio(*command, status=status)
    lines = result.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("nnstudio: "), result.stderr
    assert words in lines[0], lines[0]
    assert result.stdout == ""
    return lines[0]
