"""The console command ``shardlens VERB KEY=VALUE ...``: runs ``python -m jobs.VERB`` in this process. Imports only the
standard library, to add no start-up time.
"""

from __future__ import annotations

import ast
import runpy
import sys
import textwrap
from difflib import get_close_matches
from pathlib import Path

COMPLETION = r"""_shardlens() {
  if (( COMP_CWORD == 1 )); then
    compopt +o nospace 2>/dev/null
    COMPREPLY=( $(compgen -W "$(shardlens --verbs)" -- "${COMP_WORDS[1]}") )
    return
  fi
  local line="${COMP_LINE#*[[:space:]]}"
  COMPREPLY=( $(
    COMP_LINE="shardlens ${line#*[[:space:]]}" shardlens "${COMP_WORDS[1]}" -sc query=bash 2>/dev/null |
      tr ' ' '\n' | grep -v '_schema$'
  ) )
  local word="${COMP_WORDS[COMP_CWORD]}" IFS=$'\n'
  if [[ ${#COMPREPLY[@]} == 0 && $word == *=* ]]; then
    COMPREPLY=( $(compgen -P "${word%%=*}=" -f -- "${word#*=}") )
  fi
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//=}
complete -o nospace -o default -F _shardlens shardlens
"""
"""Bash completion: verbs from their names, choices and keys from Hydra's own completion of a verb, otherwise paths."""


def main() -> None:
    """Runs the verb named on the command line and exits with its status, or with 2 if there is no such verb."""
    name, arguments = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 1 else ("--help", [])
    if name in {"-h", "--help"}:
        _print(_help())
    elif name == "--verbs":
        _print("\n".join(verbs()))
    elif (name, arguments) == ("completion", ["bash"]):
        _print(COMPLETION.rstrip())
    elif (verb := name.replace("-", "_")) not in _verb_files():
        sys.stderr.write(_unknown(name))
        sys.exit(_JOB_WRONG)
    else:
        sys.argv[1:] = arguments
        sys.path[0] = str(Path.cwd())  # as with `python -m`: the user may have a module there
        runpy.run_module(f"jobs.{verb}", run_name="__main__", alter_sys=True)


def verbs() -> dict[str, str]:
    """Returns the verbs as typed, each with a one-line description: the docstring of its module."""
    return {name.replace("_", "-"): _about(file) for name, file in sorted(_verb_files().items())}


_JOB_WRONG = 2  # `jobs.cli.entry.ExitStatus`, whose module takes a second to import


def _verb_files() -> dict[str, Path]:
    """Returns the modules in jobs/ that are commands, and the packages."""
    folder = Path(__file__).parents[1]
    files = {file.stem: file for file in folder.glob("[a-z]*.py")}
    files |= {file.parent.name: file for file in folder.glob("*/__main__.py")}
    return {name: file for name, file in files.items() if file.read_text("utf-8").startswith('"""`python -m jobs.')}


def _about(file: Path) -> str:
    text = " ".join((ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").split())
    _, _, about = text.partition("`: ")
    # The first sentence, shortened if long.
    first = about.partition(". ")[0].partition("; ")[0].rstrip(".")
    return f"{first[:1].upper()}{first[1:]}"


def _help() -> str:
    listed = "\n".join(
        textwrap.fill(f"  {verb:<13}{about}", 79, subsequent_indent=" " * 15) for verb, about in verbs().items()
    )
    return (
        f"shardlens VERB [KEY=VALUE ...]    the same as python -m jobs.VERB\n\n{listed}\n\n"
        "  shardlens VERB --help         the keys of a verb\n"
        '  eval "$(shardlens completion bash)"    completion of verbs, choices and keys'
    )


def _unknown(name: str) -> str:
    close = get_close_matches(name, verbs(), n=1)
    fix = f"did you mean {close[0]}? " if close else ""
    return f"error: {name}: there is no such verb\n  fix: {fix}shardlens --help lists the verbs\n"


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
