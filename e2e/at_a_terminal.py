"""Runs a program whose standard input is a terminal, and types there what arrives on this script's own standard input.

Arguments: the program and its words. Ends as the program ends, with its code.
"""

import os
import pty
import subprocess
import sys
import threading

keyboard, terminal = pty.openpty()
program = subprocess.Popen(sys.argv[1:], stdin=terminal)
os.close(terminal)


def type_on():
    for line in sys.stdin:
        os.write(keyboard, line.encode())


threading.Thread(target=type_on, daemon=True).start()
os._exit(program.wait() & 0xFF)
