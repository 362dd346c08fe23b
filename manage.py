#!/usr/bin/env python
import json
import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "omniops.settings")
    try:
        from django.core.management import execute_from_command_line

        execute_from_command_line(sys.argv)
    except KeyboardInterrupt:
        # Mostly while modules are being loaded: our commands tell of it themselves once they have begun.
        sentence = "Interrupted. What was done stays done; run the command again to finish."
        if "--json" in sys.argv:
            sys.stdout.write(json.dumps({"error": sentence}) + "\n")
        else:
            sys.stderr.write(f"{sentence}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
