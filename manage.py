#!/usr/bin/env python
"""The command line of OpenChargeback: `manage.py help` lists what it can do."""

import contextlib
import gc
import io
import os
import signal
import sys


def only_asks(arguments: list[str]) -> bool:
    """Tell whether somebody asks for help or for the version, which no configuration is needed for."""
    return (
        not arguments
        or arguments[0] in ("help", "version")
        or any(argument in ("-h", "--help", "--version") for argument in arguments)
    )


def main() -> None:
    """Run the command named on the command line, and say in a sentence what the machine could not do."""
    arguments = sys.argv[1:]
    # Python looks for unused cycles after every 700 new objects, and now and then through all that is loaded. Hardly
    # any come up here: it was a tenth of the CPU of an import.
    gc.set_threshold(50_000, 20, 50)
    prepare(arguments)
    require_django()
    from django.core.exceptions import ImproperlyConfigured

    try:
        if not only_asks(arguments):
            load()
        run(arguments)
        # What is left goes with the process. The end of Python would look through all of it once more, for cycles.
        gc.freeze()
        # Here, and not when the process ends, where nobody could say why it failed.
        sys.stdout.flush()
    except ImproperlyConfigured as error:
        raise SystemExit(str(error)) from None
    except KeyboardInterrupt:
        print("Interrupted. What was not finished is undone.", file=sys.stderr)  # noqa: T201
        raise SystemExit(128 + signal.SIGINT) from None
    except BrokenPipeError:
        # Who reads has enough, as in `| head`.
        forget_output()
        raise SystemExit(128 + signal.SIGPIPE) from None
    except Exception as error:
        said = what_is_out_of_order(error)
        forget_output()
        raise SystemExit(said or what_broke(arguments)) from None


def prepare(arguments: list[str]) -> None:
    """Set up the environment and the output for what is asked."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "openchargeback.settings")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that has no character for a name, or for the dashes of a help text, gets its escape.
            stream.reconfigure(errors="backslashreplace")
    if only_asks(arguments):
        # Debug mode needs no secret, and nothing is served or signed.
        os.environ["DEBUG"] = "true"
    if arguments[:1] == ["demo"]:
        # The sample institution has an installation of its own; see openchargeback/settings.py.
        os.environ["DEMO"] = "true"


def require_django() -> None:
    """End with what to do where Django is not installed."""
    try:
        import django.core.management  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "django":
            raise
        raise SystemExit(
            "Django is not installed for this Python. Run `make setup`, then use .venv/bin/python manage.py."
        ) from error


def load() -> None:
    """Load the program without looking for cycles: what is loaded stays, and is never looked through."""
    import django

    gc.disable()
    try:
        django.setup()
    finally:
        gc.freeze()
        gc.enable()


def run(arguments: list[str]) -> None:
    """Run a command of ours or of Django's."""
    from django.core.management import execute_from_command_line, load_command_class

    if arguments[:1] not in (["version"], ["--version"]):
        execute_from_command_line(sys.argv)
        return
    # Django answers these with its own version.
    import django

    django.setup()
    load_command_class("openchargeback", "version").run_from_argv([sys.argv[0], "version", *arguments[1:]])


def what_is_out_of_order(error: Exception) -> str:
    """Return what the machine could not do, in a sentence; "" for a fault of the program."""
    from billing.background import outages

    if isinstance(error, OSError):
        return outages.said_of_file(error)
    return str(outages.outage_of(error) or "")


def what_broke(arguments: list[str]) -> str:
    """Log the failure that is being handled, and return what to say of it, with the reference that finds it there."""
    import logging

    from billing import incidents

    with incidents.named() as reference:
        logging.getLogger("openchargeback.commands").exception("The command %s broke off", arguments[0])
    return (
        f"manage.py {arguments[0]} broke off, by a fault of the program. The log says where, with the reference "
        f"{reference}. Look at what was done before you run it again."
    )


def forget_output() -> None:
    """Have nothing more written to where nothing can be written, at the end of the process either."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
